"""What a scrape of many real streams costs: `python benchmarks/performance/scrape.py [STREAMS]`.

CPU seconds of both halves of `/metrics`, views from the fold's state and text from the views, while half of
the streams change between two scrapes; and how long a fold that wants its lock has to wait meanwhile.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, cast

import orjson

from driftbus.adapters.http.prometheus import Exposition
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.settings import Limits, StreamSettings
from driftbus.exposure import LEVELS_PER_S, MOST_LEVELS, WorkerSource
from driftbus.worker import Worker

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.core.streams import Shape, as_runs, events
from tests.integration.live_source import LiveSource

STREAMS = 10_000
ROWS = 400
MEASURED = 5
# How often the fold asks for its lock: every few milliseconds, as a busy worker's steps do.
FOLD_EVERY_S = 0.005


@dataclass
class HeldTask:
    partition: Partition


@dataclass
class HeldState:
    """What a `WorkerSource` reads of a worker: its lock and its streams."""

    tasks: dict[int, HeldTask]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def home_of(self, stream: str) -> int:
        return 0


def filled(streams: int) -> Partition:
    """A partition of so many equal streams, each with challenger, features and two windows."""
    settings = StreamSettings()
    partition = Partition(0, lambda stream: settings, Limits())
    partition.step(StepInput(as_runs(events([Shape("one", rows=ROWS)], seed=1))))
    state = orjson.dumps(partition.streams["one"].dump())
    partition.streams = {
        name: StreamMonitor.load(orjson.loads(state), name, settings, Limits())
        for name in (f"stream-{i:05d}" for i in range(streams))
    }
    return partition


def touch(partition: Partition) -> None:
    """Every second stream as after a step that brought it outcomes."""
    for monitor in list(partition.streams.values())[::2]:
        monitor.folds += 1
        for version in monitor.versions.values():
            for performance in (version.performance, version.challenger_performance):
                performance._version += 1


class Fold(threading.Thread):
    """Asks for the lock again and again; `waited_s` is the longest it had to wait."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(daemon=True)
        self.lock, self.waited_s, self.ended = lock, 0.0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(FOLD_EVERY_S):
            asked = time.perf_counter()
            with self.lock:
                self.waited_s = max(self.waited_s, time.perf_counter() - asked)


def main() -> None:
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS
    partition = filled(streams)
    state = HeldState({0: HeldTask(partition)})
    source, exposition = WorkerSource(), Exposition()
    source.watch(cast(Worker, state))
    worker = LiveSource(1_767_225_600_000, ["one"], drifted=0).worker()
    fold = Fold(state.lock)
    views_s, text_s, size = [], [], 0
    first = -(-streams // MOST_LEVELS)  # so many scrapes until every stream's metrics were read once
    for turn in range(first + MEASURED):
        touch(partition)
        source._asked -= MOST_LEVELS / LEVELS_PER_S  # as if the last scrape were that long ago
        if turn == first:
            fold.start()
        began = time.process_time()
        views: list[Any] = list(source.streams())
        between = time.process_time()
        size = len(exposition.page(worker, views, openmetrics=False))
        views_s.append(between - began)
        text_s.append(time.process_time() - between)
    fold.ended.set()
    fold.join()
    print("| streams | changed | views, CPU s | text, CPU s | MB | the fold waited at most, ms |")
    print("|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {streams} | {streams // 2} | {median(views_s[first:]):.2f} | {median(text_s[first:]):.2f} "
        f"| {size / 1e6:.0f} | {fold.waited_s * 1000:.0f} |"
    )


if __name__ == "__main__":
    main()

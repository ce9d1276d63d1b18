"""What the HTTP adapter reads of a worker: views built under the fold's lock, kept until a stream changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from heapq import nsmallest
from typing import NamedTuple

from driftbus import __version__
from driftbus.core.ledger import DELAY_BOUNDS_MS
from driftbus.core.monitor import StreamMonitor
from driftbus.core.stream_views import (
    NO_LEVELS,
    chart,
    failed_metrics,
    levels_of,
    stream_detail,
    stream_view,
)
from driftbus.core.views import (
    ChartPoint,
    HistogramView,
    LimitView,
    PartitionView,
    StreamDetail,
    StreamView,
    WorkerView,
)
from driftbus.counters import TRANSACTION_BOUNDS_S
from driftbus.intake import INPUTS
from driftbus.restore import Task
from driftbus.worker import Worker

# Shown from 0 on, so that `increase()` sees the first record.
OUTPUTS = ("outcomes", "label-corrections", "drift-events", "retrain-requests", "dead-letters", "state")
# A step waits no longer than this for a reader of the state, and then has its turn: a transaction takes
# about as long.
HOLD_S = 0.01
# How long a reader leaves the lock alone in between: a thread that waits is woken within a tenth of it.
PAUSE_S = 0.001
# Metrics of so many changed streams are read at once, and so many a second on average: 120 to 350 µs each,
# so that looking takes some 3 % of a core however many streams are busy and however often someone looks.
# With 10,000 busy streams a metric shown is up to two minutes old; counters and episodes never are.
MOST_LEVELS = 1_000
LEVELS_PER_S = 100.0


class _Hold:
    """The fold's lock for a reader of much: `pause` lets the fold go on when it was held for long enough."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._since = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._since = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    def pause(self) -> None:
        if time.perf_counter() - self._since > HOLD_S:
            self.__exit__()
            time.sleep(PAUSE_S)  # without it the next line would win against every other thread
            self.__enter__()


class _Kept:
    """What was last shown of a stream, and of which state (`folds`) it is."""

    __slots__ = ("folds", "levels", "levels_folds", "monitor", "turn", "view")

    def __init__(self, monitor: StreamMonitor) -> None:
        self.monitor = monitor
        self.folds = self.levels_folds = -1
        self.levels = NO_LEVELS
        self.turn = -1
        self.view: StreamView | None = None


class _Found(NamedTuple):
    lock: threading.Lock
    partition: int
    monitor: StreamMonitor


class WorkerSource:
    """A `Source` over the worker of this process; between two runs it shows nothing and is not ready.

    `moves` says whether the loop still runs: the watchdog's own word, so that nobody else knows better.
    """

    def __init__(self, moves: Callable[[], bool] = lambda: True) -> None:
        self.alive = moves
        self._worker: Worker | None = None
        self._started = time.monotonic()
        self._kept: dict[str, _Kept] = {}
        self._reading = threading.Lock()  # one reader at a time works on what is kept
        self._turn = 0
        self._allowed, self._asked = float(MOST_LEVELS), self._started
        self.trouble: str | None = "starting"

    def watch(self, worker: Worker | None) -> None:
        """Show this worker from now on."""
        self._worker = worker
        self._kept = {}

    def worker(self) -> WorkerView:
        w = self._worker
        if w is None:
            return WorkerView(
                "", "", "", __version__, self._uptime(), False, False, (self.trouble or "starting",)
            )
        settings, counters = w.settings, w.counters
        with w.lock:
            partitions = tuple(self._partitions(w))
            ledgers = [m.ledger for t in w.tasks.values() for m in t.partition.streams.values()]
            names = {name for t in w.tasks.values() for name in t.partition.streams}
            none = [0] * (len(DELAY_BOUNDS_MS) + 1)
            delays = [sum(n) for n in zip(none, *(ledger.delay_counts for ledger in ledgers), strict=True)]
            delay_sum_ms = sum(ledger.delay_sum_ms for ledger in ledgers)
            reasons = self._not_ready(w)
            return WorkerView(
                group=settings.group,
                instance=settings.source,
                worker_id=w.worker_id,
                version=__version__,
                uptime_s=self._uptime(),
                connected=w.connected,
                ready=not reasons,
                not_ready=reasons,
                bus=settings.bus,
                partitions=partitions,
                streams=len(names),
                max_exported_streams=settings.limits.max_exported_streams,
                records_total=dict(counters.records),
                dead_letters=dict(counters.dead_letters),
                misrouted=dict(counters.misrouted),
                published={**dict.fromkeys(OUTPUTS, 0), **w.published},
                steps_total=counters.steps,
                rebalances_total=counters.rebalances,
                limits=self._limits(w),
                custom_metrics_failed=sum(
                    len(failed_metrics(m)) for t in w.tasks.values() for m in t.partition.streams.values()
                ),
                transaction_duration=HistogramView(
                    TRANSACTION_BOUNDS_S, tuple(counters.transaction_counts), counters.transaction_seconds
                ),
                label_delay=HistogramView(
                    tuple(bound / 1000 for bound in DELAY_BOUNDS_MS), tuple(delays), delay_sum_ms / 1000
                ),
            )

    def streams(self) -> Iterable[StreamView]:
        """Views are kept until their stream changes; its metrics are read anew when their turn comes."""
        with self._reading:
            return self._streams()

    def _streams(self) -> list[StreamView]:
        w = self._worker
        if w is None:
            return []
        hold = _Hold(w.lock)
        with hold:
            held = self._held(w)
        due = self._due(held)
        self._turn += 1
        found: list[StreamView] = []
        kept: dict[str, _Kept] = {}
        with hold:
            for name, (number, task, monitor) in held.items():
                known = self._kept.get(name)
                if known is None or known.monitor is not monitor:
                    known = _Kept(monitor)
                if known.folds != monitor.folds or name in due:
                    hold.pause()
                    if w.tasks.get(number) is not task:
                        continue  # revoked meanwhile
                    if name in due:
                        known.levels, known.levels_folds = levels_of(monitor), monitor.folds
                        known.turn = self._turn
                    elif known.levels.version is not monitor.production:
                        known.levels = NO_LEVELS  # another model's by now
                    known.view = stream_view(monitor, number, known.levels)
                    known.folds = monitor.folds
                kept[name] = known
                if known.view is not None:
                    found.append(known.view)
        self._kept = kept
        return found

    def _held(self, w: Worker) -> dict[str, tuple[int, Task, StreamMonitor]]:
        """Every stream once, retired ones never. One that a partitioner split is shown from its home."""
        held: dict[str, tuple[int, Task, StreamMonitor]] = {}
        for number, task in w.tasks.items():
            for name, monitor in task.partition.streams.items():
                if not monitor.people.retired and (name not in held or w.home_of(name) == number):
                    held[name] = (number, task, monitor)
        return held

    def _due(self, held: Mapping[str, tuple[int, Task, StreamMonitor]]) -> set[str]:
        """The streams whose metrics are to be read now: those that changed since, never read ones first, then
        the longest ago; as many as are allowed."""
        now = time.monotonic()
        self._allowed = min(MOST_LEVELS, self._allowed + (now - self._asked) * LEVELS_PER_S)
        self._asked = now
        waiting: list[tuple[int, str]] = []
        for name, (_, _, monitor) in held.items():
            known = self._kept.get(name)
            if known is None or known.monitor is not monitor or known.levels is NO_LEVELS:
                waiting.append((-1, name))
            elif known.levels_folds != monitor.folds:
                waiting.append((known.turn, name))
        if len(waiting) > self._allowed:
            waiting = nsmallest(int(self._allowed), waiting)
        self._allowed -= len(waiting)
        return {name for _, name in waiting}

    def chart(self, name: str) -> tuple[ChartPoint, ...]:
        found = self._find(name)
        if found is None:
            return ()
        with found.lock:
            return chart(found.monitor)

    def stream(self, name: str) -> StreamDetail | None:
        found = self._find(name)
        if found is None:
            return None
        with found.lock:
            return stream_detail(found.monitor, found.partition)

    def _find(self, name: str) -> _Found | None:
        w = self._worker
        if w is None:
            return None
        found: _Found | None = None
        with w.lock:
            for number, task in w.tasks.items():
                monitor = task.partition.streams.get(name)
                if monitor is not None and (found is None or w.home_of(name) == number):
                    found = _Found(w.lock, number, monitor)
        return found

    def ready(self) -> bool:
        w = self._worker
        return w is not None and not self._not_ready(w)

    def _not_ready(self, w: Worker) -> tuple[str, ...]:
        if not w.connected:
            return (w.trouble or self.trouble or "not connected",)
        if not w.joined:
            return ("waiting for partitions",)
        if w.restoring:
            return (f"restoring partitions {', '.join(map(str, sorted(w.restoring)))}",)
        return ()

    def _uptime(self) -> float:
        return time.monotonic() - self._started

    def _partitions(self, w: Worker) -> Iterable[PartitionView]:
        for number, (_, progress) in sorted(w.restoring.items()):
            yield PartitionView(number, restored=False, restored_ratio=progress)
        for number, task in sorted(w.tasks.items()):
            join = task.partition.join
            sizes = join.sizes()
            yield PartitionView(
                number,
                restored=True,
                step=task.journal.next_step,
                pending=sizes["max_pending"],
                early_labels=sizes["max_early_labels"],
                remembered=sizes["max_remembered"],
                streams=len(task.partition.streams),
                watermark_ms=join.watermark or None,
                lag={name: w.lag.get((name, number), 0) for name in INPUTS},
            )

    def _limits(self, w: Worker) -> dict[str, LimitView]:
        """What is used of each bound, over the partitions held now: each has an equal share of it."""
        limits, held = w.settings.limits, len(w.tasks)
        used = {"max_pending": 0, "max_early_labels": 0, "max_remembered": 0}
        streams = 0
        for task in w.tasks.values():
            for name, n in task.partition.join.sizes().items():
                used[name] += n
            streams += len(task.partition.streams)
        views = {name: LimitView(n, getattr(limits, name) * max(1, held)) for name, n in used.items()}
        views["max_streams"] = LimitView(streams, limits.max_streams * max(1, held))
        return views

"""What a scrape reads of the fold: every stream once, counters always fresh, metrics in turn."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

import pytest

from driftbus import exposure
from driftbus.core.partition import Partition, StepInput
from driftbus.core.settings import Limits, StreamSettings
from driftbus.exposure import WorkerSource
from driftbus.worker import Worker
from tests.core.streams import Shape, as_runs, events


@dataclass
class HeldTask:
    partition: Partition


@dataclass
class HeldState:
    """What a source reads of a worker: its lock, its partitions, where a stream is at home."""

    tasks: dict[int, HeldTask]
    home: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def home_of(self, stream: str) -> int:
        return self.home


def partition(number: int, names: list[str], rows: int) -> Partition:
    made = Partition(number, lambda stream: StreamSettings(challenger=None), Limits())
    shapes = [Shape(name, rows=rows) for name in names]
    made.step(StepInput(as_runs(events(shapes, seed=number))))
    return made


def source_of(state: HeldState) -> WorkerSource:
    source = WorkerSource()
    source.watch(cast(Worker, state))
    return source


def test_a_split_stream_is_shown_once_from_its_home() -> None:
    state = HeldState(
        {0: HeldTask(partition(0, ["a", "b"], 40)), 1: HeldTask(partition(1, ["a"], 60))}, home=1
    )
    source = source_of(state)
    shown = {view.stream: view.partition for view in source.streams()}
    assert shown == {"a": 1, "b": 0}
    assert len(list(source.streams())) == 2
    detail = source.stream("a")
    assert detail is not None
    assert detail.view.partition == 1
    assert source.chart("a") == detail.chart
    assert source.stream("c") is None
    assert source.chart("c") == ()


def test_metrics_are_read_in_turn_and_counters_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposure, "MOST_LEVELS", 2)
    monkeypatch.setattr(exposure, "LEVELS_PER_S", 0.0)
    folded = partition(0, ["a", "b", "c", "d", "e"], 40)
    source = source_of(HeldState({0: HeldTask(folded)}))

    def scrape() -> dict[str, bool]:
        source._allowed = 2.0
        views = {view.stream: view for view in source.streams()}
        for name, monitor in folded.streams.items():
            assert views[name].outcomes_total == monitor.ledger.outcomes
        return {name: bool(view.metrics) for name, view in views.items()}

    assert sum(scrape().values()) == 2
    assert sum(scrape().values()) == 4
    assert sum(scrape().values()) == 5
    before = {view.stream: view.metrics for view in source.streams()}
    more = events([Shape(name, rows=60) for name in folded.streams], seed=9)
    folded.step(StepInput(as_runs(more, 10_000)))
    for fresh in (2, 4, 5):
        scrape()
        now = {view.stream: view.metrics for view in source.streams()}
        assert sum(now[name] is not before[name] for name in now) == fresh


def test_a_revoked_partition_vanishes_at_once() -> None:
    state = HeldState({0: HeldTask(partition(0, ["a"], 40)), 1: HeldTask(partition(1, ["b"], 40))})
    source = source_of(state)
    assert {view.stream for view in source.streams()} == {"a", "b"}
    del state.tasks[1]
    assert {view.stream for view in source.streams()} == {"a"}
    assert source.stream("b") is None
    source.watch(None)
    assert list(source.streams()) == []

"""A life in small: the constants that say how long something takes, cut down so that a few dozen records see
it all: rings turning over, snapshots, drifts that open and close. And time that the scheduler makes.

None of them changes what is promised; each is patched for the simulation alone and put back after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

import driftbus.core.episodes
import driftbus.core.steps
import driftbus.core.verdict
import driftbus.journal
import driftbus.locate
import driftbus.restore
import driftbus.worker
from driftbus.core.outlook import EpisodePolicy

from .nature import Nature


class Clock:
    """What the worker sees of the module `time`. Anything else it may ask for is an error here."""

    def __init__(self) -> None:
        self.nature: Nature | None = None

    def _now_ms(self) -> int:
        assert self.nature is not None
        return self.nature.now_ms()

    def monotonic(self) -> float:
        return self._now_ms() / 1000

    perf_counter = monotonic

    def time_ns(self) -> int:
        return self._now_ms() * 1_000_000

    def sleep(self, seconds: float) -> None:
        assert self.nature is not None
        until_ms = self._now_ms() + seconds * 1000
        while self._now_ms() < until_ms:
            self.nature.wait(until_ms)


class Uncollected:
    """In place of `driftbus.collecting.Collecting`: a process of its own collects its garbage; thousands of
    short ones in one process would each walk what all have left."""

    def __enter__(self) -> Uncollected:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def stepped(self) -> None:
        pass

    def idle(self) -> None:
        pass


def _small() -> list[tuple[Any, str, Any]]:
    episodes = partial(EpisodePolicy, confirm_strength=2.0, settle_rows=24, pass_rows=8, retry_rows=40)
    return [
        # A ring that turns over within the some twenty steps of a schedule; in ratios like the real ones.
        (driftbus.journal, "RING", 8),
        (driftbus.restore, "RING", 8),
        (driftbus.journal, "SNAPSHOT_STEPS", 7),
        (driftbus.journal, "JOIN_STEPS", 3),
        # `outcomes` is bisected, though it holds some fifty rows.
        (driftbus.locate, "SCAN_OFFSETS", 4),
        # A drift is seen, told and settled within some forty rows.
        (driftbus.core.steps, "MIN_BEFORE", 16),
        (driftbus.core.verdict, "MIN_BEFORE", 16),
        (driftbus.core.steps, "BATCH_ROWS", 4.0),
        (driftbus.core.steps, "MIN_BATCHES", 4),
        (driftbus.core.steps, "YOUTH_BATCHES", 0.5),
        (driftbus.core.episodes, "EpisodePolicy", episodes),
        (driftbus.core.episodes, "LOOK_ROWS", 8),
        (driftbus.core.episodes, "QUIET_ROWS", 8),
        (driftbus.worker, "Collecting", Uncollected),
    ]


@contextmanager
def small_life() -> Iterator[Clock]:
    """Everything above, until the end of the block."""
    clock = Clock()
    timed = [
        module for module in (driftbus.worker, driftbus.restore, driftbus.locate) if hasattr(module, "time")
    ]
    patches = _small() + [(module, "time", clock) for module in timed]
    kept = [(module, name, getattr(module, name)) for module, name, _ in patches]
    try:
        for module, name, value in patches:
            setattr(module, name, value)
        yield clock
    finally:
        for module, name, value in kept:
            setattr(module, name, value)

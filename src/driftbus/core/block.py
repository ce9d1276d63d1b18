"""What one step brings: runs of decoded records in, blocks of rows per stream out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter, le
from typing import Any, NamedTuple

import numpy as np

from driftbus.core.records import Correction, ModelEvent, Outcome, Prediction

# A producer's clock may run ahead of the broker's by this much before it stops moving event time:
# Kafka's own default for how far a record's timestamp may lie in the future.
CLOCK_SKEW_MS = 3_600_000
# A run of fewer records costs less one by one than in passes of numpy, some 10 µs each.
FEW_RECORDS = 64


class Run(NamedTuple):
    """Consecutive records of one topic, decoded: the events with their offsets and record timestamps (ms).

    Poison records have left before; `topic` is the short name.
    """

    topic: str
    events: list[Any]
    offsets: list[int]
    times: list[int]


@dataclass(slots=True)
class Block:
    """What one step brings to one stream. `*_pos` are positions in the step, ascending."""

    predictions: list[Prediction] = field(default_factory=list)
    prediction_pos: list[int] = field(default_factory=list)
    prediction_offsets: list[int] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    outcome_pos: list[int] = field(default_factory=list)
    corrections: list[tuple[int, Correction]] = field(default_factory=list)
    model_events: list[tuple[int, ModelEvent]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    last_label_ts: int = 0  # as far as its producer's clock is trusted

    def count(self, reason: str) -> None:
        """One more record of this stream with this fate."""
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def in_order(self) -> None:
        """Bring predictions and outcomes that were added late to their places."""
        if not _ascends(self.prediction_pos):
            rows = zip(self.prediction_pos, self.prediction_offsets, self.predictions, strict=True)
            at, offsets, predictions = zip(*sorted(rows, key=itemgetter(0)), strict=True)
            self.prediction_pos, self.prediction_offsets = list(at), list(offsets)
            self.predictions = list(predictions)
        if not _ascends([outcome.seq for outcome in self.outcomes]):
            pairs = sorted(zip(self.outcomes, self.outcome_pos, strict=True), key=lambda row: row[0].seq)
            self.outcomes, self.outcome_pos = [o for o, _ in pairs], [at for _, at in pairs]


def _ascends(numbers: list[int]) -> bool:
    return all(map(le, numbers, numbers[1:]))


class Rises(NamedTuple):
    """The partition's event-time clock (ms) over a step: it began at `start` and reached `ms[i]` with the
    record at `pos[i]`; both ascend. Position -1 is the tick, before all records."""

    start: int
    pos: list[int]
    ms: list[int]

    def at(self, pos: int) -> int:
        """The clock once the record at `pos` was read."""
        index = bisect_right(self.pos, pos)
        return self.ms[index - 1] if index else self.start

    def newest(self, places: Sequence[int], times: Sequence[int], start: int, stop: int) -> int:
        """The newest time of rows start ≤ i < stop, each believed up to the clock at its place: a producer's
        own clock is trusted no further than `clock_rises` does."""
        newest = max(times[start:stop])
        if newest <= self.at(places[times.index(newest, start)]):
            return newest
        return max(map(min, times[start:stop], map(self.at, places[start:stop])))

    @property
    def end(self) -> int:
        """The clock after the step."""
        return self.ms[-1] if self.ms else self.start


def clock_rises(start: int, runs: Iterable[Run], tick_ms: int | None) -> Rises:
    """The clock over a step: the newest event time so far, a producer's own clock trusted up to the skew."""
    rises = Rises(start, [], [])
    clock, start = start, 0
    if tick_ms is not None and tick_ms > clock:
        clock = tick_ms
        rises.pos.append(-1)
        rises.ms.append(clock)
    for run in runs:
        # A field by its place takes half the time of one by its name.
        at = Prediction._fields.index("ts") if run.topic != "model-events" else ModelEvent._fields.index("ts")
        tss = [event[at] for event in run.events]
        if max(tss, default=0) > clock:
            if len(tss) < FEW_RECORDS:
                for pos, (ts, time) in enumerate(zip(tss, run.times, strict=True), start):
                    if min(ts, time + CLOCK_SKEW_MS) > clock:
                        clock = min(ts, time + CLOCK_SKEW_MS)
                        rises.pos.append(pos)
                        rises.ms.append(clock)
            else:
                seen = np.array(tss, np.int64)
                if max(tss) > min(run.times) + CLOCK_SKEW_MS:
                    seen = np.minimum(seen, np.array(run.times, np.int64) + CLOCK_SKEW_MS)
                newest = np.maximum.accumulate(np.concatenate(((clock,), seen)))
                risen = np.flatnonzero(newest[1:] > newest[:-1])
                rises.pos.extend((risen + start).tolist())
                rises.ms.extend(newest[risen + 1].tolist())
                clock = int(newest[-1])
        start += len(tss)
    return rises

"""Taking up a block's rows in record order, stopping wherever something is to be decided.

Three things stop it: a mark (a version's first prediction, a correction, an alarm), a row after which a
version must be looked at, and event time reaching what is due. At one position they come in this order: time,
marks, looks.

A stream's time is that of its own newest record, and while it is silent it passes at the pace of its
partition's clock; so a stream of last year beside one of today keeps its own durations. No record's time is
believed beyond the partition's clock, which trusts a producer's up to a bound (`block.clock_rises`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from driftbus.core.block import Rises
from driftbus.core.columns import OutcomeColumns, PredictionColumns
from driftbus.core.episodes import Alarm
from driftbus.core.lane import NEVER, Lane
from driftbus.core.ledger import Ledger
from driftbus.core.records import Correction, Decision
from driftbus.core.version import VersionMonitor

Decisions = list[tuple[int, Decision]]

OPENED, CORRECTION, ALARM, OUTCOME_ALARM = range(4)


class Mark(NamedTuple):
    """Something found at a position: `subject` is a version or its key, `payload` what was found."""

    pos: int
    rank: int
    subject: Any
    payload: Any


class Rows(NamedTuple):
    """Consecutive predictions and outcomes of one block, of all versions."""

    predictions: PredictionColumns | None
    outcomes: OutcomeColumns | None


class Decider(Protocol):
    """The stream that is walked through: what it remembers of its time, and what it does at each stop.

    `clock`: the newest event time of its records, `anchor` the partition's clock when that was read;
    `prediction_clock`, `label_clock`: the newest of either kind taken up.
    """

    clock: int
    anchor: int
    prediction_clock: int
    label_clock: int
    ledger: Ledger

    @property
    def schedule_begins(self) -> bool: ...

    def waits_for_nothing(self) -> bool: ...

    def wanted(self) -> VersionMonitor | None: ...

    def next_due(self) -> int | None: ...

    def take_rows(self, rows: OutcomeColumns) -> None: ...

    def first_prediction(self, key: Any, pos: int, out: Decisions) -> None: ...

    def correct(self, correction: Correction) -> None: ...

    def take_alarm(
        self, alarm: Alarm, version: VersionMonitor, labelled: bool, pos: int, out: Decisions
    ) -> None: ...

    def look(self, lane: Lane, pos: int, out: Decisions) -> None: ...

    def on_time(self, ts: int, pos: int, out: Decisions) -> None: ...

    def decided(self) -> None: ...


def walk(
    monitor: Decider,
    rows: Rows,
    lanes: Mapping[Any, Lane],
    marks: Sequence[Mark],
    rises: Rises,
    last_pos: int,
    out: Decisions,
) -> None:
    """Fold looked-at rows into the monitor up to `last_pos`, appending decisions with their positions."""
    self = _Walk(monitor, rows, lanes, rises)
    if not marks and monitor.waits_for_nothing():
        self.absorb(last_pos)
        return
    next_mark = 0
    while True:
        mark_pos = marks[next_mark].pos if next_mark < len(marks) else NEVER
        stop, lane = self.next_look()
        due, reached = self.next_due(min(mark_pos, stop, last_pos))
        pos = min(mark_pos, stop, due)
        if pos == NEVER:
            break
        self.absorb(pos)
        if due == pos:
            monitor.on_time(reached, pos, out)
        elif mark_pos == pos:
            _take(monitor, marks[next_mark], out)
            next_mark += 1
        elif lane is not None:
            monitor.look(lane, pos, out)
        monitor.decided()
    self.absorb(last_pos)


def _take(monitor: Decider, mark: Mark, out: Decisions) -> None:
    if mark.rank == OPENED:
        monitor.first_prediction(mark.subject, mark.pos, out)
    elif mark.rank == CORRECTION:
        monitor.correct(mark.payload)
    else:
        monitor.take_alarm(mark.payload, mark.subject, mark.rank == OUTCOME_ALARM, mark.pos, out)


class _Walk:
    def __init__(self, monitor: Decider, rows: Rows, lanes: Mapping[Any, Lane], rises: Rises) -> None:
        predictions, outcomes = rows
        self.monitor = monitor
        self.outcomes = outcomes
        self.p_pos, self.p_ts = ((), ()) if predictions is None else (predictions.pos, predictions.tss)
        self.o_pos, self.o_ts = ((), ()) if outcomes is None else (outcomes.pos, outcomes.label_tss)
        self.p_at = self.o_at = 0
        self.lanes = lanes.values()
        self.rises = rises
        self.now = -2  # the position up to which rows are taken up
        self.fired: tuple[int, int] = (-1, -1)

    def next_look(self) -> tuple[int, Lane | None]:
        best, chosen = NEVER, None
        if self.o_at < len(self.o_pos) and self.monitor.schedule_begins:
            best = self.o_pos[self.o_at]
        if self.lanes:
            wanted = self.monitor.wanted()
            for lane in self.lanes:
                stop = lane.next_stop(lane.version is wanted)
                if stop < best:
                    best, chosen = stop, lane
        return best, chosen

    def next_due(self, before: int) -> tuple[int, int]:
        """The first position, not after `before`, at which the stream's time reaches what is due."""
        due = self.monitor.next_due()
        if due is None or not self._may_reach(due):
            return NEVER, 0
        for pos, time in self._times():
            if pos > before:
                break
            if time >= due and (due, pos) != self.fired:
                self.fired = (due, pos)
                return pos, time
        return NEVER, 0

    def _may_reach(self, due: int) -> bool:
        """A cheap bound, so that blocks with nothing due look no further."""
        monitor, ms = self.monitor, self.rises.ms
        newest = max(
            monitor.clock,
            max(self.p_ts[self.p_at :], default=0),
            max(self.o_ts[self.o_at :], default=0),
        )
        passed = max(0, ms[-1] - min(monitor.anchor, self.rises.start)) if ms else 0
        return newest + passed >= due

    def _times(self) -> Iterator[tuple[int, int]]:
        """(position, the stream's time there) from here on."""
        rises = self.rises
        own = sorted(
            [
                *zip(self.p_pos[self.p_at :], self.p_ts[self.p_at :], strict=True),
                *zip(self.o_pos[self.o_at :], self.o_ts[self.o_at :], strict=True),
            ]
        )
        clock, anchor = self.monitor.clock, self.monitor.anchor
        partition = rises.at(self.now)
        yield max(self.now, -1), clock + max(0, partition - anchor)
        at = bisect_right(rises.pos, self.now)
        for pos, ts in [*own, (NEVER, 0)]:
            while at < len(rises.pos) and rises.pos[at] < pos:
                partition = rises.ms[at]
                yield rises.pos[at], clock + max(0, partition - anchor)
                at += 1
            if pos < NEVER:
                anchor = rises.at(pos)
                clock = max(clock, min(ts, anchor))
                yield pos, clock

    def absorb(self, pos: int) -> None:
        """Take up every row at a position ≤ `pos`: counters, clock, the stream's rows, each version's."""
        monitor = self.monitor
        self.now = pos
        start, stop = self.p_at, bisect_right(self.p_pos, pos, self.p_at)
        newest = -2
        if stop > start:
            monitor.ledger.predictions += stop - start
            monitor.prediction_clock = max(
                monitor.prediction_clock, self.rises.newest(self.p_pos, self.p_ts, start, stop)
            )
            monitor.clock = max(monitor.clock, monitor.prediction_clock)
            newest = self.p_pos[stop - 1]
            self.p_at = stop
        start, stop = self.o_at, bisect_right(self.o_pos, pos, self.o_at)
        if stop > start and self.outcomes is not None:
            monitor.ledger.outcomes += stop - start
            monitor.label_clock = max(
                monitor.label_clock, self.rises.newest(self.o_pos, self.o_ts, start, stop)
            )
            monitor.clock = max(monitor.clock, monitor.label_clock)
            newest = max(newest, self.o_pos[stop - 1])
            monitor.take_rows(self.outcomes.cut(start, stop))
            self.o_at = stop
        if newest > -2:
            monitor.anchor = self.rises.at(newest)
        for lane in self.lanes:
            lane.absorb(pos)

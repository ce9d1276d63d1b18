"""Taking up a block's rows in record order, stopping wherever something is to be decided.

Three things stop it: a mark (a version's first prediction, a correction, an alarm), a row after which a
version must be looked at, and event time reaching what is due. At one position they come in this order: time,
marks, looks.

A stream's time is that of its own newest record, and while it is silent it passes at the pace of its
partition's clock; so a stream of last year beside one of today keeps its own durations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from driftbus.core.block import Block, Rises
from driftbus.core.lane import NEVER, Lane
from driftbus.core.records import Decision

if TYPE_CHECKING:
    from driftbus.core.monitor import StreamMonitor

Decisions = list[tuple[int, Decision]]

OPENED, CORRECTION, ALARM = 0, 1, 2


class Mark(NamedTuple):
    """Something found at a position: `subject` is a version or its key, `payload` what was found."""

    pos: int
    rank: int
    subject: Any
    payload: Any


class Rows(NamedTuple):
    """A part of a block: which of its predictions and outcomes (start, stop), and each outcome's error."""

    block: Block
    predictions: tuple[int, int]
    outcomes: tuple[int, int]
    errors: Sequence[float | None]


def walk(
    monitor: StreamMonitor,
    rows: Rows,
    lanes: Mapping[Any, Lane],
    marks: Sequence[Mark],
    rises: Rises,
    last_pos: int,
    out: Decisions,
) -> None:
    """Fold looked-at rows into the monitor up to `last_pos`, appending decisions with their positions."""
    self = _Walk(monitor, rows, lanes, rises)
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
    self.absorb(last_pos)


def _take(monitor: StreamMonitor, mark: Mark, out: Decisions) -> None:
    if mark.rank == OPENED:
        monitor.first_prediction(mark.subject, mark.pos, out)
    elif mark.rank == CORRECTION:
        monitor.correct(mark.payload)
    else:
        monitor.take_alarm(mark.payload, mark.subject, mark.pos, out)


class _Walk:
    def __init__(self, monitor: StreamMonitor, rows: Rows, lanes: Mapping[Any, Lane], rises: Rises) -> None:
        self.monitor = monitor
        self.block = rows.block
        self.p_at, self.p_end = rows.predictions
        self.o_at, self.o_end = rows.outcomes
        self.errors = rows.errors
        self.lanes = list(lanes.values())
        self.rises = rises
        self.now = -2  # the position up to which rows are taken up
        self.fired: tuple[int, int] = (-1, -1)

    def next_look(self) -> tuple[int, Lane | None]:
        best, chosen = NEVER, None
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
        newest = monitor.clock
        for p in self.block.predictions[self.p_at : self.p_end]:
            newest = max(newest, p.ts)
        for o in self.block.outcomes[self.o_at : self.o_end]:
            newest = max(newest, o.label_ts)
        passed = max(0, ms[-1] - min(monitor.anchor, self.rises.start)) if ms else 0
        return newest + passed >= due

    def _times(self) -> Iterator[tuple[int, int]]:
        """(position, the stream's time there) from here on."""
        block, rises = self.block, self.rises
        own = sorted(
            [(block.prediction_pos[i], block.predictions[i].ts) for i in range(self.p_at, self.p_end)]
            + [(block.outcome_pos[i], block.outcomes[i].label_ts) for i in range(self.o_at, self.o_end)]
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
                clock, anchor = max(clock, ts), rises.at(pos)
                yield pos, clock

    def absorb(self, pos: int) -> None:
        """Take up every row at a position ≤ `pos`: counters, clock, the stream's rows, each version's."""
        monitor, block = self.monitor, self.block
        self.now = pos
        p = bisect_right(block.prediction_pos, pos, self.p_at, self.p_end)
        o = bisect_right(block.outcome_pos, pos, self.o_at, self.o_end)
        newest = -2
        if p > self.p_at:
            monitor.ledger.predictions += p - self.p_at
            monitor.clock = max(monitor.clock, max(row.ts for row in block.predictions[self.p_at : p]))
            newest = block.prediction_pos[p - 1]
            self.p_at = p
        if o > self.o_at:
            rows = block.outcomes[self.o_at : o]
            monitor.ledger.outcomes += len(rows)
            monitor.clock = max(monitor.clock, max(row.label_ts for row in rows))
            newest = max(newest, block.outcome_pos[o - 1])
            monitor.take_rows(rows, self.errors[self.o_at : o])
            self.o_at = o
        if newest > -2:
            monitor.anchor = self.rises.at(newest)
        for lane in self.lanes:
            lane.absorb(pos)

"""A state of the world as it is learned from its rows, and as it is kept when it has ended.

A *census* is a probe with the table of how rows have fallen into its cells (`relation`). A probe is made of
the first rows, rough at first and better later; its table holds only rows that it was not made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from driftbus.core.cutting import GROUPS, Places
from driftbus.core.records import EarlierState
from driftbus.core.relation import (
    Counts,
    Ints,
    Probe,
    Table,
    dump_columns,
    empty,
    load_columns,
)

# Rows from which probes are made: the first is rough, the last knows boundaries to some 2 % of the rows.
PROBE_ROWS = (64, 256, 1_024)
# Rows in a new probe's table before it takes the place of the old one; in any before it can be compared.
RIPE, LEAST = 512, 128
# The newest rows looked at are not in the table yet, a quarter as many as are: when a change is found, it
# began some hundred rows ago, and nothing of it must be in the table of the state before.
LEAST_LAG, LAG, LAG_SHARE = 48, 192, 4
# Rows of the last probe after which no more are looked at: after some 13,000 rows a state costs nothing more.
COMPLETE = 2_240


@dataclass(slots=True)
class Census:
    """A probe, and how rows have since fallen into its cells; the newest wait in `late`."""

    probe: Probe
    table: Table = field(default_factory=empty)
    late: list[int] = field(default_factory=list)
    rows: int = 0  # in the table

    def take(self, places: Places, groups: Ints) -> None:
        """Rows."""
        late, rows = self.late, self.rows
        late += (self.probe.cells(places) * GROUPS + groups).tolist()
        end = rows + len(late)
        while end - rows > max(LEAST_LAG, min(LAG, rows // LAG_SHARE)):
            rows += 1
        ripe, self.rows = rows - self.rows, rows
        for cell in late[:ripe]:
            self.table[cell] += 1
        del late[:ripe]

    def dump(self) -> Any:
        return dump_columns(self.probe.weights, self.table, self.late)

    @classmethod
    def load(cls, state: Any, smooth: Sequence[bool]) -> Census:
        weights, table, late = load_columns(state)
        return cls(Probe(weights, smooth), table, late, sum(table))


@dataclass(slots=True)
class Known:
    """A state that has ended."""

    earlier: EarlierState
    census: Census


@dataclass(slots=True)
class Current:
    """The state that holds. `rows`: since it began; `counts`: until the last probe is made; `begun_by`: the
    version its first row was predicted by, `version` the one known to be made for it."""

    number: int
    counts: Counts | None
    census: Census | None = None
    growing: Census | None = None
    rows: int = 0
    start_seq: int | None = None
    start_ts: int = 0
    begun_by: str | None = None
    version: str | None = None

    @property
    def left(self) -> int:
        """How many more rows are looked at."""
        if self.counts is not None:
            return PROBE_ROWS[-1] - self.counts.rows + COMPLETE
        newest = self.growing or self.census
        return 0 if newest is None else max(0, COMPLETE - newest.rows - len(newest.late))

    def take(self, places: Places, groups: Ints, smooth: Sequence[bool]) -> None:
        """Rows that are looked at."""
        while len(groups):
            now = len(groups)
            if self.counts is not None:
                seen = self.counts.rows
                now = min(now, next(rows - seen for rows in PROBE_ROWS if rows > seen))
            self._take(places[:now], groups[:now], smooth)
            places, groups = places[now:], groups[now:]

    def _take(self, places: Places, groups: Ints, smooth: Sequence[bool]) -> None:
        """The same, up to where a probe may be made."""
        if self.census is not None:
            self.census.take(places, groups)
        if self.growing is not None:
            self.growing.take(places, groups)
            if self.growing.rows >= RIPE:
                self.census, self.growing = self.growing, None
        if self.counts is None:
            return
        self.counts.add(places, groups)
        if self.counts.rows in PROBE_ROWS:
            made = Census(Probe.of(self.counts.counts, smooth))
            self.census, self.growing = (made, None) if self.census is None else (self.census, made)
            if self.counts.rows == PROBE_ROWS[-1]:
                self.counts = None


def dump_earlier(earlier: EarlierState) -> list[Any]:
    return [
        earlier.number,
        earlier.model_version,
        *(earlier.start_seq, earlier.end_seq, earlier.start_ts, earlier.end_ts),
    ]


def dump_current(current: Current) -> list[Any]:
    return [
        current.number,
        current.counts and dump_columns(current.counts.counts),
        current.census and current.census.dump(),
        current.growing and current.growing.dump(),
        *(current.rows, current.start_seq, current.start_ts, current.begun_by, current.version),
    ]


def load_current(state: Any, smooth: Sequence[bool]) -> Current:
    number, counts, census, growing, *rest = state
    return Current(
        number,
        counts and Counts(len(smooth), load_columns(counts)[0]),
        census and Census.load(census, smooth),
        growing and Census.load(growing, smooth),
        *rest,
    )

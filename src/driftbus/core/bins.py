"""A run of rows as a few sums, and how a list of them is written in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign
from operator import attrgetter, sub
from typing import Any, Protocol, TypeVar

from driftbus.core.classes import CLASS_BITS, class_columns
from driftbus.core.packed import pack, steps, unpack
from driftbus.core.season import UNIT

# Values beyond are taken for this: their squares over 10^12 rows must still add up to a finite number.
GREATEST = 1e100
_FIELDS = attrgetter("seq", "first_ts", "least_ts", "greatest_ts", "total", "squares")


class _Takes(Protocol):
    def take(self, later: Any, /) -> None:
        """Swallow the bin that follows."""


Mergeable = TypeVar("Mergeable", bound=_Takes)


class Bin:
    """`n` rows from `seq` on. `late` lacks the rows in the history's buffer; `counts` is packed; `more` is
    what they stand for beyond `n` rows, in parts of a row (`core.season`)."""

    __slots__ = (
        "counts",
        "first_ts",
        "greatest_ts",
        "late",
        "least_ts",
        "more",
        "n",
        "seq",
        "squares",
        "total",
    )

    def __init__(self, seq: int, first_ts: int) -> None:
        self.seq, self.first_ts = seq, first_ts
        self.least_ts = self.greatest_ts = first_ts
        self.n = self.late = self.counts = self.more = 0
        self.total = self.squares = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Add rows' values, one by one: sums of blocks would depend on the cuts."""
        total, squares = self.total, self.squares
        for value in values:
            square = value * value
            if square > GREATEST * GREATEST:
                value, square = copysign(GREATEST, value), GREATEST * GREATEST
            total += value
            squares += square
        self.total, self.squares = total, squares

    def count(self, rows: int, exposures: Sequence[int] | None) -> None:
        """So many rows more; `exposures`: what each stands for (None: itself)."""
        self.n += rows
        if exposures:
            self.more += sum(exposures) - UNIT * rows

    @property
    def stands_for(self) -> float:
        """Rows by what they stand for, and not fewer than there are errors."""
        return max(self.n + self.more / UNIT, self.total) if self.more else self.n

    def take(self, later: Bin) -> None:
        """Swallow the bin that follows; first row and `late` stay this one's."""
        self.n += later.n
        self.more += later.more
        self.total += later.total
        self.squares += later.squares
        self.counts += later.counts
        if later.least_ts < self.least_ts:
            self.least_ts = later.least_ts
        if later.greatest_ts > self.greatest_ts:
            self.greatest_ts = later.greatest_ts


def merge_oldest(levels: list[list[Mergeable]], most: Sequence[int]) -> None:
    """Merge the oldest two bins of every level (finest first) that has become longer than `most` allows it;
    the last number is for all levels from there on."""
    depth = 0
    while len(levels[depth]) > most[min(depth, len(most) - 1)]:
        level = levels[depth]
        merged, later = level[0], level[1]
        del level[:2]
        merged.take(later)
        depth += 1
        if depth == len(levels):
            levels.append([])
        levels[depth].append(merged)


def dump_bins(bins: Sequence[Bin], late: Sequence[int], end_seq: int, classes: int) -> dict[str, Any]:
    """Bins, newest first, without their `n`: packed integers, and sums as floats unless they are 0/1 counts.

    `late` holds each bin's exact count; `end_seq` is one past the newest row.
    """
    if not bins:
        return {"bins": pack(()), "sums": None, "more": None}
    seqs, first, least, greatest, totals, squares = zip(*map(_FIELDS, bins), strict=True)
    counted = tuple(map(int, totals))
    columns: list[Sequence[int]] = [
        steps((end_seq, *seqs))[1:],
        steps(first),
        list(map(sub, first, least)),
        list(map(sub, greatest, first)),
        late,
    ]
    binary = totals == squares == counted
    if binary:
        columns.append(counted)
    if classes:
        columns += class_columns([held.counts for held in bins], classes)
    sums = None if binary else [totals, squares]
    more = [held.more for held in bins]
    return {"bins": pack(columns), "sums": sums, "more": pack([more]) if any(more) else None}


def load_bins(state: Any, length: int, end_seq: int, classes: int) -> list[Bin]:
    """What `dump_bins` wrote: `length` bins, newest first; the caller knows their `n`."""
    bins: list[Bin] = []
    if not length:
        return bins
    seqs, tss, least, greatest, late, *rest = unpack(state["bins"])
    if state["sums"] is None:
        totals = squares = list(map(float, rest.pop(0)))
    else:
        totals, squares = state["sums"]
    seq, ts = end_seq, 0
    for seq_step, ts_step, before, after, more, total, square in zip(
        *(seqs, tss, least, greatest, late, totals, squares), strict=True
    ):
        seq += seq_step
        ts += ts_step
        held = Bin(seq, ts)
        held.least_ts, held.greatest_ts, held.late = ts - before, ts + after, more
        held.total, held.squares = total, square
        bins.append(held)
    if state["more"] is not None:
        for held, more in zip(bins, unpack(state["more"])[0], strict=True):
            held.more = more
    for index, counts in enumerate(rest[:classes]):
        for held, count in zip(bins, counts, strict=True):
            held.counts += count << (CLASS_BITS * index)
    return bins

"""A run of rows as a few sums, and how a list of them is written in few bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from driftbus.core.classes import CLASS_BITS, class_counts
from driftbus.core.varints import pack, unpack


class Bin:
    """`n` rows from `seq` on. `late` lacks the rows in the history's buffer; `counts` is packed."""

    __slots__ = ("counts", "first_ts", "greatest_ts", "late", "least_ts", "n", "seq", "squares", "total")

    def __init__(self, seq: int, first_ts: int) -> None:
        self.seq, self.first_ts = seq, first_ts
        self.least_ts = self.greatest_ts = first_ts
        self.n = self.late = self.counts = 0
        self.total = self.squares = 0.0

    def take(self, later: Bin) -> None:
        """Swallow the bin that follows; first row and `late` stay this one's."""
        self.n += later.n
        self.total += later.total
        self.squares += later.squares
        self.counts += later.counts
        if later.least_ts < self.least_ts:
            self.least_ts = later.least_ts
        if later.greatest_ts > self.greatest_ts:
            self.greatest_ts = later.greatest_ts


def dump_bins(bins: Sequence[Bin], late: Sequence[int], end_seq: int, classes: int) -> dict[str, Any]:
    """Bins, newest first, without their `n`: packed integers, and sums as floats unless they are 0/1 counts.

    `late` holds each bin's exact count; `end_seq` is one past the newest row.
    """
    binary = all(held.total == held.squares == int(held.total) for held in bins)
    columns = [
        _steps([end_seq, *(held.seq for held in bins)]),
        _steps([0, *(held.first_ts for held in bins)]),
        [held.first_ts - held.least_ts for held in bins],
        [held.greatest_ts - held.first_ts for held in bins],
        list(late),
    ]
    if binary:
        columns.append([int(held.total) for held in bins])
    counts = [class_counts(held.counts, classes) for held in bins]
    columns += [[row[index] for row in counts] for index in range(classes)]
    sums = None if binary else [number for held in bins for number in (held.total, held.squares)]
    return {"bins": pack(number for column in columns for number in column), "sums": sums}


def load_bins(state: Any, length: int, end_seq: int, classes: int) -> list[Bin]:
    """What `dump_bins` wrote: `length` bins, newest first; the caller knows their `n`."""
    numbers, sums = unpack(state["bins"]), state["sums"]
    columns = iter([numbers[at : at + length] for at in range(0, len(numbers), length)] if length else [])
    bins: list[Bin] = []
    seq, ts = end_seq, 0
    if not length:
        return bins
    for seq_step, ts_step in zip(next(columns), next(columns), strict=True):
        seq += seq_step
        ts += ts_step
        bins.append(Bin(seq, ts))
    for held, least, greatest, late in zip(bins, next(columns), next(columns), next(columns), strict=True):
        held.least_ts, held.greatest_ts, held.late = held.first_ts - least, held.first_ts + greatest, late
    if sums is None:
        for held, total in zip(bins, next(columns), strict=True):
            held.total = held.squares = float(total)
    else:
        for index, held in enumerate(bins):
            held.total, held.squares = sums[2 * index], sums[2 * index + 1]
    for index in range(classes):
        for held, count in zip(bins, next(columns), strict=True):
            held.counts += count << (CLASS_BITS * index)
    return bins


def _steps(numbers: list[int]) -> list[int]:
    return [later - earlier for earlier, later in pairwise(numbers)]

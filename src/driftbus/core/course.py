"""How production's error and the challenger's ran over time, for the chart: means over bins of outcomes.

Both are taken over the same rows, so the two lines compare. Bins of 16 rows at the newest end, older ones
merged pairwise:

    level 2: ▇▇▇▇ ▇▇▇▇ …   level 1: ▇▇ ▇▇ …   level 0: ▇ ▇ ▇ … ▂ (the newest, still filling)

so n rows take O(log n) bins, and what happened lately is seen finely however long the stream is. Nothing is
decided by it but whether retraining would help (`benefit`). About 0.15 µs a row.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import Any

from driftbus.core.packed import pack, steps, unpack

# Fewer errors than this have a mean that says nothing (of 16 rows a 10 % error is known to ± 8 points).
BIN_ROWS = 16
# Bins of a level before its oldest two are merged: 100,000 rows take about 200 points, a third of a
# chart's pixels; a change is drawn to a twentieth of its distance.
LEVEL_BINS = 24
# A bin's sum stops here: sums of sums must stay finite.
GREATEST = 1e100


class Course:
    """Rows in order go in by `extend`; `points` gives the bins, oldest first."""

    __slots__ = ("_challenged", "_challenger", "_error", "_first_ts", "_levels", "_rows")

    def __init__(self) -> None:
        self._first_ts = array("q")
        self._rows = array("q")
        self._error = array("d")  # sums
        self._challenged = array("q")  # rows on which the challenger had a guess
        self._challenger = array("d")
        self._levels = [0]  # how many bins each level holds, finest first

    def extend(
        self, tss: Sequence[int], errors: Sequence[float], challenger: Sequence[float | None] | None
    ) -> None:
        """Add outcomes of production, as columns of one length; `challenger`: its errors on the same rows,
        None where it had no guess. Blocks may be cut anywhere: the result is the same, bit for bit."""
        count, start = len(errors), 0
        rows = self._rows
        while start < count:
            if not rows or rows[-1] == BIN_ROWS:
                self._open(tss[start])
            stop = min(count, start + BIN_ROWS - rows[-1])
            self._error[-1] = _added(self._error[-1], errors[start:stop])
            if challenger is not None:
                known: Sequence[Any] = challenger[start:stop]
                if None in known:
                    known = [error for error in known if error is not None]
                self._challenger[-1] = _added(self._challenger[-1], known)
                self._challenged[-1] += len(known)
            rows[-1] += stop - start
            start = stop

    def _columns(self) -> tuple[array[Any], ...]:
        return self._first_ts, self._rows, self._error, self._challenged, self._challenger

    def _open(self, ts: int) -> None:
        """Start a new bin; merge the oldest two of every level that has become too long."""
        self._first_ts.append(ts)
        self._rows.append(0)
        self._error.append(0.0)
        self._challenged.append(0)
        self._challenger.append(0.0)
        levels = self._levels
        levels[0] += 1
        if levels[0] > LEVEL_BINS:
            self._merge(levels)

    def _merge(self, levels: list[int]) -> None:
        end, depth = len(self._rows), 0
        while levels[depth] > LEVEL_BINS:
            oldest = end - levels[depth]
            self._first_ts[oldest] = min(self._first_ts[oldest], self._first_ts[oldest + 1])
            del self._first_ts[oldest + 1]
            for column in self._columns()[1:]:
                column[oldest] += column[oldest + 1]
                del column[oldest + 1]
            levels[depth] -= 2
            end = oldest + 1
            depth += 1
            if depth == len(levels):
                levels.append(0)
            levels[depth] += 1

    def points(self) -> list[tuple[int, int, float, float | None]]:
        """Bins, oldest first: first ts, rows, mean error, the challenger's mean error (None without one)."""
        return [
            (ts, n, error / n, challenger / known if known else None)
            for ts, n, error, known, challenger in zip(*self._columns(), strict=True)
        ]

    def _bin_rows(self) -> list[int]:
        """How many rows each bin has when it is full."""
        depths = reversed(range(len(self._levels)))
        return [BIN_ROWS << depth for depth in depths for _ in range(self._levels[depth])]

    def dump(self) -> Any:
        """As JSON-able values: [levels, rows of the newest bin, columns, sums]. Whole sums, as those of 0/1
        errors are, stand among the columns and not apart."""
        missing = list(map(sub, self._bin_rows(), self._challenged))
        columns: list[Sequence[int]] = [steps(self._first_ts), missing]
        sums: list[list[float]] | None = [self._error.tolist(), self._challenger.tolist()]
        whole = [list(map(int, column)) for column in (self._error, self._challenger)]
        if whole == sums:
            columns += whole
            sums = None
        return [self._levels, self._rows[-1] if self._rows else 0, pack(columns), sums]

    @classmethod
    def load(cls, state: Any) -> Course:
        self = cls()
        levels, newest, columns, sums = state
        self._levels = list(levels)
        rows = self._bin_rows()
        first_ts, missing, *whole = unpack(columns)
        self._first_ts.extend(accumulate(first_ts))
        self._challenged.extend(map(sub, rows, missing))
        for column, values in zip((self._error, self._challenger), sums or whole, strict=True):
            column.extend(values)
        self._rows.extend(rows)
        if rows:
            self._rows[-1] = newest
        return self


def _added(total: float, errors: Sequence[float]) -> float:
    """One by one, since sums of blocks would depend on the cuts; errors are never negative, so once beyond
    the bound is always beyond it."""
    for error in errors:
        total += error
    return total if total < GREATEST else GREATEST

"""0/1 values of rows that stand for more or less than one, as values of equal rows.

    row          0    0    1    0    0    0      by night each stands for a quarter of a row, by day for 1.5
    stands for  .25  .25  .25  .25  1.5  1.5
    equal rows             1         0   00      the error comes at once, and takes the place of the next row

So a rate that swings with the day is even, and a detector of even rates needs to know nothing of it. Errors
are neither lost nor made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driftbus.core.season import UNIT

# Errors may be ahead of their rows by so much: more of them in a row are a rise, not a debt.
MOST_OWED = 2 * UNIT
# Where equal rows came from is marked at every so many rows, and known so many marks back: 4,096 rows. What
# lies further back is taken one for one.
EVERY, MARKS = 64, 64


class Warp:
    """`take` blocks of values in order."""

    __slots__ = ("_due", "_equal", "_marks", "_rows")

    def __init__(self) -> None:
        self._due = 0  # parts of a row that have come and made none yet; less than 0: errors were ahead
        self._rows = self._equal = 0
        self._marks: list[list[int]] = [[0, 0]]

    def take(self, values: Sequence[float], exposures: Sequence[int]) -> tuple[list[float], list[int]]:
        """The values of equal rows, and which row of the block each belongs to; `exposures` in `UNIT`ths."""
        equal: list[float] = []
        places: list[int] = []
        due, rows, before = self._due, self._rows, self._equal
        self._forget(rows)
        for index, (value, exposure) in enumerate(zip(values, exposures, strict=True)):
            due += exposure
            count = due // UNIT if due > 0 else 0
            if value:
                count = count or 1
                equal.append(1.0)
                equal += [0.0] * (count - 1)
            else:
                equal += [0.0] * count
            places += [index] * count
            due = max(due - UNIT * count, -MOST_OWED)
            rows += 1
            if not rows % EVERY:
                self._marks.append([rows, before + len(equal)])
        self._due, self._rows, self._equal = due, rows, before + len(equal)
        return equal, places

    def rows_since(self, later_rows: int, later_equal: int, count: int) -> int:
        """How many rows the last `count` equal rows came from, to ± `EVERY`, as it was so many rows and equal
        rows ago (of the last block)."""
        at = self._rows - later_rows
        start = self._equal - later_equal - count
        known = [mark for mark in self._marks if at - EVERY * MARKS <= mark[0] <= at]
        if not known or start < known[0][1]:
            rows, equal = known[0] if known else (at, self._equal - later_equal)
            return at - rows + equal - start
        rows, equal = [mark for mark in known if mark[1] <= start][-1]
        return max(at - rows - min(start - equal, EVERY), 1)

    def _forget(self, rows: int) -> None:
        self._marks = [mark for mark in self._marks if mark[0] >= rows - EVERY * MARKS]

    def dump(self) -> Any:
        """As JSON-able values."""
        self._forget(self._rows)
        return [self._due, self._rows, self._equal, [list(mark) for mark in self._marks]]

    @classmethod
    def load(cls, state: Any) -> Warp:
        """What `dump` was called on."""
        self = cls()
        self._due, self._rows, self._equal, marks = state
        self._marks = [list(mark) for mark in marks]
        return self

"""How much the sum of many values wavers: their long-run variance, as far as the values seen can tell.

Idea: as in `detectors.dispersion`, compare each two neighbouring batches of b values, b = 1, 2, 4, 8 …: half
the mean square of the difference of their sums, over b, is the variance per value at that length. Independent
values have the same at every length; values that depend on their past have more at greater ones, up to the
long-run variance. A step shows in one pair of each length, which is left out; a standard error is taken off,
since the greatest of several would else be too great by chance.

Unit: that of the values, squared; so what is divided by it has none. Cost: about .8 µs a value. Memory: five
numbers per doubling of the values, 16 at most.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

# Lengths up to 2^15 values.
LEVELS = 16
# As in `detectors.dispersion`.
MIN_PAIRS, BEYOND = 3, 3.0
# While few pairs are known the variance is taken for greater, by this many pairs' worth.
YOUTH = 6.0


class Spread:
    """`add` each value in order; `variance` is the long-run variance per value as of now."""

    __slots__ = ("_levels", "variance")

    def __init__(self) -> None:
        # Per length: a batch's sum that waits for its neighbour (None: none), pairs, the sum of squared
        # differences, the greatest of them.
        self._levels: list[list[Any]] = [[None, 0, 0.0, 0.0]]
        self.variance = 0.0

    def add(self, value: float) -> None:
        """The next value, any finite number of ordinary size."""
        total = value
        for level in self._levels:
            first = level[0]
            if first is None:
                level[0] = total
                return
            level[0] = None
            square = (first - total) * (first - total)
            level[1] += 1
            level[2] += square
            if square > level[3]:
                level[3] = square
            total += first
        if len(self._levels) < LEVELS:
            self._levels.append([total, 0, 0.0, 0.0])

    @property
    def pairs(self) -> int:
        """Pairs of single values so far."""
        return int(self._levels[0][1])

    def refresh(self) -> float:
        """Work out `variance` and return it."""
        _, pairs, squares, _ = self._levels[0]
        if not pairs:
            return 0.0
        at_once = squares / (2.0 * pairs)
        greatest, length = at_once, 1.0
        for _, pairs, squares, largest in self._levels:
            if pairs < MIN_PAIRS:
                break
            ratio = (squares - largest) / (2.0 * length * (pairs - 1.0))
            doubt = sqrt(2.0 / pairs)
            if ratio > at_once * (1.0 + BEYOND * doubt):
                greatest = max(greatest, ratio * (1.0 - doubt))
            length *= 2.0
        self.variance = greatest * (1.0 + YOUTH / (self._levels[0][1] + 1.0))
        return self.variance

    def dump(self) -> Any:
        """As JSON-able values."""
        return [list(level) for level in self._levels]

    @classmethod
    def load(cls, state: Any) -> Spread:
        """What `dump` was called on. Raises ValueError for what is no state."""
        self = cls()
        if not isinstance(state, list) or not 1 <= len(state) <= LEVELS:
            raise ValueError("a spread's state is a list of 1 to 16 lengths")
        self._levels = [[None if w is None else float(w), int(n), float(s), float(g)] for w, n, s, g in state]
        self.refresh()
        return self

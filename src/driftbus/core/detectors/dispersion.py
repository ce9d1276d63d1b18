"""How much more the numbers of errors waver than independent rows would: a factor φ ≥ 1.

Idea: compare each two neighbouring batches of b rows, for b = 32, 64, 128 …. Given that N of their 2b rows
are errors, independent rows put them at random into the two halves, so (c1 - c2)² is N (2b - N) / (2b - 1)
on average, whatever the error rate is. Bursts show in short batches, seasons in middling ones, slow wandering
in long ones; a step shows in one pair of each length, which is left out, and a ramp hardly at all. (The
Haar, or Allan, variance: Allan, Statistics of atomic frequency standards, Proc. IEEE 54, 1966.)

Few batches say little, so neighbours are counted as well: N errors in 32 rows have N (N - 1) / 32 errors
right behind an error on average. More of them make a correlation r, and φ at least (1 + r) / (1 - r).

A length has a say when what it shows is far beyond chance; φ is the greatest of those that have.
Cost: about 1 µs per 32 rows. Memory: a line of five numbers per doubling of the rows, 13 at most.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

# Rows of the shortest batch: in shorter ones a rate of 2 % has nothing to compare; a correlation that is gone
# after a dozen rows shows in these almost whole.
BATCH = 32
# 32 · 2^12 = 131,072 rows: longer waves would need millions of rows to be told.
LEVELS = 13
# Pairs before a length has a say: one is left out, and two of the same mind are needed.
MIN_PAIRS = 3
# Standard errors (√(2 / pairs) for a ratio) from which something is beyond chance: with some 10 lengths
# independent rows pass for dispersed in about one stream of fifty, at any time.
BEYOND = 3.0
# Bursts are likelier than a variance says: runs of errors in a chain with correlation .5 need this factor
# more to come down to the false alarms of independent rows.
TAIL = 1.5
# While few pairs are known φ is taken for greater, by this many pairs' worth.
YOUTH = 6.0
# A correlation is never taken for more: errors that come all in one row say nothing about the next ones.
MOST_CORRELATED = 0.9


class Dispersion:
    """`add` the errors of each batch of 32 rows in order; `factor` is φ as of now."""

    __slots__ = ("_behind", "_expected", "_levels", "_ones", "batches", "factor")

    def __init__(self) -> None:
        # Per length: errors of a batch that waits for its neighbour (-1: none), pairs with errors in them,
        # sums of squared differences and of what independent rows make expected, and the greatest square.
        self._levels: list[list[float]] = [[-1, 0, 0.0, 0.0, 0.0]]
        self._ones = self._behind = 0  # errors, and how many right behind another
        self._expected = 0.0  # of the latter
        self.batches = 0
        self.factor = 1.0 + YOUTH

    def add(self, ones: int, behind: int) -> None:
        """The errors among the next 32 rows, and how many of these stand right behind another of them."""
        self.batches += 1
        self._ones += ones
        self._behind += behind
        self._expected += ones * (ones - 1) / BATCH
        rows = 2 * BATCH
        errors: float = ones
        for level in self._levels:
            first = level[0]
            if first < 0:
                level[0] = errors
                break
            level[0] = -1
            both = first + errors
            if both:
                square = float((first - errors) * (first - errors))
                level[1] += 1
                level[2] += square
                level[3] += both * (rows - both) / (rows - 1.0)
                if square > level[4]:
                    level[4] = square
            errors = both
            rows *= 2
        else:
            if len(self._levels) < LEVELS:
                self._levels.append([errors, 0, 0.0, 0.0, 0.0])
        self._refresh()

    def _refresh(self) -> None:
        greatest = 1.0
        extra = self._behind - self._expected
        if extra > BEYOND * sqrt(self._expected + 1.0):
            r = min(extra / self._ones, MOST_CORRELATED)
            greatest = (1.0 + r) / (1.0 - r)
        for _, pairs, squares, expected, largest in self._levels:
            if pairs < MIN_PAIRS:
                break
            squares -= largest
            if squares > expected:
                ratio = squares / expected * pairs / (pairs - 1.0)
                if ratio > greatest and ratio > 1.0 + BEYOND * sqrt(2.0 / pairs):
                    greatest = ratio
        youth = YOUTH / (self._levels[0][1] + 1.0)
        self.factor = 1.0 + (TAIL + youth) * (greatest - 1.0) + youth

    def dump(self) -> Any:
        """As JSON-able values."""
        lengths = [list(level) for level in self._levels]
        return [self.batches, self._ones, self._behind, self._expected, lengths]

    @classmethod
    def load(cls, state: Any) -> Dispersion:
        """What `dump` was called on. Raises ValueError for what is no state."""
        self = cls()
        if not isinstance(state, list) or len(state) != 5 or not 1 <= len(state[4]) <= LEVELS:
            raise ValueError("a dispersion's state is four numbers and 1 to 13 lengths")
        self.batches, self._ones, self._behind = map(int, state[:3])
        self._expected = float(state[3])
        self._levels = [[int(a), int(n), float(s), float(e), float(g)] for a, n, s, e, g in state[4]]
        self._refresh()
        return self

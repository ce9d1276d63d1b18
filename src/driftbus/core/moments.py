"""Running mean and deviation of a challenger's numeric features, and values scaled by them.

Idea: as River's `StandardScaler`, from sums of values and squares; but the sums are taken around an origin
near the mean, which is moved at certain counts, so that an odd first value costs no digits. A block equals
its rows one by one, bit for bit: sums run row by row, everything else is element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Ten standard deviations: beyond, a value says "extreme" and must not say it with a thousandfold weight.
SCALED_LIMIT = 10.0
# At these counts a feature's sums begin anew around the mean found so far: an odd first value, from which all
# others are far, then costs no digits. Eight rows know a level, and each next step is eight times further.
_REBASE = tuple(8**power for power in range(1, 21))
_REBASED = frozenset(_REBASE)
REBASE = np.array(_REBASE, np.int64)
# A variance under this share of the squares it is the difference of is rounding, not spread.
LEAST_SHARE = 1e-14


class Moments:
    """Of the numeric features, in the order they were added: rows seen, origin, sums and squares of values
    less the origin."""

    __slots__ = ("counts", "origins", "squares", "sums")

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.origins: list[float] = []
        self.sums: list[float] = []
        self.squares: list[float] = []

    def add(self) -> None:
        """One more feature."""
        self.counts.append(0)
        self.origins.append(0.0)
        self.sums.append(0.0)
        self.squares.append(0.0)

    def absorb(self, indices: Sequence[int] | None, values: list[float]) -> list[float]:
        """Take one row (None: all features in order) and scale it by the moments then."""
        counts, origins, sums, squares = self.counts, self.origins, self.sums, self.squares
        scaled = []
        for i, value in zip(range(len(values)) if indices is None else indices, values, strict=True):
            n = counts[i] = counts[i] + 1
            if n == 1:
                origins[i] = float(value)
            u = value - origins[i]
            sums[i] += u
            squares[i] += u * u
            mean, square = sums[i] / n, squares[i] / n
            variance = square - mean * mean
            z = (u - mean) / sqrt(variance) if variance > LEAST_SHARE * square else 0.0
            scaled.append(SCALED_LIMIT if z > SCALED_LIMIT else -SCALED_LIMIT if z < -SCALED_LIMIT else z)
            if n in _REBASED:
                self._rebase(i)
        return scaled

    def absorb_run(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `absorb`, for many rows with all the features in order (of each a value was seen before)."""
        scaled = np.empty_like(rows)
        start = 0
        while start < len(rows):
            counts = np.array(self.counts, np.int64)
            # Up to and with the row at which the first feature's sums begin anew.
            ahead = min(next(at for at in _REBASE if at > n) - n for n in set(self.counts))
            stop = min(len(rows), start + ahead)
            u = rows[start:stop] - self.origins
            sums = np.add.accumulate(np.concatenate(([self.sums], u)))[1:]
            squares = np.add.accumulate(np.concatenate(([self.squares], u * u)))[1:]
            n = counts + np.arange(1, stop - start + 1)[:, None]
            mean, square = sums / n, squares / n
            variance = square - mean * mean
            spread = variance > LEAST_SHARE * square
            z = np.where(spread, (u - mean) / np.sqrt(np.where(spread, variance, 1.0)), 0.0)
            scaled[start:stop] = np.minimum(np.maximum(z, -SCALED_LIMIT), SCALED_LIMIT)
            self.counts, self.sums, self.squares = n[-1].tolist(), sums[-1].tolist(), squares[-1].tolist()
            for i, count in enumerate(self.counts):
                if count in _REBASED:
                    self._rebase(i)
            start = stop
        return scaled

    def _rebase(self, i: int) -> None:
        n = self.counts[i]
        mean = self.sums[i] / n
        self.origins[i] += mean
        self.squares[i] = max(0.0, self.squares[i] - self.sums[i] * mean)
        self.sums[i] = 0.0

    def dump(self) -> dict[str, Any]:
        """The state as JSON-able values."""
        return {
            "counts": list(self.counts),
            "origins": list(self.origins),
            "sums": list(self.sums),
            "squares": list(self.squares),
        }

    def restore(self, state: Any) -> None:
        """Go on from what `dump` gave."""
        self.counts = [int(n) for n in state["counts"]]
        self.origins = [float(x) for x in state["origins"]]
        self.sums = [float(x) for x in state["sums"]]
        self.squares = [float(x) for x in state["squares"]]

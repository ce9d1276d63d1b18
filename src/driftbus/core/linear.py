"""The arithmetic of the default challenger: scaled logistic or linear regression, learnt one row at a time.

Idea: every numeric feature is brought to mean 0 and deviation 1 by its running moments, and one step of
gradient descent is made per row. Formula, as River's `StandardScaler() | LogisticRegression()` (or
`LinearRegression()`) under `compose.learn_during_predict()`: update the moments, scale by them, predict;
then w -= 0.01 · gradient · z. The moments need no label, so nothing is predicted that was learned before.

Input: numbers and booleans are numeric; texts are one-hot with a bounded vocabulary, unscaled; a missing
value counts as the running mean (0 when scaled) and leaves the moments alone; arrays and objects are
ignored. Classes: two make one logistic model, up to ten one each (one against the rest), beyond that the
most frequent class is predicted.
Guaranteed: equal to River to 1e-12 on numeric features; weights stay finite whatever comes (scaled values
are clipped, and a regression step never goes past its target); O(features) memory; a block equals its rows,
bit for bit: sums run row by row, everything else is element by element. Cost of a row of 8 features: 1.4 µs
in long runs (`dense.py`), 6 to 7 µs one by one (River's pipeline: 11).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftbus.core.records import Features, Json

# River's default for its linear models.
RATE = 0.01
# Ten standard deviations: beyond, a value says "extreme" and must not say it with a thousandfold weight.
SCALED_LIMIT = 10.0
# Larger values count as this: squares of it, and sums of them, stay finite.
VALUE_LIMIT = 1e100
# Measured: a numeric coordinate takes 195 bytes with one weight and 33 more for each further one; a category
# takes less. Rounded up, so that the bound holds.
_COORDINATE_BYTES, _WEIGHT_BYTES = 250, 32
# At these counts a feature's sums begin anew around the mean found so far: an odd first value, from which all
# others are far, then costs no digits. Eight rows know a level, and each next step is eight times further.
_REBASE = tuple(8**power for power in range(1, 22))
_REBASED = frozenset(_REBASE)
# A variance under this share of the squares it is the difference of is rounding, not spread.
_LEAST_SHARE = 1e-14
# A longer text is prose, not a category.
_LONGEST_CATEGORY = 64
# Under so many rows numpy's calls cost more than the row-by-row way (measured at 8 features).
SHORTEST_RUN = 4
# Rows looked at together. What a run needs stays in the processor's cache (5,000 rows at once: 20 % slower).
_LONGEST_LOOK = 512
NUMERIC = frozenset({float, int, bool})


class Linear(ABC):
    """Features, moments and weights; what is predicted is the subclasses' (`linear_models.py`)."""

    def __init__(self, max_bytes: int, max_categories: int) -> None:
        self.resets = 0
        self._max_bytes, self._max_categories = max_bytes, max_categories
        self._names: list[str] = []  # numeric features in the order first seen
        self._index: dict[str, int] = {}
        self._counts: list[int] = []
        # Sums and squares of the values less an origin near their mean.
        self._origins: list[float] = []
        self._sums: list[float] = []
        self._squares: list[float] = []
        self._vocabulary: dict[str, dict[str, int]] = {}  # coordinate of a categorical feature's value
        self._one_hot = 0  # how many such coordinates there are
        self._text = 0  # characters of all names and categories
        # How many rows `_run` looks at: it changes what is looked at in vain, never a result.
        self._look = _LONGEST_LOOK
        # Per output (class, or the one target): intercept, weights of numeric features, of categories.
        self._outputs: list[list[Any]] = [[0.0, [], []]]

    def bytes(self) -> int:
        """An estimate of the memory the model takes."""
        coordinates = len(self._names) + self._one_hot
        return coordinates * (_COORDINATE_BYTES + _WEIGHT_BYTES * len(self._outputs)) + self._text

    def _read(self, row: Features | None) -> tuple[Sequence[int] | None, list[float], list[int]]:
        """A row as (numeric coordinates, None: all in order; their values; categorical coordinates)."""
        if not row:
            return (), [], []
        if list(row) == self._names:
            values = list(row.values())
            try:
                if sum(map(abs, values)) <= VALUE_LIMIT:
                    return None, values, []
            except TypeError:
                pass  # something in it is not a number
        indices, numbers, categories = [], [], []
        for name, value in row.items():
            if isinstance(value, int | float):
                index = self._index.get(name)
                if index is None:
                    index = self._admit(name)
                if index is not None:
                    indices.append(index)
                    numbers.append(min(max(float(value), -VALUE_LIMIT), VALUE_LIMIT))
            elif isinstance(value, str):
                coordinate = self._category(name, value)
                if coordinate is not None:
                    categories.append(coordinate)
        return indices, numbers, categories

    def _has_room(self, text: int) -> bool:
        """Whether one more coordinate, named by so many characters, stays within the bound."""
        one = _COORDINATE_BYTES + _WEIGHT_BYTES * len(self._outputs) + text
        return self.bytes() + one <= self._max_bytes

    def _admit(self, name: str) -> int | None:
        """A coordinate for a new numeric feature, while there is room."""
        if not self._has_room(len(name)):
            return None
        index = self._index[name] = len(self._names)
        self._text += len(name)
        self._names.append(name)
        self._counts.append(0)
        self._origins.append(0.0)
        self._sums.append(0.0)
        self._squares.append(0.0)
        for output in self._outputs:
            output[1].append(0.0)
        return index

    def _category(self, name: str, value: str) -> int | None:
        """The coordinate of a category; None for prose, and for those that come when all room is taken."""
        known = self._vocabulary.get(name)
        coordinate = None if known is None else known.get(value)
        if coordinate is not None or len(value) > _LONGEST_CATEGORY:
            return coordinate
        text = len(value) + (len(name) if known is None else 0)
        if (known is not None and len(known) >= self._max_categories) or not self._has_room(text):
            return None
        coordinate = self._one_hot
        self._vocabulary.setdefault(name, {})[value] = coordinate
        self._one_hot += 1
        self._text += text
        for output in self._outputs:
            output[2].append(0.0)
        return coordinate

    def _absorb(self, indices: Sequence[int] | None, values: list[float]) -> list[float]:
        """Update the moments with one row and scale it by them."""
        counts, origins, sums, squares = self._counts, self._origins, self._sums, self._squares
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
            z = (u - mean) / sqrt(variance) if variance > _LEAST_SHARE * square else 0.0
            scaled.append(SCALED_LIMIT if z > SCALED_LIMIT else -SCALED_LIMIT if z < -SCALED_LIMIT else z)
            if n in _REBASED:
                self._rebase(i)
        return scaled

    def _rebase(self, i: int) -> None:
        n = self._counts[i]
        mean = self._sums[i] / n
        self._origins[i] += mean
        self._squares[i] = max(0.0, self._squares[i] - self._sums[i] * mean)
        self._sums[i] = 0.0

    def _absorb_run(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `_absorb`, for many rows with all the known features in order (at least one row was seen)."""
        scaled = np.empty_like(rows)
        start = 0
        while start < len(rows):
            counts = np.array(self._counts, np.int64)
            # Up to and with the row at which the first feature's sums begin anew.
            ahead = min(next(at for at in _REBASE if at > n) - n for n in self._counts)
            stop = min(len(rows), start + ahead)
            u = rows[start:stop] - np.array(self._origins)
            sums = np.add.accumulate(np.concatenate(([self._sums], u)))[1:]
            squares = np.add.accumulate(np.concatenate(([self._squares], u * u)))[1:]
            n = counts + np.arange(1, stop - start + 1)[:, None]
            mean, square = sums / n, squares / n
            variance = square - mean * mean
            spread = variance > _LEAST_SHARE * square
            z = np.where(spread, (u - mean) / np.sqrt(np.where(spread, variance, 1.0)), 0.0)
            scaled[start:stop] = np.minimum(np.maximum(z, -SCALED_LIMIT), SCALED_LIMIT)
            self._counts, self._sums = n[-1].tolist(), sums[-1].tolist()
            self._squares = squares[-1].tolist()
            for i, count in enumerate(self._counts):
                if count in _REBASED:
                    self._rebase(i)
            start = stop
        return scaled

    def _run(self, features: Sequence[Features | None], labels: Sequence[Json], at: int) -> list[list[float]]:
        """The values of the next rows from `at` on that have exactly the known numeric features, in order,
        nothing else, and a usable label; up to the first that has not, or as many as are looked at. None
        when so few are left that a run cannot pay.

        So many are looked at as runs have lately been long: else a block with odd rows here and there would
        be looked through again after each of them.
        """
        names = self._names
        rows: list[list[float]] = []
        if len(features) - at < SHORTEST_RUN or not names or self._one_hot or not min(self._counts):
            return rows
        window = features[at : at + self._look]
        for row in window:
            if row is None or list(row) != names:
                break
            rows.append(list(row.values()))
        if not NUMERIC.issuperset(map(type, chain.from_iterable(rows))):
            rows = rows[: next(i for i, row in enumerate(rows) if not NUMERIC.issuperset(map(type, row)))]
        rows = rows[: self._usable(labels[at : at + len(rows)])]
        if len(rows) == len(window):
            self._look = min(2 * self._look, _LONGEST_LOOK)
        else:
            self._look = max(self._look // 2, SHORTEST_RUN)
        return rows

    @abstractmethod
    def _usable(self, labels: Sequence[Json]) -> int:
        """How many labels, from the first on, a written-out run can take."""

    def _dot(
        self, output: list[Any], indices: Sequence[int] | None, scaled: list[float], categories: list[int]
    ) -> float:
        total: float = output[0]
        weights = output[1]
        for i, z in zip(range(len(scaled)) if indices is None else indices, scaled, strict=True):
            total += z * weights[i]
        one_hot = output[2]
        for coordinate in categories:
            total += one_hot[coordinate]
        return total

    def _step(
        self,
        output: list[Any],
        indices: Sequence[int] | None,
        scaled: list[float],
        categories: list[int],
        gradient: float,
    ) -> None:
        """One step down the gradient of the loss at this row."""
        step = RATE * gradient
        output[0] -= step
        weights = output[1]
        for i, z in zip(range(len(scaled)) if indices is None else indices, scaled, strict=True):
            weights[i] -= step * z
        one_hot = output[2]
        for coordinate in categories:
            one_hot[coordinate] -= step

    def _dump(self) -> Any:
        """Names, moments, vocabulary, weights."""
        return {
            "names": list(self._names),
            "counts": list(self._counts),
            "origins": list(self._origins),
            "sums": list(self._sums),
            "squares": list(self._squares),
            "vocabulary": {name: dict(known) for name, known in self._vocabulary.items()},
            "outputs": [[intercept, list(w), list(c)] for intercept, w, c in self._outputs],
        }

    def _restore(self, state: Any) -> None:
        self._names = list(state["names"])
        self._index = {name: i for i, name in enumerate(self._names)}
        self._counts = [int(n) for n in state["counts"]]
        self._origins = [float(x) for x in state["origins"]]
        self._sums = [float(x) for x in state["sums"]]
        self._squares = [float(x) for x in state["squares"]]
        self._vocabulary = {name: dict(known) for name, known in state["vocabulary"].items()}
        self._one_hot = sum(len(known) for known in self._vocabulary.values())
        self._text = sum(map(len, self._names))
        for name, known in self._vocabulary.items():
            self._text += len(name) + sum(map(len, known))
        self._outputs = [[float(i), list(w), list(c)] for i, w, c in state["outputs"]]

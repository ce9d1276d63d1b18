"""The arithmetic of the default challenger: scaled logistic or linear regression, learnt one row at a time.

Idea: every numeric feature is brought to mean 0 and deviation 1 by its running moments, and one step of
gradient descent is made per row. Formula, as River's `StandardScaler() | LogisticRegression()` (or
`LinearRegression()`): predict with the moments so far; update them; then w -= 0.01 · gradient · z.

Input: numbers and booleans are numeric; texts are one-hot with a bounded vocabulary, unscaled; a missing
value counts as the running mean (0 when scaled) and leaves the moments alone; arrays and objects are
ignored. Classes: two make one logistic model, up to ten one each (one against the rest), beyond that the
most frequent class is predicted.
Guaranteed: equal to River to 1e-12 on numeric features; weights stay finite whatever comes (scaled values
are clipped, and a regression step never goes past its target); O(features) memory; the arithmetic is row
by row, so a block equals its rows. Cost: about 5 µs a row of 8 features (River's pipeline: 11).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf, sqrt
from typing import Any

from driftbus.core.records import Features

# River's default for its linear models.
RATE = 0.01
# Ten standard deviations: beyond, a value says "extreme" and must not say it with a thousandfold weight.
SCALED_LIMIT = 10.0
# Larger values count as this: squares of it, and sums of them, stay finite.
_VALUE_LIMIT = 1e100
# Measured: a numeric coordinate takes 195 bytes with one weight and 33 more for each further one; a category
# takes less. Rounded up, so that the bound holds.
_COORDINATE_BYTES, _WEIGHT_BYTES = 250, 32
# A longer text is prose, not a category.
_LONGEST_CATEGORY = 64


class Linear(ABC):
    """Features, moments and weights; what is predicted is the subclasses' (`linear_models.py`)."""

    def __init__(self, max_bytes: int, max_categories: int) -> None:
        self.resets = 0
        self._max_bytes, self._max_categories = max_bytes, max_categories
        self._names: list[str] = []  # numeric features in the order first seen
        self._index: dict[str, int] = {}
        self._counts: list[int] = []
        self._means: list[float] = []
        self._variances: list[float] = []
        self._deviations: list[float] = []  # infinite while there is no spread: all scales to 0
        self._vocabulary: dict[str, dict[str, int]] = {}  # coordinate of a categorical feature's value
        self._one_hot = 0  # how many such coordinates there are
        self._text = 0  # characters of all names and categories
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
                if sum(map(abs, values)) <= _VALUE_LIMIT:
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
                    numbers.append(min(max(float(value), -_VALUE_LIMIT), _VALUE_LIMIT))
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
        self._means.append(0.0)
        self._variances.append(0.0)
        self._deviations.append(inf)
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

    def _scale(self, indices: Sequence[int] | None, values: list[float]) -> list[float]:
        """Values scaled by the moments as they stand."""
        means, deviations = self._means, self._deviations
        scaled = []
        for i, value in zip(range(len(values)) if indices is None else indices, values, strict=True):
            z = (value - means[i]) / deviations[i]
            if z > SCALED_LIMIT:
                z = SCALED_LIMIT
            elif z < -SCALED_LIMIT:
                z = -SCALED_LIMIT
            scaled.append(z)
        return scaled

    def _absorb(self, indices: Sequence[int] | None, values: list[float]) -> list[float]:
        """Update the moments (Welford's recurrence) and scale the values by them."""
        counts, means, variances, deviations = self._counts, self._means, self._variances, self._deviations
        scaled = []
        for i, value in zip(range(len(values)) if indices is None else indices, values, strict=True):
            n = counts[i] = counts[i] + 1
            mean = means[i]
            distance = value - mean
            mean += distance / n
            means[i] = mean
            rest = value - mean
            variance = variances[i]
            variance += (distance * rest - variance) / n
            variances[i] = variance
            if variance:
                spread = deviations[i] = sqrt(variance)
                z = rest / spread
                if z > SCALED_LIMIT:
                    z = SCALED_LIMIT
                elif z < -SCALED_LIMIT:
                    z = -SCALED_LIMIT
            else:
                deviations[i] = inf
                z = 0.0
            scaled.append(z)
        return scaled

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

    def _dense(self, values: list[float], target: float) -> float:
        """One row that has exactly the known numeric features, for a single output: all of the above in two
        loops (twice as fast). The prediction's margin, made before learning."""
        counts, means, variances, deviations = self._counts, self._means, self._variances, self._deviations
        output = self._outputs[0]
        intercept, weights, _ = output
        before: float = intercept
        margin: float = intercept
        scaled = []
        top, bottom = SCALED_LIMIT, -SCALED_LIMIT
        columns = zip(values, weights, counts, means, variances, deviations, strict=True)
        for i, (value, weight, n, mean, variance, deviation) in enumerate(columns):
            distance = value - mean
            z = distance / deviation
            if z > top:
                z = top
            elif z < bottom:
                z = bottom
            before += z * weight
            n += 1
            mean += distance / n
            rest = value - mean
            variance += (distance * rest - variance) / n
            counts[i] = n
            means[i] = mean
            variances[i] = variance
            if variance:
                spread = deviations[i] = sqrt(variance)
                z = rest / spread
                if z > top:
                    z = top
                elif z < bottom:
                    z = bottom
                margin += z * weight
            else:
                deviations[i] = inf
                z = 0.0
            scaled.append(z)
        step = RATE * self._gradient(target, margin, scaled, ())
        output[0] = intercept - step
        output[1] = [weight - step * z for weight, z in zip(weights, scaled, strict=True)]
        return before

    @abstractmethod
    def _gradient(
        self, target: float, margin: float, scaled: Sequence[float], categories: Sequence[int]
    ) -> float:
        """Derivative of the loss by the margin."""

    def _dump(self) -> Any:
        """Names, moments, vocabulary, weights; deviations follow from the variances."""
        return {
            "names": list(self._names),
            "counts": list(self._counts),
            "means": list(self._means),
            "variances": list(self._variances),
            "vocabulary": {name: dict(known) for name, known in self._vocabulary.items()},
            "outputs": [[intercept, list(w), list(c)] for intercept, w, c in self._outputs],
        }

    def _restore(self, state: Any) -> None:
        self._names = list(state["names"])
        self._index = {name: i for i, name in enumerate(self._names)}
        self._counts = [int(n) for n in state["counts"]]
        self._means = [float(m) for m in state["means"]]
        self._variances = [float(v) for v in state["variances"]]
        self._deviations = [sqrt(v) or inf for v in self._variances]
        self._vocabulary = {name: dict(known) for name, known in state["vocabulary"].items()}
        self._one_hot = sum(len(known) for known in self._vocabulary.values())
        self._text = sum(map(len, self._names))
        for name, known in self._vocabulary.items():
            self._text += len(name) + sum(map(len, known))
        self._outputs = [[float(i), list(w), list(c)] for i, w, c in state["outputs"]]

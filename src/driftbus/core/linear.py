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

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftbus.core.dense import MOST_FEATURES, Descent
from driftbus.core.moments import Moments
from driftbus.core.records import Features, Json

# River's default for its linear models.
RATE = 0.01
# Larger values count as this: squares of it, and sums of them, stay finite.
VALUE_LIMIT = 1e100
# Measured: a numeric coordinate takes 195 bytes with one weight and 33 more for each further one; a category
# takes less. Rounded up, so that the bound holds.
_COORDINATE_BYTES, _WEIGHT_BYTES = 250, 32
# A longer text is prose, not a category.
_LONGEST_CATEGORY = 64
# Under so many rows numpy's calls cost more than the row-by-row way (measured at 8 features).
SHORTEST_RUN = 4
# Rows looked at together. What a run needs stays in the processor's cache (5,000 rows at once: 20 % slower).
_LONGEST_LOOK = 512


class Said(NamedTuple):
    """Per row what was predicted before learning it, and the positive class's probability."""

    guesses: list[Json]
    scores: list[float | None]


class Run(NamedTuple):
    """Consecutive rows (row, feature), plain numbers, and what they are taught: 0 or 1, or an amount."""

    rows: NDArray[np.float64]
    targets: list[float]


class Linear(ABC):
    """Features, moments and weights; what is predicted is the subclasses' (`linear_models.py`)."""

    def __init__(self, max_bytes: int, max_categories: int) -> None:
        self.resets = 0
        self._max_bytes, self._max_categories = max_bytes, max_categories
        self._names: list[str] = []  # numeric features in the order first seen
        self._index: dict[str, int] = {}
        self.moments = Moments()
        self._vocabulary: dict[str, dict[str, int]] = {}  # coordinate of a categorical feature's value
        self._one_hot = 0  # how many such coordinates there are
        self._text = 0  # characters of all names and categories
        # How many rows `_run` looks at: it changes what is looked at in vain, never a result.
        self._look = _LONGEST_LOOK
        # Per output (class, or the one target): intercept, weights of numeric features, of categories.
        self.outputs: list[list[Any]] = [[0.0, [], []]]

    def bytes(self) -> int:
        """An estimate of the memory the model takes."""
        coordinates = len(self._names) + self._one_hot
        return coordinates * (_COORDINATE_BYTES + _WEIGHT_BYTES * len(self.outputs)) + self._text

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
        one = _COORDINATE_BYTES + _WEIGHT_BYTES * len(self.outputs) + text
        return self.bytes() + one <= self._max_bytes

    def _admit(self, name: str) -> int | None:
        """A coordinate for a new numeric feature, while there is room."""
        if not self._has_room(len(name)):
            return None
        index = self._index[name] = len(self._names)
        self._text += len(name)
        self._names.append(name)
        self.moments.add()
        for output in self.outputs:
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
        for output in self.outputs:
            output[2].append(0.0)
        return coordinate

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row what was predicted before learning it, and the positive class's probability (classifiers):
        None for the first row and where there is no usable label."""
        said = Said([], [])
        while (run := self.learn_until_run(features, labels, said)) is not None:
            self.learn_run(run, said)
        return said

    def learn_until_run(
        self, features: Sequence[Features | None], labels: Sequence[Json], said: Said
    ) -> Run | None:
        """Learn rows one by one, from where `said` ends, until many follow that can be learnt as a run; None
        when all are learnt."""
        while (at := len(said.guesses)) < len(features):
            run = self._next_run(features, labels, at)
            if run is not None and len(run.rows) >= SHORTEST_RUN:
                return run
            for index in range(at, at + (1 if run is None else max(1, len(run.rows)))):
                guess, score = self._row(features[index], labels[index])
                said.guesses.append(guess)
                said.scores.append(score)
        return None

    def learn_run(self, run: Run, said: Said) -> None:
        """Learn what `learn_until_run` gave, or its end."""
        output = self.outputs[0]
        scaled = self.moments.absorb_run(run.rows).tolist()
        descent = self._descent(len(self._names))
        before, output[0], output[1] = descent(scaled, run.targets, RATE, output[0], output[1])
        self.take(before, run.targets, said)

    def _next_run(self, features: Sequence[Features | None], labels: Sequence[Json], at: int) -> Run | None:
        """The next rows from `at` on that have exactly the known numeric features, in order, nothing else,
        and a usable label; up to the first that has not, or as many as are looked at. None when so few
        are left that a run cannot pay.

        So many are looked at as runs have lately been long: else a block with odd rows here and there would
        be looked through again after each of them.
        """
        names = self._names
        if (
            len(features) - at < SHORTEST_RUN
            or not 0 < len(names) <= MOST_FEATURES
            or self._one_hot
            or not min(self.moments.counts)
            or not self._ready()
        ):
            return None
        window = features[at : at + self._look]
        numbers = _numbers(window, names)
        if numbers is None:
            plain = next(i for i in range(len(window)) if _numbers(window[i : i + 1], names) is None)
            window = window[:plain]
            numbers = _numbers(window, names) if plain else None
        targets = [] if numbers is None else self._targets(labels[at : at + len(window)])
        if len(targets) == min(self._look, len(features) - at):
            self._look = min(2 * self._look, _LONGEST_LOOK)
        else:
            self._look = max(self._look // 2, SHORTEST_RUN)
        if numbers is None:
            return None
        rows = np.frombuffer(numbers).reshape(-1, len(names))[: len(targets)]
        return Run(np.minimum(np.maximum(rows, -VALUE_LIMIT), VALUE_LIMIT), targets)

    @abstractmethod
    def _ready(self) -> bool:
        """Whether enough was seen that rows can be learnt in runs."""

    @abstractmethod
    def _targets(self, labels: Sequence[Json]) -> list[float]:
        """What a run is taught: of the labels up to the first that it cannot take."""

    @abstractmethod
    def _descent(self, features: int) -> Descent:
        """The descent over a run of rows of so many features."""

    @abstractmethod
    def take(self, before: list[float], targets: list[float], said: Said) -> None:
        """Note that a run was learnt, and say what `before` (chances or amounts) means."""

    @abstractmethod
    def _row(self, row: Features | None, label: Json) -> tuple[Json, float | None]:
        """One row: what was predicted before it was learnt, and its score."""

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
            **self.moments.dump(),
            "vocabulary": {name: dict(known) for name, known in self._vocabulary.items()},
            "outputs": [[intercept, list(w), list(c)] for intercept, w, c in self.outputs],
        }

    def _restore(self, state: Any) -> None:
        self._names = list(state["names"])
        self._index = {name: i for i, name in enumerate(self._names)}
        self.moments.restore(state)
        self._vocabulary = {name: dict(known) for name, known in state["vocabulary"].items()}
        self._one_hot = sum(len(known) for known in self._vocabulary.values())
        self._text = sum(map(len, self._names))
        for name, known in self._vocabulary.items():
            self._text += len(name) + sum(map(len, known))
        self.outputs = [[float(i), list(w), list(c)] for i, w, c in state["outputs"]]


def _numbers(rows: Sequence[Features | None], names: list[str]) -> bytes | None:
    """The values, 8 bytes each, of rows with exactly these features, in order, all numbers; else None."""
    known: Any = rows
    try:
        if list(chain.from_iterable(known)) == names * len(rows):
            values = chain.from_iterable(map(dict.values, known))
            return struct.pack(f"{len(names) * len(rows)}d", *values)
    except (OverflowError, TypeError, struct.error):
        pass  # something that is no row, or in it something that is no number, or too large for one
    return None

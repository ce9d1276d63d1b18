"""The default challengers: a scaled linear regression, a scaled logistic regression (`linear.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import exp
from typing import Any

from driftbus.core.classes import is_positive
from driftbus.core.dense import GRADIENT_LIMIT, Descent, linear_descent, logistic_descent
from driftbus.core.linear import RATE, Linear, Said
from driftbus.core.records import Features, Json

# One model per class is worth its cost up to here.
_MOST_CLASSES = 10
# Beyond ten only the most frequent class matters; so many are counted, later ones are not.
_MOST_COUNTED = 100


class LinearRegression(Linear):
    """A number is predicted."""

    def __init__(self, max_bytes: int, max_categories: int) -> None:
        super().__init__(max_bytes, max_categories)
        self._learnt = 0

    def _ready(self) -> bool:
        return self._learnt > 0

    def _targets(self, labels: Sequence[Json]) -> list[float]:
        amounts: list[float] = []
        for label in labels:
            if not isinstance(label, int | float):
                break
            amounts.append(float(label))
        return amounts

    def _descent(self, features: int) -> Descent:
        return linear_descent(features)

    def take(self, before: list[float], targets: list[float], said: Said) -> None:
        said.guesses.extend(before)
        said.scores.extend([None] * len(before))
        self._learnt += len(before)

    def _row(self, row: Features | None, label: Json) -> tuple[Json, float | None]:
        if not isinstance(label, int | float):
            return None, None
        indices, values, categories = self._read(row)
        scaled = self.moments.absorb(indices, values)
        output = self.outputs[0]
        guess = self._dot(output, indices, scaled, categories)
        self._step(output, indices, scaled, categories, self._gradient(label, guess, scaled, categories))
        self._learnt += 1
        return (guess if self._learnt > 1 else None), None

    def _gradient(
        self, target: float, margin: float, scaled: Sequence[float], categories: Sequence[int]
    ) -> float:
        """Of the squared error. The step that would hit the target exactly is 1 / (2 · rate · |z|²): never
        go past it, as plain descent does with very many or very extreme features."""
        length = 1.0 + len(categories)
        for z in scaled:
            length += z * z
        gradient = 2.0 * (margin - target) / max(1.0, 2.0 * RATE * length)
        return min(max(gradient, -GRADIENT_LIMIT), GRADIENT_LIMIT)

    def dump(self) -> Any:
        return {"model": "linear", "learnt": self._learnt, **self._dump()}

    def restore(self, state: Any) -> None:
        self._learnt = int(state["learnt"])
        self._restore(state)


class LogisticRegression(Linear):
    """A class is predicted."""

    def __init__(self, max_bytes: int, max_categories: int, positive_label: Any) -> None:
        super().__init__(max_bytes, max_categories)
        self._positive_label = positive_label
        self._classes: dict[Any, int] = {}  # how often each was seen, in the order first seen
        self._positive: Json = None
        self._negative: Json = None
        self._scored = False

    def _choose_positive(self) -> None:
        """Of two classes the one whose probability is modelled (None: not seen yet), and whether it is *the*
        positive class; without one it is the second that was seen. `_negative` is the other of two."""
        seen = list(self._classes)
        self._positive = next((label for label in seen if is_positive(label, self._positive_label)), None)
        self._scored = self._positive is not None or self._positive_label is not None
        if self._positive is None and len(seen) == 2:
            self._positive = seen[1]
        self._negative = next((label for label in seen if label is not self._positive), None)

    def _ready(self) -> bool:
        return len(self._classes) == 2

    def _targets(self, labels: Sequence[Json]) -> list[float]:
        target_of = {label: 1.0 if label == self._positive else 0.0 for label in self._classes}
        targets: list[float] = []
        with suppress(KeyError, TypeError):  # another class, or an array or object
            targets.extend(map(target_of.__getitem__, labels))
        return targets

    def _descent(self, features: int) -> Descent:
        return logistic_descent(features)

    def take(self, before: list[float], targets: list[float], said: Said) -> None:
        positive, negative = self._positive, self._negative
        said.guesses.extend([positive if chance > 0.5 else negative for chance in before])
        said.scores.extend(before if self._scored else [None] * len(before))
        for label in self._classes:
            self._classes[label] += targets.count(1.0 if label == positive else 0.0)

    def _row(self, row: Features | None, label: Json) -> tuple[Json, float | None]:
        if label is None or isinstance(label, list | dict):
            return None, None
        indices, values, categories = self._read(row)
        scaled = self.moments.absorb(indices, values)
        margins = [self._dot(output, indices, scaled, categories) for output in self.outputs]
        said = self._said(margins)
        classes = self._classes
        if label not in classes:
            if len(classes) >= _MOST_COUNTED:
                return said
            self._open(label)
            margins = [self._dot(output, indices, scaled, categories) for output in self.outputs]
        classes[label] += 1
        if len(classes) > _MOST_CLASSES:
            return said
        targets = [known == label for known in classes] if len(classes) > 2 else [label == self._positive]
        for output, margin, target in zip(self.outputs, margins, targets, strict=True):
            # Derivative of the log loss.
            gradient = _sigmoid(margin) - (1.0 if target else 0.0)
            self._step(output, indices, scaled, categories, gradient)
        return said

    def _said(self, margins: list[float]) -> tuple[Json, float | None]:
        """The class these margins speak for, and the positive class's probability."""
        classes = self._classes
        if not classes:
            return None, None
        if len(classes) > _MOST_CLASSES:
            return max(classes, key=classes.__getitem__), None
        if len(classes) > 2:
            return list(classes)[margins.index(max(margins))], None
        chance = _sigmoid(margins[0])
        if len(classes) == 1:
            guess = next(iter(classes))
        else:
            guess = self._positive if chance > 0.5 else self._negative
        return guess, chance if self._scored else None

    def _open(self, label: Json) -> None:
        """A class not seen before: the third turns the one model into one per class."""
        if len(self._classes) == 2:
            intercept, weights, one_hot = self.outputs[0]
            against = [-intercept, [-w for w in weights], [-w for w in one_hot]]
            known = list(self._classes)
            self.outputs = [self.outputs[0] if c is self._positive else against for c in known]
        self._classes[label] = 0
        self._choose_positive()
        if len(self._classes) > _MOST_CLASSES:
            self.outputs = []
        elif len(self._classes) > 2:
            self.outputs.append([0.0, [0.0] * len(self._names), [0.0] * self._one_hot])

    def dump(self) -> Any:
        return {"model": "logistic", "classes": list(self._classes.items()), **self._dump()}

    def restore(self, state: Any) -> None:
        self._classes = {label: int(count) for label, count in state["classes"]}
        self._choose_positive()
        self._restore(state)


def _sigmoid(x: float) -> float:
    """As River's: 0 and 1 beyond ±30."""
    return 1.0 / (1.0 + exp(-x)) if -30.0 <= x <= 30.0 else 1.0 if x > 0.0 else 0.0

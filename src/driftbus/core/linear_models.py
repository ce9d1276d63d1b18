"""The default challengers: a scaled linear regression, a scaled logistic regression (`linear.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any

from driftbus.core.linear import RATE, Linear
from driftbus.core.records import Features, Json

# River's bound of a linear model's gradient.
_GRADIENT_LIMIT = 1e12
# One model per class is worth its cost up to here.
_MOST_CLASSES = 10
# Beyond ten only the most frequent class matters; so many are counted, later ones are not.
_MOST_COUNTED = 100


class LinearRegression(Linear):
    """A number is predicted."""

    def __init__(self, max_bytes: int, max_categories: int) -> None:
        super().__init__(max_bytes, max_categories)
        self._learnt = 0

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row the prediction made before learning it; None for the first, and without a numeric label."""
        predictions: list[Json] = []
        for row, label in zip(features, labels, strict=True):
            if not isinstance(label, int | float):
                predictions.append(None)
                continue
            indices, values, categories = self._read(row)
            if indices is None:
                guess = self._dense(values, label)
            else:
                output = self._outputs[0]
                guess = self._dot(output, indices, self._scale(indices, values), categories)
                scaled = self._absorb(indices, values)
                gradient = self._gradient(
                    label, self._dot(output, indices, scaled, categories), scaled, categories
                )
                self._step(output, indices, scaled, categories, gradient)
            predictions.append(guess if self._learnt else None)
            self._learnt += 1
        return predictions, [None] * len(predictions)

    def _gradient(
        self, target: float, margin: float, scaled: Sequence[float], categories: Sequence[int]
    ) -> float:
        """Of the squared error. The step that would hit the target exactly is 1 / (2 · rate · |z|²): never
        go past it, as plain descent does with very many or very extreme features."""
        length = 1.0 + len(categories)
        for z in scaled:
            length += z * z
        gradient = 2.0 * (margin - target) / max(1.0, 2.0 * RATE * length)
        return min(max(gradient, -_GRADIENT_LIMIT), _GRADIENT_LIMIT)

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

    def _is_positive(self, label: Any) -> bool:
        if self._positive_label is None:
            return bool(label == 1 or label == "1")
        return bool(label == self._positive_label)

    def _choose_positive(self) -> None:
        """Of two classes the one whose probability is modelled (None: not seen yet), and whether it is *the*
        positive class; without one it is the second that was seen. `_negative` is the other of two."""
        seen = list(self._classes)
        self._positive = next((label for label in seen if self._is_positive(label)), None)
        self._scored = self._positive is not None or self._positive_label is not None
        if self._positive is None and len(seen) == 2:
            self._positive = seen[1]
        self._negative = next((label for label in seen if label is not self._positive), None)

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row the class predicted before learning it, and the positive class's probability."""
        predictions: list[Json] = []
        scores: list[float | None] = []
        for row, label in zip(features, labels, strict=True):
            if label is None or isinstance(label, list | dict):
                predictions.append(None)
                scores.append(None)
                continue
            indices, values, categories = self._read(row)
            if indices is None and len(self._classes) == 2 and label in self._classes:
                chance = _sigmoid(self._dense(values, label == self._positive))
                predictions.append(self._positive if chance > 0.5 else self._negative)
                scores.append(chance if self._scored else None)
                self._classes[label] += 1
                continue
            guess, score = self._predict(indices, values, categories)
            predictions.append(guess)
            scores.append(score)
            self._learn(label, indices, values, categories)
        return predictions, scores

    def _predict(
        self, indices: Sequence[int] | None, values: list[float], categories: list[int]
    ) -> tuple[Json, float | None]:
        classes = self._classes
        if not classes:
            return None, None
        if len(classes) > _MOST_CLASSES:
            return max(classes, key=classes.__getitem__), None
        scaled = self._scale(indices, values)
        margins = [self._dot(output, indices, scaled, categories) for output in self._outputs]
        if len(classes) > 2:
            return list(classes)[margins.index(max(margins))], None
        chance = _sigmoid(margins[0])
        if len(classes) == 1:
            guess = next(iter(classes))
        else:
            guess = self._positive if chance > 0.5 else self._negative
        return guess, chance if self._scored else None

    def _learn(
        self, label: Json, indices: Sequence[int] | None, values: list[float], categories: list[int]
    ) -> None:
        classes = self._classes
        scaled = self._absorb(indices, values)
        if label not in classes:
            if len(classes) >= _MOST_COUNTED:
                return
            self._open(label)
        classes[label] += 1
        if len(classes) > _MOST_CLASSES:
            return
        targets = [known == label for known in classes] if len(classes) > 2 else [label == self._positive]
        for output, target in zip(self._outputs, targets, strict=True):
            margin = self._dot(output, indices, scaled, categories)
            gradient = self._gradient(target, margin, scaled, categories)
            self._step(output, indices, scaled, categories, gradient)

    def _gradient(
        self, target: float, margin: float, scaled: Sequence[float], categories: Sequence[int]
    ) -> float:
        """Of the log loss, as River computes it."""
        sign = 1.0 if target else -1.0
        z = margin * sign
        if z > 18.0:
            return exp(-z) * -sign
        return -sign if z < -18.0 else -sign / (exp(z) + 1.0)

    def _open(self, label: Json) -> None:
        """A class not seen before: the third turns the one model into one per class."""
        if len(self._classes) == 2:
            intercept, weights, one_hot = self._outputs[0]
            against = [-intercept, [-w for w in weights], [-w for w in one_hot]]
            known = list(self._classes)
            self._outputs = [self._outputs[0] if c is self._positive else against for c in known]
        self._classes[label] = 0
        self._choose_positive()
        if len(self._classes) > _MOST_CLASSES:
            self._outputs = []
        elif len(self._classes) > 2:
            self._outputs.append([0.0, [0.0] * len(self._names), [0.0] * self._one_hot])

    def dump(self) -> Any:
        return {"model": "logistic", "classes": list(self._classes.items()), **self._dump()}

    def restore(self, state: Any) -> None:
        self._classes = {label: int(count) for label, count in state["classes"]}
        self._choose_positive()
        self._restore(state)


def _sigmoid(x: float) -> float:
    """As River's: 0 and 1 beyond ±30."""
    if x < -30.0:
        return 0.0
    return 1.0 if x > 30.0 else 1.0 / (1.0 + exp(-x))

"""Challengers that are River models: Hoeffding trees and adaptive random forests, capped in size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from river import forest, tree

from driftbus.core.classes import is_positive
from driftbus.core.records import Features, Json

# Constructors by name and task.
MODELS: dict[str, dict[str, Callable[..., Any]]] = {
    "hoeffding_tree": {
        "classification": tree.HoeffdingTreeClassifier,
        "regression": tree.HoeffdingTreeRegressor,
    },
    "hoeffding_adaptive_tree": {
        "classification": tree.HoeffdingAdaptiveTreeClassifier,
        "regression": tree.HoeffdingAdaptiveTreeRegressor,
    },
    "arf": {"classification": forest.ARFClassifier, "regression": forest.ARFRegressor},
}
# Weighing a model means walking through it (150 to 250 µs for 50 kB): once in so many rows that is half a µs
# a row, beside 30 (a tree) to 100 (a forest) for learning it.
_WEIGH_EVERY = 500
# As in `linear.py`.
_VALUE_LIMIT = 1e100


class RiverModel:
    """One of River's models by name.

    A feature that is first a number stays one (texts in it are ignored), and the other way round; missing
    values are left out. Beyond `max_bytes` the model is thrown away and begins anew, which `resets` counts;
    so does one that its own code cannot update any more. `dump` is None: after a restart it learns anew.
    """

    def __init__(
        self, name: str, params: Mapping[str, Any], task: str, positive_label: Any, max_bytes: int
    ) -> None:
        self.resets = 0
        self._make: Callable[[], Any] = lambda: MODELS[name][task](**params)
        # A linear model in the leaves refuses texts.
        self._takes_texts = params.get("leaf_prediction") not in ("model", "adaptive")
        self._classifies = task == "classification"
        self._positive_label = positive_label
        self._max_bytes = max_bytes
        self._model: Any = self._make()
        self._numeric: dict[str, bool] = {}  # by feature
        self._labels = 0
        self._bytes = 0

    def bytes(self) -> int:
        """The memory the model took when it was last weighed."""
        return self._bytes

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row the prediction made before learning it, and the positive class's probability."""
        predictions: list[Json] = []
        scores: list[float | None] = []
        for row, label in zip(features, labels, strict=True):
            guess: Json = None
            score = None
            if self._usable(label):
                known = self._readable(row or {})
                try:
                    guess, score = self._predict(known)
                    self._model.learn_one(known, label)
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                    self._begin_anew()
                self._count()
            predictions.append(guess)
            scores.append(score)
        return predictions, scores

    def _usable(self, label: Json) -> bool:
        if self._classifies:
            return label is not None and not isinstance(label, list | dict)
        return isinstance(label, int | float)

    def _readable(self, row: Features) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for name, value in row.items():
            numeric = isinstance(value, int | float)
            if not (numeric or (isinstance(value, str) and self._takes_texts)):
                continue
            if self._numeric.setdefault(name, numeric) == numeric:
                known[name] = min(max(value, -_VALUE_LIMIT), _VALUE_LIMIT) if numeric else value
        return known

    def _predict(self, row: dict[str, Any]) -> tuple[Json, float | None]:
        if not self._classifies:
            guess = self._model.predict_one(row) if self._labels else None
            return (guess if guess is not None and guess - guess == 0.0 else None), None
        chances = self._model.predict_proba_one(row)
        if not chances:
            return None, None
        guess = max(chances, key=chances.__getitem__)
        positive = [chance for label, chance in chances.items() if is_positive(label, self._positive_label)]
        return guess, float(positive[0]) if positive and len(chances) <= 2 else None

    def _count(self) -> None:
        self._labels += 1
        if self._labels % _WEIGH_EVERY == 0:
            self._bytes = self._model._raw_memory_usage
            if self._bytes > self._max_bytes:
                self._begin_anew()

    def _begin_anew(self) -> None:
        self.resets += 1
        self._model = self._make()
        self._labels = 0
        self._bytes = 0

    def dump(self) -> Any:
        return None

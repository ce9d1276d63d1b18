"""Classes and (prediction, label) pairs as small numbers, shared by all tallies of one model version.

Class identity is Python's equality: True, 1 and 1.0 are one class, "1" is another.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from driftbus.core.classes import is_positive

# Stand-ins for a class beyond the bound: as label or prediction, and as a prediction that is beyond the
# bound too but not the label, so that folding classes together never makes an error look right.
OTHER, OTHER_WRONG = -1, -2
# Pair numbers are 16 bits wide: (250 + 2) squared fits.
_MOST_CLASSES = 250


class ClassCodes:
    """Numbers for classes, in the order they are first seen, and for pairs of them; pair 0 = not judged."""

    def __init__(self, positive_label: Any = None, max_classes: int = 100) -> None:
        self.positive_label = positive_label
        self.max_classes = max(2, min(max_classes, _MOST_CLASSES))
        self.classes: list[Any] = []
        self._class_ids: dict[Any, int] = {}
        self.pairs: list[tuple[int, int]] = [(OTHER, OTHER)]  # (prediction, label) by pair number
        self.positive: list[bool] = [False]  # whether the pair's label is the positive class
        self._pair_ids: dict[tuple[Any, Any], int] = {}
        self._by_classes: dict[tuple[int, int, bool], int] = {}

    def extend(self, codes: array[int], predictions: Sequence[Any], labels: Sequence[Any]) -> None:
        """Append the pair numbers of a block of rows."""
        start = len(codes)
        try:
            codes.extend(map(self._pair_ids.__getitem__, zip(predictions, labels, strict=True)))
        except (KeyError, TypeError):  # a pair not seen before, or something unhashable
            del codes[start:]
            codes.extend([self.code(p, y) for p, y in zip(predictions, labels, strict=True)])

    def code(self, prediction: Any, label: Any) -> int:
        """The number of one pair; 0 when a side is missing, an array or an object."""
        if prediction is None or label is None:
            return 0
        try:
            known = self._pair_ids.get((prediction, label))
        except TypeError:
            return 0
        if known is not None:
            return known
        label_id = self._class_id(label)
        prediction_id = self._class_id(prediction)
        if prediction_id == label_id == OTHER and prediction != label:
            prediction_id = OTHER_WRONG
        key = (prediction_id, label_id, self.is_positive(label))
        code = self._by_classes.get(key)
        if code is None:
            code = self._add(key)
        if prediction_id >= 0 and label_id >= 0:  # only these are bounded in number
            self._pair_ids[prediction, label] = code
        return code

    def is_positive(self, label: Any) -> bool:
        """Whether a label is the positive class."""
        return is_positive(label, self.positive_label)

    def positive_class(self) -> int | None:
        """The number of the positive class; None when there is none, or (not configured) over two classes."""
        if self.positive_label is None and len(self.classes) > 2:
            return None
        return next((i for i, label in enumerate(self.classes) if self.is_positive(label)), None)

    def name(self, class_id: int) -> Any:
        """The class as first seen; "other" for what was folded away."""
        return "other" if class_id < 0 else self.classes[class_id]

    def _class_id(self, value: Any) -> int:
        class_id = self._class_ids.get(value)
        if class_id is None:
            if len(self.classes) >= self.max_classes:
                return OTHER
            class_id = self._class_ids[value] = len(self.classes)
            self.classes.append(value)
        return class_id

    def _add(self, key: tuple[int, int, bool]) -> int:
        code = self._by_classes[key] = len(self.pairs)
        self.pairs.append(key[:2])
        self.positive.append(key[2])
        return code

    def dump(self) -> Any:
        """[classes, [[prediction, label, positive] by number from 1]]."""
        pairs = zip(self.pairs[1:], self.positive[1:], strict=True)
        return [list(self.classes), [[p, y, positive] for (p, y), positive in pairs]]

    @classmethod
    def load(cls, state: Any, positive_label: Any, max_classes: int) -> ClassCodes:
        """Continue from `dump`; pairs are known by their classes and found again when they are next seen."""
        codes = cls(positive_label, max_classes)
        classes, pairs = state
        for value in classes:
            codes._class_ids[value] = len(codes.classes)
            codes.classes.append(value)
        for prediction, label, positive in pairs:
            codes._add((prediction, label, positive))
        return codes

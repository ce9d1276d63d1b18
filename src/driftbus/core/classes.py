"""The classes a stream's labels name, and their counts packed into one integer.

Adding two bins' counts is then one addition, however many classes there are. `True`, `1` and `1.0` are
one class (equal, with equal hashes), `"1"` is another; the text first seen names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from driftbus.core.records import Json

# Bits per class in packed counts: 2^40 rows of one class cannot be reached.
CLASS_BITS = 40
# The class that stands for all beyond the limit; no label is likely to read like this.
OTHER_CLASSES = "(other)"


def label_text(label: Json) -> str | None:
    """A class as text: true/false, "1" for 1 and 1.0, other floats by repr, strings as they are; None
    for what is no class (null, arrays, objects)."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer() and abs(label) < 2**63:
        return str(int(label))
    if isinstance(label, int | float):
        return repr(label)
    return label if isinstance(label, str) else None


def class_counts(packed: int, classes: int) -> list[int]:
    """Packed counts as a list, one number per class."""
    mask = (1 << CLASS_BITS) - 1
    return [packed >> (CLASS_BITS * index) & mask for index in range(classes)]


def class_columns(packed: Sequence[int], classes: int) -> list[list[int]]:
    """Packed counts of several bins, as a column per class."""
    size = CLASS_BITS // 8
    raw = b"".join([counts.to_bytes(size * classes, "little") for counts in packed])
    wide = np.zeros((len(packed), classes, 8), np.uint8)
    wide[:, :, :size] = np.frombuffer(raw, np.uint8).reshape(len(packed), classes, size)
    columns: list[list[int]] = wide.view("<i8")[:, :, 0].T.tolist()
    return columns


class ClassTable:
    """`labels`: the raw labels in the order first seen (`OTHER_CLASSES` for all beyond `limit`);
    `units`: raw label → what one row of it adds to packed counts."""

    __slots__ = ("labels", "limit", "units")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.labels: list[Json] = []
        self.units: dict[Json, int] = {}

    def count(self, labels: Sequence[Json]) -> int:
        """Packed counts of some rows' labels."""
        return sum(self.units_of(labels))

    def units_of(self, labels: Sequence[Json]) -> list[int]:
        """What each row adds to packed counts."""
        try:
            return list(map(self.units.__getitem__, labels))
        except (KeyError, TypeError):  # a class not seen before, or no class at all
            return list(map(self._unit_of, labels))

    def _unit_of(self, label: Json) -> int:
        try:
            return self.units[label]
        except (KeyError, TypeError):
            return self.unit(label)

    def unit(self, label: Json) -> int:
        """What a row of a label not seen before adds to packed counts; 0 for what is no class."""
        if label_text(label) is None:
            return 0
        if len(self.labels) < self.limit:
            return self.add(label)
        return self.units[OTHER_CLASSES] if OTHER_CLASSES in self.units else self.add(OTHER_CLASSES)

    def add(self, label: Json) -> int:
        unit = self.units[label] = 1 << (CLASS_BITS * len(self.labels))
        self.labels.append(label)
        return unit

    def texts(self, packed: int) -> dict[str, int]:
        """Packed counts by class text; classes without a row are absent."""
        texts: dict[str, int] = {}
        for label, count in zip(self.labels, class_counts(packed, len(self.labels)), strict=True):
            if count:
                text = label_text(label) or ""
                texts[text] = texts.get(text, 0) + count
        return texts


def is_positive(label: Any, configured: Any) -> bool:
    """Whether a class is the positive one: the configured one, else `1`, `true` or `"1"`."""
    return bool(label == 1 or label == "1" if configured is None else label == configured)

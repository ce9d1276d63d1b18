"""Where rows lie: features cut into at most eight parts, labels into at most four groups.

A row's *places*, one for each feature, count quarters of parts; between the middles of parts `relation`
interpolates.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import pairwise
from math import fsum, inf, nan
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from driftbus.core.classes import label_text
from driftbus.core.packed import squeeze, unsqueeze
from driftbus.core.records import Features, Json

# Parts of a feature, and groups of labels (the last for all that are left): with more, the few hundred rows
# that a probe learns from no longer fill the table.
PARTS, GROUPS = 8, 4
# Steps within a part at which interpolated weights are kept: boundaries run across parts.
QUARTERS = 4
PLACES = PARTS * QUARTERS
# Features that take part, the first ones: each costs a quarter of a microsecond a row and 40 bytes of state.
MOST_FEATURES = 16
# Rows from which it is learned where to cut: their octiles are rough, but parts need only be apart.
CUT_ROWS = 32
# Edges are kept in 4 bytes.
_LARGEST = 3e38

_FLOAT = frozenset({float})

Floats = NDArray[np.float64]
Places = NDArray[np.intp]  # (row, feature)


class Cutting:
    """How a stream's features and labels are cut: learned from `CUT_ROWS` rows, the same ever after. Texts
    and classes that come later are added while there is room.

    `amounts`: labels are numbers, else classes."""

    __slots__ = ("_amounts", "_edges", "_labels", "_marks", "_rows", "_texts")

    def __init__(self, amounts: bool) -> None:
        self._amounts = amounts
        self._rows: list[tuple[dict[str, Any], Any]] = []
        # By feature: edges between parts (numbers), or what stands for each text.
        self._marks: dict[str, tuple[str, list[Any]]] = {}
        self._labels: list[Any] = []
        # Of texts their places, by feature; and the edges between all places, a feature a row.
        self._texts: dict[str, dict[int, int]] = {}
        self._edges: Floats = np.empty((0, PLACES - 1))

    @property
    def ready(self) -> bool:
        """Whether it is known where to cut."""
        return bool(self._marks)

    @property
    def smooth(self) -> list[bool]:
        """Of each feature: whether weights between its parts make sense."""
        return [kind == "smooth" for kind, _ in self._marks.values()]

    def learn(self, features: Features, label: Json) -> None:
        """One row to learn from."""
        row: dict[str, Any] = features
        if not _plain(features.values()):
            row = {name: found for name, value in features.items() if (found := _value(value)) is not None}
        self._rows.append((row, self._label(label)))
        if len(self._rows) < CUT_ROWS:
            return
        columns: dict[str, list[Any]] = {}
        for row, _ in self._rows:
            for name, value in row.items():
                if name in columns or len(columns) < MOST_FEATURES:
                    columns.setdefault(name, []).append(value)
        self._marks = {name: _marks(values) for name, values in columns.items()}
        if self._amounts:
            self._labels = _quantiles(sorted(label for _, label in self._rows), range(1, GROUPS), GROUPS)
        self._rows.clear()
        self._make_plan()

    def _make_plan(self) -> None:
        self._edges = np.full((len(self._marks), PLACES - 1), np.nan)  # nothing lies beyond NaN
        for edges, (name, (kind, marks)) in zip(self._edges, self._marks.items(), strict=True):
            if kind == "text":
                self._texts[name] = {text: at * QUARTERS for at, text in enumerate(marks)}
                edges[:] = range(1, PLACES)
                continue
            between = [edge for edge in marks for _ in range(QUARTERS)]
            if kind == "smooth":
                between = [
                    low + (high - low) * quarter / QUARTERS
                    for low, high in pairwise(marks)
                    for quarter in range(QUARTERS)
                ][1:]
            edges[: len(between)] = between

    @property
    def edges(self) -> dict[str, list[float]]:
        """Between a feature's places, NaN where there are no more."""
        return dict(zip(self._marks, self._edges.tolist(), strict=True))

    def measure(self, rows: Sequence[Features]) -> list[float]:
        """Rows as numbers, one for each feature: its value, a text's place, NaN where it is missing or of
        another type."""
        marks, texts = self._marks, self._texts
        if not texts:
            try:
                values = [row[name] for row in rows for name in marks]
            except KeyError:
                values = [None]
            if _FLOAT.issuperset(map(type, values)):
                return values
        return [
            _measure(row.get(name)) if name not in texts else self._place(name, row.get(name))
            for row in rows
            for name in marks
        ]

    def places(self, measures: Sequence[float]) -> Places:
        """Where each feature of measured rows lies, in quarters of parts; −1 where it is missing."""
        values = np.array(measures).reshape(-1, len(self._edges), 1)
        places: Places = np.count_nonzero(values >= self._edges, axis=2)
        places[np.isnan(values[:, :, 0])] = -1
        return places

    def _place(self, name: str, value: Any) -> float:
        if not isinstance(value, str):
            return nan
        code = crc32(value.encode("utf-8", "surrogatepass"))
        place = self._texts[name].get(code)
        return self._admit(name, self._texts[name], code) if place is None else place

    def _admit(self, name: str, texts: dict[int, int], code: int) -> int:
        """The place of a text not seen before: the last part stands for all that are left."""
        if len(texts) < PARTS - 1:
            texts[code] = len(texts) * QUARTERS
            self._marks[name][1].append(code)
            return texts[code]
        return (PARTS - 1) * QUARTERS

    def group(self, label: Json) -> int:
        """The group of a label."""
        if self._amounts:
            return bisect_right(self._labels, self._label(label))
        text = self._label(label)
        if text in self._labels:
            return self._labels.index(text)
        if len(self._labels) < GROUPS - 1:
            self._labels.append(text)
            return len(self._labels) - 1
        return GROUPS - 1

    def takes(self, label: Json) -> bool:
        """Whether a label is one of these: a number, or a class."""
        return (
            isinstance(label, int | float) if self._amounts else isinstance(label, bool | int | float | str)
        )

    def _label(self, label: Any) -> Any:
        return _bounded(label) if self._amounts else label_text(label)

    def dump(self) -> Any:
        """As JSON-able values."""
        numbers = [mark for kind, marks in self._marks.values() if kind != "text" for mark in marks]
        labels = self._labels
        return {
            "amounts": self._amounts,
            "rows": [[row, label] for row, label in self._rows],
            "marks": [
                [name, kind, marks if kind == "text" else len(marks)]
                for name, (kind, marks) in self._marks.items()
            ],
            "edges": squeeze(struct.pack(f"<{len(numbers)}f", *numbers)),
            "labels": labels,
        }

    @classmethod
    def load(cls, state: Any) -> Cutting:
        """What `dump` was called on."""
        self = cls(state["amounts"])
        self._rows = [(dict(row), label) for row, label in state["rows"]]
        raw = unsqueeze(state["edges"])
        edges = iter(struct.unpack(f"<{len(raw) // 4}f", raw))
        for name, kind, marks in state["marks"]:
            known = list(marks) if kind == "text" else [next(edges) for _ in range(marks)]
            self._marks[name] = (kind, known)
        self._labels = list(state["labels"])
        self._make_plan()
        return self


def _value(value: Any) -> float | int | None:
    """A number as a float, a text as the whole number that stands for it, else nothing."""
    if isinstance(value, str):
        return crc32(value.encode("utf-8", "surrogatepass"))
    return _bounded(value) if isinstance(value, bool | int | float) and value == value else None


def _plain(values: Collection[Any]) -> bool:
    """Whether all are floats that stay as they are; a cheap look, as most rows are of such."""
    return (
        _FLOAT.issuperset(map(type, values))
        and min(values) >= -_LARGEST
        and max(values) <= _LARGEST
        and fsum(values) < inf  # no NaN among them
    )


def _measure(value: Any) -> float:
    return _bounded(value) if isinstance(value, bool | int | float) else nan


def _bounded(value: float) -> float:
    return float(min(max(value, -_LARGEST), _LARGEST))


def _marks(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """How a feature with such values is cut: `text`, `stepped` (few values: edges between them) or `smooth`
    (edges around and between parts of equally many)."""
    if isinstance(values[0], int):
        return "text", list(dict.fromkeys(v for v in values if isinstance(v, int)))[: PARTS - 1]
    numbers = sorted(v for v in values if isinstance(v, float))
    distinct = sorted(set(numbers))
    if len(distinct) <= PARTS:
        return "stepped", [_short(a / 2.0 + b / 2.0) for a, b in pairwise(distinct)]
    return "smooth", _quantiles(numbers, range(PARTS + 1), PARTS)


def _quantiles(ordered: Sequence[float], which: range, parts: int) -> list[float]:
    """Edges of parts of equally many of these; fewer where many are equal."""
    last = len(ordered) - 1
    return sorted({_short(ordered[min(len(ordered) * k // parts, last)]) for k in which})


def _short(value: float) -> float:
    """As it will be read back from 4 bytes."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])

"""Which labels go with which features, in a few hundred bytes: enough to know the same relation again.

Idea: features are cut into at most eight parts each, labels into at most four groups, and it is counted how
often they meet. A naive Bayes classifier of these counts (Domingos and Pazzani 1997), its weights rounded and
frozen, is a *probe*: it sorts any row into one of a few *cells* by what it takes it for, and how surely.

    score[g] = prior[g] + Σ_j weight[j][part of x_j][g]     cell = (likeliest g, how far ahead of the next)

How labels then fall in each cell is a relation's own table; rows of another relation fall otherwise.
Between the middles of parts weights are interpolated, in quarters of a part. All sums are of whole numbers,
so nothing depends on the order of rows, or on where blocks are cut. A missing feature says nothing.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import log
from typing import Any
from zlib import crc32

import numpy as np

from driftbus.core.classes import label_text
from driftbus.core.packed import pack, squeeze, unpack, unsqueeze
from driftbus.core.records import Features, Json

# Parts of a feature, and groups of labels (the last for all that are left): with more, the few hundred rows
# that a probe learns from no longer fill the table.
PARTS, GROUPS = 8, 4
# Steps within a part at which interpolated weights are kept: boundaries run across parts.
QUARTERS = 4
# Features that take part, the first ones: each costs a quarter of a microsecond a row and 40 bytes of state.
MOST_FEATURES = 16
# Rows from which it is learned where to cut: their octiles are rough, but parts need only be apart.
CUT_ROWS = 32
# Weights are whole eighths of a nat up to 15 nats: a byte each.
UNIT, GREATEST = 8, 120
# How far the likeliest group is ahead, in eighths of a nat: levels that are each filled by well-kept models.
MARGINS = (4, 8, 16, 32)
LEVELS = len(MARGINS) + 1
CELLS = GROUPS * LEVELS
# Scores of all groups are one whole number, 16 bits a group: 17 weights of at most 255 stay below.
_BITS, _MASK, _ORIGIN = 16, 0xFFFF, 128
_SHIFTS = np.arange(GROUPS) * _BITS
# Edges are kept in 4 bytes.
_LARGEST = 3e38

# Labels by group, a row of GROUPS numbers per cell.
Table = list[int]


def empty() -> Table:
    """A table without rows."""
    return [0] * (CELLS * GROUPS)


class Cutting:
    """How a stream's features and labels are cut: learned from `CUT_ROWS` rows, the same ever after. Texts
    and classes that come later are added while there is room.

    `amounts`: labels are numbers, else classes."""

    __slots__ = ("_amounts", "_labels", "_marks", "_plan", "_rows")

    def __init__(self, amounts: bool) -> None:
        self._amounts = amounts
        self._rows: list[tuple[dict[str, Any], Any]] = []
        # By feature: edges between parts (numbers), or what stands for each text.
        self._marks: dict[str, tuple[str, list[Any]]] = {}
        self._labels: list[Any] = []
        self._plan: list[tuple[str, dict[int, int] | None, list[float]]] = []

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
        self._plan = []
        for name, (kind, marks) in self._marks.items():
            if kind == "text":
                self._plan.append((name, {text: at * QUARTERS for at, text in enumerate(marks)}, []))
                continue
            edges = [edge for edge in marks for _ in range(QUARTERS)]
            if kind == "smooth":
                edges = [
                    low + (high - low) * quarter / QUARTERS
                    for low, high in pairwise(marks)
                    for quarter in range(QUARTERS)
                ][1:]
            self._plan.append((name, None, edges))

    def place(self, features: Features) -> list[int]:
        """Where each feature lies, in quarters of parts; −1 where it is missing or of another type."""
        places = []
        for name, texts, edges in self._plan:
            value = features.get(name)
            kind = type(value)
            if texts is None:
                numeric = kind is float or kind is int or kind is bool
                places.append(bisect_right(edges, value) if numeric else -1)  # type: ignore[type-var]
            elif kind is str:
                code = crc32(str(value).encode("utf-8", "surrogatepass"))
                place = texts.get(code)
                places.append(self._admit(name, texts, code) if place is None else place)
            else:
                places.append(-1)
        return places

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


class Probe:
    """A frozen classifier: a row's places in, its cell out."""

    __slots__ = ("_priors", "_scores", "_smooth", "weights")

    def __init__(self, weights: list[int], smooth: Sequence[bool]) -> None:
        """`weights`: priors, then by feature, part and group; `smooth`: see `Cutting`."""
        self.weights = weights
        self._priors = _together(weights[:GROUPS])
        self._smooth = smooth
        self._scores: list[list[int]] | None = None

    def _scored(self) -> list[list[int]]:
        """By feature and place, what is added to the groups; the last place is −1: missing. Made when the
        first row comes, as a stream that is restored may wait for it for long."""
        rows = np.array(self.weights[GROUPS:], np.int64).reshape(-1, PARTS, GROUPS)
        below, above = rows[:, [0, *range(PARTS - 1)]], rows[:, [*range(1, PARTS), PARTS - 1]]
        smooth = np.array(self._smooth, np.int64)[:, None, None]
        scores = np.empty((len(rows), PARTS, QUARTERS), np.int64)
        for quarter in range(QUARTERS):
            off = 2 * quarter + 1 - QUARTERS
            other = above if off > 0 else below
            mixed = rows + smooth * ((other - rows) * abs(off) // (2 * QUARTERS))
            scores[:, :, quarter] = ((mixed + _ORIGIN) << _SHIFTS).sum(axis=2)
        missing = _together([0] * GROUPS)
        found = [[*places, missing] for places in scores.reshape(len(rows), -1).tolist()]
        self._scores = found
        return found

    @classmethod
    def of(cls, counts: Sequence[int], smooth: Sequence[bool]) -> Probe:
        """The classifier of these counts (`Counts.counts`)."""
        weights = [_weight(count + 0.5) for count in counts[:GROUPS]]
        weights = [max(weight - max(weights), -GREATEST) for weight in weights]
        for start, between in zip(range(GROUPS, len(counts), PARTS * GROUPS), smooth, strict=True):
            block: Sequence[float] = counts[start : start + PARTS * GROUPS]
            if between:
                block = _smoothed(block)
            seen = [sum(block[group::GROUPS]) for group in range(GROUPS)]
            everywhere = sum(seen) + 0.5 * PARTS * GROUPS
            for part in range(0, PARTS * GROUPS, GROUPS):
                row = block[part : part + GROUPS]
                # How much likelier this part is in a group than overall: where nothing was seen, not at all.
                here = (sum(row) + 0.5 * GROUPS) / everywhere
                weights += [
                    _weight((n + 0.5) / (total + 0.5 * PARTS) / here)
                    for n, total in zip(row, seen, strict=True)
                ]
        return cls(weights, smooth)

    def cell(self, places: Sequence[int]) -> int:
        """The cell of a row."""
        total = self._priors
        for place, scores in zip(places, self._scores or self._scored(), strict=True):
            total += scores[place]
        scores = [total & _MASK, total >> 16 & _MASK, total >> 32 & _MASK, total >> 48]
        best = max(scores)
        group = scores.index(best)
        scores[group] = -1
        return group * LEVELS + bisect_right(MARGINS, best - max(scores))


class Counts:
    """What a probe is made of: how often parts and groups meet."""

    __slots__ = ("counts", "rows")

    def __init__(self, features: int, counts: list[int] | None = None) -> None:
        self.counts = counts or [0] * (GROUPS + features * PARTS * GROUPS)
        self.rows = sum(self.counts[:GROUPS])

    def add(self, places: Sequence[int], group: int) -> None:
        """One row."""
        counts = self.counts
        self.rows += 1
        counts[group] += 1
        at = GROUPS + group
        for place in places:
            if place >= 0:
                counts[at + place // QUARTERS * GROUPS] += 1
            at += PARTS * GROUPS


def _smoothed(block: Sequence[float]) -> list[float]:
    """A feature's counts, each part with a quarter of its neighbours': what is side by side is alike."""
    rows = [block[at : at + GROUPS] for at in range(0, PARTS * GROUPS, GROUPS)]
    return [
        (below + 2 * here + above) / 4.0
        for low, row, high in zip([rows[0], *rows[:-1]], rows, [*rows[1:], rows[-1]], strict=True)
        for below, here, above in zip(low, row, high, strict=True)
    ]


def dump_columns(*columns: Sequence[int]) -> str:
    """Weights, counts, tables as text."""
    return pack(columns)


def load_columns(text: str) -> list[list[int]]:
    """What `dump_columns` was given."""
    return unpack(text)


def _value(value: Any) -> float | int | None:
    """A number as a float, a text as the whole number that stands for it, else nothing."""
    if isinstance(value, str):
        return crc32(value.encode("utf-8", "surrogatepass"))
    return _bounded(value) if isinstance(value, bool | int | float) else None


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


def _weight(ratio: float) -> int:
    return max(-GREATEST, min(GREATEST, round(UNIT * log(ratio))))


def _together(weights: Sequence[int]) -> int:
    return sum((weight + _ORIGIN) << (_BITS * group) for group, weight in enumerate(weights))


def rows_of(table: Table) -> list[list[int]]:
    """A table's cells."""
    return [table[at : at + GROUPS] for at in range(0, CELLS * GROUPS, GROUPS)]

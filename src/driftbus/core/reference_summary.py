"""Rows of a training set → their `Reference`: one pass, bounded memory, no row kept in what comes out.

    rows = TrainingRows(policy)
    for features, score in …: rows.add(features, score)
    reference, left_out = rows.reference()

Counts, categories and ends are of all rows; quantiles, mean and deviation of a sample: blocks of 64 rows in a
row, every 2ᵏ-th of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, isfinite, sqrt
from typing import Any

import orjson

from driftbus.core.categories import LONGEST, Category
from driftbus.core.features import globs
from driftbus.core.reference import LEVELS, CategorySummary, NumberSummary, Reference, Summary, fences_of
from driftbus.core.reference_checks import MAX_CATEGORIES
from driftbus.core.scaling import BIN, HUGE
from driftbus.core.settings import FeaturePolicy
from driftbus.core.shares import TURN

# 16,384 rows: a mean is then known to .8 % of a standard deviation, a hundredth of what matters; 100 features
# take 50 MB.
SAMPLED_BLOCKS = 256
# With fewer values a mean is known to a tenth of a standard deviation at best: own rows are better then.
LEAST_VALUES = 100
# Categories counted of one feature while rows are read: what has more is no category that could be told.
MOST_COUNTED = 20_000
# Means of 16 that tell how much these vary: to 13 %.
LEAST_MEANS = 30
# A mean of fewer than half of its rows varies more than others.
LEAST_OF_BIN = BIN // 2
# A third of what a topic takes: room for long names.
MOST_BYTES = 300_000

_NUMBERS = frozenset({int, float, bool})


class TrainingRows:
    """The rows so far. `ordered`: they are in the order of time, so neighbours tell how alike these are."""

    def __init__(self, policy: FeaturePolicy, *, ordered: bool = False) -> None:
        self.ordered = ordered
        self.rows = 0
        self._policy = policy
        self._watch, self._ignore = globs(policy.watch), globs(policy.ignore)
        self._categorical, self._redacted = globs(policy.categorical), globs(policy.redact)
        self._columns: dict[str, _Column] = {}
        self._score = _Column(countable=False)
        self._stride = 1

    def add(self, features: Mapping[str, Any] | None, score: Any = None) -> None:
        """One row; a `score` per class is not taken."""
        block, within = divmod(self.rows, TURN)
        if block // self._stride >= SAMPLED_BLOCKS and not within:
            self._stride *= 2
            for column in (*self._columns.values(), self._score):
                column.thin()
        sampled = block % self._stride == 0
        place = block // self._stride * TURN + within
        self.rows += 1
        columns = self._columns
        for name, value in (features or {}).items():
            if name not in columns:
                columns[name] = _Column()
            columns[name].add(value, place if sampled else None)
        if score is not None:
            self._score.add(score, place if sampled else None)

    def reference(self) -> tuple[Reference, dict[str, str]]:
        """What the rows come to, and why features are not in it. At least one row."""
        found: dict[str, Summary] = {}
        left_out: dict[str, str] = {}
        for name, column in self._columns.items():
            why = self._left_out(name, column, len(found))
            if why is not None:
                left_out[name] = why
                continue
            categorical = self._categorical.match(name) is not None or 2 * column.texts >= column.count
            found[name] = (
                column.category(self.rows) if categorical else column.number(self.rows, self.ordered)
            )
        score = None
        if self._score.numbers >= LEAST_VALUES:
            score = self._score.number(self.rows, self.ordered)
        return _fitting(Reference(self.rows, found, score)), left_out

    def _left_out(self, name: str, column: _Column, taken: int) -> str | None:
        if not self._watch.match(name) or self._ignore.match(name):
            return "not watched"
        if self._redacted.match(name):
            return "redacted"
        if column.count < LEAST_VALUES:
            return f"fewer than {LEAST_VALUES} values"
        return f"beyond features.max ({self._policy.max})" if taken >= self._policy.max else None


class _Column:
    """The values of one feature: `count` that can be watched, `texts` and `numbers` among them."""

    __slots__ = ("_counts", "_sample", "count", "least", "most", "numbers", "other", "texts")

    def __init__(self, *, countable: bool = True) -> None:
        self.count = self.texts = self.numbers = self.other = 0
        self.least, self.most = HUGE, -HUGE
        self._counts: dict[Category, int] | None = {} if countable else None
        self._sample: dict[int, float] = {}  # by place: numbers only

    def add(self, value: Any, place: int | None) -> None:
        kind = type(value)
        if kind is str:
            self.texts += 1
            value = value[:LONGEST]
        elif kind in _NUMBERS and isfinite(value):
            number = min(max(float(value), -HUGE), HUGE)
            self.numbers += 1
            self.least, self.most = min(self.least, number), max(self.most, number)
            if place is not None:
                self._sample[place] = number
        else:
            return
        self.count += 1
        counts = self._counts
        if counts is None:
            return
        if value in counts or len(counts) < MOST_COUNTED:
            counts[value] = counts.get(value, 0) + 1
        elif not self.texts:
            self._counts = None  # a number
        else:
            self.other += 1

    def thin(self) -> None:
        """Every other block of the sample."""
        kept = [(place, x) for place, x in self._sample.items() if place // TURN % 2 == 0]
        self._sample = {place // (2 * TURN) * TURN + place % TURN: x for place, x in kept}

    def number(self, rows: int, ordered: bool) -> NumberSummary:
        """Of the numbers; texts among them are missing."""
        values = sorted(self._sample.values())
        inner = [_quantile(values, level) for level in LEVELS[1:-1]]
        quantiles = (self.least, *inner, self.most)
        low, high = fences_of(quantiles)
        clipped = {place: min(max(x, low), high) for place, x in self._sample.items()}
        mean, deviation = _moments(list(clipped.values()))
        means = _deviation_of_means(clipped) if ordered else None
        missing = 1.0 - self.numbers / rows
        return NumberSummary(self.numbers, missing, mean, deviation, quantiles, means)

    def category(self, rows: int) -> CategorySummary:
        """Of all values; the rarest beyond `MAX_CATEGORIES` are others."""
        counts = self._counts or {}
        missing = 1.0 - self.count / rows
        summary = CategorySummary(
            self.count,
            missing,
            tuple((category, n / self.count) for category, n in counts.items()),
            self.other / self.count,
            # As many as there were once (Good, Biometrika 40, 1953).
            sum(n == 1 for n in counts.values()) / self.count,
        )
        return _with_most(summary, MAX_CATEGORIES)


def _with_most(summary: CategorySummary, most: int) -> CategorySummary:
    """The summary with at most so many shares."""
    shares = sorted(summary.shares, key=lambda pair: (-pair[1], str(pair[0])))
    if len(shares) > most:
        other = summary.other + fsum([share for _, share in shares[most:]])
        shares = shares[:most]
    else:
        other = summary.other
    # Where others are not told apart, none is unseen.
    unseen = 0.0 if other else summary.unseen
    return CategorySummary(summary.count, summary.missing, tuple(shares), min(other, 1.0), unseen)


def _fitting(reference: Reference) -> Reference:
    """The reference with as many categories as a message has room for."""
    most = MAX_CATEGORIES
    while most > 1 and len(orjson.dumps(reference.as_json())) > MOST_BYTES:
        most //= 2
        fewer = {
            name: _with_most(summary, most) if isinstance(summary, CategorySummary) else summary
            for name, summary in reference.features.items()
        }
        reference = Reference(reference.rows, fewer, reference.score)
    return reference


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    part = place - below
    return ordered[below] if part == 0.0 else ordered[below] * (1.0 - part) + ordered[below + 1] * part


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of at least one value."""
    mean = fsum(values) / len(values)
    return mean, sqrt(fsum([(x - mean) ** 2 for x in values]) / max(len(values) - 1, 1))


def _deviation_of_means(sample: Mapping[int, float]) -> float | None:
    """Of means of 16 rows in a row; None where there are too few."""
    bins: dict[int, list[float]] = {}
    for place, x in sample.items():
        bins.setdefault(place // BIN, []).append(x)
    means = [fsum(values) / len(values) for values in bins.values() if len(values) >= LEAST_OF_BIN]
    return _moments(means)[1] if len(means) >= LEAST_MEANS else None

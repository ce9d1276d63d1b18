"""Is it a reference: what a `reference-set` event may hold, checked before anything is made of it.

Each check raises `InvalidRecord` with the reason the event is dead-lettered for. Fields that are unknown are
not kept.
"""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

from driftbus.core.categories import LONGEST, Category
from driftbus.core.reference import LEVELS, CategorySummary, NumberSummary, Reference, Summary
from driftbus.core.scaling import HUGE
from driftbus.core.validity import MAX_NAME_CHARS, refuse

# More than any stream watches (`features.max` is 100 by default), and still read in a few milliseconds.
MAX_FEATURES = 1_000
# As many as a stream keeps of one feature by default (`limits.max_categories`).
MAX_CATEGORIES = 1_000
# Of all features together: a reference is kept in the stream's snapshots, 1 MB of it at most.
MAX_ALL_CATEGORIES = 20_000
# Counts beyond this are no counts, and no longer exact in JSON.
_MOST_ROWS = 2**53
# What writers round away may make a mean lie that much (of the whole range) outside.
_ROUNDED = 1e-6


def reference_of(raw: Any) -> Reference:
    """The `reference` of an event. Raises `InvalidRecord` for anything that is none."""
    if type(raw) is not dict:
        refuse("missing_field" if raw is None else "wrong_type", "reference is not an object")
    features = raw.get("features", {})
    if type(features) is not dict:
        refuse("wrong_type", "reference: features is not an object")
    if len(features) > MAX_FEATURES:
        refuse("too_large", f"reference: {len(features)} features, more than {MAX_FEATURES}")
    found: dict[str, Summary] = {}
    categories = 0
    for name, summary in features.items():
        if len(name) > MAX_NAME_CHARS:
            refuse("too_long", f"reference: a feature's name has more than {MAX_NAME_CHARS} characters")
        one = found[name] = summary_of(summary, f"reference: {name!r:.60}")
        categories += len(one.shares) if isinstance(one, CategorySummary) else 0
    if categories > MAX_ALL_CATEGORIES:
        refuse("too_large", f"reference: {categories} categories, more than {MAX_ALL_CATEGORIES}")
    score = None if raw.get("score") is None else _number(raw["score"], "reference: score")
    return Reference(_count(raw.get("rows"), "reference: rows"), found, score)


def summary_of(raw: Any, where: str) -> Summary:
    """One feature of a reference; `where` it stands, for the refusal. Raises `InvalidRecord`."""
    kind = raw.get("kind") if type(raw) is dict else None
    if kind == NumberSummary.kind:
        return _number(raw, where)
    if kind == CategorySummary.kind:
        return _category(raw, where)
    return refuse("wrong_value", f"{where}: kind {kind!r:.60} is neither numeric nor categorical")


def _number(raw: Any, where: str) -> NumberSummary:
    if type(raw) is not dict or raw.get("kind", NumberSummary.kind) != NumberSummary.kind:
        refuse("wrong_type", f"{where} is no summary of numbers")
    quantiles = raw.get("quantiles")
    if type(quantiles) is not list or len(quantiles) != len(LEVELS):
        refuse("wrong_value", f"{where}: quantiles are not {len(LEVELS)} numbers")
    given = tuple(_finite(q, f"{where}: a quantile") for q in quantiles)
    if any(a > b for a, b in pairwise(given)):
        refuse("wrong_value", f"{where}: quantiles fall")
    least, most = given[0], given[-1]
    slack = _ROUNDED * max(most - least, abs(least), abs(most))
    mean = _finite(raw.get("mean"), f"{where}: mean")
    if not least - slack <= mean <= most + slack:
        refuse("wrong_value", f"{where}: the mean is outside of the quantiles")
    deviations = [raw.get("deviation"), raw.get("means_deviation")]
    for value in deviations if deviations[1] is not None else deviations[:1]:
        if not 0.0 <= _finite(value, f"{where}: a deviation") <= most - least + slack:
            refuse("wrong_value", f"{where}: a deviation is negative or greater than the range")
    deviation, means = (None if value is None else float(value) for value in deviations)
    return NumberSummary(
        _count(raw.get("count"), f"{where}: count"),
        _share(raw.get("missing", 0.0), f"{where}: missing"),
        mean,
        deviation or 0.0,
        given,
        means,
    )


def _category(raw: dict[str, Any], where: str) -> CategorySummary:
    shares = raw.get("shares")
    if type(shares) is not list or not 0 < len(shares) <= MAX_CATEGORIES:
        refuse("wrong_value", f"{where}: shares are not a list of 1 to {MAX_CATEGORIES}")
    found: dict[Category, float] = {}
    total = other = _share(raw.get("other", 0.0), f"{where}: other")
    for pair in shares:
        if type(pair) is not list or len(pair) != 2:
            refuse("wrong_type", f"{where}: a share is no pair of category and share")
        category = pair[0]
        if type(category) is str:
            category = category[:LONGEST]
        elif type(category) is not bool:
            _finite(category, f"{where}: a category")
        if category in found:
            refuse("wrong_value", f"{where}: a category stands there twice")
        found[category] = _share(pair[1], f"{where}: a share")
        total += found[category]
    if not abs(total - 1.0) <= len(shares) * _ROUNDED + 1e-3:
        refuse("wrong_value", f"{where}: the shares add up to {total:.6g}, not to 1")
    return CategorySummary(
        _count(raw.get("count"), f"{where}: count"),
        _share(raw.get("missing", 0.0), f"{where}: missing"),
        tuple(found.items()),
        other,
        _share(raw.get("unseen", 0.0), f"{where}: unseen"),
    )


def _finite(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        refuse("wrong_type", f"{where} is no finite number")
    if not -HUGE <= value <= HUGE:
        refuse("number_range", f"{where} is beyond {HUGE:g}")
    return float(value)


def _share(value: Any, where: str) -> float:
    share = _finite(value, where)
    if not 0.0 <= share <= 1.0:
        refuse("wrong_value", f"{where} is not between 0 and 1")
    return share


def _count(value: Any, where: str) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_ROWS:
        refuse("wrong_value", f"{where} is no whole number of at least 1")
    return int(value)

"""Gradient descent over a run of rows of the same features, with every weight in a local variable.

The same arithmetic in the same order as `linear.py`'s row-by-row way, so a run equals its rows bit for bit;
written out for a number of features, since a loop over lists takes three times as long. The text that is
compiled is made of the number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import exp
from typing import Any

# Written out up to here: compiling takes a millisecond, and rows this wide are rare.
MOST_FEATURES = 64

_LOGISTIC = """
def descent(rows, targets, rate, intercept, weights):
    {unpack} = weights
    chances = []
    add = chances.append
    for ({scaled},), target in zip(rows, targets):
        margin = intercept + {products}
        chance = 1.0 / (1.0 + exp(-margin)) if -30.0 <= margin <= 30.0 else 1.0 if margin > 0.0 else 0.0
        add(chance)
        step = rate * (chance - target)
        intercept -= step
        {updates}
    return chances, intercept, [{weights}]
"""

_LINEAR = """
def descent(rows, targets, rate, intercept, weights):
    {unpack} = weights
    guesses = []
    add = guesses.append
    for ({scaled},), target in zip(rows, targets):
        margin = intercept + {products}
        add(margin)
        length = 1.0 + {squares}
        gradient = 2.0 * (margin - target) / max(1.0, 2.0 * rate * length)
        step = rate * min(max(gradient, -{limit}), {limit})
        intercept -= step
        {updates}
    return guesses, intercept, [{weights}]
"""

Descent = Callable[
    [Sequence[Sequence[float]], Sequence[float], float, float, list[float]],
    tuple[list[float], float, list[float]],
]

# River's bound of a linear model's gradient.
GRADIENT_LIMIT = 1e12


def logistic_descent(features: int) -> Descent:
    """(scaled rows, targets 0 or 1, rate, intercept, weights) → chances before learning, and both after."""
    return _written(_LOGISTIC, features)


def linear_descent(features: int) -> Descent:
    """(scaled rows, targets, rate, intercept, weights) → predictions before learning, and both after."""
    return _written(_LINEAR, features)


@lru_cache(maxsize=2 * MOST_FEATURES)
def _written(template: str, features: int) -> Descent:
    if not 0 < features <= MOST_FEATURES:
        raise ValueError(f"{features} features are not written out")
    each = range(features)
    weights = ", ".join(f"w{i}" for i in each)
    source = template.format(
        unpack=f"[{weights}]",
        scaled=", ".join(f"z{i}" for i in each),
        products=" + ".join(f"z{i} * w{i}" for i in each),
        squares=" + ".join(f"z{i} * z{i}" for i in each),
        updates="; ".join(f"w{i} -= step * z{i}" for i in each),
        weights=weights,
        limit=GRADIENT_LIMIT,
    )
    scope: dict[str, Any] = {"exp": exp}
    exec(source, scope)  # noqa: S102 - the text is made here, of a number
    descent: Descent = scope["descent"]
    return descent

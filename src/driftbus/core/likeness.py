"""Do two samples of rows show the same relation of features and label? From their tables (`relation`). Pure.

Per cell, labels are drawn from one distribution if the relation is the same, else from two. With Dirichlet
priors (1/2 each) the marginal likelihoods give the weight of evidence for "the same" in closed form; the
squared distance of the two, sampling error taken off, says how far apart they are; and the mean logarithm of
what one table gives the other's labels, over their own frequencies, how much it knows of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log
from typing import NamedTuple

from driftbus.core.cutting import GROUPS
from driftbus.core.relation import Table, rows_of

_PRIOR = 0.5
# More rows than this prove differences that matter to nobody: larger tables are scaled down to it.
MOST_ROWS = 2_000


class Likeness(NamedTuple):
    """`same`: weight of evidence (nats) that both are of one relation. `distance`: mean squared difference of
    the labels' shares, over rows of the second, below 0 by chance; `error`: its standard error if both are of
    one relation. `known`: what the first table knows of the second's labels, nats a row. `rows`: of the
    second."""

    same: float
    distance: float
    error: float
    known: float
    rows: int


def compare(first: Table, second: Table) -> Likeness:
    """How like the second is to the first; both must have rows."""
    rows, kept = sum(second), sum(first)
    shrink, shrink_kept = min(1.0, MOST_ROWS / rows), min(1.0, MOST_ROWS / kept)
    base = [sum(second[group::GROUPS]) for group in range(GROUPS)]
    groups = sum(b > 0 or sum(first[group::GROUPS]) > 0 for group, b in enumerate(base))
    same = distance = known = variance = 0.0
    for a, b in zip(rows_of(first), rows_of(second), strict=True):
        n, m = sum(a), sum(b)
        if not m:
            continue
        for group, count in enumerate(b):
            if count:
                known += count * log((a[group] + _PRIOR) / (n + _PRIOR * groups) * rows / base[group])
        if not n:
            continue
        x, y = [count * shrink_kept for count in a], [count * shrink for count in b]
        same += _marginal([u + v for u, v in zip(x, y, strict=True)], groups)
        same -= _marginal(x, groups) + _marginal(y, groups)
        if n > 1 and m > 1:
            chance = moved = 0.0
            for u, v in zip(a, b, strict=True):
                p, q = u / n, v / m
                moved += (p - q) ** 2 / 2.0
                chance += (p * (1.0 - p) / (n - 1) + q * (1.0 - q) / (m - 1)) / 2.0
            distance += m / rows * (moved - chance)
            variance += 2.0 * (m / rows * chance) ** 2
    return Likeness(same, distance, variance**0.5, known / rows, rows)


def _marginal(counts: Sequence[float], groups: int) -> float:
    """Log-likelihood of counts in so many groups under the prior alone, less the multinomial's constant."""
    total = lgamma(groups * _PRIOR) - lgamma(sum(counts) + groups * _PRIOR)
    for count in counts:
        if count:
            total += lgamma(count + _PRIOR) - lgamma(_PRIOR)
    return total

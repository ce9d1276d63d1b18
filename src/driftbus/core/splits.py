"""One change, or two? An open episode's bins, and an alarm within it. Pure.

Three levels with a second step at the alarm's onset, against one change of any width over all rows: the gain
in log-likelihood, dispersion taken out. A ramp raises alarm after alarm, but one ramp explains them all; two
steps no ramp explains.
"""

from __future__ import annotations

import numpy as np

from driftbus.core.history import Columns
from driftbus.core.steps import MIN_BEFORE, bernoulli, is_binary, scan
from driftbus.core.verdict import best_rise, judge

# Gain from which two changes are told: a constant, and a part of what one change explains already, because
# ramps are tried on a grid and real ones are not straight. Measured, 8 streams each, greatest gain of all
# looks: two medium rises 3,000 apart from p = .02 have 13 to 22 (one 7), 1,000 apart from .05 11 to 18; ramps
# and logistic curves over 2,000 and 8,000 rows 0 to 8, of 40 two 11 and 12.
GAIN, GAIN_RATIO = 7.0, 0.05
# Rows needed before the second onset, since the first: to know the level between.
BETWEEN = MIN_BEFORE


def two_changes(columns: Columns, first_seq: int, second_seq: int) -> bool:
    """Whether a step at `second_seq`, after a change at `first_seq`, is better than one longer change."""
    cut = int(np.searchsorted(columns.first_seq, second_seq))
    first = int(np.searchsorted(columns.first_seq, first_seq))
    between = float(np.cumsum(columns.n[first:cut])[-1]) if cut > first else 0.0
    if between < BETWEEN or cut >= len(columns.n) or not is_binary(columns):
        return False
    whole, early, late = columns, columns.part(0, cut), columns.part(cut)
    step = scan(whole)
    if step is None:
        return False
    one = _likelihood(whole)
    two = _likelihood(early) + _level(late)
    base = _level(whole)
    gain, explained = (two - one) / step.dispersion, (one - base) / step.dispersion
    return gain >= GAIN + GAIN_RATIO * explained


def level_between(columns: Columns, second_seq: int) -> int:
    """The seq from which the level before the second change holds."""
    first = columns.part(0, int(np.searchsorted(columns.first_seq, second_seq)))
    verdict = judge(first)
    last = len(first.n) - 1
    return int(first.first_seq[last if verdict is None else min(verdict.end, last)])


def _likelihood(columns: Columns) -> float:
    """Of the best single change, or of one level where there is none."""
    base, step = _level(columns), scan(columns)
    if step is None:
        return base
    return base + max(step.llr, best_rise(columns, step)) * step.dispersion


def _level(columns: Columns) -> float:
    n, total = float(np.cumsum(columns.n)[-1]), float(np.cumsum(columns.total)[-1])
    return float(bernoulli(np.asarray(n), np.asarray(total)))

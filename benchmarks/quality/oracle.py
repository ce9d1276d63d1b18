"""The oracle: a cumulative sum that knows both error rates, and how seldom it cries by design.

S = max(0, S + log-likelihood ratio of the row), alarm and back to 0 where S ≥ h: no test is faster for
its rate of false alarms (Lorden 1971, Moustakides 1986). h and the mean delay follow from the Markov chain of
S on a grid (Brook and Evans 1972), each step shared between the two nearest states: no simulation, no noise.
"""

from __future__ import annotations

from functools import lru_cache
from math import log

import numpy as np
from benchmarks.quality.stream import Floats
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu

# The grid adds a little variance, so that h comes out too high: by .01 with 1,000 states (rate: 1 %).
STATES = 1_000
# Halvings of [0, 24]: h to 1e-4.
HALVINGS = 18


def _chain(p0: float, p1: float, h: float, rate: float) -> csc_array:
    """Identity minus the transitions of S below h while errors come at `rate`."""
    step = h / STATES
    states = np.arange(STATES)
    chain = eye_array(STATES, format="csc")
    for increment, share in ((log(p1 / p0), rate), (log((1.0 - p1) / (1.0 - p0)), 1.0 - rate)):
        place = np.maximum(states + increment / step, 0.0)
        lower = np.floor(place).astype(int)
        part = place - lower
        for target, weight in ((lower, share * (1.0 - part)), (lower + 1, share * part)):
            inside = target < STATES
            chain = chain - csc_array(
                (weight[inside], (states[inside], target[inside])), shape=(STATES, STATES)
            )
    return csc_array(chain)


def rows_to_alarm(p0: float, p1: float, h: float, rate: float) -> float:
    """Mean rows from S = 0 to an alarm while errors come at `rate`."""
    return float(splu(_chain(p0, p1, h, rate)).solve(np.ones(STATES))[0])


@lru_cache(maxsize=1024)
def threshold(p0: float, p1: float, rows_between: float) -> float:
    """h at which false alarms are so many rows apart on average, at error rate p0."""
    low, high = 0.0, 24.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if rows_to_alarm(p0, p1, middle, p0) < rows_between:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


@lru_cache(maxsize=1024)
def mean_delay(p0: float, p1: float, rows_between: float) -> float:
    """Mean rows from a change to the alarm, S being wherever it is after a long time at p0."""
    h = threshold(p0, p1, rows_between)
    start = np.zeros(STATES)
    start[0] = 1.0
    stationary = splu(_chain(p0, p1, h, p0)).solve(start, trans="T")
    to_alarm = splu(_chain(p0, p1, h, p1)).solve(np.ones(STATES))
    return float(stationary @ to_alarm / stationary.sum())


def alarms(signal: Floats, p0: float, p1: float, h: float) -> list[int]:
    """Rows at which the sum reaches h."""
    found: list[int] = []
    ratio = np.where(signal > 0.5, log(p1 / p0), log((1.0 - p1) / (1.0 - p0)))
    at, chunk, level = 0, 256, 0.0
    while at < len(ratio):
        # The sum kept above 0, in one pass: what was added since its lowest point so far.
        total = level + np.cumsum(ratio[at : at + chunk])
        sums = total - np.minimum(np.minimum.accumulate(total), 0.0)
        over = np.flatnonzero(sums >= h)
        if len(over):
            at += int(over[0]) + 1
            found.append(at - 1)
            level, chunk = 0.0, 256
        else:
            at += len(sums)
            level, chunk = float(sums[-1]), min(chunk * 4, 65_536)
    return found


def onsets(signal: Floats, p0: float, p1: float, rows: list[int]) -> list[int]:
    """The likeliest start of each alarm's rise: the row after the sum's last lowest point."""
    ratio = np.where(signal > 0.5, log(p1 / p0), log((1.0 - p1) / (1.0 - p0)))
    found, since = [], 0
    for row in rows:
        walk = np.concatenate(([0.0], np.cumsum(ratio[since : row + 1])))
        found.append(since + int(len(walk) - 1 - np.argmin(walk[::-1])))
        since = row + 1
    return found

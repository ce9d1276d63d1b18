"""What kind of change: one step, or a rise over some rows? A pure fit over a history's bins.

Bayes: a step, its onset anywhere, against a linear rise from level to level with its onset anywhere and
its width log-uniform from 600 to 19,200 rows; a rise whose end is not reached ends now. Both have the
same two free levels, so their profile likelihoods (the dispersion of `steps` taken out) are comparable.
The posterior gives kind, confidence, the onset with its interval, and where the rise has ended. With
little after the onset a step and the beginning of a slow rise look the same: the posterior is then near
1/2, and the kind undetermined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftbus.core.history import Columns
from driftbus.core.records import Kind
from driftbus.core.steps import MIN_BEFORE, Floats, Step, bernoulli, is_binary, scan

# Widths of a gradual change in rows. A rise within a few hundred rows is sudden to whoever has to act;
# from 600 on, 99 of 100 large steps can be told from the shortest rise after 2,000 rows (from 256: 83).
WIDTHS = 600.0 * 2.0 ** (np.arange(11) / 2.0)
# Posterior needed to name a kind, and its share of hypotheses inside an onset's interval; measured in
# tests/core/test_verdict.py: ≥ 97 % of the kinds named are right.
DETERMINED, INTERVAL = 0.9, 0.95
# Bins to each side of the presumed onset for the fit of a rise: finer changes no verdict, only costs.
RESOLUTION = 24
# Rows after the onset before a kind is named at all.
MIN_ROWS_FOR_KIND = 128
# A rise over more rows than this is no transition from one state to another: the world keeps changing. Ramps
# over 8,000 rows are still one change.
LASTING_ROWS = 9_000.0
# The rise goes on while the hypotheses in which it has not ended weigh more than this.
MOVING = 0.3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fitted change. `onset`, `earliest`, `latest`, `end` are indices into the columns (`end`: the first
    bin after the rise, by the 90 % quantile; the number of bins while it may be going on). `confidence` is
    the posterior of `kind`, for `undetermined` that of the likelier one; `gradual` that of a gradual
    change. `llr`, `strength`: as in `Step`. `moving`: the rise has not clearly ended. `lasting`: the
    posterior of a rise that takes more than `LASTING_ROWS`, or has done so by now."""

    kind: Kind
    confidence: float
    gradual: float
    onset: int
    earliest: int
    latest: int
    end: int
    before: float
    after: float
    llr: float
    strength: float
    moving: bool
    lasting: float


def judge(columns: Columns, direction: int = 1) -> Verdict | None:
    """The change in these bins; None where `scan` finds none. Some 1–2 ms."""
    step = scan(columns, direction)
    if step is None:
        return None
    rows = np.concatenate(([0.0], np.cumsum(columns.n)))
    length = len(columns.n)
    after = rows[-1] - rows[step.start]
    grid = _grid(rows, step.start, RESOLUTION)
    ramps, starts, ends, weights, before, top = _ramps(columns, rows, grid, step, direction)
    # Onsets are equally likely a priori per row: a boundary stands for the rows of its bin.
    allowed = np.flatnonzero(np.isfinite(step.profile))
    within, inside = _steps_within(columns, rows, step, direction)
    step_mass = np.concatenate(
        (step.profile[allowed] + np.log(columns.n[allowed]), inside + np.log(columns.n[within] / 2.0))
    )
    allowed = np.concatenate((allowed, within))
    ramp_mass = ramps + np.log(weights)
    peak = max(float(step_mass.max()), float(ramp_mass.max()) if len(ramp_mass) else -np.inf)
    steps, rises = np.exp(step_mass - peak), np.exp(ramp_mass - peak)
    # So few rows may lie after the change that no rise fits in; steps there always are.
    all_steps = float(np.add.accumulate(steps)[-1])
    all_rises = float(np.add.accumulate(rises)[-1]) if len(rises) else 0.0
    gradual = all_rises / (all_steps + all_rises)
    confidence = max(gradual, 1.0 - gradual)
    kind: Kind = "gradual" if gradual > 0.5 else "sudden"
    if confidence < DETERMINED or after < MIN_ROWS_FOR_KIND:
        kind = "undetermined"
    # As long as it cannot be told, the onset is the step's: that of a rise would reach far back on a guess.
    onset, low, high = _quantile(allowed, steps, 0.5), step.before, step.after
    if kind == "gradual":
        best = int(np.argmax(ramp_mass))
        onset, low, high = int(starts[best]), float(before[best]), float(top[best])
        earliest, latest = _interval(starts, rises)
    elif kind == "sudden":
        earliest, latest = _interval(allowed, steps)
    else:
        earliest, latest = _interval(np.concatenate((allowed, starts)), np.concatenate((steps, rises)))
    endings = np.concatenate((allowed, ends))
    mass = np.concatenate((steps, rises)) / (all_steps + all_rises)
    end = max(onset, _quantile(endings, mass, 0.9))
    lasting = np.append(0.0, rises[rows[ends] - rows[starts] >= LASTING_ROWS])
    unfinished = float(np.add.accumulate(np.append(0.0, mass[endings >= length]))[-1])
    return Verdict(
        kind=kind,
        confidence=confidence,
        gradual=gradual,
        onset=onset,
        earliest=min(earliest, onset),
        latest=max(latest, onset),
        end=end,
        before=low,
        after=high,
        llr=step.llr,
        strength=step.strength,
        moving=unfinished > MOVING,
        lasting=float(np.add.accumulate(lasting)[-1]) / (all_steps + all_rises),
    )


def _steps_within(
    columns: Columns, rows: Floats, step: Step, direction: int
) -> tuple[NDArray[np.int64], Floats]:
    """Steps inside a bin, a third and two thirds in: the bins, and log-likelihood ratios against one level.

    Old bins are long: a step within one would else look like a short rise. 0/1 values only.
    """
    if not is_binary(columns):
        return np.empty(0, np.int64), np.empty(0)
    n, s = columns.n, columns.total
    n0, s0 = rows[:-1], np.concatenate(([0.0], np.cumsum(s)[:-1]))
    n1 = rows[-1] - rows[1:]
    s1 = np.cumsum(s)[-1] - s0 - s
    fits = np.flatnonzero((n0 >= MIN_BEFORE) & (n1 > 0) & (s1 >= 1.0))
    n, s, n0, s0, n1, s1 = (column[fits] for column in (n, s, n0, s0, n1, s1))
    low, high = s0 / n0, s1 / n1
    base = bernoulli(rows[-1:], np.cumsum(columns.total)[-1:])
    ratios = []
    for part in (1.0 / 3.0, 2.0 / 3.0):
        mixed = np.clip(part * low + (1.0 - part) * high, 1e-12, 1.0 - 1e-12)
        inside = s * np.log(mixed) + (n - s) * np.log1p(-mixed)
        ratio = (bernoulli(n0, s0) + inside + bernoulli(n1, s1) - base) / step.dispersion
        ratios.append(np.where(direction * (high - low) > 0, ratio, -np.inf))
    return np.concatenate((fits, fits)), np.concatenate(ratios)


def best_rise(columns: Columns, step: Step, direction: int = 1) -> float:
    """The greatest log-likelihood ratio of a rise over some rows against one level; 0.0 without any."""
    rows = np.concatenate(([0.0], np.cumsum(columns.n)))
    ratios = _ramps(columns, rows, _grid(rows, step.start, RESOLUTION), step, direction)[0]
    return float(ratios.max()) if len(ratios) else 0.0


def _grid(rows: Floats, onset: int, resolution: int) -> NDArray[np.int64]:
    """Bin boundaries for the fit of a rise: 1/`resolution` of the rows after the onset apart, four times as
    far apart long before it."""
    after = rows[-1] - rows[onset]
    fine = max(8.0, after / resolution)
    far = rows[onset] - 2.0 * after
    picked = [len(rows) - 1]
    for index in range(len(rows) - 2, 0, -1):
        gap = rows[picked[-1]] - rows[index]
        if gap >= (fine if rows[index] >= far else 4.0 * fine):
            picked.append(index)
    picked.append(0)
    return np.array(picked[::-1], np.int64)


def _ramps(
    columns: Columns, rows: Floats, grid: NDArray[np.int64], step: Step, direction: int
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], Floats, Floats, Floats]:
    """Every rise on the grid: log-likelihood ratio, bins of its start and end, prior weight, two levels."""
    edges = rows[grid]
    n = np.diff(edges)
    sums = np.diff(np.concatenate(([0.0], np.cumsum(columns.total)))[grid])
    now = edges[-1]
    after = now - rows[step.start]
    near = np.flatnonzero((edges[:-1] >= MIN_BEFORE) & (edges[:-1] >= rows[step.start] - 2.0 * after - 1.0))
    start, width = (axis.ravel() for axis in np.meshgrid(edges[near], WIDTHS, indexing="ij"))
    origin = np.repeat(grid[near], len(WIDTHS))
    # What a start stands for in rows, spread evenly over the widths (log-uniform).
    weight = np.repeat(n[near], len(WIDTHS)) / len(WIDTHS)
    # Widths that end after now all look the same: one hypothesis with their weight together.
    open_ended = start + width >= now
    first_open = open_ended & ~np.concatenate(([False], open_ended[:-1] & (origin[1:] == origin[:-1])))
    for index in np.flatnonzero(first_open):
        same = open_ended & (origin == origin[index])
        weight[index] = weight[same][0] * int(same.sum())
    keep = ~open_ended | first_open
    start, width, origin, weight = start[keep], width[keep], origin[keep], weight[keep]
    if not len(start):
        empty, none = np.empty(0), np.empty(0, np.int64)
        return empty, none, none, empty, empty, empty
    finish = np.minimum(start + width, now)
    span = (finish - start)[:, None]
    past = np.clip(edges[None, :] - start[:, None], 0.0, None)
    risen = np.where(past < span, past * past / (2.0 * span), past - span / 2.0)
    share = np.diff(risen, axis=1) / n[None, :]  # of each bin's rows that come from the new level
    binary = is_binary(columns)
    mean = float(np.cumsum(sums)[-1] / now)
    level = sums / n
    variance = np.full_like(share, max(mean * (1.0 - mean), 1e-9) if binary else 1.0)
    if not binary:
        squares = np.cumsum(columns.squares)
        cut = step.start
        var0 = squares[cut - 1] / rows[cut] - step.before**2
        var1 = (squares[-1] - squares[cut - 1]) / after - step.after**2
        spread = float(max(var0, var1, 1e-12 * mean * mean + 1e-300)) ** 0.5
        level = (level - mean) / spread  # in standard deviations: no value is then too large or too small
    # Two rounds of weighted least squares: the weights of 0/1 values depend on the levels themselves.
    for _ in range(2 if binary else 1):
        w = n[None, :] / variance
        rest = 1.0 - share
        a00, a01, a11 = (w * rest * rest).sum(1), (w * rest * share).sum(1), (w * share * share).sum(1)
        b0, b1 = (w * rest * level).sum(1), (w * share * level).sum(1)
        determinant = np.maximum(a00 * a11 - a01 * a01, 1e-300)
        low, high = (a11 * b0 - a01 * b1) / determinant, (a00 * b1 - a01 * b0) / determinant
        if binary:
            low, high = np.clip(low, 1e-6, 1.0 - 1e-6), np.clip(high, 1e-6, 1.0 - 1e-6)
            fit = low[:, None] * rest + high[:, None] * share
            variance = fit * (1.0 - fit)
    fit = low[:, None] * (1.0 - share) + high[:, None] * share
    if binary:
        likelihood = (sums * np.log(fit) + (n - sums) * np.log1p(-fit)).sum(1)
        base = float(bernoulli(np.asarray(now), np.asarray(sums.sum())))
    else:
        likelihood = -(n * (level - fit) ** 2 / 2.0).sum(1)
        base = -float((n * level**2 / 2.0).sum())
        low, high = mean + low * spread, mean + high * spread
    ratio = np.where(direction * (high - low) > 0, (likelihood - base) / step.dispersion, -np.inf)
    ends = np.where(start + width >= now, len(rows) - 1, np.searchsorted(rows, finish))
    return ratio, origin, ends, weight, low, high


def _interval(places: NDArray[np.int64], mass: Floats) -> tuple[int, int]:
    tail = (1.0 - INTERVAL) / 2.0
    return _quantile(places, mass, tail), _quantile(places, mass, 1.0 - tail)


def _quantile(places: NDArray[np.int64], mass: Floats, share: float) -> int:
    order = np.argsort(places, kind="stable")
    total = np.add.accumulate(mass[order])
    return int(places[order][min(int(np.searchsorted(total, share * total[-1])), len(places) - 1)])

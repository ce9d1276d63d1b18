"""Is there a change: the likeliest step in a history's bins, and how striking it is.

The log-likelihood ratio of two levels against one, for every bin boundary: Bernoulli for 0/1 values,
else Gaussian with Welch's variance (one outlier then never makes a change). It is divided by a
dispersion, the variance of batch means before the change over what independent rows would give, so
that autocorrelated errors need more evidence. `strength` takes off log(n/m), m of n rows being after
the change: short tails are tried more often, so they must be more striking (after the penalty in
Romano, Eckley, Fearnhead and Rigaill, JMLR 2023).
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftbus.core.history import Columns

Floats = NDArray[np.float64]

# Rows needed before a change: with fewer, neither level nor dispersion means anything.
MIN_BEFORE = 128
# Errors needed after a change: one or two in a row happen to every good model.
MIN_ERRORS = 3
# Values that are not 0/1 need this many rows after a change: Welch's variance of a few rows is noise.
MIN_AFTER = 16
# Batches whose sums give the dispersion: the shortest, in rows, and how many at least (20 tell a variance
# to ±32 %); each further length is four times the one before.
BATCH_ROWS, MIN_BATCHES = 32.0, 20
# Bursts are likelier than a variance says: runs of errors in a chain with correlation .5 need this factor
# more to come down to the false alarms of independent rows.
CORRELATION_PENALTY = 1.5
# After few rows the dispersion is hardly known: with this many batches it is taken for twice as large.
YOUTH_BATCHES = 8.0


class Step(NamedTuple):
    """The best step: its first bin, the levels, the log-likelihood ratio (dispersion taken out), `strength`
    (the same less log(n/m)), the dispersion, and the ratio at every boundary (−inf where none is allowed)."""

    start: int
    before: float
    after: float
    llr: float
    strength: float
    dispersion: float
    profile: Floats


def is_binary(columns: Columns) -> bool:
    """Whether all values can have been 0 or 1."""
    return bool(np.all(columns.total == columns.squares) and np.all(columns.total >= 0))


def scan(columns: Columns, direction: int = 1) -> Step | None:
    """The likeliest step up (`direction` 1) or down (−1); None where there are too few rows or no such step.

    A pass over the bins in numpy, some 60 µs for 230 of them.
    """
    if len(columns.n) < 2:
        return None
    rows, sums = np.cumsum(columns.n), np.cumsum(columns.total)
    n, total = rows[-1], sums[-1]
    n0, s0 = rows[:-1], sums[:-1]
    n1, s1 = n - n0, total - s0
    mean0, mean1 = s0 / n0, s1 / n1
    binary = is_binary(columns)
    allowed = (n0 >= MIN_BEFORE) & (direction * (mean1 - mean0) > 0)
    if binary:
        # A rise shows in errors, a fall in rows without any; both are bounded by what can be counted.
        allowed &= s1 >= MIN_ERRORS if direction > 0 else n1 >= MIN_AFTER
        raw = bernoulli(n0, s0) + bernoulli(n1, s1) - bernoulli(n, total)
    else:
        allowed &= n1 >= MIN_AFTER
        squares = np.cumsum(columns.squares)
        var0 = np.maximum(squares[:-1] / n0 - mean0**2, 0.0)
        var1 = np.maximum(var0, (squares[-1] - squares[:-1]) / n1 - mean1**2)
        spread = var0 / n0 + var1 / n1
        # A constant signal that moves has no variance to judge by: any move is then beyond doubt.
        floor = 1e-12 * (mean0**2 + mean1**2) / n + 1e-300
        raw = (mean1 - mean0) ** 2 / (2.0 * np.maximum(spread, floor))
    if not allowed.any():
        return None
    profile = np.where(allowed, raw, -np.inf)
    best = int(np.argmax(profile))
    dispersion = _dispersion(columns, best + 1, binary)
    llr = float(profile[best]) / dispersion
    return Step(
        start=best + 1,
        before=float(mean0[best]),
        after=float(mean1[best]),
        llr=llr,
        strength=llr - log(n / n1[best]),
        dispersion=dispersion,
        profile=np.concatenate(([-np.inf], profile / dispersion)),
    )


def bernoulli(n: Floats, s: Floats) -> Floats:
    """Maximised log-likelihood of s errors in n rows."""
    p = np.clip(s / n, 1e-12, 1.0 - 1e-12)
    return np.asarray(s * np.log(p) + (n - s) * np.log1p(-p))


def _dispersion(columns: Columns, stop: int, binary: bool) -> float:
    """Variance of batch sums before bin `stop`, over what independent rows would give; at least 1.

    The greatest over several batch lengths: bursts show in short batches, seasons in middling ones, slow
    wandering in the longest. Where too few rows lie before the change, those after it are asked too.
    """
    # The step may lie within the last bin before it, whose rows are then of both levels.
    before = columns.part(0, stop - 1 if stop > 2 else stop)
    rows = float(np.cumsum(before.n)[-1])
    ratios = _ratios(before, BATCH_ROWS, binary, all_bins=True)
    if len(ratios) < MIN_BATCHES:
        ratios = np.concatenate((ratios, _ratios(columns.part(stop), BATCH_ROWS, binary, all_bins=True)))
    greatest = _mean_ratio(ratios)
    size = 4.0 * BATCH_ROWS
    while size * MIN_BATCHES <= rows:
        # Older bins are longer than short batches, and would hide what happens within them.
        ratios = _ratios(before, size, binary, all_bins=False)
        if len(ratios) >= MIN_BATCHES:
            greatest = max(greatest, _mean_ratio(ratios))
        size *= 4.0
    return greatest * (1.0 + YOUTH_BATCHES * BATCH_ROWS / rows)


def _ratios(columns: Columns, size: float, binary: bool, *, all_bins: bool) -> Floats:
    """Squared deviation of each batch's sum from what the mean makes expected, over its variance if rows
    were independent."""
    n, total = columns.n, columns.total
    ends = np.cumsum(n)
    mean = float(np.cumsum(total)[-1] / ends[-1])
    square = mean if binary else float(np.cumsum(columns.squares)[-1] / ends[-1])
    variance = square - mean * mean
    if variance <= 1e-12 * mean * mean:
        return np.empty(0)
    batch = ((ends - n / 2.0) / size).astype(np.int64)  # by the middle of each bin
    if not all_bins:
        fine = n <= size
        batch, n, total = batch[fine], n[fine], total[fine]
    if not len(batch):
        return np.empty(0)
    batch -= batch[0]
    rows = np.bincount(batch, weights=n)
    sums = np.bincount(batch, weights=total)[rows > 0]
    rows = rows[rows > 0]
    return np.asarray((sums - rows * mean) ** 2 / (rows * variance))


def _mean_ratio(ratios: Floats) -> float:
    """The dispersion these ratios tell, less a standard error: the greatest of several would else be above
    1 by chance."""
    count = len(ratios)
    if count < 3:
        return 1.0
    surely = float(np.cumsum(ratios)[-1]) / (count - 1) * (1.0 - (2.0 / max(count, MIN_BATCHES)) ** 0.5)
    return float(max(1.0, 1.0 + CORRELATION_PENALTY * (surely - 1.0)))

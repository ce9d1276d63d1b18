"""Linear models side by side: one row of each of many streams is learnt at once.

A call of numpy on fifty numbers costs little more than on one, so a rank (the next row of every stream) takes
the time of some eight rows learnt alone. Everything is element by element, with the arithmetic and the order
of `moments.py` and `dense.py`, so a stream's numbers are the same, bit for bit, whoever stands beside it.
Measured at fifty streams of 8 features, reading and packing the rows included: 1.6 to 1.8 µs a row
instead of 2.3 to 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftbus.core.dense import GRADIENT_LIMIT
from driftbus.core.moments import LEAST_SHARE, REBASE, SCALED_LIMIT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# (rows as columns below a row of ones, margins, targets, where to write what is said, rate) → gradients
Gradient = Callable[[Floats, Floats, Floats, Floats, float], Floats]

# So many streams at least stand side by side: narrower, a rank costs more than its rows learnt alone.
NARROWEST = 8
# Ranks worked upon together: at fifty streams of 8 features each array is 100 kB, and the few that are
# needed stay in the processor's cache.
_RANKS = 32


class Lanes(NamedTuple):
    """Many streams' rows and models; `pass_over` changes all but `rows` and `targets` in place.

    Rows of all streams stand in one array, a stream's own one after another; the last row is spare and
    takes what is computed beyond a stream's end. A column of the rest for each stream.
    """

    rows: Floats  # (row, feature)
    targets: Floats  # by row
    said: Floats  # by row: chances or amounts, before the row was learnt
    next: Ints  # place of the stream's next row
    left: Ints  # how many rows it still has
    counts: Ints  # (feature, stream), as the following
    origins: Floats
    sums: Floats
    squares: Floats
    weights: Floats  # first the intercepts, then (feature, stream)


def pass_over(lanes: Lanes, rate: float, gradient: Gradient) -> None:
    """Learn rows of every stream while so many have some left that it pays."""
    live = np.arange(len(lanes.left))
    while len(live) >= NARROWEST:
        counts = lanes.counts[:, live]
        # Up to and with the row at which the first feature's sums begin anew.
        ends = REBASE[np.searchsorted(REBASE, counts, "right")]
        spans = np.minimum(lanes.left[live], (ends - counts).min(axis=0))
        spans = np.minimum(spans, min(int(np.sort(spans)[-NARROWEST]), _RANKS))
        order = np.argsort(-spans, kind="stable")
        live, spans = live[order], spans[order]
        ranks = np.arange(spans[0])[:, None]
        places = np.where(ranks < spans, lanes.next[live] + ranks, len(lanes.rows) - 1)
        z = np.empty((len(places), len(lanes.weights), len(live)))
        z[:, 0] = 1.0
        z[:, 1:] = lanes.rows.take(places, 0).transpose(0, 2, 1)
        _absorb(lanes, live, spans, ends[:, order], z[:, 1:])
        widths = np.searchsorted(-spans, -ranks[:, 0]).tolist()
        lanes.said[places] = _descend(lanes, live, widths, z, lanes.targets[places], rate, gradient)
        lanes.next[live] += spans
        lanes.left[live] -= spans
        live = live[lanes.left[live] > 0]


def _absorb(lanes: Lanes, live: Ints, spans: Ints, ends: Ints, u: Floats) -> None:
    """Update the moments with rows (rank, feature, stream) and scale these by them, as they stand; sums begin
    anew at the counts `ends`."""
    counts, origins = lanes.counts[:, live], lanes.origins[:, live]
    u -= origins
    moments = np.empty((len(u) + 1, 2, *origins.shape))
    moments[0, 0], moments[0, 1] = lanes.sums[:, live], lanes.squares[:, live]
    moments[1:, 0] = u
    np.multiply(u, u, out=moments[1:, 1])
    before = moments[0]
    for rank in moments[1:]:
        before = np.add(before, rank, out=rank)
    sums, squares = moments[spans, :, :, np.arange(len(live))].transpose(1, 2, 0)
    seen = counts[:1] if (counts == counts[0]).all() else counts  # unless values were missing
    n = seen + np.arange(1.0, len(moments))[:, None, None]
    means = np.divide(moments[1:], n[:, None], out=moments[1:])
    mean, square = means[:, 0], means[:, 1]
    variance = mean * mean
    np.subtract(square, variance, out=variance)
    square *= LEAST_SHARE
    spread = variance > square
    even = bool(spread.all())
    if not even:
        variance[~spread] = 1.0
    u -= mean
    u /= np.sqrt(variance, out=variance)
    if not even:
        u[~spread] = 0.0
    np.maximum(u, -SCALED_LIMIT, out=u)
    np.minimum(u, SCALED_LIMIT, out=u)
    counts = counts + spans
    due = counts == ends
    if due.any():
        mean = sums[due] / counts[due]
        origins[due] += mean
        squares[due] = np.maximum(0.0, squares[due] - sums[due] * mean)
        sums[due] = 0.0
        lanes.origins[:, live] = origins
    lanes.counts[:, live], lanes.sums[:, live], lanes.squares[:, live] = counts, sums, squares


def _descend(
    lanes: Lanes,
    live: Ints,
    widths: list[int],
    z: Floats,
    targets: Floats,
    rate: float,
    gradient: Gradient,
) -> Floats:
    """One step down the gradient per rank; what was said before each."""
    said = np.empty(targets.shape)
    weights = lanes.weights[:, live]
    for width, row, target, here in zip(widths, z, targets, said, strict=True):
        w = weights
        if width < len(target):
            w, row, target, here = weights[:, :width], row[:, :width], target[:width], here[:width]
        product = row * w
        # Along the outer axis numpy adds row after row, in this order.
        step = gradient(row, np.add.reduce(product, 0), target, here, rate)
        step *= rate
        np.multiply(row, step, out=product)
        np.subtract(w, product, out=w)
    lanes.weights[:, live] = weights
    return said


def logistic(row: Floats, margins: Floats, targets: Floats, said: Floats, rate: float) -> Floats:
    """Gradients of the log loss; chances are said. Targets 0 or 1."""
    # The standard library's exponential, one by one: numpy's may differ from it in the last bit.
    said[:] = [
        1.0 / (1.0 + exp(-x)) if -30.0 <= x <= 30.0 else 1.0 if x > 0.0 else 0.0 for x in margins.tolist()
    ]
    gradients: Floats = np.subtract(said, targets, out=margins)
    return gradients


def linear(row: Floats, margins: Floats, targets: Floats, said: Floats, rate: float) -> Floats:
    """Gradients of the squared error, never past the target; amounts are said."""
    said[:] = margins
    length = np.add.reduce(row * row, 0)  # with the intercept's 1
    gradient: Floats = 2.0 * (margins - targets) / np.maximum(1.0, 2.0 * rate * length)
    np.minimum(np.maximum(gradient, -GRADIENT_LIMIT), GRADIENT_LIMIT, out=gradient)
    return gradient

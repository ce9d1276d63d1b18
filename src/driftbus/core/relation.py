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

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from driftbus.core.cutting import GROUPS, PARTS, QUARTERS, Floats, Places
from driftbus.core.packed import pack, unpack

# Weights are whole eighths of a nat up to 15 nats: a byte each.
UNIT, GREATEST = 8, 120
# How far the likeliest group is ahead, in eighths of a nat: levels that are each filled by well-kept models.
MARGINS = (4, 8, 16, 32)
LEVELS = len(MARGINS) + 1
CELLS = GROUPS * LEVELS
# Scores of all groups are one whole number, 16 bits a group: 17 weights of at most 255 stay below.
_SHIFTS, _MASK, _ORIGIN = (0, 16, 32, 48), 0xFFFF, 128
# Labels by group, a row of GROUPS numbers per cell.
Table = list[int]
Ints = NDArray[np.int64]


def empty() -> Table:
    """A table without rows."""
    return [0] * (CELLS * GROUPS)


class Probe:
    """A frozen classifier: rows' places in, their cells out."""

    __slots__ = ("_priors", "_scores", "_smooth", "weights")

    def __init__(self, weights: Sequence[int], smooth: Sequence[bool]) -> None:
        """`weights`: priors, then by feature, part and group; `smooth`: see `Cutting`."""
        self.weights = weights
        priors = zip(weights[:GROUPS], _SHIFTS, strict=True)
        self._priors = sum((weight + _ORIGIN) << shift for weight, shift in priors)
        self._smooth = smooth
        self._scores: Ints | None = None

    def _scored(self) -> Ints:
        """By feature and place, what is added to the groups; the last place is −1: missing. Made when the
        first row comes, as a stream that is restored may wait for it for long."""
        rows = np.array(self.weights[GROUPS:], np.int64).reshape(-1, PARTS, GROUPS)
        below, above = rows[:, [0, *range(PARTS - 1)]], rows[:, [*range(1, PARTS), PARTS - 1]]
        smooth = np.array(self._smooth, np.int64)[:, None, None]
        scores = np.zeros((len(rows), PARTS * QUARTERS + 1, GROUPS), np.int64)
        for quarter in range(QUARTERS):
            off = 2 * quarter + 1 - QUARTERS
            other = above if off > 0 else below
            scores[:, quarter:-1:QUARTERS] = rows + smooth * ((other - rows) * abs(off) // (2 * QUARTERS))
        found: Ints = ((scores + _ORIGIN) << np.array(_SHIFTS)).sum(axis=2)
        self._scores = found
        return found

    @classmethod
    def of(cls, counts: Ints, smooth: Sequence[bool]) -> Probe:
        """The classifier of these counts (`Counts.counts`)."""
        priors = _weights(counts[:GROUPS].astype(float) + 0.5)
        rows = counts[GROUPS:].reshape(-1, PARTS, GROUPS).astype(float)
        rows = np.where(np.array(smooth)[:, None, None], _smoothed(rows), rows)
        seen = rows.sum(axis=1)[:, None]
        # How much likelier each part is in a group than overall: where nothing was seen, not at all.
        here = rows.sum(axis=2) + 0.5 * GROUPS
        here /= seen.sum(axis=2) + 0.5 * PARTS * GROUPS
        ratios = (rows + 0.5) / (seen + 0.5 * PARTS) / here[:, :, None]
        likeliest = max(priors)
        priors = [max(weight - likeliest, -GREATEST) for weight in priors]
        return cls([*priors, *_weights(ratios.ravel())], smooth)

    def cells(self, places: Places) -> Ints:
        """The cells of rows."""
        known = self._scored() if self._scores is None else self._scores
        total = known[np.arange(len(known)), places].sum(axis=1) + self._priors
        scores = total[:, None] >> np.array(_SHIFTS) & _MASK
        ahead = np.sort(scores, axis=1)
        levels = np.searchsorted(MARGINS, ahead[:, -1] - ahead[:, -2], "right")
        cells: Ints = scores.argmax(axis=1) * LEVELS + levels
        return cells


class Counts:
    """What a probe is made of: how often parts and groups meet."""

    __slots__ = ("counts", "rows")

    def __init__(self, features: int, counts: Sequence[int] | None = None) -> None:
        size = GROUPS + features * PARTS * GROUPS
        self.counts: Ints = np.zeros(size, np.int64) if counts is None else np.array(counts, np.int64)
        self.rows = int(self.counts[:GROUPS].sum())

    def add(self, places: Places, groups: Ints) -> None:
        """Rows."""
        self.rows += len(groups)
        parts = np.arange(places.shape[1]) * PARTS + places // QUARTERS
        met = (GROUPS + parts * GROUPS + groups[:, None])[places >= 0]
        self.counts += np.bincount(np.concatenate((groups, met)), minlength=len(self.counts))


def _smoothed(rows: Floats) -> Floats:
    """Counts, each part with a quarter of its neighbours': what is side by side is alike."""
    below, above = rows[:, [0, *range(PARTS - 1)]], rows[:, [*range(1, PARTS), PARTS - 1]]
    found: Floats = (below + 2.0 * rows + above) / 4.0
    return found


def dump_columns(*columns: Sequence[int] | Ints) -> str:
    """Weights, counts, tables as text."""
    return pack(columns)


def load_columns(text: str) -> list[list[int]]:
    """What `dump_columns` was given."""
    return unpack(text)


def _weights(ratios: Floats) -> list[int]:
    # The standard library's logarithm: numpy's may differ from it in the last bit.
    logs = np.fromiter(map(log, ratios.tolist()), np.float64, len(ratios))
    found: list[int] = np.rint(logs * UNIT).clip(-GREATEST, GREATEST).astype(np.int64).tolist()
    return found


def rows_of(table: Table) -> list[list[int]]:
    """A table's cells."""
    return [table[at : at + GROUPS] for at in range(0, CELLS * GROUPS, GROUPS)]

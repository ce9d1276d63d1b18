"""FOCuS for real values: the exact sequential likelihood ratio of two means against one, over every onset.

Idea: as in `detectors.focus_bernoulli`, with the curve (values, sum) and its two hulls: a rise begins at a
corner of the lower one, a fall at one of the upper one. Neither mean is known; nor is the variance, for which
the long-run variance up to the onset stands, so values that depend on their past need more.

Formula: LR(τ) = τ m / n · (mean after - mean before)² / (2 v(τ)), m = n - τ; alarm when LR(τ) ≥ h(m), with h
of `detectors.budget` and v of `detectors.spread`.

Input: numbers of a bounded range, about normal (means, ranks): a single value of 5.5 standard deviations is
nearly an alarm. `rate`: false alarms per value and direction; `min_before`, `min_after`: values before and
after an onset; `min_variance`: the least that is believed; `down_share`: the part of the budget for falls;
`mode` up, down or both.
Guaranteed: scale-free, and what is added to all values changes nothing, but for rounding; no crossing is late
(`_look`), corners dropped aside, whose v differs from their successor's. After an alarm the world begins at
its onset. Memory O(log n).
Cost: 2.5 µs a value, so it is given means or sums of several.

Paper: Romano, Eckley, Fearnhead & Rigaill, Fast online changepoint detection via functional pruning CUSUM
statistics, JMLR 24, 2023.

>>> detector = FocusGaussian()
>>> detector.update_block([0.0, 1.0] * 100 + [4.0, 5.0] * 4)
[Hit(index=201, direction=1, before=0.5, after=4.5, since=2, evidence=29.90...)]
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

from driftbus.core.detectors.base import LIMIT, Hit, bounded
from driftbus.core.detectors.budget import FLOOR, MOST, at_least
from driftbus.core.detectors.spread import Spread

MODES = ("up", "down", "both")
# `budget.at_least`'s constant. With it, on ranks, no false alarm in 12 million values (Gaussian, lognormal,
# AR(.5)), and 2 in 4 million of AR(.9).
CONSTANT = 0.8
# The variance is worked out anew every so many values: it takes as long as a value.
REFRESH = 8
# No variance is less than this part of the largest value squared: of a constant, any move is beyond doubt.
ROUNDING = 1e-18
# More evidence than anybody needs; a constant that moves has no end of it.
MOST_EVIDENCE = 1e9
# Pairs of values before the first alarm: dependence cannot be told from a change earlier.
WARM_PAIRS = 36
# A corner: values before it, their sum, the variance there, and the number of values at which to look.
Corner = list[Any]


class FocusGaussian:
    """See the module's text."""

    def __init__(
        self,
        rate: float = MOST,
        min_before: int = 64,
        min_after: int = 2,
        min_variance: float = 0.0,
        down_share: float = 1.0,
        mode: str = "both",
    ) -> None:
        if not 0.0 < rate <= 0.1:
            raise ValueError(f"rate: {rate!r} must lie between 0 and 0.1")
        if min_before < 2 or min_after < 1:
            raise ValueError("min_before must be at least 2, min_after at least 1")
        if mode not in MODES:
            raise ValueError(f"mode: {mode!r} must be one of {', '.join(MODES)}")
        self.name = "focus_gaussian"
        if not 0.0 < down_share <= 1.0:
            raise ValueError("down_share must lie between 0 and 1")
        if not 0.0 <= min_variance <= LIMIT:
            raise ValueError("min_variance must not be negative")
        self._down_share = down_share
        self._need_up = at_least(rate, CONSTANT)
        self._need_down = at_least(rate * down_share, CONSTANT)
        self.least_variance = max(min_variance, 1e-300)
        self._min_before, self._min_after = min_before, min_after
        self._signs = {"up": (1.0,), "down": (-1.0,), "both": (1.0, -1.0)}[mode]
        self._origin: float | None = None  # the first value: all others are taken relative to it
        self._n, self._sum = 0, 0.0  # of the world, which begins at the last alarm's onset
        self._least = self._most = 0.0  # of all values so far
        self._corners: list[list[Corner]] = [[] for _ in self._signs]
        self._look_at = 0
        self._variance = 0.0
        self.spread = Spread()

    def keep_to(self, rate: float) -> None:
        """Another budget, false alarms per value, from the next value on."""
        need = at_least(rate, CONSTANT)
        if need < self._need_up:  # corners that were far from it may be near now
            self._look_at = -1
        self._need_up, self._need_down = need, at_least(rate * self._down_share, CONSTANT)

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        usable = bounded(value)
        return None if usable is None else self._take(usable, 0)

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values in order; the alarms with their positions."""
        hits: list[Hit] = []
        for index, value in enumerate(values):
            usable = bounded(value)
            if usable is not None:
                hit = self._take(usable, index)
                if hit is not None:
                    hits.append(hit)
        return hits

    def _take(self, value: float, index: int) -> Hit | None:
        if self._origin is None:
            self._origin = value
        x = value - self._origin
        n, total = self._n, self._sum
        if x < self._least:
            self._least, self._look_at = x, -1
        elif x > self._most:
            self._most, self._look_at = x, -1
        if not n % REFRESH:
            size = max(self._most, -self._least)
            self._variance = max(self.spread.refresh(), ROUNDING * size * size, self.least_variance)
        self.spread.add(x)
        if n >= self._min_before:
            variance = self._variance
            for sign, corners in zip(self._signs, self._corners, strict=True):
                # The corner before this value; what lies above the line from its predecessor is dropped.
                if len(corners) > 1:
                    last, first = corners[-1], corners[-2]
                    while (
                        sign
                        * ((last[1] - first[1]) * (n - last[0]) - (total - last[1]) * (last[0] - first[0]))
                        >= 0.0
                    ):
                        corners.pop()
                        if len(corners) == 1:
                            break
                        last, first = first, corners[-2]
                corners.append([n, total, variance, 0])
        self._n, self._sum = n + 1, total + x
        if n < self._look_at:
            return None
        return self._look(index)

    def _look(self, index: int) -> Hit | None:
        """The most striking change that crosses; without one, when to look again is set.

        k more values, each at most the greatest seen, raise the excess over the mean before by at most
        k (greatest - mean), and LR is excess² τ / (2 v m n): a corner need not be looked at before that
        can reach h(m + k). A new greatest or least value lets all of them be looked at.
        """
        n, total, least = self._n, self._sum, self._min_after
        every = self._look_at < 0
        warm = self.spread.pairs >= WARM_PAIRS
        next_look = n + 64
        best, most, evidence, up = None, 0.0, 0.0, 1.0
        for sign, corners in zip(self._signs, self._corners, strict=True):
            furthest, need = (self._most, self._need_up) if sign > 0.0 else (-self._least, self._need_down)
            for corner in corners:
                if corner[3] > n and not every:
                    if corner[3] < next_look:
                        next_look = corner[3]
                    continue
                before, sum_before, variance, _ = corner
                m = n - before
                mean = sign * sum_before / before
                excess = sign * (total - sum_before) - m * mean
                scale = 2.0 * variance * m * n / before
                if excess > 0.0 and m >= least and warm:
                    ratio = excess * excess / scale
                    over = ratio - need + log(m)
                    if over >= most and ratio >= FLOOR:
                        best, most, evidence, up = corner, over, ratio, sign
                ahead = 4 + m // 2
                height = need - log(m + ahead)
                reach = sqrt(scale * (height if height > FLOOR else FLOOR)) - excess
                step = furthest - mean
                k = int(reach / step) if step * ahead > reach else ahead
                corner[3] = at = n + (k if k > 1 else 1)
                if at < next_look:
                    next_look = at
        # A corner is looked at when `look_at` values came before: one less than there are with it.
        self._look_at = next_look - 1
        if best is None:
            return None
        return self._begin_anew(best, min(evidence, MOST_EVIDENCE), index, 1 if up > 0.0 else -1)

    def _begin_anew(self, corner: Corner, evidence: float, index: int, direction: int) -> Hit:
        """The alarm; the world begins at its onset, with the corners since."""
        start, sum_before, _, _ = corner
        origin = self._origin or 0.0
        least = start + self._min_before
        self._corners = [
            [[n - start, s - sum_before, v, 0] for n, s, v, _ in corners if n >= least]
            for corners in self._corners
        ]
        self._n, self._sum, self._look_at = self._n - start, self._sum - sum_before, -1
        before, after = origin + sum_before / start, origin + self._sum / self._n
        if (after - before) * direction < 0.0:  # rounding, of a huge origin
            after = before
        return Hit(index, direction, before, after, self._n, evidence)

    def dump(self) -> Any:
        """Origin, n, sum, least, most, when to look, variance; corners of rises, of falls; spread."""
        return [
            *(self._origin, self._n, self._sum, self._least, self._most, self._look_at, self._variance),
            [[list(corner) for corner in corners] for corners in self._corners],
            self.spread.dump(),
        ]

    @classmethod
    def load(cls, state: Any, **params: Any) -> FocusGaussian:
        """Continue from `dump`. Raises ValueError when the state cannot be read."""
        detector = cls(**params)
        try:
            origin, n, total, least, most, look_at, variance, corners, spread = state
            detector._origin = None if origin is None else float(origin)
            detector._n, detector._look_at = int(n), int(look_at)
            detector._sum, detector._least, detector._most = float(total), float(least), float(most)
            detector._variance = float(variance)
            detector._corners = [
                [[int(n), float(s), float(v), int(at)] for n, s, v, at in some] for some in corners
            ]
        except TypeError as error:
            raise ValueError(f"focus_gaussian: a state that cannot be read: {error}") from error
        if len(detector._corners) != len(detector._signs):
            raise ValueError("focus_gaussian: a state of another mode")
        detector.spread = Spread.load(spread)
        return detector

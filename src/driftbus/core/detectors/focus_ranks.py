"""FOCuS on ranks: for real values of any distribution, a loss or an error in the label's unit.

Idea: each value is taken by its place among 128 quantiles of the first 256 values, turned into a normal
score; eight scores make a sum, and `detectors.focus_gaussian` watches the sums. What the distribution looks
like, and how heavy its tails are, then matters no more; that values depend on their past is the business of
its long-run variance, which is at least (1 + r) / (1 - r), with r the correlation of a score with the one
before.

Formula: score = Φ⁻¹((places below + places not above + 1) / 258); sums of eight, over √8.

Input: any finite number. `rate`: false alarms per value at most (of falls: a twentieth of it); `mode` up,
down or both.
Guaranteed: only the order of values matters (but for rounding of the quantiles): their unit changes no alarm.
After an alarm the next 256 values are the reference. `before` and `after` of an alarm are quantiles of the
reference, in the values' unit, never beyond it.
Cost: .9 µs a value; memory O(log n) and 128 numbers.

Papers: Gordon & Pollak, An efficient sequential nonparametric scheme for detecting a change of distribution,
Annals of Statistics 22, 1994 (ranks); and those of `detectors.focus_gaussian`.

>>> detector = FocusRanks()
>>> detector.update_block([(7.0 * i) % 10.0 for i in range(1200)] + [15.0] * 40)
[Hit(index=..., direction=1, before=..., after=..., since=..., evidence=...)]
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any

from driftbus.core.detectors.base import Hit
from driftbus.core.detectors.budget import MOST
from driftbus.core.detectors.focus_gaussian import FocusGaussian

# 256 values tell quantiles to ±3 %; with the sums that `FocusGaussian` needs, watching begins before the
# 1,000th value.
REFERENCE, PLACES = 256, 128
# Values per sum: what a sum costs is paid by eight, and a change is found 4 values later on average.
SUM = 8
# Sums that are all alike have no variance; a rare odd one among them is no change yet. Where all values
# differ the sums, over √8, have a variance of 1.
MIN_VARIANCE = 0.2
# Standard errors from which the correlation of scores with the one before is believed, and the most that is.
BEYOND, MOST_CORRELATED = 3.0, 0.95
# As in `detectors.focus_bernoulli`.
FALL_SHARE = 0.05
_SCORES = [NormalDist().inv_cdf((i + 1) / (2 * PLACES + 2)) / sqrt(SUM) for i in range(2 * PLACES + 1)]


class FocusRanks:
    """See the module's text."""

    def __init__(self, rate: float = MOST, mode: str = "both") -> None:
        self.name = "focus_ranks"
        self._params = {
            "rate": min(rate * SUM, 0.1),
            "min_variance": MIN_VARIANCE,
            "down_share": FALL_SHARE if mode == "both" else 1.0,
            "mode": mode,
        }
        self._inner = FocusGaussian(**self._params)  # type: ignore[arg-type]
        self._learned: list[float] = []  # values of a reference to come
        self._places: list[float] = []
        self._held: list[float] = []  # scores of the sum under way
        self._sums = 0
        self._squares = self._products = 0.0  # of scores, and of each with the one before it in the same sum

    def keep_to(self, rate: float) -> None:
        """Another budget, false alarms per value, from the next value on."""
        self._params["rate"] = min(rate * SUM, 0.1)
        self._inner.keep_to(min(rate * SUM, 0.1))

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        hits = self.update_block((value,))
        return hits[0] if hits else None

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values in order; the alarms with their positions."""
        hits: list[Hit] = []
        places, held = self._places, self._held
        for index, value in enumerate(values):
            if value - value != 0.0:
                continue
            if not places:
                if self._learn(value):
                    places = self._places
                continue
            held.append(_SCORES[bisect_left(places, value) + bisect_right(places, value)])
            if len(held) < SUM:
                continue
            hit = self._inner.update(self._close(held))
            if hit is not None:
                hits.append(self._hit(hit, index))
                places = self._places
        return hits

    def _learn(self, value: float) -> bool:
        """A value of the reference; whether it is complete."""
        learned = self._learned
        learned.append(float(value))
        if len(learned) < REFERENCE:
            return False
        learned.sort()
        # The middle of each 128th.
        self._places = [0.5 * a + 0.5 * b for a, b in zip(learned[::2], learned[1::2], strict=True)]
        self._learned = []
        return True

    def _close(self, held: list[float]) -> float:
        """The sum of the scores held; their correlation tells the variance that is least to be expected."""
        total = before = 0.0
        squares, products = self._squares, self._products
        for score in held:
            total += score
            squares += score * score
            products += score * before
            before = score
        held.clear()
        self._sums += 1
        self._squares, self._products = squares, products
        r = products / squares * (SUM / (SUM - 1.0)) if squares else 0.0
        least = MIN_VARIANCE
        if r > BEYOND / sqrt(SUM * self._sums):
            r = min(r, MOST_CORRELATED)
            least = (1.0 + r) / (1.0 - r)
        self._inner.least_variance = least
        return total

    def _hit(self, hit: Hit, index: int) -> Hit:
        """An alarm of the sums, in values; a new reference begins."""
        before, after = self._level(hit.before), self._level(hit.after)
        spread = self._inner.spread
        self._inner = FocusGaussian(**self._params)  # type: ignore[arg-type]
        self._inner.spread = spread
        self._places = []
        since = None if hit.since is None else hit.since * SUM
        return Hit(index, hit.direction, before, after, since, hit.evidence)

    def _level(self, mean: float) -> float:
        """The reference's value at a sum's mean score."""
        place = NormalDist().cdf(mean / sqrt(SUM)) * len(self._places)
        return self._places[min(max(int(place), 0), len(self._places) - 1)]

    def dump(self) -> Any:
        """[values of a reference to come, places, scores held, correlation, FOCuS on the sums]."""
        correlation = [self._sums, self._squares, self._products]
        return [
            *(list(self._learned), list(self._places), list(self._held)),
            *(correlation, self._inner.dump()),
        ]

    @classmethod
    def load(cls, state: Any, **params: Any) -> FocusRanks:
        """Continue from `dump`. Raises ValueError when the state cannot be read."""
        detector = cls(**params)
        try:
            learned, places, held, (sums, squares, products), inner = state
            detector._sums, detector._squares = int(sums), float(squares)
            detector._products = float(products)
            detector._learned = [float(x) for x in learned]
            detector._places = [float(x) for x in places]
            detector._held = [float(x) for x in held]
        except TypeError as error:
            raise ValueError(f"focus_ranks: a state that cannot be read: {error}") from error
        if len(detector._places) not in (0, PLACES) or len(detector._learned) >= REFERENCE:
            raise ValueError("focus_ranks: a reference of another length")
        if len(detector._held) >= SUM:
            raise ValueError("focus_ranks: more scores than a sum has")
        detector._inner = FocusGaussian.load(inner, **detector._params)
        return detector

"""Any number becomes a value in [0, 1], which is what detectors read; levels are turned back for people.

`Clip` is a fixed linear map, for numbers whose range is known (0/1 errors, log loss). `LevelScale` learns
its map from a signal's own first bins and is frozen then: numbers without a known range, means of 16 at a
time. Averaging first takes out short-range dependence and most of the odd shapes; learning the spread of
the *means*, not of the values, makes a signal that depends on its own past its own yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log, sqrt
from typing import Any, Literal

# Rows per mean. Half an autocorrelation of .5 per row is gone after one row and 1e-5 of it after 16, and
# the mean of 16 lognormal values is already closer to normal than to lognormal.
BIN = 16
# First the clipping bounds are learned from a thin sample (every 8th value of a bin until there are 60: two
# of each of 30 bins, they span 480 rows), then the level and spread of the clipped means (30 bins): 960
# rows, and detection begins before the 1,000th as promised. Two passes, so that a sentinel such as 1e9
# spoils neither.
SAMPLE = 60
SAMPLED = 8
MEAN_BINS = 30
# Quartiles plus 2.5 times their distance: ±4.05 standard deviations of a normal law (1 value in 20,000 is
# touched), 4 % of a lognormal one's.
FENCE = 2.5
# Half the width of the map in standard deviations of the means. Four: a clean mean leaves it once in
# 16,000, and a shift of one standard deviation of independent values (four of the means) spans half of it.
HALF_WIDTH = 4.0
# Numbers beyond these bounds count as the bounds: their squares and the map's slope stay finite.
HUGE = 1e150
# A reference that never moved has no spread; then any move beyond rounding is a whole one.
LEAST_RELATIVE_SPREAD = 1e-9
# Weight of the newest mean in the recent level: it forgets half in 11 bins, 172 rows.
RECENT = 1.0 / 16.0


@dataclass(frozen=True, slots=True)
class Clip:
    """`low` … `high` becomes 0 … 1, what lies outside the nearer end."""

    low: float
    high: float

    def scale(self, x: float) -> float:
        """The value in [0, 1] for a finite `x`."""
        return min(max((x - self.low) / (self.high - self.low), 0.0), 1.0)

    def unscale(self, y: float) -> float:
        """The `x` in the signal's own unit for a value in [0, 1]."""
        return self.low + y * (self.high - self.low)


Scaling = Clip | Literal["learned", "as it is"]

# Numbers that are in [0, 1] by nature: 0/1 errors, shares.
UNIT = Clip(0.0, 1.0)
# A probability under 1e-3 for what happened costs as much as 1e-3: else one outcome outweighs hundreds.
LOG_LOSS = Clip(0.0, -log(1e-3))
# Learned from the first rows of the reference, then frozen: a `LevelScale`.
LEARNED: Literal["learned"] = "learned"
# Not at all: its detectors do not care about scale.
AS_IT_IS: Literal["as it is"] = "as it is"


def _short(x: float) -> float:
    """Six significant digits: 60 values teach no more, and a snapshot is smaller."""
    return float(f"{x:.6g}")


def _within_huge(x: float) -> float:
    return float(min(max(x, -HUGE), HUGE))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics."""
    place = share * (len(ordered) - 1)
    below = int(place)
    part = place - below
    return ordered[below] if part == 0.0 else ordered[below] * (1.0 - part) + ordered[below + 1] * part


class LevelScale:
    """The learned map: clipping bounds `low`, `high`, then means to [0, 1] around `center`.

    `learn` is given the finite numbers of one bin until `freeze` fixes the map. `live` says that the map is
    frozen; `low` is above `high` until then, so that one comparison tells a plain live bin from all others.
    `spread` is the standard deviation that `moved` and material changes are measured in: that of the values,
    or four times that of the means where dependence makes those wider (equal for independent values).
    """

    __slots__ = (
        "_bounds",
        "_means",
        "_sample",
        "center",
        "high",
        "live",
        "low",
        "range_high",
        "range_low",
        "recent",
        "slope",
        "spread",
    )

    def __init__(self) -> None:
        self.live = False
        self.low, self.high = HUGE, -HUGE
        self.range_low, self.range_high = HUGE, -HUGE
        self.center = self.slope = self.spread = self.recent = 0.0
        self._sample: list[float] | None = []
        self._bounds: tuple[float, float] = (-HUGE, HUGE)
        self._means: list[float] = []

    def learn(self, values: Sequence[float], least: float, most: float) -> None:
        """One bin of a map that is not live: at least one value, all finite, from `least` to `most`."""
        if least < self.range_low:
            self.range_low = max(least, -HUGE)
        if most > self.range_high:
            self.range_high = min(most, HUGE)
        sample = self._sample
        if sample is None:
            self._means.append(self.mean(values, least, most))
            return
        sampled = values[::SAMPLED]
        sample += map(float if least >= -HUGE and most <= HUGE else _within_huge, sampled)
        if len(sample) >= SAMPLE:
            low, high = self._bounds = _fences(sample)
            self.spread = _deviation([low if x < low else high if x > high else x for x in sample])
            self._sample = None

    def mean(self, values: Sequence[float], least: float, most: float) -> float:
        """One bin's mean, clipped to the bounds (once these are known): as `learn`."""
        low, high = self._bounds
        if least < low or most > high:
            values = [low if x < low else high if x > high else x for x in values]
        return fsum(values) / len(values)

    def freeze(self) -> list[float] | None:
        """Once enough means were taken: fix the map and give these means; None otherwise."""
        if self.live or len(self._means) < MEAN_BINS:
            return None
        means, self._means = self._means, []
        self.live = True
        self.low, self.high = self._bounds
        self.center = _short(fsum(means) / len(means))
        self.settle(self.spread, _deviation(means))
        half = (self.range_high - self.range_low) / 2.0
        self.range_low, self.range_high = _short(self.range_low - half), _short(self.range_high + half)
        self.recent = self.center
        return means

    @classmethod
    def given(
        cls, center: float, deviation: float, bounds: tuple[float, float], least: float, most: float
    ) -> LevelScale:
        """A live map around a center and a deviation of values that are known from elsewhere, with the range
        they had; to be `settled`."""
        scale = cls()
        scale.live, scale._sample, scale._bounds = True, None, bounds
        scale.low, scale.high = bounds
        scale.center = scale.recent = center
        half = (most - least) / 2.0
        scale.range_low, scale.range_high = max(least - half, -HUGE), min(most + half, HUGE)
        scale.settle(deviation, deviation / sqrt(BIN))
        return scale

    def settle(self, deviation: float, of_means: float) -> None:
        """Fix slope and spread by the standard deviations of values and of means."""
        floor = max(abs(self.center) * LEAST_RELATIVE_SPREAD, 1.0 / HUGE)
        self.spread = _short(max(deviation, of_means * sqrt(BIN)))
        self.slope = _short(0.5 / (HALF_WIDTH * max(of_means, floor)))

    def scale(self, mean: float) -> float:
        """A clipped mean in the signal's unit → [0, 1]."""
        y = 0.5 + (mean - self.center) * self.slope
        return 0.0 if y < 0.0 else 1.0 if y > 1.0 else y

    def unscale(self, y: float) -> float:
        """A level in [0, 1] → the signal's unit."""
        return self.center + (y - 0.5) / self.slope

    def place(self, mean: float, values: Sequence[float]) -> float:
        """One bin's clipped mean → [0, 1], and the recent level moved by it.

        A bin off the map with most of its values outside the clipping bounds is no matter of outliers (euros
        have become cents): then the values' own mean tells where the level is.
        """
        y = 0.5 + (mean - self.center) * self.slope
        if 0.0 < y < 1.0:
            self.recent += (mean - self.recent) * RECENT
            return y
        middle = sorted(values)[len(values) // 2]
        if not self.low <= middle <= self.high:
            mean = fsum([_within_huge(x) for x in values]) / len(values)
        self.recent += (mean - self.recent) * RECENT
        return 0.0 if y <= 0.0 else 1.0

    def level_since(self, bins: int, before: float) -> float:
        """The level since `bins` bins ago, from the recent level and the one `before`: what is left of the
        latter after that many bins is known."""
        return before + (self.recent - before) / (1.0 - (1.0 - RECENT) ** bins)

    def widen(self, factor: float) -> None:
        """Expect `factor` times more variation from now on."""
        self.slope /= factor
        self.spread *= factor

    def scale_value(self, x: float) -> float:
        """One value → [0, 1] over the clipping bounds, for detectors that want single values."""
        return min(max((x - self.low) / (self.high - self.low), 0.0), 1.0) if self.high > self.low else 0.5

    def unscale_value(self, y: float) -> float:
        """The inverse of `scale_value`."""
        return self.low + y * (self.high - self.low)

    def dump(self) -> Any:
        """The state as JSON-able values: short once live, up to 60 numbers while learning."""
        if self.live:
            return [
                *(self.low, self.high, self.center, self.slope, self.spread),
                *(self.range_low, self.range_high, self.recent),
            ]
        return {
            "sample": self._sample,
            "bounds": self._bounds,
            "means": list(self._means),
            "range": [self.range_low, self.range_high],
            "spread": self.spread,
        }

    @classmethod
    def load(cls, state: Any) -> LevelScale:
        """The scale that `dump` was called on."""
        scale = cls()
        if isinstance(state, list):
            scale.live, scale._sample = True, None
            scale.low, scale.high, scale.center, scale.slope, scale.spread = state[:5]
            scale.range_low, scale.range_high, scale.recent = state[5:]
            scale._bounds = (scale.low, scale.high)
            return scale
        scale._sample = None if state["sample"] is None else list(state["sample"])
        low, high = state["bounds"]
        scale._bounds = (low, high)
        scale._means = list(state["means"])
        scale.range_low, scale.range_high = state["range"]
        scale.spread = state["spread"]
        return scale


def _fences(sample: Sequence[float]) -> tuple[float, float]:
    """`fences` of a sample."""
    ordered = sorted(sample)
    return fences(_quantile(ordered, 0.25), _quantile(ordered, 0.75), ordered[0], ordered[-1])


def fences(first: float, third: float, least: float, most: float) -> tuple[float, float]:
    """Clipping bounds: fences around the quartiles. Where these coincide (mostly one value, few others) twice
    the furthest other to both sides, as the sample may have caught others on one side only; where the
    sample is one value, none."""
    if third > first:
        reach = FENCE * (third - first)
        low, high = first - reach, third + reach
    elif most > least:
        reach = 2.0 * max(most - first, first - least)
        low, high = first - reach, first + reach
    else:
        low, high = -HUGE, HUGE
    low, high = _short(max(low, -HUGE)), _short(min(high, HUGE))
    return (low, high) if high > low else (-HUGE, HUGE)


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation of at least two values within ±HUGE."""
    mean = fsum(values) / len(values)
    return sqrt(fsum([(x - mean) * (x - mean) for x in values]) / (len(values) - 1))

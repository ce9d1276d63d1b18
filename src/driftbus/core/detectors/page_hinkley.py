"""Page-Hinkley: alarms when values have stood above (or below) their own mean for too long.

Idea: add up how far each value lies from the mean so far, less a tolerance; when the sum has risen by
`threshold` over its lowest point, the mean has changed, and that lowest point is where.

Formula: m_t = α·m_{t-1} + (x_t - mean_t) - δ; alarm (up) when m_t - min m > λ; down mirrored.

Input: any number; `threshold` and `delta` are in its unit. Parameters as River's: `min_instances`,
`delta` (δ), `threshold` (λ), `alpha` (α), `mode` up, down or both.
Guaranteed: the alarms are `river.drift.PageHinkley`'s, bit for bit; O(1) memory.
Cost: 0.15 µs a value in blocks (both directions 0.21).

Paper: Page, Continuous inspection schemes, Biometrika 41, 1954; Sebastião & Fernandes 2017.

>>> detector = PageHinkley(threshold=10.0, mode="up")
>>> detector.update_block([0.0] * 500 + [1.0] * 100)
[Hit(index=510, direction=1, before=0.0, after=1.0, since=11, evidence=53.10...)]
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import neg
from typing import Any

from driftbus.core.detectors.base import LIMIT, Hit, bernoulli_evidence, bounded, is_plain

_INF = float("inf")
MODES = ("up", "down", "both")


class PageHinkley:
    """River's Page-Hinkley with its arithmetic inlined for blocks; see the module's text."""

    def __init__(
        self,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: str = "both",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode: {mode!r} must be one of {', '.join(MODES)}")
        if min_instances < 1:
            raise ValueError(f"min_instances: {min_instances!r} must be a positive whole number")
        for name, value in (("delta", delta), ("threshold", threshold)):
            if not 0.0 <= value <= LIMIT:
                raise ValueError(f"{name}: {value!r} must lie between 0 and {LIMIT:g}")
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha: {alpha!r} must lie between 0 and 1")
        self.name = "page_hinkley"
        self._min_instances, self._delta = min_instances, delta
        self._threshold, self._alpha, self._mode = threshold, alpha, mode
        self._reset()

    def _reset(self) -> None:
        """As after an alarm. Of each direction: its sum, the sum's turning point, and n and mean there.

        "Down" is kept mirrored: its sum is that of the negated values, so both directions share a form.
        River starts the lowest point of "up" at infinity and, seen mirrored, that of "down" at 1.
        """
        self._n = 0.0
        self._mean = 0.0
        self._up: tuple[float, float, float, float] = (0.0, _INF, 0.0, 0.0)
        self._down: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0)

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        if not -LIMIT <= value <= LIMIT:  # true for NaN, too
            hits = self.update_block((value,))
            return hits[0] if hits else None
        if self._mode != "both":
            return self._step_one((value,), 0)
        # `_step_both` for one value: features give theirs one by one, and half of the cost is the loop's.
        n = self._n + 1.0
        mean = self._mean + (1.0 / n) * (value - self._mean)
        deviation, alpha, delta = value - mean, self._alpha, self._delta
        up, lowest, n_low, mean_low = self._up
        down, deepest, n_deep, mean_deep = self._down
        up = alpha * up + deviation - delta
        down = alpha * down - deviation - delta
        if up < lowest:
            lowest, n_low, mean_low = up, n, mean
        if down < deepest:
            deepest, n_deep, mean_deep = down, n, -mean
        if n >= self._min_instances:
            if up - lowest > self._threshold:
                self._reset()
                return _hit(0, 1, n, mean, n_low, mean_low)
            if down - deepest > self._threshold:
                self._reset()
                return _hit(0, -1, n, -mean, n_deep, mean_deep)
        self._n, self._mean = n, mean
        self._up = (up, lowest, n_low, mean_low)
        self._down = (down, deepest, n_deep, mean_deep)
        return None

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values; the alarms with their positions. After one everything starts anew."""
        if is_plain(values):
            step, hits, index = self._step, [], 0
            while (hit := step(values, index)) is not None:
                hits.append(hit)
                index = hit.index + 1
            return hits
        hits = []
        for index, value in enumerate(values):
            usable = bounded(value)
            hit = None if usable is None else self._step((usable,), 0)
            if hit is not None:
                hits.append(Hit(index, hit.direction, hit.before, hit.after, hit.since, hit.evidence))
        return hits

    def _step(self, values: Sequence[float], start: int) -> Hit | None:
        """Take values from `start` on up to the first alarm."""
        if self._mode == "both":
            return self._step_both(values, start)
        return self._step_one(values, start)

    def _step_one(self, values: Sequence[float], start: int) -> Hit | None:
        """One direction. Negation is exact, so "down" is "up" of the negated values."""
        falling = self._mode == "down"
        n, mean, alpha, delta = self._n, -self._mean if falling else self._mean, self._alpha, self._delta
        threshold, min_instances = self._threshold, self._min_instances
        total, lowest, n_low, mean_low = self._down if falling else self._up
        if start:
            values = values[start:]
        index = start
        for value in map(neg, values) if falling else values:
            n += 1.0
            mean += (1.0 / n) * (value - mean)
            total = alpha * total + (value - mean) - delta
            if total < lowest:
                lowest, n_low, mean_low = total, n, mean
            elif total - lowest > threshold and n >= min_instances:
                self._reset()
                return _hit(index, -1 if falling else 1, n, mean, n_low, mean_low)
            index += 1
        self._n, self._mean = n, -mean if falling else mean
        if falling:
            self._down = (total, lowest, n_low, mean_low)
        else:
            self._up = (total, lowest, n_low, mean_low)
        return None

    def _step_both(self, values: Sequence[float], start: int) -> Hit | None:
        n, mean, alpha, delta = self._n, self._mean, self._alpha, self._delta
        threshold, min_instances = self._threshold, self._min_instances
        up, lowest, n_low, mean_low = self._up
        down, deepest, n_deep, mean_deep = self._down
        for index in range(start, len(values)):
            value = values[index]
            n += 1.0
            mean += (1.0 / n) * (value - mean)
            deviation = value - mean
            up = alpha * up + deviation - delta
            down = alpha * down - deviation - delta
            if up < lowest:
                lowest, n_low, mean_low = up, n, mean
            if down < deepest:
                deepest, n_deep, mean_deep = down, n, -mean
            if n >= min_instances:
                if up - lowest > threshold:
                    self._reset()
                    return _hit(index, 1, n, mean, n_low, mean_low)
                if down - deepest > threshold:
                    self._reset()
                    return _hit(index, -1, n, -mean, n_deep, mean_deep)
        self._n, self._mean = n, mean
        self._up = (up, lowest, n_low, mean_low)
        self._down = (down, deepest, n_deep, mean_deep)
        return None

    def dump(self) -> Any:
        """[n, mean, up, down]; a direction is [sum, lowest sum (None: none yet), n there, mean there]."""
        up, lowest, *there = self._up
        return [self._n, self._mean, [up, None if lowest == _INF else lowest, *there], list(self._down)]

    @classmethod
    def load(cls, state: Any, **params: Any) -> PageHinkley:
        """Continue from `dump`. Raises ValueError when the state cannot be read."""
        detector = cls(**params)
        try:
            n, mean, (up, lowest, n_low, mean_low), (down, deepest, n_deep, mean_deep) = state
            detector._n, detector._mean = float(n), float(mean)
            detector._up = (
                float(up),
                _INF if lowest is None else float(lowest),
                float(n_low),
                float(mean_low),
            )
            detector._down = (float(down), float(deepest), float(n_deep), float(mean_deep))
        except TypeError as error:
            raise ValueError(f"page_hinkley: a state that cannot be read: {error}") from error
        return detector


def _hit(index: int, direction: int, n: float, mean: float, n_turn: float, mean_turn: float) -> Hit:
    """The alarm: the level up to the turning point of the sum against the level since.

    When the sum never turned (alarms right at `min_instances`), all that is known is the mean.
    """
    since = n - n_turn
    after = (mean * n - mean_turn * n_turn) / since if since else mean
    before = mean_turn if n_turn else mean
    before, after = direction * before + 0.0, direction * after + 0.0  # + 0.0: no negative zero
    # With forgetting the sum also rises by what it forgets: then the levels say which way it went.
    direction = (after > before) - (after < before) or direction
    evidence = bernoulli_evidence(n_turn, before, since, after)
    return Hit(index, direction, before, after, int(since) or None, evidence)

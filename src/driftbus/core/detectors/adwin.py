"""ADWIN, adaptive windowing: alarms when two parts of the recent past cannot have the same mean.

Idea: keep a window of all values since the last change, in buckets of exponentially growing size; cut
off its old part when the means of old and new part differ by more than chance allows.

Formula: cut where |mean0 - mean1| > sqrt(2/m · variance · ln(2/δ')) + 2/(3m) · ln(2/δ'), with m the
harmonic mean of the two sizes and δ' = δ / ln(width), tested every `clock` values.

Input: numbers in [0, 1] (callers scale); outside it still works, with a bound that is not guaranteed.
Parameters as River's: `delta` (0 < δ < 1), `clock`, `max_buckets`, `min_window_length`, `grace_period`.
Guaranteed: the alarms are `river.drift.ADWIN`'s, whose compiled window this is; memory O(log n).
Cost: about 0.1 µs a value in blocks.

Paper: Bifet & Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007.

>>> detector = Adwin()
>>> detector.update_block([0.0] * 500 + [1.0] * 100)
[Hit(index=511, direction=1, before=0.0, after=0.046875, since=256, evidence=8.46...)]
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

from river._river_rust.drift import AdaptiveWindowing

from driftbus.core.detectors.base import Hit, bernoulli_evidence, bounded, is_plain

# The compiled window gives its state as bytes only, in this layout (river 0.26, little-endian): the five
# parameters; total, variance · width, width, sum of widths; four counters; how many buckets; then each
# bucket; then the parameters again. A test compares a round trip over it with the bytes themselves.
_HEAD = struct.Struct("<diQdd dddd iiii Q")
_BUCKET = struct.Struct("<QQQ")
_TAIL = struct.Struct("<diQii")
# With one bucket a size River's window indexes beyond its end and panics, which no `except` for ordinary
# errors catches; each size allocates all its buckets at once, so their number is memory.
_MOST_BUCKETS = 1_000
# Buckets double in size, so even 2^60 values need no more of them; the codec refuses a longer list.
_MAX_LEVELS = 64


class Adwin:
    """ADWIN over River's compiled window; see the module's text."""

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta: {delta!r} must lie between 0 and 1")
        for name, value in (
            ("clock", clock),
            ("max_buckets", max_buckets),
            ("min_window_length", min_window_length),
            ("grace_period", grace_period),
        ):
            # The compiled window holds them as 32-bit integers.
            if not 1 <= value < 2**31:
                raise ValueError(f"{name}: {value!r} must be a positive whole number")
        if not 2 <= max_buckets <= _MOST_BUCKETS:
            raise ValueError(f"max_buckets: {max_buckets!r} must lie between 2 and {_MOST_BUCKETS}")
        self.name = "adwin"
        self._params = (float(delta), clock, max_buckets, min_window_length, grace_period)
        self._window = AdaptiveWindowing(*self._params)

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        hits = self.update_block((value,))
        return hits[0] if hits else None

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values; the alarms with their positions. After one the window starts anew."""
        if not is_plain(values):
            return self._update_with_care(values)
        hits: list[Hit] = []
        start, n = 0, len(values)
        while start < n:
            window = self._window
            total, width = window.get_total(), window.get_width()
            rest = iter(values[start:] if start else values)
            # `in` stops at the first alarm and leaves the iterator just behind it.
            if True not in map(window.update, rest):
                break
            end = n - rest.__length_hint__()  # type: ignore[attr-defined]
            # In the window's own order of addition, so that it does not matter where blocks end.
            for value in values[start:end]:
                total += value
            hits.append(self._hit(end - 1, total, width + (end - start)))
            self._window = AdaptiveWindowing(*self._params)
            start = end
        return hits

    def _update_with_care(self, values: Sequence[float]) -> list[Hit]:
        """A block with something non-finite or huge in it."""
        hits: list[Hit] = []
        for index, raw in enumerate(values):
            value = bounded(raw)
            if value is None:
                continue
            window = self._window
            total, width = window.get_total() + value, window.get_width() + 1.0
            if window.update(value):
                hits.append(self._hit(index, total, width))
                self._window = AdaptiveWindowing(*self._params)
        return hits

    def _hit(self, index: int, total: float, width: float) -> Hit:
        """The alarm, from the window's sums before the cut and what the cut has left."""
        kept_total, kept_width = self._window.get_total(), self._window.get_width()
        dropped = width - kept_width
        after = kept_total / kept_width if kept_width else 0.0
        before = (total - kept_total) / dropped if dropped else after
        direction = (after > before) - (after < before)
        evidence = bernoulli_evidence(dropped, before, kept_width, after)
        return Hit(index, direction, before, after, int(kept_width), evidence)

    def dump(self) -> Any:
        """[[total, variance, width, sum of widths], four counters, [[size, filled, totals, variances] …]]."""
        raw = self._window.__getstate__()
        head = _HEAD.unpack_from(raw)
        offset, buckets = _HEAD.size, []
        for _ in range(head[13]):
            size, filled, slots = _BUCKET.unpack_from(raw, offset)
            offset += _BUCKET.size
            totals = struct.unpack_from(f"<{slots}d", raw, offset)
            offset += 8 * slots + 8
            variances = struct.unpack_from(f"<{slots}d", raw, offset)
            offset += 8 * slots
            # Slots that are not filled hold what was last moved out of them, and are never read: zeros do.
            buckets.append([size, filled, list(totals[:filled]), list(variances[:filled])])
        return [list(head[5:9]), list(head[9:13]), buckets]

    @classmethod
    def load(cls, state: Any, **params: Any) -> Adwin:
        """Continue from `dump`. Raises ValueError when the state does not fit these parameters."""
        detector = cls(**params)
        detector._window.__setstate__(_window_bytes(detector._params, state))
        return detector


def _window_bytes(params: tuple[float, int, int, int, int], state: Any) -> bytes:
    """The compiled window's bytes, built from checked numbers only: nothing read is trusted for a length."""
    delta, clock, max_buckets, min_window_length, grace_period = params
    try:
        sums, counters, buckets = state
        if not 1 <= len(buckets) <= _MAX_LEVELS:
            raise ValueError("adwin: a state with an impossible number of buckets")
        parts = [
            _HEAD.pack(
                delta,
                clock,
                max_buckets,
                float(min_window_length),
                float(grace_period),
                *map(float, sums),
                *counters,
                len(buckets),
            )
        ]
        slots = max_buckets + 1
        width = 0
        for level, (size, filled, totals, variances) in enumerate(buckets):
            if size != max_buckets or not len(totals) == len(variances) == filled <= slots:
                raise ValueError("adwin: a state of other parameters")
            width += filled << level
            padding = [0.0] * (slots - filled)
            parts.append(_BUCKET.pack(size, filled, slots))
            parts.append(struct.pack(f"<{slots}d", *chain(totals, padding)))
            parts.append(struct.pack(f"<Q{slots}d", slots, *chain(variances, padding)))
        if width != sums[2]:
            raise ValueError("adwin: a state whose buckets do not add up to its width")
        parts.append(_TAIL.pack(delta, clock, max_buckets, min_window_length, grace_period))
    except (TypeError, struct.error) as error:
        raise ValueError(f"adwin: a state that cannot be read: {error}") from error
    return b"".join(parts)

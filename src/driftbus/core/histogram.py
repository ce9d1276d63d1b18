"""A histogram that only grows: what Prometheus calls classic, fixed buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

import numpy as np

from driftbus.core.views import HistogramView

# Seconds. A transaction takes about 5 ms on the embedded bus and 20-100 ms on a healthy Kafka; Kafka's own
# time limit for one is 60 s by default. A third of a decade apart: a quantile is then within a factor of 2.2.
TRANSACTION_BOUNDS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# Seconds. Labels come after anything from a click (seconds) to a default on a loan (months): named spans
# people ask for, up to the horizon of a quarter.
LABEL_DELAY_BOUNDS_S = (
    1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0,
    86_400.0, 2 * 86_400.0, 7 * 86_400.0, 14 * 86_400.0, 30 * 86_400.0, 90 * 86_400.0,
)  # fmt: skip


class Histogram:
    """Counts of values by bucket: value v falls into the first bucket whose bound is ≥ v (le, as in
    Prometheus). Values are finite seconds; O(log buckets) per value."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def observe_block(self, values: Iterable[float] | np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """The same as `observe` on each value in turn, the sum to the last bit."""
        block = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
        if not block.size:
            return
        found = np.bincount(
            np.searchsorted(self.bounds, block, side="left"), minlength=len(self._counts)
        ).tolist()
        self._counts = [have + new for have, new in zip(self._counts, found, strict=True)]
        running = np.add.accumulate(np.concatenate(([self._sum], block)))
        self._sum = float(running[-1])

    def view(self) -> HistogramView:
        return HistogramView(self.bounds, tuple(self._counts), self._sum)

    def dump(self) -> Any:
        return {"counts": list(self._counts), "sum": self._sum}

    @classmethod
    def load(cls, bounds: tuple[float, ...], state: Any) -> Histogram:
        """Take up what `dump` gave; counts of other bounds are started anew."""
        histogram = cls(bounds)
        if len(state["counts"]) == len(histogram._counts):
            histogram._counts = [int(n) for n in state["counts"]]
            histogram._sum = float(state["sum"])
        return histogram

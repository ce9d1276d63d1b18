"""A run's event time and streams, as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from driftbus.core.block import CLOCK_SKEW_MS
from driftbus.core.fates import StreamJoin

Numbers = NDArray[np.int64]


class Rise:
    """The watermark over a run, from `start` to `end`; `highest` the topic's newest event time then, `seen`
    each record's, as far as its producer's clock is trusted."""

    def __init__(self, tss: Numbers, times: Sequence[int], start: int, highest: int, other: int) -> None:
        self.seen = tss
        newest = int(tss.max())
        if newest > min(times) + CLOCK_SKEW_MS:
            self.seen = np.minimum(tss, np.array(times, np.int64) + CLOCK_SKEW_MS)
            newest = int(self.seen.max())
        self.start = start
        self._before, self._other = highest, other
        self.highest = max(highest, newest)
        self.end = max(start, min(newest, other)) if newest > highest else start
        self._course: Numbers | None = None

    def _over_run(self) -> Numbers:
        if self._course is None:
            newest = np.maximum.accumulate(self.seen)
            reached = np.where(newest > self._before, np.minimum(newest, self._other), self.start)
            self._course = np.maximum(reached, self.start)
        return self._course

    def at(self, index: int) -> int:
        """The watermark once a record was read."""
        return self.start if self.end == self.start else int(self._over_run()[index])

    def reaches(self, expiry: int) -> int:
        """The record that first raises it to `expiry`, at least by something."""
        return int(np.searchsorted(self._over_run(), max(expiry, self.start + 1)))


class Groups:
    """A run's records by stream: `order` are their indices, those of the k-th stream `bounds[k]` ≤ i <
    `bounds[k + 1]`."""

    def __init__(self, numbers: Numbers, streams: Sequence[StreamJoin]) -> None:
        # Numbers of 16 bits are sorted digit by digit, in a fifth of the time.
        few = len(streams) <= 1 << 16
        self.order = np.argsort(numbers.astype(np.uint16) if few else numbers, kind="stable")
        found = numbers[self.order]
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        self.streams = [streams[number] for number in found[starts].tolist()]
        self.bounds = [*starts.tolist(), len(numbers)]

"""Error over time in bins of equally many outcomes, in bounded memory however long the stream is.

Rows go in as they come; when there are twice as many bins as wanted, neighbours are merged and every bin
from then on holds twice as many rows. So a year is drawn as evenly as an hour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

# What `Course` gives: first ts, rows, mean error, the challenger's mean error on the same rows.
Point = tuple[int, int, float, float | None]


# A mean of few outcomes is noise: of 50, an error of 0.1 is drawn 0.04 too high or too low.
LEAST_ROWS = 50


class Bin(NamedTuple):
    """`rows` outcomes from `ts_ms` on, with their mean error and the challenger's."""

    ts_ms: int
    rows: int
    error: float
    challenger: float | None


class Bins:
    """At most `2 * most` bins of one stream. `rows`: outcomes taken in so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows = 0
        self._error = 0.0  # of all of them
        self._width = 1
        self._bins: list[list[float]] = []  # ts, rows, error, challenged rows, challenger's error: sums

    def take(self, points: Iterable[Point]) -> None:
        """Take the rows in `points` that are new. The points hold every row since the stream began, in bins
        that may have been merged meanwhile: of one that was taken in part, the rest is what it has more."""
        rows, error = 0, 0.0
        for ts, n, mean, challenger in points:
            rows += n
            error += n * mean
            if rows > self.rows:
                self._add(ts, rows - self.rows, max(0.0, error - self._error), challenger)
                self.rows, self._error = rows, error

    def _add(self, ts: int, rows: int, error: float, challenger: float | None) -> None:
        bins = self._bins
        if not bins or bins[-1][1] >= self._width:
            if len(bins) >= 2 * self.most:
                self._merge()
            bins.append([ts, 0, 0.0, 0, 0.0])
        newest = bins[-1]
        newest[1] += rows
        newest[2] += error
        if challenger is not None:
            newest[3] += rows
            newest[4] += rows * challenger

    def _merge(self) -> None:
        bins = self._bins
        for older, newer in zip(bins[::2], bins[1::2], strict=True):
            older[0] = min(older[0], newer[0])
            for column in range(1, 5):
                older[column] += newer[column]
        del bins[1::2]
        self._width = max(2 * self._width, int(bins[0][1]))

    def limit(self, most: int) -> None:
        """Keep no more than this many from now on."""
        self.most = most
        while len(self._bins) > 2 * most:
            if len(self._bins) % 2:
                self._bins.append([self._bins[-1][0], 0, 0.0, 0, 0.0])
            self._merge()

    def read(self, most: int | None = None) -> list[Bin]:
        """The bins, oldest first, neighbours put together until there are no more than `most`."""
        return regrouped(
            [
                (int(ts), int(rows), error / rows, theirs / known if known else None)
                for ts, rows, error, known, theirs in self._bins
                if rows
            ],
            most or self.most,
        )

    def row_at(self, ts_ms: int) -> int:
        """About how many outcomes had come by then."""
        begins = [bin_[0] for bin_ in self._bins]
        index = bisect_right(begins, ts_ms) - 1
        if index < 0:
            return 0
        before = sum(bin_[1] for bin_ in self._bins[:index])
        ts, rows = self._bins[index][:2]
        if index + 1 == len(begins):
            return int(before if ts_ms <= ts else before + rows)
        span = begins[index + 1] - ts
        return int(before + rows * (min(1.0, (ts_ms - ts) / span) if span > 0 else 0.0))


def regrouped(points: list[Point], most: int, at_least: int = LEAST_ROWS) -> list[Bin]:
    """Neighbours put together until about `most` are left, each of `at_least` rows, or what the stream has.

    Labels come out of order, and so may bins: they are put in order of time.
    """
    ordered = sorted(points, key=lambda point: point[0])
    least = max(at_least, sum(point[1] for point in ordered) / most)
    found: list[Bin] = []
    ts = rows = known = 0
    error = theirs = 0.0
    for point in ordered:
        if not rows:
            ts = point[0]
        rows += point[1]
        error += point[1] * point[2]
        if point[3] is not None:
            known += point[1]
            theirs += point[1] * point[3]
        if rows >= least:
            found.append(Bin(ts, rows, error / rows, theirs / known if known else None))
            rows = known = 0
            error = theirs = 0.0
    if rows:
        last = Bin(ts, rows, error / rows, theirs / known if known else None)
        found = _with_rest(found, last, least)
    return found


def _with_rest(found: list[Bin], last: Bin, least: float) -> list[Bin]:
    """What is left at the end, if it is too little for a point of its own, goes to its neighbour."""
    if not found or last.rows * 2 >= least:
        return [*found, last]
    before = found[-1]
    rows = before.rows + last.rows
    error = (before.rows * before.error + last.rows * last.error) / rows
    theirs = before.challenger
    if theirs is not None and last.challenger is not None:
        theirs = (before.rows * theirs + last.rows * last.challenger) / rows
    return [*found[:-1], Bin(before.ts_ms, rows, error, theirs)]

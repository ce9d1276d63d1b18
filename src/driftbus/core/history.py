"""What happened to one version since its reference began, in bounded memory.

Bins of 8 rows, finest at the newest end; older bins are merged pairwise, so that n rows take
O(log n) bins and the resolution at a distance d is about d / 24. A window that starts where a bin
starts has exact row and class counts, in whatever order the labels came.

    level 2: ▇▇▇▇ ▇▇▇▇ …   level 1: ▇▇ ▇▇ …   level 0: ▇ ▇ ▇ ▇ … ▂ (the newest, still filling)

Late rows. A window from a bin's start holds the rows that came after it, but some of those can be
older than its first row. Each bin therefore knows how many later rows have a ts before its own:
`late`. Rows in order cost one comparison; late ones are kept sorted in a small buffer and applied to
all bins when it is full, and until then counted by bisection. So `late` is exact at every moment.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftbus.core.bins import GREATEST, Bin, dump_bins, load_bins, merge_oldest
from driftbus.core.classes import ClassTable
from driftbus.core.records import Json

# Rows in the finest bin: a step from .05 to .35 is located to about ±5 rows at best, whatever the bins.
BIN_ROWS = 8
# Bins kept per level before its oldest two are merged: resolution about d/24 at distance d, far finer
# than the interval in which an onset at that distance can be told. The two finest levels hold more:
# there a window's start is a few rows from where it should be. 100,000 rows take about 230 bins.
FINE_LEVELS, FINE_LEVEL_BINS, LEVEL_BINS = 2, 32, 24
_LEVEL_BINS = (*[FINE_LEVEL_BINS] * FINE_LEVELS, LEVEL_BINS)
# Late rows buffered: one pass over all bins (some 30 µs) per this many of them.
LATE_BUFFER = 256


class Columns(NamedTuple):
    """The bins as columns, oldest first; all of one length. `n`: rows, by what they stand for."""

    first_seq: NDArray[np.int64]
    first_ts: NDArray[np.int64]
    n: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    def part(self, start: int, stop: int | None = None) -> Columns:
        """The bins from index `start` up to `stop`."""
        these = slice(start, stop)
        return Columns(
            self.first_seq[these], self.first_ts[these], self.n[these], self.total[these], self.squares[these]
        )


class Window(NamedTuple):
    """The rows from a bin's start to now; counts are exact. `start_ts`, `end_ts`: least and greatest ts
    among them; `onset_ts`: ts of the first of them; `rows_since_onset`: how many have ts ≥ onset_ts.
    Without rows: start_seq = end_seq, start_ts = end_ts = 0, onset_ts None."""

    start_seq: int
    end_seq: int
    start_ts: int
    end_ts: int
    rows: int
    class_counts: dict[str, int]
    onset_ts: int | None
    rows_since_onset: int


class History:
    """The rows of one version in bins.

    `seen` counts every row ever added, `rows` those still held (after `cut`), `end_seq` is one past
    the newest row's seq (0 before the first). `windows`: whether windows are asked of it; without, it knows
    no times but those of its bins' first rows.
    """

    __slots__ = ("_classes", "_front", "_late", "_levels", "_newest", "_windows", "end_seq", "rows", "seen")

    def __init__(self, max_classes: int = 100, windows: bool = True) -> None:
        self._windows = windows
        self.seen = self.rows = self.end_seq = 0
        self._classes = ClassTable(max_classes)
        self._levels: list[list[Bin]] = [[]]
        self._newest: Bin | None = None
        self._front = -(1 << 62)  # no bin's first ts is greater: a row from here on is late for none
        self._late: list[int] = []  # sorted ts of late rows not yet applied to the bins

    def extend(
        self,
        seqs: Sequence[int],
        tss: Sequence[int],
        values: Sequence[float] | None,
        labels: Sequence[Json] | None = None,
        exposures: Sequence[int] | None = None,
    ) -> None:
        """Add rows, as columns of one length. `seqs` rise; `tss` are prediction times in ms, in any
        order; `values` finite (the error, or a level), None where none are kept; `labels` the raw first
        labels of a classification, else None; `exposures`: see `Bin.count`. Where blocks are cut changes
        nothing, bit for bit. .15 to .25 µs a row."""
        count = len(seqs)
        start = 0
        counted = values is not None and values.count(0.0) + values.count(1.0) == count
        plain = (counted or values is None) and (not self._windows or list(tss) == sorted(tss))
        plain = plain and exposures is None
        while start < count:
            newest = self._newest
            if newest is None or newest.n == BIN_ROWS:
                if plain and count - start >= BIN_ROWS and (tss[start] >= self._front or not self._windows):
                    start = self._whole_bins(seqs, tss, values, labels, start)
                    continue
                newest = self._open(seqs[start], tss[start])
            stop = min(count, start + BIN_ROWS - newest.n)
            if self._windows:
                self._take_times(newest, tss[start:stop])
            if values is None:
                pass
            elif counted and newest.total == newest.squares and newest.total.is_integer():
                ones = values[start:stop].count(1.0)  # small whole numbers add up alike in any order
                newest.total += ones
                newest.squares += ones
            else:
                newest.add(values[start:stop])
            if labels is not None:
                newest.counts += self._classes.count(labels[start:stop])
            newest.count(stop - start, exposures and exposures[start:stop])
            start = stop
        if count:
            self.seen += count
            self.rows += count
            self.end_seq = seqs[-1] + 1

    def _whole_bins(
        self,
        seqs: Sequence[int],
        tss: Sequence[int],
        values: Sequence[float] | None,
        labels: Sequence[Json] | None,
        start: int,
    ) -> int:
        """Add the whole bins from `start` on (values 0 or 1, no row late); where they end."""
        stop = start + (len(seqs) - start) // BIN_ROWS * BIN_ROWS
        nothing: Sequence[int] = [0] * ((stop - start) // BIN_ROWS)
        ones = nothing if values is None else _sums(values[start:stop])
        units = nothing if labels is None else _sums(self._classes.units_of(labels[start:stop]))
        first = seqs[start:stop:BIN_ROWS], tss[start:stop:BIN_ROWS]
        last = tss[start + BIN_ROWS - 1 : stop : BIN_ROWS]
        windows = self._windows
        for seq, ts, end, one, unit in zip(*first, last, ones, units, strict=True):
            newest = self._open(seq, ts)
            newest.n = BIN_ROWS
            newest.total = newest.squares = float(one)
            newest.counts = int(unit)
            if windows:
                newest.greatest_ts = end
        return stop

    def correct(self, seq: int, before: float, after: float) -> None:
        """The value of row `seq` was `before` and is now `after`; class counts stay. Ignored if not held."""
        if seq >= self.end_seq:
            return
        before, after = (min(max(value, -GREATEST), GREATEST) for value in (before, after))
        for held in self._newest_first():
            if held.seq <= seq:
                held.total += after - before
                held.squares += after * after - before * before
                return

    def columns(self, from_seq: int = 0) -> Columns:
        """The bins whose first seq is ≥ `from_seq`."""
        bins = [held for level in reversed(self._levels) for held in level if held.seq >= from_seq]
        return Columns(
            np.array([held.seq for held in bins], np.int64),
            np.array([held.first_ts for held in bins], np.int64),
            np.array([held.stands_for for held in bins], np.float64),
            np.array([held.total for held in bins], np.float64),
            np.array([held.squares for held in bins], np.float64),
        )

    def window(self, from_seq: int = 0) -> Window:
        """The rows from the first bin that starts at or after `from_seq` (the last bin if none does)."""
        first = None
        bins = []
        for held in self._newest_first():
            if first is not None and held.seq < from_seq:
                break
            first = held
            bins.append(held)
        return self._window(bins)

    def window_since(self, ts: int) -> Window:
        """The rows from the first bin whose first row has ts ≥ `ts` (no rows if there is none)."""
        bins = list(self._newest_first())
        while bins and bins[-1].first_ts < ts:
            bins.pop()
        return self._window(bins)

    def rows_ago(self, count: int) -> tuple[int, int]:
        """(first seq, first ts) of the bin that holds the row `count` rows before the end; the oldest
        bin if there are not so many; (0, 0) without rows."""
        place = (0, 0)
        for held in self._newest_first():
            place = held.seq, held.first_ts
            count -= held.n
            if count <= 0:
                break
        return place

    @property
    def oldest_ts(self) -> int | None:
        """The ts of the oldest row still held; None without rows."""
        oldest = next((level[0] for level in reversed(self._levels) if level), None)
        return None if oldest is None else oldest.first_ts

    def classes_seen(self, rows: int) -> dict[str, int]:
        """Class counts over the newest bins that hold at least `rows` rows (or all there are)."""
        counts = 0
        for held in self._newest_first():
            if rows <= 0:
                break
            counts += held.counts
            rows -= held.n
        return self._classes.texts(counts)

    def classes_since(self, seq: int) -> dict[str, int]:
        """Class counts over the bins that start at or after `seq`."""
        counts = 0
        for held in self._newest_first():
            if held.seq < seq:
                break
            counts += held.counts
        return self._classes.texts(counts)

    def cut(self, seq: int) -> None:
        """Forget the bins that start before `seq` (never the newest): a new reference begins there."""
        for level in self._levels:
            level[:] = [held for held in level if held.seq >= seq or held is self._newest]
        while len(self._levels) > 1 and not self._levels[-1]:
            self._levels.pop()
        self.rows = sum(held.n for held in self._newest_first())

    def dump(self) -> Any:
        """The state as JSON-able values: about 3 KB for 100,000 rows with 0/1 errors of two classes."""
        bins = list(self._newest_first())
        late = [held.late + bisect_left(self._late, held.first_ts) for held in bins]
        return {
            "seen": self.seen,
            "end_seq": self.end_seq,
            "max_classes": self._classes.limit,
            "windows": self._windows,
            "classes": self._classes.labels,
            "levels": [len(level) for level in self._levels],
            "newest": self._newest.n if self._newest else 0,
            **dump_bins(bins, late, self.end_seq, len(self._classes.labels)),
        }

    @classmethod
    def load(cls, state: Any) -> History:
        history = cls(state["max_classes"], state["windows"])
        history.seen, history.end_seq = state["seen"], state["end_seq"]
        for label in state["classes"]:
            history._classes.add(label)
        bins = iter(load_bins(state, sum(state["levels"]), history.end_seq, len(history._classes.labels)))
        history._levels = [list(islice(bins, length))[::-1] for length in state["levels"]]
        for depth, level in enumerate(history._levels):
            for held in level:
                held.n = BIN_ROWS << depth
                history._front = max(history._front, held.first_ts)
        if history._levels[0]:
            history._newest = history._levels[0][-1]
            history._newest.n = state["newest"]
        history.rows = sum(held.n for held in history._newest_first())
        return history

    def _newest_first(self) -> Iterator[Bin]:
        for level in self._levels:
            yield from reversed(level)

    def _open(self, seq: int, ts: int) -> Bin:
        """Start a new bin, and merge older ones where a level has become too long."""
        newest = self._newest = Bin(seq, ts)
        # Rows buffered so far came before this bin: they will be applied to it too, so they are taken off.
        if self._late:
            newest.late = -bisect_left(self._late, ts)
        if ts > self._front:
            self._front = ts
        levels = self._levels
        levels[0].append(newest)
        if len(levels[0]) > FINE_LEVEL_BINS:
            merge_oldest(levels, _LEVEL_BINS)
        return newest

    def _take_times(self, newest: Bin, times: Sequence[int]) -> None:
        least, greatest = min(times), max(times)
        if least < newest.least_ts:
            newest.least_ts = least
        if greatest > newest.greatest_ts:
            newest.greatest_ts = greatest
        if least < self._front:
            self._take_late(times)

    def _take_late(self, times: Sequence[int]) -> None:
        for ts in times:
            if ts < self._front:
                insort(self._late, ts)
        if len(self._late) >= LATE_BUFFER:
            for held in self._newest_first():
                held.late += bisect_left(self._late, held.first_ts)
            self._late.clear()

    def _window(self, bins: list[Bin]) -> Window:
        """The window over `bins`, newest first."""
        if not self._windows:
            raise ValueError("a history without windows was asked for one")
        if not bins:
            return Window(self.end_seq, self.end_seq, 0, 0, 0, {}, None, 0)
        first = bins[-1]
        rows = counts = 0
        for held in bins:
            rows += held.n
            counts += held.counts
        return Window(
            start_seq=first.seq,
            end_seq=self.end_seq,
            start_ts=min(held.least_ts for held in bins),
            end_ts=max(held.greatest_ts for held in bins),
            rows=rows,
            class_counts=self._classes.texts(counts),
            onset_ts=first.first_ts,
            rows_since_onset=rows - first.late - bisect_left(self._late, first.first_ts),
        )


def _sums(numbers: Sequence[float]) -> list[float]:
    """Of each `BIN_ROWS` whole numbers."""
    return list(map(sum, zip(*[iter(numbers)] * BIN_ROWS, strict=True)))

"""Where the rows of one version are found, finely near the end: every 8th row's place, older ones thinned.

    level 2: ·   ·   …   level 1: · · …   level 0: ····

The label-free half of a history: no values are kept, so n rows take O(log n) places and the resolution at a
distance d is about d / 24. Which places are kept depends on the number of rows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Any

from driftbus.core.packed import pack, steps, unpack

# Rows from one place to the next at the finest: an alarm's onset is told to no more than a dozen rows.
PLACE_ROWS = 8
# Places kept per level before of its oldest two the later is dropped: as many as bins of a history.
FINE_LEVELS, FINE_LEVEL_PLACES, LEVEL_PLACES = 2, 32, 24


class Places:
    """`seen` counts every row ever added."""

    __slots__ = ("_seqs", "_tss", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self._seqs: list[list[int]] = [[]]  # by level, each oldest first
        self._tss: list[list[int]] = [[]]

    def extend(self, seqs: Sequence[int], tss: Sequence[int]) -> None:
        """Add rows, as columns of one length: rising positions, and times in ms in any order. Where blocks
        are cut changes nothing. 2 µs a block."""
        first = -self.seen % PLACE_ROWS
        self.seen += len(seqs)
        if first >= len(seqs):
            return
        self._seqs[0] += seqs[first::PLACE_ROWS]
        self._tss[0] += tss[first::PLACE_ROWS]
        depth, most = 0, FINE_LEVEL_PLACES
        while (beyond := len(self._seqs[depth]) - most) > 0:
            stop = beyond + 1 & ~1  # they go in pairs
            depth += 1
            if depth == len(self._seqs):
                self._seqs.append([])
                self._tss.append([])
            for levels in (self._seqs, self._tss):
                levels[depth] += levels[depth - 1][:stop:2]
                del levels[depth - 1][:stop]
            most = FINE_LEVEL_PLACES if depth < FINE_LEVELS else LEVEL_PLACES

    def rows_ago(self, count: int) -> tuple[int, int]:
        """(position, ts) of the place at or before the row `count` rows before the end; the oldest if there
        are not so many; (0, 0) without rows."""
        place, rows = (0, 0), (self.seen - 1) % PLACE_ROWS + 1  # of the newest place
        for depth, (seqs, tss) in enumerate(zip(self._seqs, self._tss, strict=True)):
            for place in zip(reversed(seqs), reversed(tss), strict=True):
                count -= rows
                rows = PLACE_ROWS << depth
                if count <= 0:
                    return place
            rows = PLACE_ROWS << depth + 1
        return place

    def dump(self) -> Any:
        """The state as JSON-able values: [rows seen, places per level, the places packed]."""
        columns = [[number for level in levels for number in level] for levels in (self._seqs, self._tss)]
        return [self.seen, [len(level) for level in self._seqs], pack(map(steps, columns))]

    @classmethod
    def load(cls, state: Any) -> Places:
        places = cls()
        places.seen, lengths, packed = state
        seqs, tss = (accumulate(column) for column in unpack(packed))
        places._seqs = [list(islice(seqs, length)) for length in lengths]
        places._tss = [list(islice(tss, length)) for length in lengths]
        return places

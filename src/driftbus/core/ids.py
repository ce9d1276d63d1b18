"""Which ids are known, at some 20 bytes each: hashes of 64 bits in open addressing, over plain arrays.

An id is appended once and gets the next ordinal; whoever asks is given the ordinals of equal hashes and
compares the ids themselves, so a collision costs a look and decides nothing. Ordinals leave oldest first,
a shelf at a time; a single one is forgotten by blanking its hash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]

# The first shelf grows to its full size by doubling from here: a small partition holds a few kilobytes.
_LEAST_ROWS = 1024


class _Shelf:
    """Rows of consecutive ordinals from `base`. `table` holds row + 1 by hash, 0 where it is free."""

    __slots__ = ("alive", "base", "count", "hashes", "table")

    def __init__(self, base: int, rows: int) -> None:
        self.base = base
        self.count = 0
        self.alive = 0
        self.hashes: Hashes = np.zeros(rows, np.int64)
        self.table = np.zeros(2 * rows, np.uint32)  # half full at most: a look takes 1.5 to 2.5 places

    def grow(self, rows: int) -> None:
        self.hashes = np.concatenate((self.hashes, np.zeros(rows - len(self.hashes), np.int64)))
        self.table = np.zeros(2 * rows, np.uint32)
        self.alive = 0
        self._place(0, self.count)

    def append(self, hashes: Hashes) -> None:
        start, stop = self.count, self.count + len(hashes)
        self.hashes[start:stop] = hashes
        self.count = stop
        self._place(start, stop)

    def _place(self, start: int, stop: int) -> None:
        table, mask = self.table, len(self.table) - 1
        rows = np.flatnonzero(self.hashes[start:stop]).astype(np.uint32) + np.uint32(start + 1)
        self.alive += len(rows)
        slots = self.hashes[rows - 1] & mask
        while len(slots):
            free = table[slots] == 0
            table[slots[free]] = rows[free]
            # Of several that want one place the last written has it; the others go on to the next.
            rest = np.flatnonzero(table[slots] != rows)
            slots, rows = (slots[rest] + 1) & mask, rows[rest]

    def find(self, hashes: Hashes, found: Hashes) -> None:
        """Fill in the ordinals of those that are here."""
        table, mask = self.table, len(self.table) - 1
        slots = hashes & mask
        asked = np.flatnonzero(table[slots])
        while len(asked):
            rows = table[slots[asked]].astype(np.int64) - 1
            here = self.hashes[rows] == hashes[asked]
            found[asked[here]] = rows[here] + self.base
            asked = asked[~here]
            slots[asked] = (slots[asked] + 1) & mask
            asked = asked[table[slots[asked]] != 0]


class IdIndex:
    """Hashes → ordinals. `shelf_rows` leave at once; a power of two. A hash of 0 is nobody's."""

    def __init__(self, shelf_rows: int) -> None:
        self._shelf_rows = max(_LEAST_ROWS, shelf_rows)
        self._shelves: list[_Shelf] = []
        self.end = 0  # the next ordinal

    def append(self, hashes: Hashes) -> int:
        """Take ids in; the ordinal of the first."""
        first = self.end
        while len(hashes):
            shelf = self._shelves[-1] if self._shelves else None
            if shelf is None or shelf.count == self._shelf_rows:
                rows = self._shelf_rows if shelf else _LEAST_ROWS
                shelf = _Shelf(self.end, rows)
                self._shelves.append(shelf)
            room = len(shelf.hashes)
            while room < self._shelf_rows and shelf.count + len(hashes) > room:
                room *= 2
            if room > len(shelf.hashes):
                shelf.grow(room)
            some = hashes[: room - shelf.count]
            shelf.append(some)
            self.end += len(some)
            hashes = hashes[len(some) :]
        return first

    def find(self, hashes: Hashes) -> Hashes:
        """One ordinal of each hash, −1 where none is known."""
        found = np.full(len(hashes), -1, np.int64)
        for shelf in self._shelves:
            shelf.find(hashes, found)
        return found

    def all_of(self, id_hash: int) -> Iterator[int]:
        """Every ordinal of one hash."""
        for shelf in self._shelves:
            table, hashes, mask = shelf.table, shelf.hashes, len(shelf.table) - 1
            slot = id_hash & mask
            while row := int(table[slot]):
                if hashes[row - 1] == id_hash:
                    yield shelf.base + row - 1
                slot = (slot + 1) & mask

    def hashes(self, ordinal: int) -> int:
        """The hash under an ordinal; 0 where it was forgotten."""
        shelf = self._shelves[bisect_right(self._shelves, ordinal, key=_base) - 1]
        return int(shelf.hashes[ordinal - shelf.base])

    def forget(self, ordinal: int) -> None:
        """Let one id go. Its place stays taken until all of its shelf have gone."""
        at = bisect_right(self._shelves, ordinal, key=_base) - 1
        shelf = self._shelves[at]
        shelf.hashes[ordinal - shelf.base] = 0
        shelf.alive -= 1
        if not shelf.alive and shelf is not self._shelves[-1]:
            del self._shelves[at]

    def drop_before(self, ordinal: int) -> None:
        """Let shelves go of which all ordinals are smaller."""
        while self._shelves and self._shelves[0].base + self._shelves[0].count <= ordinal:
            del self._shelves[0]


def _base(shelf: _Shelf) -> int:
    return shelf.base


def hash_of(prediction_id: str) -> int:
    """One id's hash, good for this process."""
    return hash(prediction_id) or 1


def hashes_of(prediction_ids: Sequence[str]) -> Hashes:
    """`hash_of` of many."""
    found = np.fromiter(map(hash, prediction_ids), np.int64, len(prediction_ids))
    found[found == 0] = 1
    return found

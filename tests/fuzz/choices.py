"""Bytes as a row of choices, and JSON documents and byte strings that are bent by them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import orjson

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 10**15),
    *(0.0, -0.0, 0.5, 1e300, -1e300, 5e-324, "", "a", "0", "é" * 200, "AAAA", "y2NgYGAAAA=="),
    "2026-01-01T00:00:00.000Z",
    *([], {}, [[]], [0], [None], ["a"], {"a": 1}, [[1, 2], [3, 4]], [0] * 300, {"": {}}),
]  # fmt: skip


class Choices:
    """Numbers from bytes, zeros after their end: a fuzzer that changes bytes changes choices."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, n: int) -> int:
        """0 ≤ choice < n, of one byte, or of two where one is too few."""
        size = 1 if n <= 256 else 2
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "big") % n if n else 0

    def of(self, some: Sequence[Any]) -> Any:
        return some[self.below(len(some))]

    def rest(self) -> bytes:
        return self._data[self._at :]

    def bent(self, document: Any) -> Any:
        """A copy of a JSON document with one to four of its parts replaced, removed, or put elsewhere."""
        holder = [copy.deepcopy(document)]
        for _ in range(1 + self.below(4)):
            self._bend(holder)
        return holder[0]

    def _bend(self, holder: Any) -> None:
        place: Any = 0
        # Down from the root, so that every depth is as likely as it has levels above it.
        while (below := self._inside(holder[place])) and self.below(6):
            holder, place = holder[place], self.of(below)
        what = self.below(4)
        if what == 0 and isinstance(holder, dict):
            del holder[place]
        elif what == 1 and isinstance(holder, list) and len(holder) > 1:
            holder.insert(place, copy.deepcopy(self.of(holder)))
        elif what == 2 and type(holder[place]) is int:
            holder[place] = max(
                -(2**63), min(2**64 - 1, holder[place] + self.of([1, -1, 7, 10**6, -(10**6)]))
            )
        else:
            holder[place] = copy.deepcopy(self.of(ODD))

    @staticmethod
    def _inside(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return list(value)
        return list(range(len(value))) if isinstance(value, list) else []

    def bent_json(self, document: Any) -> bytes:
        return orjson.dumps(self.bent(document), option=orjson.OPT_NON_STR_KEYS)

    def bent_bytes(self, seed: bytes) -> bytes:
        """A copy with some bytes changed, cut out, or doubled."""
        found = bytearray(seed)
        for _ in range(1 + self.below(4)):
            at, what = self.below(max(1, min(len(found), 60_000))), self.below(4)
            if what == 0:
                found[at : at + 1] = bytes([self.below(256)])
            elif what == 1:
                del found[at : at + 1 + self.below(20)]
            elif what == 2:
                found[at:at] = found[at : at + 1 + self.below(40)]
            else:
                del found[at:]
        return bytes(found)

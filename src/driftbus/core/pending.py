"""Predictions that wait, and their part of the join's state.

A segment is written once, as a block, at the first join snapshot after it began; from then on a snapshot
holds only which of its rows still wait (a bitmap). A segment of which less than a quarter waits is written
anew, together with its neighbours of that kind and in its place, so that what is kept never grows past what
is pending, and the oldest row stays the first one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from driftbus.core.codec import prediction_from_fragment
from driftbus.core.ids import hash_of
from driftbus.core.waiting import NEVER, SEGMENT_ROWS, Segment, WaitingRows

# A segment under this share of waiting rows is written anew (DESIGN: a quarter).
MERGE_RATIO = 0.25


class PendingStore(WaitingRows):
    """All pending predictions of one partition."""

    def compact(self) -> tuple[dict[int, list[bytes]], list[int]]:
        """Prepare a snapshot: write anew what is thin, close the newest.

        Returns the blocks to write (segment number → rows as JSON), and the segments whose blocks are to be
        deleted.
        """
        segments = list(self._segments.values())
        alive = [len(self._alive(s)) for s in segments]
        kept: list[Segment] = []
        blocks = {}
        stop = len(segments)
        while stop:
            start = stop - 1
            if not self._is_due(segments[start], alive[start]):
                kept.append(segments[start])
                stop = start
                continue
            # Older neighbours that are no larger join in, so that a row is written some ten times at most
            # while small segments grow into large ones.
            total, kind = alive[start], segments[start].expiries is None
            while start and (segments[start - 1].expiries is None) == kind:
                fewer = alive[start - 1] <= min(total, SEGMENT_ROWS // 2)
                if not fewer and not self._is_due(segments[start - 1], alive[start - 1]):
                    break
                start -= 1
                total += alive[start]
            for segment in reversed(self._rewritten(segments[start:stop])):
                kept.append(segment)
                rows = segment.rows
                blocks[segment.number] = [(row.fragment if kind else row) + b"}" for row in rows]
            stop = start
        self._last = Segment(self._number())
        self._segments = {s.number: s for s in (*reversed(kept), self._last)}
        dropped, self._dropped = self._dropped, []
        return blocks, dropped

    def _is_due(self, segment: Segment, alive: int) -> bool:
        return not segment.written or alive < MERGE_RATIO * len(segment.rows)

    def _rewritten(self, old: Sequence[Segment]) -> list[Segment]:
        """The waiting rows of neighbours in new segments, to be written."""
        rows = [row for segment in old for row in self._rows_of(segment)]
        parts = list(self._parts(rows))
        hashes = [
            self._index.hashes(s.first + i) for s in old if s.expiries is not None for i in self._alive(s)
        ]
        expiries = [expiry for _, expiry in rows]
        for segment in old:
            if segment.written:
                self._dropped.append(segment.number)
            if segment.expiries is not None:
                for index in self._alive(segment):
                    self._index.forget(segment.first + index)
            self._delist(segment)
        done = 0
        for part in parts:
            part.written = True
            size = len(part.rows)
            if old[0].expiries is None:
                self._young_rows += size
            else:
                part.expiries = expiries[done : done + size]
                part.alive = size
                self._enlist(part, np.array(hashes[done : done + size], np.int64))
            done += size
        return parts

    def dump(self) -> list[Any]:
        """Per written segment, oldest first: number, rows, the bitmap of those that still wait (base64)."""
        shown = []
        for segment in self._segments.values():
            alive = self._alive(segment) if segment.written else ()
            if alive:
                bits = bytearray((len(segment.rows) + 7) // 8)
                for index in alive:
                    bits[index >> 3] |= 1 << (index & 7)
                shown.append([segment.number, len(segment.rows), b64encode(bits).decode()])
        return shown

    def load(self, state: list[Any], blocks: dict[int, list[bytes]]) -> None:
        """Take over dumped segments."""
        self._segments.clear()
        for number, size, bitmap in state:
            bits = int.from_bytes(b64decode(bitmap), "little")
            segment = self._segments[number] = Segment(number)
            segment.written = segment.closed = True
            segment.expiries = []
            hashes = np.zeros(size, np.int64)
            self._newest = max(self._newest, number)
            for index, text in enumerate(blocks[number][:size]):
                fragment, expiry = None, NEVER
                if bits >> index & 1:
                    fragment = text[:-1]
                    p = prediction_from_fragment(fragment)
                    expiry = self._expiry_of(p.stream, p.ts)
                    hashes[index] = hash_of(p.prediction_id)
                    segment.alive += 1
                    segment.next_expiry = min(segment.next_expiry, expiry)
                segment.rows.append(fragment)
                segment.expiries.append(expiry)
            self._enlist(segment, hashes)
            self.alive += segment.alive
        self._last = Segment(self._number())
        self._segments[self._last.number] = self._last
        self._look_for_next_expiry()

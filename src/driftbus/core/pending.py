"""Predictions that wait, and their part of the join's state.

A segment is written once, as a block, at the first join snapshot after it began; from then on a snapshot
holds only which of its rows still wait (a bitmap). A segment of which less than a quarter waits is written
anew, together with its neighbours of that kind and in its place, so that what is kept never grows past what
is pending, and the oldest row stays the first one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from driftbus.core.ids import hashes_of
from driftbus.core.packed_rows import PackedRows, block_of, groups_of, packed_groups, rows_of
from driftbus.core.read_back import named
from driftbus.core.waiting import NEVER, SEGMENT_ROWS, Segment, WaitingRows
from driftbus.errors import StateError

# A segment under this share of waiting rows is written anew (DESIGN: a quarter).
MERGE_RATIO = 0.25


class PendingStore(WaitingRows):
    """All pending predictions of one partition."""

    def compact(self) -> tuple[dict[int, bytes], list[int]]:
        """Prepare a snapshot: write anew what is thin, close the newest.

        Returns the blocks to write by segment number, and the segments whose blocks are to be
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
            total, kind = alive[start], segments[start].packed is None
            while start and (segments[start - 1].packed is None) == kind:
                fewer = alive[start - 1] <= min(total, SEGMENT_ROWS // 2)
                if not fewer and not self._is_due(segments[start - 1], alive[start - 1]):
                    break
                start -= 1
                total += alive[start]
            rewritten = self._rewritten(segments[start:stop])
            for segment, block in reversed(rewritten):
                kept.append(segment)
                blocks[segment.number] = block
            stop = start
        self._last = Segment(self._number())
        self._segments = {s.number: s for s in (*reversed(kept), self._last)}
        dropped, self._dropped = self._dropped, []
        return blocks, dropped

    def _is_due(self, segment: Segment, alive: int) -> bool:
        return not segment.written or alive < MERGE_RATIO * len(segment)

    def _rewritten(self, old: Sequence[Segment]) -> list[tuple[Segment, bytes]]:
        """The waiting rows of neighbours in new segments, to be written."""
        found = [(segment, index) for segment in old for index in self._alive(segment)]
        parts: list[tuple[Segment, bytes]] = []
        if old[0].packed is None:
            for part in self._parts([segment.rows[index] for segment, index in found]):
                self._young_rows += len(part.rows)
                parts.append((part, block_of(packed_groups([row.fragment for row in part.rows]))))
        else:
            for start in range(0, len(found), SEGMENT_ROWS):
                parts.append(self._repacked(found[start : start + SEGMENT_ROWS]))
        for segment in old:
            self._delist(segment)
            if segment.written:
                self._dropped.append(segment.number)
        for part, _ in parts:
            part.written = True
        return parts

    def _repacked(self, found: Sequence[tuple[Segment, int]]) -> tuple[Segment, bytes]:
        """Packed rows, moved into a segment of their own."""
        part = Segment(self._number())
        part.closed = True
        fragments = [segment.packed[index] for segment, index in found if segment.packed is not None]
        ordinals = [segment.first + index for segment, index in found]
        hashes = np.array([self._index.hashes(ordinal) for ordinal in ordinals], np.int64)
        for ordinal in ordinals:
            self._index.forget(ordinal)
        expiries = np.array([self._expiry(segment, index) for segment, index in found], np.int64)
        part.next_expiry = int(expiries.min())
        rows = PackedRows.of(fragments, part.number, self._unpacked)
        self._enlist(part, rows, expiries, hashes)
        return part, rows.block()

    def dump(self) -> list[Any]:
        """Per written segment, oldest first: number, rows, the bitmap of those that still wait (base64)."""
        shown = []
        for segment in self._segments.values():
            alive = self._alive(segment) if segment.written else ()
            if alive:
                bits = bytearray((len(segment) + 7) // 8)
                for index in alive:
                    bits[index >> 3] |= 1 << (index & 7)
                shown.append([segment.number, len(segment), b64encode(bits).decode()])
        return shown

    def loading(self, state: list[Any], blocks: dict[int, bytes]) -> Iterator[None]:
        """Take over dumped segments, one by one; done when the iterator is."""
        self._segments.clear()
        for number, size, bitmap in state:
            bits = int.from_bytes(b64decode(bitmap), "little")
            segment = self._segments[number] = Segment(number)
            segment.written = segment.closed = True
            self._newest = max(self._newest, number)
            kept = [index for index in range(size) if bits >> index & 1]
            groups = groups_of(blocks[number])
            texts = rows_of(groups)
            if len(texts) != size:
                raise StateError(f"block {number} of pending predictions holds {len(texts)} rows, not {size}")
            hashes, expiries = np.zeros(size, np.int64), np.full(size, NEVER, np.int64)
            if len(kept) < size:
                texts = [texts[index] for index in kept]
            if kept:
                ids, streams, tss = named(texts)
                hashes[kept] = hashes_of(ids)
                horizons = {stream: self._expiry_of(stream, 0) for stream in dict.fromkeys(streams)}
                expiries[kept] = [ts + horizons[stream] for stream, ts in zip(streams, tss, strict=True)]
            segment.next_expiry = int(expiries.min(initial=NEVER))
            waits = bytearray(size)
            for index in kept:
                waits[index] = 1
            packed = PackedRows(groups, waits, number, self._unpacked)
            self._enlist(segment, packed, expiries, hashes)
            self.alive += len(kept)
            yield
        self._last = Segment(self._number())
        self._segments[self._last.number] = self._last
        self._look_for_next_expiry()

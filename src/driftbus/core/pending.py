"""Predictions that wait for their labels, in segments of arrival order.

A segment is written to the state once, as a block, at the first join snapshot after it began; from then on
a snapshot holds only which of its rows still wait (a bitmap). A segment of which less than a quarter waits
is merged into the newest one, so that what is kept never grows past what is pending.

Rows of the newest segments are kept decoded, since most labels come soon; older ones as their bytes.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from driftbus.core.codec import prediction_from_fragment
from driftbus.core.records import Prediction

NEVER = 1 << 62
# Rows per segment: 2,048 rows of about 400 bytes stay under a megabyte, the default size of a Kafka message.
SEGMENT_ROWS = 2048
# How many of the newest segments stay decoded: labels that come within 14,000 to 16,000 predictions of their
# partition skip a second parse (1 to 2 µs each; in a backlog predictions are read that far ahead). A decoded
# row takes about three times the memory: 25 MB a partition at most.
DECODED_SEGMENTS = 8
# A segment under this share of waiting rows is merged into the newest (DESIGN: a quarter).
MERGE_RATIO = 0.25


class Stripped(NamedTuple):
    """A pending prediction as its bytes."""

    stream: str
    prediction_id: str
    expiry: int
    fragment: bytes


class Segment:
    """Consecutive pending predictions; a row that met its label is None."""

    __slots__ = ("alive", "base", "by_expiry", "expiries", "full", "next_expiry", "rows", "written")

    def __init__(self, number: int) -> None:
        self.base = number << 12
        self.full = False  # nothing is added any more
        self.rows: list[Prediction | Stripped | None] = []
        self.expiries: list[int] = []
        self.alive = 0
        self.next_expiry = NEVER
        self.by_expiry: list[int] | None = None
        self.written = False


class PendingStore:
    """All pending predictions of one partition. A `code` names a row: segment number × 2^12 + index."""

    def __init__(self) -> None:
        self._newest = 0
        self._last = Segment(0)
        self._segments: dict[int, Segment] = {0: self._last}
        self.alive = 0  # how many wait
        self._dropped: list[int] = []
        self.next_expiry = NEVER

    def __len__(self) -> int:
        return self.alive

    def add(self, p: Prediction | Stripped, expiry: int) -> int:
        """Keep a prediction until `take` or until the watermark passes `expiry`; its code."""
        segment = self._last
        index = len(segment.rows)
        if index >= SEGMENT_ROWS or segment.full:
            segment, index = self._open(), 0
        segment.rows.append(p)
        segment.expiries.append(expiry)
        segment.alive += 1
        self.alive += 1
        if expiry < segment.next_expiry:
            segment.next_expiry = expiry
            if expiry < self.next_expiry:
                self.next_expiry = expiry
        return segment.base | index

    def take(self, code: int) -> Prediction:
        """Remove a row and give it back."""
        segment = self._segments[code >> 12]
        rows, index = segment.rows, code & 4095
        row = rows[index]
        rows[index] = None
        segment.alive -= 1
        self.alive -= 1
        if not segment.alive and segment is not self._last:
            self._drop(code >> 12)
        return row if type(row) is Prediction else prediction_from_fragment(row.fragment)  # type: ignore[union-attr]

    def expire(self, watermark: int) -> Iterator[Prediction]:
        """Remove and yield every row whose expiry the watermark has reached, in order of expiry.

        Of equal ones the name decides: which segment a row is in depends on when snapshots were made.
        """
        found: list[tuple[int, str, str, int]] = []
        for number, segment in self._segments.items():
            if segment.next_expiry > watermark:
                continue
            if segment.by_expiry is None:
                segment.full = True
                expiries = segment.expiries
                segment.by_expiry = sorted(
                    (i for i, row in enumerate(segment.rows) if row is not None),
                    key=lambda i: (expiries[i], i),
                    reverse=True,
                )
            due = segment.by_expiry
            while due and segment.expiries[due[-1]] <= watermark:
                index = due.pop()
                row = segment.rows[index]
                if row is not None:
                    expiry = segment.expiries[index]
                    found.append((expiry, row.stream, row.prediction_id, number << 12 | index))
            segment.next_expiry = segment.expiries[due[-1]] if due else NEVER
        self.next_expiry = min((s.next_expiry for s in self._segments.values()), default=NEVER)
        found.sort()
        for *_, code in found:
            yield self.take(code)

    def reschedule(self, expiry_of: Callable[[str, int], int]) -> None:
        """Give every waiting row the expiry that `expiry_of` (stream, ts) says."""
        for segment in self._segments.values():
            segment.by_expiry = None
            segment.next_expiry = NEVER
            for index, row in enumerate(segment.rows):
                if row is not None:
                    p = row if type(row) is Prediction else prediction_from_fragment(row.fragment)
                    segment.expiries[index] = expiry = expiry_of(p.stream, p.ts)
                    segment.next_expiry = min(segment.next_expiry, expiry)
        self.next_expiry = min((s.next_expiry for s in self._segments.values()), default=NEVER)

    def evict_oldest(self) -> Prediction:
        """Remove and return the row that waits longest."""
        for number, segment in self._segments.items():
            for index, row in enumerate(segment.rows):
                if row is not None:
                    return self.take(number << 12 | index)
        raise LookupError("nothing is pending")

    def _open(self) -> Segment:
        if not self._segments[self._newest].alive:
            self._drop(self._newest)
        self._newest += 1
        segment = self._last = self._segments[self._newest] = Segment(self._newest)
        old = self._segments.get(self._newest - DECODED_SEGMENTS)
        if old is not None:
            for index, row in enumerate(old.rows):
                if type(row) is Prediction:
                    expiry = old.expiries[index]
                    old.rows[index] = Stripped(row.stream, row.prediction_id, expiry, row.fragment)
        return segment

    def _drop(self, number: int) -> None:
        if self._segments.pop(number).written:
            self._dropped.append(number)

    # -- state ---------------------------------------------------------------------------------------

    def compact(self) -> tuple[dict[int, list[bytes]], list[int], list[tuple[str, str, int]]]:
        """Prepare a snapshot: merge thin segments, close the newest.

        Returns the blocks to write (segment number → rows as JSON), the segments whose blocks are to be
        deleted, and what moved as (stream, prediction_id, new code).
        """
        moved: list[tuple[str, str, int]] = []
        thin = [
            n
            for n, s in self._segments.items()
            if s.written and s.alive < MERGE_RATIO * len(s.rows) and n != self._newest
        ]
        fresh = [n for n, s in self._segments.items() if not s.written]
        # What is merged is older than what is new: it goes first, into segments of its own order.
        survivors = [
            (row, expiry)
            for n in sorted(thin + fresh)
            for row, expiry in zip(self._segments[n].rows, self._segments[n].expiries, strict=True)
            if row is not None
        ]
        for n in thin + fresh:
            self._drop(n)
        self._newest += 1
        first = self._newest
        self._last = self._segments[first] = Segment(first)
        self.alive -= len(survivors)
        for row, expiry in survivors:
            moved.append((row.stream, row.prediction_id, self.add(row, expiry)))
        blocks = {}
        for n in range(first, self._newest + 1):
            segment = self._segments.get(n)
            if segment is not None and segment.rows:
                segment.written = segment.full = True
                blocks[n] = [row.fragment + b"}" for row in segment.rows if row is not None]
        dropped, self._dropped = self._dropped, []
        return blocks, dropped, moved

    def dump(self) -> list[Any]:
        """Per written segment: number, rows, and the bitmap of those that still wait (base64)."""
        shown = []
        for number, segment in self._segments.items():
            if segment.written and segment.alive:
                bits = sum(1 << i for i, row in enumerate(segment.rows) if row is not None)
                size = (len(segment.rows) + 7) // 8
                shown.append([number, len(segment.rows), b64encode(bits.to_bytes(size, "little")).decode()])
        return shown

    def load(
        self, state: list[Any], blocks: dict[int, list[bytes]], expiry_of: Callable[[str, int], int]
    ) -> Iterator[tuple[Stripped, int]]:
        """Take over dumped segments; yields each waiting row with its code."""
        self._segments.clear()
        for number, size, bitmap in state:
            bits = int.from_bytes(b64decode(bitmap), "little")
            segment = self._segments[number] = Segment(number)
            segment.written = segment.full = True
            self._newest = max(self._newest, number)
            for index, text in enumerate(blocks[number][:size]):
                row: Stripped | None = None
                expiry = NEVER
                if bits >> index & 1:
                    p = prediction_from_fragment(text[:-1])
                    expiry = expiry_of(p.stream, p.ts)
                    row = Stripped(p.stream, p.prediction_id, expiry, p.fragment)
                    segment.alive += 1
                    segment.next_expiry = min(segment.next_expiry, expiry)
                    yield row, number << 12 | index
                segment.rows.append(row)
                segment.expiries.append(expiry)
            self.alive += segment.alive
        self._newest += 1
        self._last = self._segments[self._newest] = Segment(self._newest)
        self.next_expiry = min((s.next_expiry for s in self._segments.values()), default=NEVER)

"""Predictions that wait for their labels, in segments, in the order they arrived.

The newest rows stay decoded (labels mostly come soon) and wait in a dictionary; older ones are packed to
their bytes, and found by hash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from driftbus.core.codec import prediction_from_fragment
from driftbus.core.ids import Hashes, IdIndex, hash_of, hashes_of
from driftbus.core.packed_rows import Cache, PackedRows
from driftbus.core.records import Prediction

NEVER = 1 << 62
# Rows per segment: 2,048 rows of about 400 bytes stay under a megabyte, the default size of a Kafka message.
SEGMENT_ROWS = 2048
# How many of the newest predictions stay decoded: labels that come within so many predictions of their
# partition skip a second parse (2 to 3 µs each; in a backlog predictions are read that far ahead). A decoded
# row takes about four times the memory: 20 MB a partition at most.
YOUNG_ROWS = 16_384

# Packed ids leave the index so many together: two megabytes of hashes and their places.
SHELF_ROWS = 1 << 18

Waiting = dict[str, Prediction]


class Segment:
    """Consecutive rows. Young ones are predictions, and wait while they are in the dictionaries. Packed ones
    have expiries, and ordinals in the index from `first` on; `rows` is empty then."""

    __slots__ = (
        *("by_expiry", "closed", "expiries", "first", "head", "next_expiry", "number", "packed", "rows"),
        "written",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: list[Prediction] = []
        self.packed: PackedRows | None = None
        self.expiries: Hashes | None = None
        self.first = 0
        self.next_expiry = NEVER
        self.by_expiry: list[tuple[int, int]] | None = None  # (expiry, index), the soonest last
        self.closed = False  # nothing is added any more
        self.head = 0  # rows before it are gone
        self.written = False

    def __len__(self) -> int:
        return len(self.rows if self.packed is None else self.packed)


class WaitingRows:
    """All pending predictions of one partition. `expiry_of` says until when (stream, ts) waits.

    `shared` holds the young rows of all streams but those that use ids of other streams too (`apart`): one
    dictionary is asked in the order of arrival, which is that of memory; a dictionary per stream costs twice.
    """

    def __init__(self, expiry_of: Callable[[str, int], int]) -> None:
        self.alive = 0  # how many wait
        self.next_expiry = NEVER  # nothing expires before it
        self.shared: Waiting = {}
        self.apart: dict[str, Waiting] = {}
        self._expiry_of = expiry_of
        self._newest = 0
        self._last = Segment(0)
        self._segments: dict[int, Segment] = {0: self._last}  # oldest first
        self._young_rows = 0
        self._index = IdIndex(SHELF_ROWS)
        self._packed: list[Segment] = []  # by `first`
        self._unpacked: Cache = {}
        self._dropped: list[int] = []

    def __len__(self) -> int:
        return self.alive

    def young(self, stream: str) -> Waiting:
        """Where a stream's young rows are. Whoever adds or takes there tells the store."""
        return self.apart.get(stream, self.shared) if self.apart else self.shared

    def holds(self, stream: str, prediction_id: str) -> bool:
        """Whether a prediction waits."""
        row = self.young(stream).get(prediction_id)
        if row is not None and row.stream == stream:
            return True
        return self._find(stream, prediction_id) is not None

    def set_apart(self, stream: str) -> None:
        """Give a stream a dictionary of its own: its ids are another's too."""
        if stream not in self.apart:
            mine = {pid: row for pid, row in self.shared.items() if row.stream == stream}
            for pid in mine:
                del self.shared[pid]
            self.apart[stream] = mine

    def packed(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which ids may be those of packed rows."""
        return self._index.find(hashes) >= 0

    # -- rows come and go ----------------------------------------------------------------------------

    def put(self, p: Prediction) -> None:
        """Put a prediction that does not wait yet where its stream's are; `add` is to follow."""
        young = self.young(p.stream)
        other = young.get(p.prediction_id)
        if other is not None:
            self.set_apart(p.stream)
            young = self.apart[p.stream]
        young[p.prediction_id] = p

    def add(self, p: Prediction, expiry: int) -> None:
        """Keep a prediction that was put until it is taken or the watermark passes `expiry`."""
        segment = self._last
        if segment.closed or len(segment.rows) >= SEGMENT_ROWS:
            segment = self._open()
        segment.rows.append(p)
        if expiry < segment.next_expiry:
            segment.next_expiry = expiry
            if expiry < self.next_expiry:
                self.next_expiry = expiry
        self.alive += 1
        self._young_rows += 1

    def extend(self, rows: Sequence[Prediction], next_expiry: int) -> None:
        """The same for rows in order of arrival; none expires sooner."""
        segment = self._last
        if segment.closed or len(segment.rows) + len(rows) > SEGMENT_ROWS:
            segment = self._open()
        segment.rows.extend(rows)
        segment.next_expiry = min(segment.next_expiry, next_expiry)
        self.next_expiry = min(self.next_expiry, next_expiry)
        self.alive += len(rows)
        self._young_rows += len(rows)

    def take(self, stream: str, prediction_id: str) -> Prediction | None:
        """Remove a row and give it back; None where it does not wait."""
        young = self.young(stream)
        row = young.get(prediction_id)
        if row is not None and row.stream == stream:
            del young[prediction_id]
            self.alive -= 1
            return row
        found = self._find(stream, prediction_id)
        if found is None:
            return None
        segment, index, row = found
        self._blank(segment, index)
        self.alive -= 1
        return row

    def _find(self, stream: str, prediction_id: str) -> tuple[Segment, int, Prediction] | None:
        """A packed row: its segment, index, and the row unpacked."""
        for ordinal in self._index.all_of(hash_of(prediction_id)):
            segment = self._packed[bisect_right(self._packed, ordinal, key=_first) - 1]
            index = ordinal - segment.first
            row = self._row(segment, index)
            if row.prediction_id == prediction_id and row.stream == stream:
                return segment, index, row
        return None

    def _row(self, segment: Segment, index: int) -> Prediction:
        """A row that waits."""
        if segment.packed is None:
            return segment.rows[index]
        return prediction_from_fragment(segment.packed[index])

    def _blank(self, segment: Segment, index: int) -> None:
        """Let a packed row go."""
        self._index.forget(segment.first + index)
        if segment.packed is not None:
            segment.packed.remove(index)
            if not segment.packed.alive:
                self._drop(segment)

    def expire(self, watermark: int) -> list[Prediction]:
        """Remove every row whose expiry the watermark has reached, in order of expiry.

        Of equal ones the name decides, so that it does not matter which segment a row is in.
        """
        found: list[tuple[int, str, str, Prediction]] = []
        for segment in list(self._segments.values()):
            if segment.next_expiry > watermark:
                continue
            if segment.by_expiry is None:
                segment.closed = True
                segment.by_expiry = sorted(
                    ((self._expiry(segment, i), i) for i in self._alive(segment)), reverse=True
                )
            due = segment.by_expiry
            while due and (due[-1][0] <= watermark or not self._waits(segment, due[-1][1])):
                expiry, index = due.pop()
                if self._waits(segment, index):
                    p = self._remove(segment, index)
                    found.append((expiry, p.stream, p.prediction_id, p))
            segment.next_expiry = due[-1][0] if due else NEVER
        self._look_for_next_expiry()
        found.sort()
        return [p for *_, p in found]

    def reschedule(self) -> None:
        """Give every waiting row the expiry that `expiry_of` says now."""
        for segment in self._segments.values():
            segment.by_expiry = None
            segment.next_expiry = NEVER
            for index in self._alive(segment):
                if segment.expiries is not None:
                    p = self._row(segment, index)
                    segment.expiries[index] = self._expiry_of(p.stream, p.ts)
                segment.next_expiry = min(segment.next_expiry, self._expiry(segment, index))
        self._look_for_next_expiry()

    def evict_oldest(self) -> Prediction:
        """Remove and return the row that waits longest."""
        while True:
            segment = next(iter(self._segments.values()))
            for index in range(segment.head, len(segment)):
                if self._waits(segment, index):
                    segment.head = index + 1
                    return self._remove(segment, index)
            segment.head = len(segment)
            if segment is self._last:
                raise LookupError("nothing is pending")
            self._drop(segment)

    def _remove(self, segment: Segment, index: int) -> Prediction:
        """Take out a row that waits."""
        p = self._row(segment, index)
        self.alive -= 1
        if segment.packed is None:
            del self.young(p.stream)[p.prediction_id]
        else:
            self._blank(segment, index)
        return p

    def _waits(self, segment: Segment, index: int) -> bool:
        if segment.packed is not None:
            return segment.packed.waits(index)
        row = segment.rows[index]
        return self.young(row.stream).get(row.prediction_id) is row

    def _alive(self, segment: Segment) -> list[int]:
        return [i for i in range(segment.head, len(segment)) if self._waits(segment, i)]

    def _expiry(self, segment: Segment, index: int) -> int:
        if segment.expiries is not None:
            return int(segment.expiries[index])
        row = segment.rows[index]
        return self._expiry_of(row.stream, row.ts)

    def _look_for_next_expiry(self) -> None:
        self.next_expiry = min((s.next_expiry for s in self._segments.values()), default=NEVER)

    # -- segments ------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._newest += 1
        return self._newest

    def _open(self) -> Segment:
        """A new last segment. Where enough newer rows are decoded, the oldest are packed."""
        self._last.closed = True
        segment = self._last = Segment(self._number())
        self._segments[segment.number] = segment
        if self._young_rows > YOUNG_ROWS:
            self._age()
        return segment

    def _age(self) -> None:
        """Pack old rows until no more than `YOUNG_ROWS` are decoded."""
        kept: dict[int, Segment] = {}
        for segment in list(self._segments.values()):
            if segment.packed is not None or self._young_rows <= YOUNG_ROWS or segment is self._last:
                kept[segment.number] = segment
                continue
            self._young_rows -= len(segment.rows)
            alive = self._alive(segment)
            if segment.written:
                if alive:
                    self._pack(segment)
                    kept[segment.number] = segment
                else:
                    self._dropped.append(segment.number)
                continue
            for part in self._parts([segment.rows[i] for i in alive]):
                self._pack(part)
                kept[part.number] = part
        self._segments = kept

    def _parts(self, rows: Sequence[Prediction]) -> Iterator[Segment]:
        """New segments of young rows."""
        for start in range(0, len(rows), SEGMENT_ROWS):
            segment = Segment(self._number())
            segment.closed = True
            segment.rows = list(rows[start : start + SEGMENT_ROWS])
            segment.next_expiry = min(self._expiry_of(row.stream, row.ts) for row in segment.rows)
            yield segment

    def _pack(self, segment: Segment) -> None:
        """Keep of a young segment's rows only their bytes; their places stay."""
        rows, segment.rows = segment.rows, []
        fragments: list[bytes | None] = []
        for row in rows:
            young = self.young(row.stream)
            if young.get(row.prediction_id) is row:
                del young[row.prediction_id]
                fragments.append(row.fragment)
            else:
                fragments.append(None)
        hashes = hashes_of([row.prediction_id for row in rows])
        hashes[[i for i, fragment in enumerate(fragments) if fragment is None]] = 0
        expiries = np.array([self._expiry_of(row.stream, row.ts) for row in rows], np.int64)
        self._enlist(segment, PackedRows.of(fragments, segment.number, self._unpacked), expiries, hashes)

    def _enlist(self, segment: Segment, rows: PackedRows, expiries: Hashes, hashes: Hashes) -> None:
        """Make a segment one of packed rows, with their ordinals."""
        segment.packed, segment.expiries = rows, expiries
        segment.first = self._index.append(hashes)
        self._packed.append(segment)

    def _drop(self, segment: Segment) -> None:
        if segment is not self._last:
            del self._segments[segment.number]
            self._delist(segment)
            if segment.written:
                self._dropped.append(segment.number)

    def _delist(self, segment: Segment) -> None:
        if segment.packed is None:
            self._young_rows -= len(segment.rows)
        else:
            del self._packed[bisect_right(self._packed, segment.first, key=_first) - 1]


def _first(segment: Segment) -> int:
    return segment.first

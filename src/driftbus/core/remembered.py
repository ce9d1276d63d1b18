"""Ids that have their outcome, in order of `seq`: enough of each for its correction to put the metrics right.

Two million of them are kept by default, so none is a Python object: per step a batch of packed columns, found
by hash. About 100 bytes an id of 24 letters instead of 350 as a row in a dictionary. What is asked for is
unpacked again, 512 rows at a time; replays and corrections ask in about the order things happened.

An id is remembered while its `forget_ts` lies ahead of event time and its outcome is one of the newest
`most`. Both are asked when somebody looks, so it does not matter when the room is given back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from driftbus.core.ids import Hashes, IdIndex, hash_of, hashes_of
from driftbus.core.records import Json

NEVER = -(1 << 62)
# Rows unpacked together: some 50 µs for a look at one, and four bytes a batch row beside its columns.
CHUNK_ROWS = 512
# Chunks kept unpacked: a replay of a step of 20,000 outcomes, which are packed by stream, finds its own.
_UNPACKED = 64
# Fewer than these are kept as rows until there are more: a batch costs some microseconds and a kilobyte.
BATCH_ROWS = 1024


class Known(NamedTuple):
    """What a matched id is remembered by."""

    seq: int
    label: Json
    prediction: Json
    score: Any
    model_version: str | None
    role: str
    weight: float | None
    forget_ts: int


class Matched(NamedTuple):
    """Columns of outcomes; `streams` by number."""

    streams: Hashes
    prediction_ids: Sequence[str]
    seqs: Hashes
    labels: Sequence[Json]
    predictions: Sequence[Json]
    scores: Sequence[Any]
    versions: Sequence[str | None]
    roles: Sequence[str]
    weights: Sequence[float | None]
    forget_tss: Hashes


class _Batch:
    """Packed rows of consecutive ordinals from `first`."""

    __slots__ = ("chunks", "first", "forget_tss", "newest", "oldest", "seqs", "streams", "until")

    def __init__(self, first: int, found: Matched) -> None:
        self.first = first
        self.streams = found.streams.astype(np.uint32)
        self.oldest, self.newest = int(found.seqs.min()), int(found.seqs.max())
        self.seqs = (found.seqs - self.oldest).astype(np.uint32)
        self.forget_tss = found.forget_tss
        self.until = int(self.forget_tss.max())
        self.chunks = [
            _packed(found, start, start + CHUNK_ROWS) for start in range(0, len(found.seqs), CHUNK_ROWS)
        ]


def _packed(found: Matched, start: int, stop: int) -> bytes:
    """Rows start ≤ i < stop as JSON columns; one value stands for a column of nothing else."""
    weights = found.weights[start:stop]
    return orjson.dumps(
        (
            found.prediction_ids[start:stop],
            found.labels[start:stop],
            found.predictions[start:stop],
            found.scores[start:stop],
            _once(found.versions[start:stop]),
            _once(found.roles[start:stop]),
            # 1, 1.0 and true are equal and not the same: only the usual None is put together.
            weights[:1] if weights.count(None) == len(weights) else weights,
        )
    )


def _first(batch: _Batch) -> int:
    return batch.first


def _once(column: Sequence[Any]) -> Sequence[Any]:
    return column[:1] if column.count(column[0]) == len(column) else column


class RememberedIds:
    """The newest `most` matched ids of a partition. Streams are numbers here."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.corrected: dict[int, Json] = {}  # seq → label, where another followed
        self._fresh: dict[tuple[int, str], Known] = {}
        self._batches: list[_Batch] = []
        self._unpacked: dict[tuple[int, int], list[Any]] = {}
        # The room of half of what is kept is given back at once, and a look asks three shelves.
        self._index = IdIndex(1 << max(0, most // 2 - 1).bit_length())

    # -- what comes ----------------------------------------------------------------------------------

    def note(self, stream: int, prediction_id: str, known: Known) -> None:
        """One more id."""
        self._fresh[stream, prediction_id] = known
        if len(self._fresh) >= BATCH_ROWS:
            self.settle()

    def extend(self, found: Matched) -> None:
        """Many more."""
        first = self._index.append(hashes_of(found.prediction_ids))
        self._batches.append(_Batch(first, found))

    def settle(self) -> None:
        """Pack what was noted one by one."""
        if self._fresh:
            streams, ids = zip(*self._fresh, strict=True)
            columns = zip(*self._fresh.values(), strict=True)
            seqs, labels, predictions, scores, versions, roles, weights, forget_tss = columns
            self._fresh = {}
            self.extend(
                Matched(
                    *(np.array(streams, np.int64), ids, np.array(seqs, np.int64), labels, predictions),
                    *(scores, versions, roles, weights, np.array(forget_tss, np.int64)),
                )
            )

    # -- who asks ------------------------------------------------------------------------------------

    def perhaps(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which ids may be known; to be asked when all are packed (`settle`)."""
        return self._index.find(hashes) >= 0

    def find(self, stream: int, prediction_id: str, next_seq: int, watermark: int) -> Known | None:
        """What is remembered of an id at an event time, `next_seq` being the next outcome's."""
        known = self._fresh.get((stream, prediction_id))
        if known is not None and known.forget_ts > watermark and known.seq >= next_seq - self.most:
            return self._as_corrected(known)
        for ordinal in self._index.all_of(hash_of(prediction_id)):
            at = bisect_right(self._batches, ordinal, key=_first) - 1
            if at < 0:
                continue  # forgotten
            batch = self._batches[at]
            row = ordinal - batch.first
            if batch.streams[row] == stream and batch.forget_tss[row] > watermark:
                known = self._row(batch, row, prediction_id)
                if known is not None and known.seq >= next_seq - self.most:
                    return self._as_corrected(known)
        return None

    def _as_corrected(self, known: Known) -> Known:
        if known.seq in self.corrected:
            return known._replace(label=self.corrected[known.seq])
        return known

    def _row(self, batch: _Batch, row: int, prediction_id: str) -> Known | None:
        """A batch's row, if it is this id's."""
        key = (batch.first, row // CHUNK_ROWS)
        columns = self._unpacked.get(key)
        if columns is None:
            if len(self._unpacked) >= _UNPACKED:
                del self._unpacked[next(iter(self._unpacked))]
            columns = self._unpacked[key] = orjson.loads(batch.chunks[key[1]])
        at = row % CHUNK_ROWS
        if columns[0][at] != prediction_id:
            return None
        values = [column[at if len(column) > 1 else 0] for column in columns[1:]]
        return Known._make((batch.oldest + int(batch.seqs[row]), *values, int(batch.forget_tss[row])))

    # -- what is forgotten ---------------------------------------------------------------------------

    def give_back(self, next_seq: int, watermark: int) -> None:
        """Give back the room of what is forgotten: the oldest batches, of which nothing is remembered."""
        bound = next_seq - self.most
        gone = 0
        for batch in self._batches:
            if batch.until > watermark and batch.newest >= bound:
                break
            gone += 1
            for chunk in range(len(batch.chunks)):
                self._unpacked.pop((batch.first, chunk), None)
        if gone:
            del self._batches[:gone]
            self._index.drop_before(self._batches[0].first if self._batches else self._index.end)

    def oldest(self, next_seq: int, watermark: int) -> int:
        """`seq` of the oldest outcome still remembered; `next_seq` where none is. Gives room back."""
        self.give_back(next_seq, watermark)
        bound = next_seq - self.most
        fresh = self._fresh.values()
        live = (k.seq for k in fresh if k.forget_ts > watermark and k.seq >= bound)
        found = min(live, default=next_seq)
        for batch in self._batches:
            if batch.oldest < found:
                seqs = batch.seqs[batch.forget_tss > watermark].astype(np.int64) + batch.oldest
                found = min(found, int(np.min(seqs[seqs >= bound], initial=found)))
        if self.corrected:
            self.corrected = {seq: label for seq, label in self.corrected.items() if seq >= found}
        return found

    def reschedule(self, watermark: int, later_ms: Hashes) -> None:
        """Remember ids for so much longer, per stream; what is forgotten stays so."""
        self.settle()
        for batch in self._batches:
            kept = batch.forget_tss > watermark
            batch.forget_tss = np.where(kept, batch.forget_tss + later_ms[batch.streams], NEVER)
            batch.until = int(batch.forget_tss.max())

"""One chunk of a sliding window for a classifier, and the metrics that a population's counts give."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from driftbus.core.class_codes import OTHER, ClassCodes
from driftbus.core.class_tally import (
    LOSS_UNIT,
    ONE,
    UNRANKED,
    UNSCORED,
    WINDOW_BUCKETS,
    ClassColumns,
    ClassRow,
    ClassTally,
    coarse,
    coarse_key,
)
from driftbus.core.packed import pack, unpack, unpack_arrays

# A row takes three bytes; beyond this a tally (a histogram of 1 kB and its counts) takes less.
_MOST_ROWS = 256
_SHIFT = ClassTally(WINDOW_BUCKETS).shift
_NO_SCORE, _NO_RANK = 255, 254  # UNSCORED and UNRANKED in a byte; keys end at 127


class WindowColumns:
    """A block's columns once more, in the form chunks take their rows from."""

    __slots__ = ("codes", "columns", "keys", "losses")

    def __init__(self, columns: ClassColumns) -> None:
        self.columns = columns
        self.codes = columns.codes.tobytes()
        keys = coarse(columns.keys, _SHIFT)
        if columns.keys.min(initial=0) < 0:
            keys = np.where(columns.keys == UNSCORED, _NO_SCORE, keys)
            keys[columns.keys == UNRANKED] = _NO_RANK
        self.keys = keys.astype(np.uint8).tobytes()
        self.losses: list[int] = columns.losses.tolist()

    def unweighted(self, start: int, end: int) -> bool:
        """Whether these rows all weigh 1."""
        weights = self.columns.weights
        return weights is None or bool((weights[start:end] == ONE).all())


class ClassChunk:
    """Some consecutive rows: as rows while they are few and of weight 1, else as a tally."""

    __slots__ = ("codes", "keys", "loss", "tally")

    def __init__(self) -> None:
        self.codes = bytearray()  # two bytes a row, in the machine's order
        self.keys = bytearray()
        self.loss = 0
        self.tally: ClassTally | None = None

    def add(self, block: WindowColumns, start: int, end: int) -> None:
        """Take the rows start … end of a block."""
        if self.tally is None:
            if len(self.keys) + end - start <= _MOST_ROWS and block.unweighted(start, end):
                self.codes += block.codes[2 * start : 2 * end]
                self.keys += block.keys[start:end]
                self.loss += sum(block.losses[start:end])
                return
            self.tally = self._condensed()
            self.codes, self.keys, self.loss = bytearray(), bytearray(), 0
        self.tally.add(block.columns.part(start, end))

    def move(self, old: ClassRow, new: ClassRow) -> None:
        """Correct a row: any row that was counted the same stands for it."""
        if self.tally is not None:
            self.tally.move(old, new)
            return
        codes = array("H", bytes(self.codes))
        old_key, new_key = _byte_key(old.key), _byte_key(new.key)
        for index, key in enumerate(self.keys):
            if key == old_key and codes[index] == old.code:
                codes[index], self.keys[index] = new.code, new_key
                self.codes = bytearray(codes.tobytes())
                self.loss += new.loss - old.loss
                return

    def _condensed(self) -> ClassTally:
        return total([self])


def dump_chunks(chunks: Sequence[ClassChunk]) -> Any:
    """[losses, columns, tallies by the chunk's index].

    Only how many rows are alike matters, so rows are sorted by code, then key, then chunk. The columns are
    the steps from each (code, key) to the next, how many rows it has, and the steps from each row's chunk to
    the next row's: two bits a row instead of ten."""
    cells = np.frombuffer(b"".join([chunk.codes for chunk in chunks]), np.uint16).astype(np.uint32) << 8
    cells |= np.frombuffer(b"".join([chunk.keys for chunk in chunks]), np.uint8)
    if cells.max(initial=0) <= 0xFFFF:
        cells = cells.astype(np.uint16)  # sorted in a fifth of the time
    order = np.argsort(cells, kind="stable")
    cells = cells[order].astype(np.int64)
    places = np.repeat(np.arange(len(chunks)), [len(chunk.keys) for chunk in chunks])[order]
    firsts = np.flatnonzero(np.diff(cells, prepend=-1))
    counts = np.diff(firsts, append=len(cells))
    columns = (np.diff(cells[firsts], prepend=0), counts, np.diff(places, prepend=0))
    tallies = {str(i): chunk.tally.dump() for i, chunk in enumerate(chunks) if chunk.tally is not None}
    return [pack([[chunk.loss for chunk in chunks]]), pack(columns, scattered=True), tallies]


def load_chunks(state: Any) -> list[ClassChunk]:
    """What `dump_chunks` wrote."""
    losses, columns, tallies = state
    cells, counts, places = unpack_arrays(columns)
    places = np.cumsum(places)
    order = np.argsort(places.astype(np.uint16), kind="stable")
    rows = np.repeat(np.cumsum(cells), counts)[order]
    codes, keys = (rows >> 8).astype(np.uint16).tobytes(), rows.astype(np.uint8).tobytes()
    chunks, start = [], 0
    kept = unpack(losses)[0]
    for length, loss in zip(np.bincount(places, minlength=len(kept)).tolist(), kept, strict=True):
        chunk, end = ClassChunk(), start + length
        chunk.codes += codes[2 * start : 2 * end]
        chunk.keys += keys[start:end]
        chunk.loss = loss
        chunks.append(chunk)
        start = end
    for at, tally in tallies.items():
        chunks[int(at)].tally = ClassTally.load(tally, WINDOW_BUCKETS)
    return chunks


def total(chunks: Iterable[ClassChunk]) -> ClassTally:
    """The counts of all chunks together."""
    result, codes, keys = ClassTally(WINDOW_BUCKETS), [], []
    for chunk in chunks:
        if chunk.tally is not None:
            result.merge(chunk.tally)
        codes.append(chunk.codes)
        keys.append(chunk.keys)
        result.loss += chunk.loss
    result.count_cells(np.frombuffer(b"".join(codes), dtype=np.uint16))
    all_keys = np.frombuffer(b"".join(keys), dtype=np.uint8)
    result.scored += int((all_keys != _NO_SCORE).sum()) * ONE
    result.count_keys(all_keys[all_keys < _NO_RANK])
    return result


def _byte_key(key: int) -> int:
    if key < 0:
        return _NO_SCORE if key == UNSCORED else _NO_RANK
    return coarse_key(key, _SHIFT)


def class_metrics(codes: ClassCodes, tally: ClassTally, numeric_scores: bool) -> dict[str, float]:
    """All metrics that have a value.

    Precision, recall and F1 are the positive class's, or macro averages over the classes that occur where
    there is no positive class (a class without predictions or labels counts 0, as in scikit-learn).
    Scores that are one number say nothing without a positive class: no log loss, no ROC AUC then.
    """
    predicted: dict[int, int] = {}
    true: dict[int, int] = {}
    right: dict[int, int] = {}
    for code, count in sorted(tally.cells.items()):
        if code == 0 or count <= 0:
            continue
        p, y = codes.pairs[code]
        if p == y:
            right[p] = right.get(p, 0) + count
        p = max(p, OTHER)  # what was folded away is one class here
        predicted[p] = predicted.get(p, 0) + count
        true[y] = true.get(y, 0) + count
    n, hits = sum(true.values()), sum(right.values())
    if not n:
        return {}
    values = {"accuracy": hits / n, "error": (n - hits) / n}
    recalls = [right.get(y, 0) / count for y, count in true.items()]
    values["balanced_accuracy"] = _mean(recalls)
    chance = sum(count * predicted.get(y, 0) for y, count in true.items())
    if chance != n * n:
        values["kappa"] = (hits * n - chance) / (n * n - chance)
    positive = codes.positive_class()
    if positive is not None:
        hit, said, were = right.get(positive, 0), predicted.get(positive, 0), true.get(positive, 0)
        if said:
            values["precision"] = hit / said
        if were:
            values["recall"] = hit / were
        if said or were:
            values["f1"] = 2 * hit / (said + were)
    else:
        occurring = sorted(true.keys() | predicted.keys())
        triples = [(right.get(k, 0), predicted.get(k, 0), true.get(k, 0)) for k in occurring]
        values["precision"] = _mean([hit / said if said else 0.0 for hit, said, _ in triples])
        values["recall"] = _mean([hit / were if were else 0.0 for hit, _, were in triples])
        values["f1"] = _mean([2 * hit / (said + were) for hit, said, were in triples])
    if tally.scored and (positive is not None or not numeric_scores):
        values["log_loss"] = (tally.loss / LOSS_UNIT) / (tally.scored / ONE)
    if positive is not None and (area := _area(tally)) is not None:
        values["roc_auc"] = area
    return values


def _mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def _area(tally: ClassTally) -> float | None:
    """Area under the ROC curve from the histograms; scores in one bucket count as ties (half)."""
    if tally.histogram is None:
        return None
    counts = tally.histogram.astype(np.float64) / ONE
    negatives, positives = counts[0::2], counts[1::2]
    below = np.cumsum(negatives)
    n_negative, n_positive = float(below[-1]), float(positives.sum())
    if n_negative <= 0.0 or n_positive <= 0.0:
        return None
    pairs = positives * (below - 0.5 * negatives)
    return float(pairs.sum()) / (n_negative * n_positive)

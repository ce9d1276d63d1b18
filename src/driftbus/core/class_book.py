"""A classifier's outcomes: pending rows, counts since deployment, and what windows take."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from driftbus.core.class_codes import ClassCodes
from driftbus.core.class_columns import columns, score_row
from driftbus.core.class_tally import ONE, ClassRow, ClassTally
from driftbus.core.class_window import (
    ClassChunk,
    WindowColumns,
    class_metrics,
    dump_chunks,
    load_chunks,
    total,
)


class ClassBook:
    """See the module's text; `take` counts what `keep` has kept."""

    def __init__(self, positive_label: Any, max_classes: int) -> None:
        self.codes = ClassCodes(positive_label, max_classes)
        self.since = ClassTally()
        self._numeric_scores = False
        self._clear()

    def _clear(self) -> None:
        self._pairs = array("H")
        self._labels: list[Any] = []
        self._scores: list[Any] | None = None
        self._weights: list[float | None] | None = None

    def keep(
        self,
        labels: Sequence[Any],
        predictions: Sequence[Any],
        scores: Sequence[Any] | None,
        weights: Sequence[float | None] | None,
    ) -> None:
        """Put a block with the pending rows."""
        before = len(self._pairs)
        self.codes.extend(self._pairs, predictions, labels)
        self._labels.extend(labels)
        self._scores = extended(self._scores, scores, before, len(labels))
        self._weights = extended(self._weights, weights, before, len(labels))

    def take(self, for_windows: bool) -> WindowColumns | None:
        """Count the pending rows since deployment; what windows count them from."""
        if self._scores is not None and not self._numeric_scores:
            self._numeric_scores = any(isinstance(score, int | float) for score in self._scores)
        block = columns(self.codes, self._pairs, self._scores, self._labels, self._weights)
        self._clear()
        self.since.add(block)
        return WindowColumns(block) if for_windows else None

    def rows(
        self, prediction: Any, score: Any, weight: float | None, old: Any, new: Any
    ) -> tuple[ClassRow, ClassRow]:
        """A corrected outcome as it was counted and as it is to be counted."""
        was, now = (
            score_row(self.codes, self.codes.code(prediction, label), score, label, weight)
            for label in (old, new)
        )
        return was, now

    def new_chunk(self) -> ClassChunk:
        return ClassChunk()

    def dump_chunks(self, chunks: Sequence[ClassChunk]) -> Any:
        return dump_chunks(chunks)

    def load_chunks(self, state: Any) -> list[ClassChunk]:
        return load_chunks(state)

    def metrics(self, chunks: list[Any] | None) -> dict[str, float]:
        """Since deployment (None) or over chunks."""
        tally = self.since if chunks is None else total(chunks)
        return class_metrics(self.codes, tally, self._numeric_scores)

    def confusion(self) -> list[tuple[Any, Any, float]]:
        """(label, prediction, weight), in the order the pairs were first seen; folded classes are "other"."""
        codes = self.codes
        cells = ((*codes.pairs[code], count) for code, count in sorted(self.since.cells.items()) if code)
        return [(codes.name(y), codes.name(p), count / ONE) for p, y, count in cells if count]

    def dump(self) -> Any:
        """[classes and pairs, counts, whether any score was a number], with nothing pending."""
        return [self.codes.dump(), self.since.dump(), self._numeric_scores]

    @classmethod
    def load(cls, state: Any, positive_label: Any, max_classes: int) -> ClassBook:
        book = cls(positive_label, max_classes)
        codes, since, book._numeric_scores = state
        book.codes = ClassCodes.load(codes, positive_label, max_classes)
        book.since = ClassTally.load(since)
        return book


def extended(
    column: list[Any] | None, more: Sequence[Any] | None, before: int, count: int
) -> list[Any] | None:
    """A column that need not be there, lengthened by a block in which it need not be there either."""
    if column is None:
        if more is None:
            return None
        column = [None] * before
    column.extend([None] * count if more is None else more)
    return column

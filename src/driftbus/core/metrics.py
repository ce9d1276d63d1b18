"""Incremental metrics of one model version (of one stream, or one slice of it).

Rows are kept as they come for a few blocks and counted together, which costs a fraction of counting each
block; whatever is read, corrected or written out counts them first. Cost in blocks of 12: .6 µs an outcome
with two windows and scores (.4 without scores), 1.2 µs for regression; a read 15 to 40 µs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from driftbus.core.class_book import ClassBook
from driftbus.core.custom_metrics import CustomMetrics
from driftbus.core.metric_window import Window
from driftbus.core.packed import pack, unpack
from driftbus.core.regression_book import RegressionBook
from driftbus.core.settings import MetricWindow, Scalar

Score = float | Mapping[str, float] | None

# Rows kept before they are counted together: the fixed cost of counting (some 30 µs) is then 0.1 µs a row.
_PENDING = 256
# Before any event time.
_NEVER = -(2**63)


class Performance:
    """Metrics since deployment and over sliding windows, plus metrics of one's own.

    `task` is decided: "classification", "regression" or "none" (only `custom` metrics see anything).
    Names: accuracy, balanced_accuracy, precision, recall, f1, kappa, log_loss, roc_auc | mae, rmse, r2,
    bias (prediction less label) | error (the share that is wrong, or mae) | a custom metric's class name.
    Custom metrics are only read since deployment.
    """

    def __init__(
        self,
        task: str,
        positive_label: Scalar | None,
        windows: tuple[MetricWindow, ...],
        custom: tuple[str, ...] = (),
        max_classes: int = 100,
    ) -> None:
        self._book: ClassBook | RegressionBook | None
        if task == "classification":
            self._book = ClassBook(positive_label, max_classes)
        elif task == "regression":
            self._book = RegressionBook()
        elif task == "none":
            self._book = None
        else:
            raise ValueError(f"task {task!r}: must be decided before metrics are kept")
        self.task = task
        self._windows = [Window(rule) for rule in windows] if self._book is not None else []
        self._custom = CustomMetrics(custom)
        self._n = 0
        self._pending = 0
        self._clock = _NEVER  # running maximum of label_ts
        self._next_slot = _NEVER  # the event time at which some time window begins its next chunk
        self._version = 0  # moves with everything that `read` gives
        self._read: dict[MetricWindow | None, tuple[int, dict[str, float]]] = {}

    @property
    def failed(self) -> set[str]:
        """Custom metrics that raised and were switched off."""
        return self._custom.failed

    @property
    def classes(self) -> int:
        """How many classes were seen; 0 for other tasks."""
        return len(self._book.codes.classes) if isinstance(self._book, ClassBook) else 0

    @property
    def outcomes(self) -> int:
        """Outcomes since deployment."""
        return self._n

    def add(
        self,
        seqs: Sequence[int],
        times: Sequence[int],
        labels: Sequence[Any],
        predictions: Sequence[Any],
        scores: Sequence[Score] | None,
        weights: Sequence[float | None] | None,
    ) -> None:
        """Take a block of outcomes as columns (times = label_ts; None: no scores; all weights 1.0)."""
        count = len(labels)
        if not count:
            return
        self._version += 1
        if self._custom:
            self._custom.update(labels, predictions)
        latest = max(times)
        by_time = latest >= self._next_slot
        if by_time:
            self._next_slot = 2**63
        for window in self._windows:
            if window.begun is None:
                window.begun = (self._n, times[0])
            if window.counts:
                window.mark_rows(self._n, self._pending, seqs)
            elif by_time:
                next_slot = window.mark_times(self._clock, self._pending, seqs, times)
                self._next_slot = min(self._next_slot, next_slot)
        if latest > self._clock:
            self._clock = latest
        self._n += count
        if self._book is not None:
            self._book.keep(labels, predictions, scores, weights)
        self._pending += count
        if self._pending >= _PENDING:
            self._flush()

    def _flush(self) -> None:
        """Count the pending rows."""
        if self._pending and self._book is not None:
            block = self._book.take(bool(self._windows))
            for window in self._windows:
                window.add(block, self._pending, self._book.new_chunk)
        self._pending = 0

    def correct(
        self, seq: int, prediction: Any, score: Score, weight: float | None, old: Any, new: Any
    ) -> None:
        """Put right an outcome whose label was `old` and is `new`, wherever it is still counted."""
        if self._book is None:
            return
        self._flush()
        self._version += 1
        was, now = self._book.rows(prediction, score, weight, old, new)
        counted: Any = self._book.since
        counted.move(was, now)
        for window in self._windows:
            index = bisect_right(window.firsts, seq) - 1
            if index >= 0:
                window.chunks[index].move(was, now)

    def read(self, window: MetricWindow | None = None) -> dict[str, float]:
        """All metrics that have a value, since deployment (None) or over a window given at construction."""
        known = self._read.get(window)
        if known is None or known[0] != self._version:
            known = self._read[window] = (self._version, self._compute(window))
        return dict(known[1])

    def value(self, name: str, window: MetricWindow | None = None) -> float | None:
        """One metric; None where it has no value."""
        return self.read(window).get(name)

    def _compute(self, window: MetricWindow | None) -> dict[str, float]:
        self._flush()
        if window is not None:
            return {} if self._book is None else self._book.metrics(self._find(window).chunks)
        values = {} if self._book is None else self._book.metrics(None)
        return {**values, **self._custom.read()}

    def complete(self, window: MetricWindow) -> bool:
        """Whether the window is full: N outcomes exist, or T has passed since the first one."""
        return self._book is not None and self._find(window).complete(self._n, self._clock)

    def exact(self, window: MetricWindow) -> bool:
        """Whether the window holds the last N outcomes, no fewer; one of T time always does, to a chunk."""
        kept = self._find(window)
        return self.complete(window) and (not kept.counts or kept.exact(self._n))

    def next_boundary(self) -> int | None:
        """How many further outcomes (>= 1) until some window of outcomes is exact; None without one.

        A window of N is exact at every ceil(N / 25)-th outcome, counted from its N-th both ways.
        """
        return min((w.boundary_in(self._n) for w in self._windows if w.counts), default=None)

    def _find(self, window: MetricWindow) -> Window:
        for candidate in self._windows:
            if candidate.rule == window:
                return candidate
        raise ValueError(f"no such window is kept: {window!r}")

    def confusion(self) -> list[tuple[Any, Any, float]]:
        """(label, prediction, weight) since deployment; what was folded away stands as "other"."""
        self._flush()
        return [] if self._book is None else self._book.confusion()

    def dump(self) -> Any:
        """Plain JSON values: {n, clock, book, windows: when begun, places and counts of chunks, custom}."""
        self._flush()
        return {
            "n": self._n,
            "clock": None if self._clock == _NEVER else self._clock,
            "book": None if self._book is None else self._book.dump(),
            "windows": {_key(window): window.begun for window in self._windows},
            "places": pack([numbers for window in self._windows for numbers in window.steps()]),
            "chunks": None if self._book is None else self._book.dump_chunks(self._chunks()),
            "custom": self._custom.dump(),
        }

    def _chunks(self) -> list[Any]:
        """The chunks of all windows, one window after the other."""
        return [chunk for window in self._windows for chunk in window.chunks]

    def _restore_windows(self, state: Any, chunks: list[Any]) -> None:
        columns, end = iter(unpack(state["places"])), 0
        mine = {_key(window): window for window in self._windows}
        for key, begun in state["windows"].items():
            steps = next(columns), next(columns)
            start, end = end, end + len(steps[0])
            if key in mine:
                mine[key].restore(begun, steps, chunks[start:end])

    @classmethod
    def load(
        cls,
        state: Any,
        task: str,
        positive_label: Scalar | None,
        windows: tuple[MetricWindow, ...],
        custom: tuple[str, ...] = (),
        max_classes: int = 100,
    ) -> Performance:
        """Continue from `dump`; a window that is new starts empty, one that is gone is dropped."""
        performance = cls(task, positive_label, windows, custom, max_classes)
        performance._n = state["n"]
        performance._clock = _NEVER if state["clock"] is None else state["clock"]
        if task == "classification":
            performance._book = ClassBook.load(state["book"], positive_label, max_classes)
        elif task == "regression":
            performance._book = RegressionBook.load(state["book"])
        if performance._book is not None:
            performance._restore_windows(state, performance._book.load_chunks(state["chunks"]))
        performance._custom.restore(state["custom"])
        return performance


def _key(window: Window) -> str:
    return f"{window.size}{'' if window.counts else 'ms'} {window.rule.text}"

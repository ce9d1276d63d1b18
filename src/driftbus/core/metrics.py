"""Incremental metrics of one model version (of one stream, or one slice of it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftbus.core.settings import MetricWindow, Scalar

Score = float | Mapping[str, float] | None


class Performance:
    """Metrics since deployment and over sliding windows, plus metrics of one's own.

    `task` is decided: "classification", "regression" or "none" (only `custom` metrics see anything).
    Names: accuracy, balanced_accuracy, precision, recall, f1, kappa, log_loss, roc_auc | mae, rmse, r2,
    bias | error | the last part of a custom metric's dotted path.
    """

    failed: set[str]  # custom metrics that raised and were switched off

    def __init__(
        self,
        task: str,
        positive_label: Scalar | None,
        windows: tuple[MetricWindow, ...],
        custom: tuple[str, ...] = (),
        max_classes: int = 100,
    ) -> None:
        raise NotImplementedError

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
        raise NotImplementedError

    def correct(
        self, seq: int, prediction: Any, score: Score, weight: float | None, old: Any, new: Any
    ) -> None:
        """Put right an outcome whose label was `old` and is `new`, wherever it is still counted."""
        raise NotImplementedError

    def read(self, window: MetricWindow | None = None) -> dict[str, float]:
        """All metrics that have a value, since deployment (None) or over a window given at construction."""
        raise NotImplementedError

    def complete(self, window: MetricWindow) -> bool:
        """Whether the window is full: N outcomes exist, or T has passed since the first one."""
        raise NotImplementedError

    def next_boundary(self) -> int | None:
        """How many further outcomes until the next chunk boundary of any count window (>= 1); None without one."""
        raise NotImplementedError

    def confusion(self) -> list[tuple[Any, Any, float]]:
        """(label, prediction, weight) since deployment; what was folded away stands as "other"."""
        raise NotImplementedError

    @property
    def outcomes(self) -> int:
        """Outcomes since deployment."""
        raise NotImplementedError

    def dump(self) -> Any:
        """Plain JSON values."""
        raise NotImplementedError

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
        raise NotImplementedError

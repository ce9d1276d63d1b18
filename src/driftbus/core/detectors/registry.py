"""Detectors by name: the one place that knows which there are and what watches a signal by default."""

from __future__ import annotations

from typing import Any, Literal

from driftbus.core.detectors.base import Detector
from driftbus.core.settings import DetectorSpec

SignalKind = Literal["error", "score", "feature", "quality", "challenger_gap", "custom"]


def make(spec: DetectorSpec) -> Detector:
    """A fresh detector. Raises ValueError naming an unknown name, parameter or value, and the nearest right one."""
    raise NotImplementedError


def load(spec: DetectorSpec, state: Any) -> Detector:
    """The detector that `dump` wrote, or a fresh one for None. Raises ValueError when the state does not fit."""
    raise NotImplementedError


def names() -> list[str]:
    """All registered names, sorted."""
    raise NotImplementedError


def default(signal_kind: SignalKind) -> tuple[DetectorSpec, ...]:
    """What watches a signal of this kind under `auto`."""
    raise NotImplementedError

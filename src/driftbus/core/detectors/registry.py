"""Detectors by name: the one place that knows which there are and what watches a signal by default."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from driftbus.core.detectors.adwin import Adwin
from driftbus.core.detectors.base import Detector
from driftbus.core.detectors.page_hinkley import PageHinkley
from driftbus.core.detectors.river_any import CLASSES, RiverDetector
from driftbus.core.parameters import check_params
from driftbus.core.settings import DetectorSpec

SignalKind = Literal["error", "score", "feature", "quality", "challenger_gap", "custom"]

_OWN: dict[str, type[Adwin] | type[PageHinkley]] = {"adwin": Adwin, "page_hinkley": PageHinkley}
_CONSTRUCTORS: dict[str, Callable[..., Any]] = {**CLASSES, **_OWN}


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_CONSTRUCTORS)


def make(spec: DetectorSpec) -> Detector:
    """A fresh detector.

    Raises ValueError naming what is unknown or cannot be used, and the nearest right spelling.
    """
    check_params("detector", spec.name, spec.params, _CONSTRUCTORS)
    if spec.name in _OWN:
        try:
            return _OWN[spec.name](**spec.params)
        except ValueError as error:
            raise ValueError(f"{spec.name}: {error}") from error
    _try_out(spec.name, tuple(sorted(spec.params.items())))
    return RiverDetector(spec.name, spec.params)


# A configuration holds a handful of specifications, each of which is tried out once per process.
@lru_cache(maxsize=256)
def _try_out(name: str, params: tuple[tuple[str, Any], ...]) -> None:
    """Run one of River's detectors a little: most of them check no parameter until they use it."""
    for key, value in params:
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name}: {key} must not be negative, got {value!r}")
    try:
        # Past every default warm-up and window (KSWIN's and FHDDM's 100), with both levels in it.
        RiverDetector(name, dict(params)).update_block(([0.0] * 9 + [1.0]) * 15 + [1.0, 0.0] * 75)
    except (ArithmeticError, TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in params)
        raise ValueError(f"{name}: {given} cannot be used: {error}") from error


def load(spec: DetectorSpec, state: Any) -> Detector:
    """The detector that `dump` wrote, or a fresh one for None.

    Raises ValueError when the specification cannot be used or the state is not one of its detector's.
    """
    fresh = make(spec)
    if state is None:
        return fresh
    if spec.name in _OWN:
        return _OWN[spec.name].load(state, **spec.params)
    return RiverDetector.load(state, spec.name, spec.params)


_DEFAULTS: dict[str, tuple[DetectorSpec, ...]] = {
    "error": (
        DetectorSpec("adwin", {"delta": 0.002}),
        DetectorSpec("page_hinkley", {"mode": "up", "delta": 0.03, "threshold": 50.0, "min_instances": 100}),
    ),
    "feature": (DetectorSpec("adwin", {"delta": 1e-7}),),
    "score": (DetectorSpec("adwin", {"delta": 1e-7}),),
    "quality": (DetectorSpec("adwin", {"delta": 1e-7}),),
    "challenger_gap": (DetectorSpec("adwin", {"delta": 1e-4}),),
    "custom": (DetectorSpec("adwin", {"delta": 1e-4}),),
}


def default(signal_kind: SignalKind) -> tuple[DetectorSpec, ...]:
    """What watches a signal of this kind under `auto`."""
    return _DEFAULTS[signal_kind]

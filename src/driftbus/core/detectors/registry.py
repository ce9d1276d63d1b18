"""Detectors by name: the one place that knows which there are and what watches a signal by default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal

from driftbus.core.detectors.adwin import Adwin
from driftbus.core.detectors.base import Detector
from driftbus.core.detectors.page_hinkley import PageHinkley
from driftbus.core.detectors.river_any import CLASSES, RiverDetector
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
        return _OWN[spec.name](**spec.params)
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


def check_params(
    what: str, name: str, params: Mapping[str, Any], constructors: Mapping[str, Callable[..., Any]]
) -> None:
    """Check a name and its parameters against the constructors' signatures, by name and by kind of value.

    A parameter that takes no plain value (a window of data, another model) cannot be set.
    Raises ValueError naming what is wrong and the nearest right spelling.
    """
    if name not in constructors:
        raise ValueError(f"unknown {what} {name!r}{_nearest(name, list(constructors))}")
    known = {
        key: parameter.default
        for key, parameter in inspect.signature(constructors[name]).parameters.items()
        if (isinstance(parameter.default, bool | int | float | str))
        or (parameter.default is None and "int" in str(parameter.annotation))
    }
    for key, value in params.items():
        if key not in known:
            raise ValueError(f"{name}: unknown parameter {key!r}{_nearest(key, list(known))}")
        default = known[key]
        kinds: tuple[type, ...]
        if isinstance(default, bool):
            kinds, wanted = (bool,), "true or false"
        elif isinstance(default, str):
            kinds, wanted = (str,), "text"
        elif isinstance(default, float):
            kinds, wanted = (int, float), "a number"
        elif default is None:
            kinds, wanted = (int, type(None)), "a whole number or nothing"
        else:
            kinds, wanted = (int,), "a whole number"
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name}: {key} must be {wanted}, not {value!r}")
        if isinstance(value, float) and value - value != 0.0:
            raise ValueError(f"{name}: {key} must be finite, not {value!r}")


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(sorted(known)) or 'none'}"


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

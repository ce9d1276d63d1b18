"""Detectors by name: the one place that knows which there are and what watches a signal by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

from driftbus.core.detectors.adwin import Adwin
from driftbus.core.detectors.base import Detector
from driftbus.core.detectors.focus_bernoulli import FocusBernoulli
from driftbus.core.detectors.focus_gaussian import FocusGaussian
from driftbus.core.detectors.focus_ranks import FocusRanks
from driftbus.core.detectors.page_hinkley import PageHinkley
from driftbus.core.detectors.river_any import CLASSES, RiverDetector
from driftbus.core.parameters import check_params
from driftbus.core.settings import DetectorSpec

SignalKind = Literal["error", "real_error", "loss", "score", "feature", "quality", "challenger_gap", "custom"]
# Detectors that keep to a budget of false alarms by themselves: their alarms need no other proof.
DECIDING = frozenset({"focus_bernoulli", "focus_ranks"})

_OWN: dict[
    str, type[Adwin] | type[PageHinkley] | type[FocusBernoulli] | type[FocusGaussian] | type[FocusRanks]
] = {
    "adwin": Adwin,
    "focus_bernoulli": FocusBernoulli,
    "focus_gaussian": FocusGaussian,
    "focus_ranks": FocusRanks,
    "page_hinkley": PageHinkley,
}
_CONSTRUCTORS: dict[str, Callable[..., Any]] = {**CLASSES, **_OWN}


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_CONSTRUCTORS)


def make(spec: DetectorSpec) -> Detector:
    """A fresh detector.

    Raises ValueError naming what is unknown or cannot be used, and the nearest right spelling.
    """
    check(spec)
    return _build(spec.name, spec.params)


# A configuration holds a handful of specifications, each of which is checked once per process; a restore asks
# for each a hundred thousand times. The specification is kept, so no other one can have its identity.
_MOST_CHECKED = 256
_checked: dict[int, DetectorSpec] = {}


def check(spec: DetectorSpec) -> None:
    """Raises ValueError naming what is unknown or cannot be used, and the nearest right spelling."""
    if _checked.get(id(spec)) is spec:
        return
    # Kinds stand beside the values, because True, 1 and 1.0 are one key.
    params = tuple((key, type(value).__name__, value) for key, value in sorted(spec.params.items()))
    try:
        _check(spec.name, params)
    except TypeError:  # a list or an object, which no parameter takes
        check_params("detector", spec.name, spec.params, _CONSTRUCTORS)
        raise
    if len(_checked) >= _MOST_CHECKED:
        _checked.clear()
    _checked[id(spec)] = spec


def _build(name: str, params: Mapping[str, Any]) -> Detector:
    return _OWN[name](**params) if name in _OWN else RiverDetector(name, params)


@lru_cache(maxsize=256)
def _check(name: str, typed: tuple[tuple[str, str, Any], ...]) -> None:
    """Check a specification and run it a little: most of River's detectors check no parameter until then."""
    params = {key: value for key, _, value in typed}
    check_params("detector", name, params, _CONSTRUCTORS)
    given = ", ".join(f"{key}={value!r}" for key, value in params.items())
    for key, value in params.items():
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name}: {key} must not be negative, got {value!r}")
    try:
        # Past every default warm-up and window (KSWIN's and FHDDM's 100), with both levels in it.
        _build(name, params).update_block(([0.0] * 9 + [1.0]) * 15 + [1.0, 0.0] * 75)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: {given} cannot be used: {error}") from error


def load(spec: DetectorSpec, state: Any) -> Detector:
    """The detector that `dump` wrote, or a fresh one for None.

    Raises ValueError when the specification cannot be used or the state is not one of its detector's.
    """
    if state is None:
        return make(spec)
    check(spec)
    if spec.name in _OWN:
        return _OWN[spec.name].load(state, **spec.params)
    return RiverDetector.load(state, spec.name, spec.params)


# Second opinions on errors: on 0/1 errors they ask, and the history confirms them or not; else they are only
# told. River's ADWIN at its default: .012
# alarms per 100k independent 0/1 errors. Page-Hinkley for rises, without forgetting (alpha 1: with River's
# .9999 the sum levels off at -delta · 10^4, wanders there, and alarms 1 to 3 times per 100k from then on);
# delta and threshold by simulation: 2 alarms in 20M outcomes at p = .5, 1 at .3 and .4, none at .02 to .2 (at
# most .03 per 100k, upper 95 % bound); a rise of .2 is found after 220 outcomes (median; 290 when only 500
# came before), one of .1 after 650.
_OPINIONS = (
    DetectorSpec("adwin", {"delta": 0.002}),
    DetectorSpec(
        "page_hinkley",
        {"mode": "up", "delta": 0.04, "threshold": 36.0, "alpha": 1.0, "min_instances": 30},
    ),
)
# FOCuS decides on 0/1 errors: what it promises and what was measured stand in its file.
_ERROR = (DetectorSpec("focus_bernoulli"), *_OPINIONS)
# Features, scores, data quality: there may be a hundred of them a stream, so each must be silent. At 1e-5
# no alarm in 15M values each of uniform and of 0/1 numbers (p = .1 and .5): at most .02 per 100k, and
# ADWIN's bound promises far less. A shift of one standard deviation of single values, seen in means of
# 16, is found after some 360 means; 1e-7 takes 600.
_RARE = (DetectorSpec("adwin", {"delta": 1e-5}),)
# One a stream, like the error, but not by itself a reason to ask for anything: no alarm in 15M at 1e-4.
_ONE = (DetectorSpec("adwin", {"delta": 1e-4}),)

_DEFAULTS: dict[str, tuple[DetectorSpec, ...]] = {
    "error": _ERROR,
    "real_error": (DetectorSpec("focus_ranks"),),
    "loss": _OPINIONS,
    "feature": _RARE,
    "score": _RARE,
    "quality": _RARE,
    "challenger_gap": _ONE,
    "custom": _ONE,
}


def default(signal_kind: SignalKind) -> tuple[DetectorSpec, ...]:
    """What watches a signal of this kind under `auto`."""
    return _DEFAULTS[signal_kind]

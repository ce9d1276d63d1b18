"""River objects as plain JSON values and back, without ever running anything that the data names.

Only values of known shapes pass: numbers, text, lists, deques, a random generator's state, and objects of
the classes in `ALLOWED`, restored with `object.__new__` and their attributes. Anything else is refused.
"""

from __future__ import annotations

import struct
from collections import deque
from random import Random
from typing import Any

import numpy as np
from river import stats
from river._river_rust.stats import RsEWMean
from river.drift.binary.hddm_w import SampleInfo

# What River's detectors hold besides plain values (river 0.26), by the name that stands in the state.
ALLOWED: dict[str, type[Any]] = {
    "mean": stats.Mean,
    "var": stats.Var,
    "ew_mean": stats.EWMean,
    "sample": SampleInfo,
}
_NAMES = {cls: name for name, cls in ALLOWED.items()}
# The compiled exponentially weighted mean's bytes: mean, weight, 1 - weight, started, weight again.
_EW_MEAN = struct.Struct("<ddd?d")
# Nothing in River nests deeper than three; the bound keeps a forged state from exhausting the stack.
_MAX_DEPTH = 8
_INFINITE = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


class NotRepresentableError(ValueError):
    """A value that this codec has no shape for."""


def encode(value: Any, seen: set[int] | None = None, depth: int = 0) -> Any:
    """Plain JSON values for a River object. Raises NotRepresentableError."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        if not -(2**63) <= value < 2**63:
            raise NotRepresentableError("an integer beyond 64 bits")
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if number - number == 0.0 else {"float": repr(number)}
    seen = set() if seen is None else seen
    if id(value) in seen or depth > _MAX_DEPTH:
        raise NotRepresentableError("an object that is shared or nested too deeply")
    seen.add(id(value))
    if isinstance(value, list):
        return {"list": [encode(item, seen, depth + 1) for item in value]}
    if isinstance(value, deque):
        return {"deque": [encode(item, seen, depth + 1) for item in value], "maxlen": value.maxlen}
    if type(value) is Random:
        version, words, gauss = value.getstate()
        return {"random": [version, list(words), gauss]}
    if type(value) is RsEWMean:
        mean, weight, _, started, _ = _EW_MEAN.unpack(value.__getstate__())
        return {"weighted": [mean, weight, started]}
    name = _NAMES.get(type(value))
    if name is None:
        raise NotRepresentableError(f"a {type(value).__name__}")
    return {"object": name, "state": {k: encode(v, seen, depth + 1) for k, v in vars(value).items()}}


def decode(data: Any, depth: int = 0) -> Any:
    """What `encode` was given. Raises ValueError for anything that `encode` does not write."""
    if not isinstance(data, dict):
        if data is None or isinstance(data, bool | int | float | str):
            return data
        raise ValueError(f"a {type(data).__name__} has no place in a detector's state")
    if depth > _MAX_DEPTH:
        raise ValueError("a detector's state is nested too deeply")
    try:
        if "float" in data:
            return _INFINITE[data["float"]]
        if "list" in data:
            return [decode(item, depth + 1) for item in data["list"]]
        if "deque" in data:
            return deque((decode(item, depth + 1) for item in data["deque"]), maxlen=data["maxlen"])
        if "random" in data:
            version, words, gauss = data["random"]
            generator = Random()
            generator.setstate((version, tuple(words), gauss))
            return generator
        if "weighted" in data:
            mean, weight, started = data["weighted"]
            compiled = RsEWMean(weight)
            compiled.__setstate__(_EW_MEAN.pack(mean, weight, 1.0 - weight, started, weight))
            return compiled
        cls = ALLOWED[data["object"]]
        restored: Any = object.__new__(cls)
        for name, value in data["state"].items():
            setattr(restored, name, decode(value, depth + 1))
    except (KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"a detector's state that cannot be read: {error}") from error
    return restored


def attributes(detector: object) -> dict[str, Any]:
    """What a detector is made of, apart from methods it keeps at hand (its constructor binds them)."""
    return {
        name: value
        for name, value in vars(detector).items()
        if getattr(value, "__self__", None) is not detector
    }

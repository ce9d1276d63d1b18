"""Whether JSON read back has the shape that was written, before anything is computed from it.

    {"step": int, "tick": (int, None), "idle": [str], "counts": {str: {str: int}}}

A tuple names alternatives, a list of one shape any number of such values, `{str: shape}` an object of any
keys; other keys than those named may be there too. `float` stands for any number, `int` for 64 bits, `object`
for anything.
"""

from __future__ import annotations

from typing import Any

from driftbus.core.snapshot import Sealed
from driftbus.errors import StateError


def fits(value: Any, shape: Any) -> bool:
    """Whether `value` has a shape; never raises."""
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        return type(value) is list and all(fits(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        if type(value) is not dict:
            return False
        if str in shape:
            return all(fits(one, shape[str]) for one in value.values())
        return all(key in value and fits(value[key], one) for key, one in shape.items())
    if shape is None or shape is object:
        return shape is object or value is None
    if shape is float:
        return type(value) in (int, float)
    # orjson reads unsigned 64 bits; columns and SQLite hold signed ones.
    return type(value) is shape and (shape is not int or -(1 << 63) <= value < 1 << 63)


def shaped(what: str, sealed: Sealed, shape: Any) -> Any:
    """A body as JSON of that shape. Raises `StateError`."""
    raw = sealed.json()
    if not fits(raw, shape):
        raise StateError(f"{what}, written by {sealed.libraries}, has another shape than was written")
    return raw

"""Names and parameters from the configuration, checked against what a constructor takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any


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


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(sorted(known)) or 'none'}"

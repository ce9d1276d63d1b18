"""Arguments of the clients' calls → the contract's JSON, or `InvalidRecord` with the reason.

What services hold is not always plain JSON: numpy scalars, ids as integers or UUIDs, times as
`datetime`, River's features keyed by integers. All of these are taken. NaN among the features means
"missing" (pandas' way) and becomes null; a NaN prediction or label says nothing and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from driftbus.errors import InvalidRecord

# The contract's bound for ids and stream names, in characters.
MAX_ID_CHARS = 256

# Kafka's default for `message.max.bytes`, and driftbus' own for one record: more is refused on arrival.
MAX_EVENT_BYTES = 1_000_000

_PLAIN = orjson.OPT_SERIALIZE_NUMPY
# Keys that are not strings cost orjson a slower path for the whole value: only on demand.
_ANY_KEYS = _PLAIN | orjson.OPT_NON_STR_KEYS


def identifier(value: Any, name: str) -> str:
    """An id or stream name as text. Integers and UUIDs are written out; anything else is refused."""
    if type(value) is not str:
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer | UUID):
            raise InvalidRecord("invalid", f"{name} must be text, not {type(value).__name__}")
        value = str(value)
    text: str = value
    if not 0 < len(text) <= MAX_ID_CHARS:
        raise InvalidRecord("invalid", f"{name} has {len(text)} characters, allowed are 1 to {MAX_ID_CHARS}")
    return text


def event_time(value: Any) -> int | str:
    """Epoch milliseconds or RFC 3339 text, as given; a `datetime` without a zone counts as UTC.

    A float is refused: nobody can tell seconds from milliseconds by looking at it.
    """
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return value
    raise InvalidRecord("invalid", f"ts must be epoch milliseconds, RFC 3339 or datetime, not {value!r}")


def spoken(value: Any, name: str) -> Any:
    """A prediction or a label: anything finite."""
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        raise InvalidRecord("invalid", f"{name} is {value}")
    return value


def encode(event: Mapping[str, Any]) -> bytes:
    """The event as JSON. Raises `InvalidRecord` where JSON or the contract has no place for it."""
    try:
        payload = orjson.dumps(event, default=_plain, option=_PLAIN)
    except TypeError:
        try:
            payload = orjson.dumps(event, default=_plain, option=_ANY_KEYS)
        except TypeError as error:
            raise InvalidRecord("invalid", str(error)) from error
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidRecord("too_large", f"{len(payload)} bytes, allowed are {MAX_EVENT_BYTES}")
    # A copy: orjson leaves what it wrote in a block of 4 kB (seen with 3.13), so that a full queue would
    # take ten times what its bound in bytes says. Costs 0.2 µs.
    return payload[:-1] + b"}"


def _plain(value: Any) -> Any:
    """What orjson does not know by itself: numbers in wrappers, other mappings, dates of pandas."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    # Scalars of array libraries (one value) and small arrays of them know their plain form.
    for to_plain in ("item", "tolist"):
        if hasattr(value, to_plain) and (to_plain == "tolist" or getattr(value, "size", 1) == 1):
            return getattr(value, to_plain)()
    raise TypeError(f"type {type(value).__name__} has no form in JSON")

"""A foreign record's outside: JSON out of its bytes, the attributes of a CloudEvent around it.

CloudEvents 1.0 (and 0.3, which MLServer still says) in both of Kafka's modes: structured, where the value is
the whole event, and binary, where the attributes are headers. Kafka's binding writes `ce_id`, HTTP's `ce-id`,
Seldon's services `Ce-Id`: all are taken.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from driftbus.errors import InvalidRecord
from driftbus.ports import Headers

Json = Any
# Larger than any record that a topic takes by default (1 MB), and than those of ours that do (10 MB).
MAX_BYTES = 10_000_000
# Confluent's serializers put a zero byte and the schema's id (4 bytes) before the JSON.
_FRAMED, _FRAME_BYTES = b"\0", 5


class Content(NamedTuple):
    """What a record says, and the attributes of its CloudEvent (names in small letters; none: empty)."""

    body: Json
    attributes: Mapping[str, str]


def content_of(value: bytes | None, headers: Headers) -> Content:
    """The JSON that a record carries, out of its envelope. Raises `InvalidRecord`, nothing else."""
    if value is None:
        raise InvalidRecord("tombstone", "the value is null")
    if len(value) > MAX_BYTES:
        raise InvalidRecord("too_large", f"{len(value)} bytes, more than {MAX_BYTES}")
    body = _loaded(value)
    if type(body) is dict and "specversion" in body and "type" in body and "id" in body:
        return _structured(body)
    return Content(body, attributes_of(headers))


def attributes_of(headers: Headers) -> dict[str, str]:
    """The CloudEvent attributes among a record's headers, of binary mode."""
    found = {}
    for name, value in headers:
        known = name.lower().replace("-", "_")
        if known.startswith("ce_"):
            text = text_of(value)
            if text is not None:
                found[known[3:]] = text
    return found


def text_of(value: bytes | None) -> str | None:
    """As text; None where it is none."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def json_of(value: Json, what: str) -> Json:
    """JSON that stands in a text, or is there already. Raises `InvalidRecord`."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except ValueError as error:
        raise InvalidRecord("not_json", f"{what} is text that is no JSON: {error}") from None


def _loaded(value: bytes) -> Json:
    if value[:1] == _FRAMED:
        value = value[_FRAME_BYTES:]
    try:
        return orjson.loads(value)
    except ValueError as error:
        raise InvalidRecord("not_json", f"not JSON: {error}") from None


def _structured(event: dict[str, Json]) -> Content:
    attributes = {
        name: value for name, value in event.items() if isinstance(value, str) and name != "data_base64"
    }
    if "data_base64" in event:
        try:
            body = _loaded(base64.b64decode(event["data_base64"], validate=True))
        except (ValueError, TypeError, binascii.Error) as error:
            raise InvalidRecord("not_json", f"data_base64 cannot be read: {error}") from None
        return Content(body, attributes)
    if "data" not in event:
        raise InvalidRecord("missing_field", "a CloudEvent without data")
    return Content(json_of(event["data"], "data"), attributes)

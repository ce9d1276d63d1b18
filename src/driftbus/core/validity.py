"""Checks of what an event may hold. Each raises `InvalidRecord` with the reason it is dead-lettered for."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from driftbus.core.records import Json, Label, Prediction
from driftbus.errors import InvalidRecord

# Contract: ids and stream names have 1 to 256 characters.
MAX_NAME_CHARS = 256
# Deeper values are noise or an attack; feature stores nest two or three levels.
MAX_DEPTH = 32
INT64 = 2**63


# An outcome holds prediction and label in one record. Kafka's topics take 1,048,588 bytes; beside a
# prediction of 1,000,000, the bound of `limits.max_record_bytes`, this leaves 2,500 for key and framing.
MAX_LABEL_BYTES = 46_000
# Written anew a number may take five times its text (`1e15` → `1000000000000000.0`): a label shorter than
# this fits surely, and so does a prediction.
SURELY_FITS_BYTES = 9_000


def check_outcome_size(event: Any, max_bytes: int) -> None:
    """Refuse a prediction or a label that would make its outcome larger than a topic takes.

    The bus would refuse such an outcome each time, and its step with it: the partition would stand still.
    """
    if type(event) is Prediction:
        length, limit = len(event.fragment), max_bytes
    elif type(event) is Label:
        length, limit = len(orjson.dumps((event.label, event.signals))), MAX_LABEL_BYTES
    else:
        return
    if length > limit:
        refuse("too_large", f"would take {length} bytes of an outcome, more than {limit}")


def refuse(reason: str, message: str) -> NoReturn:
    raise InvalidRecord(reason, message)


def checked_stream(stream: Any, key: bytes | None) -> str:
    if stream is None:
        if key is None:
            refuse("missing_field", "no stream, and the record has no key")
        try:
            stream = key.decode()
        except UnicodeDecodeError:
            refuse("wrong_type", "no stream, and the key is not UTF-8 text")
    return checked_name(stream, "stream")


def checked_name(value: Any, field: str) -> str:
    if type(value) is not str:
        if value is None:
            refuse("missing_field", f"{field} is missing")
        refuse("wrong_type", f"{field} is {type(value).__name__}, not a string")
    if not 0 < len(value) <= MAX_NAME_CHARS:
        refuse("too_long", f"{field} has {len(value)} characters, not 1 to {MAX_NAME_CHARS}")
    return value


def checked_text(value: Any, field: str) -> str | None:
    if value is None or (type(value) is str and len(value) <= 4 * MAX_NAME_CHARS):
        return value
    return refuse("wrong_type", f"{field} is not a (short) string")


def check_int64(value: int, field: str) -> None:
    if not -INT64 <= value < INT64:
        refuse("number_range", f"{field} holds an integer beyond 64 bits")


def check_finite(value: Any, field: str, source: bytes | None, depth: int = 0) -> None:
    """Walk any JSON value: 64-bit integers, finite floats, bounded depth."""
    kind = type(value)
    if kind is float:
        if not -1e18 < value < 1e18:
            _true_float(field, source)
    elif kind is int:
        check_int64(value, field)
    elif kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            refuse("too_deep", f"{field} nests deeper than {MAX_DEPTH} levels")
        for item in value.values() if kind is dict else value:
            check_finite(item, field, source, depth + 1)


def _true_float(field: str, source: bytes | None) -> None:
    """A float this large may be an integer that lost its digits: the text knows."""

    def integer(text: str) -> int:
        check_int64(int(text) if len(text) < 25 else INT64, field)
        return 0

    json.loads(source or b"null", parse_int=integer)


def checked_score(score: Any, source: bytes | None) -> Json:
    if type(score) is dict:
        if not all(type(p) is float or type(p) is int for p in score.values()):
            refuse("wrong_type", "score holds something that is no number")
        check_finite(score, "score", source)
        return score
    if type(score) is not int and type(score) is not float:
        refuse("wrong_type", f"score is {type(score).__name__}, not a number or an object")
    check_finite(score, "score", source)
    return score


def check_slices(slices: Any) -> None:
    if type(slices) is not dict:
        refuse("wrong_type", "slices is not an object")
    for part in slices.values():
        if type(part) is not str or len(part) > MAX_NAME_CHARS:
            refuse("wrong_type", "slices holds something that is no (short) string")


def checked_signals(signals: Any, source: bytes | None) -> dict[str, float] | None:
    if signals is None:
        return None
    if type(signals) is not dict:
        refuse("wrong_type", "signals is not an object")
    for number in signals.values():
        if type(number) is not float and type(number) is not int:
            refuse("wrong_type", "signals holds something that is no number")
    check_finite(signals, "signals", source)
    return signals


def checked_weight(weight: Any, source: bytes | None) -> float:
    if (type(weight) is not float and type(weight) is not int) or weight < 0:
        refuse("wrong_value", "weight is not a number of at least 0")
    check_finite(weight, "weight", source)
    return weight

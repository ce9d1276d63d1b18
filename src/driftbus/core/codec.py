"""Bytes → events. Anything else than such an event raises `InvalidRecord`, and nothing else.

This is the hot path, so it is validated by hand: orjson already refuses NaN, infinities, lone
surrogates, invalid UTF-8 and nesting beyond 1,024 levels. What it lets through, integers beyond
64 bits turned into floats, is looked for only behind numbers of that size.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import orjson

from driftbus.core.encode import prediction_fragment
from driftbus.core.records import Json, Label, ModelEvent, Outcome, Prediction
from driftbus.errors import InvalidRecord

Headers = tuple[tuple[str, bytes | None], ...]

# Contract: ids and stream names have 1 to 256 characters.
MAX_NAME_CHARS = 256
# Deeper values are noise or an attack; feature stores nest two or three levels.
MAX_DEPTH = 32
# The last millisecond of the year 9999, the end of RFC 3339's four-digit years.
MAX_TS_MS = 253_402_300_799_999
INT64 = 2**63

ROLES = frozenset({"production", "canary", "shadow"})
MODEL_EVENT_TYPES = frozenset(
    {
        "training-started",
        "training-finished",
        "training-failed",
        "model-deployed",
        "model-rolled-back",
        "retrain-requested",
    }
)
# Known to the contract, not yet acted upon: taken and counted, never dead-lettered.
RESERVED_EVENT_TYPES = frozenset(
    {
        "retrain-approved",
        "request-declined",
        "episode-acknowledged",
        "episode-dismissed",
        "muted",
        "unmuted",
        "stream-retired",
        "reference-set",
    }
)


def prediction_of(
    raw: dict[str, Any], key: bytes | None, timestamp_ms: int, value: bytes | None
) -> Prediction:
    """One prediction event out of its JSON object; `value` is the text it was parsed from."""
    get = raw.get
    stream = _stream(get("stream"), key)
    prediction_id = _name(get("prediction_id"), "prediction_id")
    ts = get("ts")
    ts = timestamp_ms if ts is None else _timestamp(ts)
    signals = _signals(get("signals"), value)
    prediction = get("prediction")
    if type(prediction) is not int and type(prediction) is not str:
        if prediction is None:
            if not signals:
                _invalid("missing_field", "prediction is missing")
        else:
            _finite(prediction, "prediction", value)
    elif type(prediction) is int:
        _int64(prediction, "prediction")
    features = get("features")
    if features is not None:
        if type(features) is not dict:
            _invalid("wrong_type", f"features is {type(features).__name__}, not an object")
        for v in features.values():
            if type(v) is not float or not -1e18 < v < 1e18:
                _finite(v, "features", value)
    score = get("score")
    if score is not None and (type(score) is not float or not -1e18 < score < 1e18):
        score = _score(score, value)
    version = get("model_version")
    if version is not None and type(version) is not str:
        _invalid("wrong_type", "model_version is not a string")
    if version is not None and len(version) > MAX_NAME_CHARS:
        _invalid("too_long", f"model_version has more than {MAX_NAME_CHARS} characters")
    role = get("role")
    if role is None:
        role = "production"
    elif role not in ROLES:
        _invalid("wrong_value", f"role {role!r:.60} is none of {', '.join(sorted(ROLES))}")
    slices = get("slices")
    if slices is not None:
        _slices(slices)
    weight = get("weight")
    if weight is not None:
        weight = _weight(weight, value)
    fragment = prediction_fragment(
        prediction_id, stream, ts, features, prediction, score, version, role, slices, signals, weight
    )
    return Prediction(
        prediction_id,
        stream,
        ts,
        features,
        prediction,
        score,
        version,
        role,
        slices,
        signals,
        weight,
        fragment,
    )


def label_of(raw: dict[str, Any], key: bytes | None, timestamp_ms: int, value: bytes | None) -> Label:
    """One label event out of its JSON object; `value` is the text it was parsed from."""
    get = raw.get
    label = get("label")
    signals = get("signals")
    if signals is not None:
        signals = _signals(signals, value)
    if label is None:
        if not signals or "label" in raw:
            _invalid("null_label", "label is null or missing")
    elif type(label) is not str:
        _finite(label, "label", value)
    ts = get("ts")
    return Label(
        _name(get("prediction_id"), "prediction_id"),
        _stream(get("stream"), key),
        timestamp_ms if ts is None else _timestamp(ts),
        label,
        signals,
    )


def model_event_of(
    raw: dict[str, Any], key: bytes | None, timestamp_ms: int, value: bytes | None
) -> ModelEvent:
    """One model event out of its JSON object; `value` is the text it was parsed from."""
    kind = raw.get("type")
    if type(kind) is not str or kind not in MODEL_EVENT_TYPES | RESERVED_EVENT_TYPES:
        _invalid("wrong_value", f"type {kind!r:.60} is no model event")
    ts = raw.get("ts")
    return ModelEvent(
        _stream(raw.get("stream"), key),
        timestamp_ms if ts is None else _timestamp(ts),
        kind,
        _text(raw.get("model_version"), "model_version"),
        _text(raw.get("retrain_request_id"), "retrain_request_id"),
        _text(raw.get("by"), "by"),
        _text(raw.get("reason"), "reason"),
    )


BUILDERS: dict[str, Callable[[dict[str, Any], bytes | None, int, bytes | None], Any]] = {
    "predictions": prediction_of,
    "labels": label_of,
    "model-events": model_event_of,
}


def decode(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    timestamp_ms: int,
    max_bytes: int = 1_000_000,
) -> Any:
    """The event of one input record (`topic` by its short name). Raises `InvalidRecord`, nothing else."""
    return BUILDERS[topic](object_of(value, headers, max_bytes), key, timestamp_ms, value)


def prediction_from_fragment(fragment: bytes) -> Prediction:
    """The prediction whose `fragment` this is (ours, so unchecked)."""
    raw = orjson.loads(fragment + b"}")
    return _trusted(raw, fragment)


def decode_outcome(value: bytes) -> Outcome:
    """One of our own outcomes, read back. Raises `InvalidRecord` when it is none."""
    try:
        raw = orjson.loads(value)
        return Outcome(
            raw["seq"],
            _trusted(raw, b""),
            raw["label"],
            _timestamp(raw["label_ts"]),
            raw["label_source"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRecord("not_an_outcome", f"not an outcome: {error}") from None


def _trusted(raw: dict[str, Any], fragment: bytes) -> Prediction:
    return Prediction(
        raw["prediction_id"],
        raw["stream"],
        _timestamp(raw["ts"]),
        raw["features"],
        raw["prediction"],
        raw["score"],
        raw["model_version"],
        raw["role"],
        raw["slices"],
        raw["signals"],
        raw["weight"],
        fragment,
    )


def _invalid(reason: str, message: str) -> NoReturn:
    raise InvalidRecord(reason, message)


def object_of(value: bytes | None, headers: Headers, max_bytes: int) -> dict[str, Any]:
    """The event's own object, out of plain JSON or a CloudEvent in structured mode.

    Binary-mode CloudEvents carry the object as the value, so they need nothing.
    """
    if value is None:
        _invalid("tombstone", "the value is null")
    if len(value) > max_bytes:
        _invalid("too_large", f"{len(value)} bytes, more than {max_bytes}")
    try:
        raw = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidRecord("not_json", f"not JSON: {error}") from None
    return unwrapped(raw, headers)


def unwrapped(raw: Any, headers: Headers) -> dict[str, Any]:
    """The event's own object: itself, or the data of a structured CloudEvent. Raises `InvalidRecord`."""
    if type(raw) is not dict:
        _invalid("not_an_object", f"a JSON {type(raw).__name__}, not an object")
    if "specversion" in raw and "data" in raw:
        version = raw["specversion"]
        if type(version) is not str or not version.startswith("1."):
            _invalid("unsupported_version", f"CloudEvents specversion {version!r:.40}")
        raw = raw["data"]
        if type(raw) is not dict:
            _invalid("not_an_object", "the CloudEvent's data is not an object")
    elif headers:
        _binary_version(headers)
    return raw


def _binary_version(headers: Headers) -> None:
    for name, text in headers:
        if name.lower().replace("-", "_") == "ce_specversion" and not (text or b"").startswith(b"1."):
            _invalid("unsupported_version", f"CloudEvents specversion {text!r:.40}")


def _stream(stream: Any, key: bytes | None) -> str:
    if stream is None:
        if key is None:
            _invalid("missing_field", "no stream, and the record has no key")
        try:
            stream = key.decode()
        except UnicodeDecodeError:
            _invalid("wrong_type", "no stream, and the key is not UTF-8 text")
    return _name(stream, "stream")


def _name(value: Any, field: str) -> str:
    if type(value) is not str:
        if value is None:
            _invalid("missing_field", f"{field} is missing")
        _invalid("wrong_type", f"{field} is {type(value).__name__}, not a string")
    if not 0 < len(value) <= MAX_NAME_CHARS:
        _invalid("too_long", f"{field} has {len(value)} characters, not 1 to {MAX_NAME_CHARS}")
    return value


def _text(value: Any, field: str) -> str | None:
    if value is None or (type(value) is str and len(value) <= 4 * MAX_NAME_CHARS):
        return value
    return _invalid("wrong_type", f"{field} is not a (short) string")


def _timestamp(value: Any) -> int:
    """RFC 3339 text or epoch milliseconds → epoch milliseconds."""
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
            if len(value) < 11 or moment.tzinfo is None:
                _invalid("bad_timestamp", f"ts {value!r:.60} has no time or no offset")
            value = (moment - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            raise InvalidRecord("bad_timestamp", f"ts {value!r:.60} is not RFC 3339") from None
    elif type(value) is not int:
        _invalid("bad_timestamp", f"ts is {type(value).__name__}, not RFC 3339 text or integer milliseconds")
    if not 0 <= value <= MAX_TS_MS:
        _invalid("bad_timestamp", f"ts {value} lies outside the years 1970 to 9999")
    return int(value)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _int64(value: int, field: str) -> None:
    if not -INT64 <= value < INT64:
        _invalid("number_range", f"{field} holds an integer beyond 64 bits")


def _finite(value: Any, field: str, source: bytes | None, depth: int = 0) -> None:
    """Walk any JSON value: 64-bit integers, finite floats, bounded depth."""
    kind = type(value)
    if kind is float:
        if not -1e18 < value < 1e18:
            _true_float(field, source)
    elif kind is int:
        _int64(value, field)
    elif kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            _invalid("too_deep", f"{field} nests deeper than {MAX_DEPTH} levels")
        for item in value.values() if kind is dict else value:
            _finite(item, field, source, depth + 1)


def _true_float(field: str, source: bytes | None) -> None:
    """A float this large may be an integer that lost its digits: the text knows."""

    def integer(text: str) -> int:
        _int64(int(text) if len(text) < 25 else INT64, field)
        return 0

    json.loads(source or b"null", parse_int=integer)


def _score(score: Any, source: bytes | None) -> Json:
    if type(score) is dict:
        if not all(type(p) is float or type(p) is int for p in score.values()):
            _invalid("wrong_type", "score holds something that is no number")
        _finite(score, "score", source)
        return score
    if type(score) is not int and type(score) is not float:
        _invalid("wrong_type", f"score is {type(score).__name__}, not a number or an object")
    _finite(score, "score", source)
    return score


def _slices(slices: Any) -> None:
    if type(slices) is not dict:
        _invalid("wrong_type", "slices is not an object")
    for part in slices.values():
        if type(part) is not str or len(part) > MAX_NAME_CHARS:
            _invalid("wrong_type", "slices holds something that is no (short) string")


def _signals(signals: Any, source: bytes | None) -> dict[str, float] | None:
    if signals is None:
        return None
    if type(signals) is not dict:
        _invalid("wrong_type", "signals is not an object")
    for number in signals.values():
        if type(number) is not float and type(number) is not int:
            _invalid("wrong_type", "signals holds something that is no number")
    _finite(signals, "signals", source)
    return signals


def _weight(weight: Any, source: bytes | None) -> float:
    if (type(weight) is not float and type(weight) is not int) or weight < 0:
        _invalid("wrong_value", "weight is not a number of at least 0")
    _finite(weight, "weight", source)
    return weight

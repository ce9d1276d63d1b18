"""What one drift event or retrain request says to an experiment tracker.

An episode is one run, whatever the number of its events, and the request that it led to is part of it; a
request by rule, by schedule or by hand is a run of its own. Numbers stand at the count of outcomes seen, so
that a curve over an episode has the stream's own axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from driftbus.core.shape import fits

_NUMBER_OR_NONE = (float, None)
_TEXT_OR_NONE = (str, None)
# What is taken of an event; whoever else writes into the topics is passed over.
_DRIFT = {
    "episode_id": str,
    "stream": str,
    "status": str,
    "resolution": _TEXT_OR_NONE,
    "category": str,
    "kind": str,
    "confidence": float,
    "model_version": _TEXT_OR_NONE,
    "muted": bool,
    "outcomes_seen": int,
    "onset": {"ts": str, "earliest": str, "latest": str},
    "signals": [{"name": str, "before": _NUMBER_OR_NONE, "after": _NUMBER_OR_NONE}],
    "labels": {str: str},
}
_REQUEST = {
    "request_id": str,
    "stream": str,
    "status": str,
    "reason": str,
    "attempt": int,
    "episode_id": _TEXT_OR_NONE,
    "model_version": _TEXT_OR_NONE,
    "training_window": {
        "topic": str,
        "partition": int,
        "start_offset": int,
        "end_offset": int,
        "rows": int,
        "rows_since_onset": int,
    },
    "labels": {str: str},
}


@dataclass(frozen=True, slots=True)
class Note:
    """`run`: 40 hexadecimal digits, the same for all events of one run. `metrics` stand at `step` (None: of
    no step) and at `ts_ms`, the event's own time. `event` is the whole CloudEvent, `name` what its file is
    called. `over`: nothing more is to come."""

    run: str
    title: str
    stream: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    step: int | None
    ts_ms: int
    name: str
    event: bytes
    over: bool


def note(value: bytes | None) -> Note | None:
    """The note of a record's value; None where it is no drift event and no retrain request."""
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if not fits(event, {"time": str, "data": {}}):
        return None
    try:
        ts_ms = int(datetime.fromisoformat(event["time"]).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    if fits(event["data"], _DRIFT):
        return _episode(event["data"], value or b"", ts_ms)
    if fits(event["data"], _REQUEST):
        return _request(event["data"], value or b"", ts_ms)
    return None


def _run(id_: str) -> str:
    """Ids are any text; every tracker takes 40 hexadecimal digits."""
    return hashlib.sha256(id_.encode()).hexdigest()[:40]


def _texts(data: Mapping[str, Any], *keys: str) -> dict[str, str]:
    found = {key: data[key] for key in keys if data[key] is not None}
    tags = {
        f"driftbus.{key}": value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in found.items()
    }
    return tags | {f"driftbus.label.{key}": value for key, value in data["labels"].items()}


def _episode(data: Mapping[str, Any], event: bytes, ts_ms: int) -> Note:
    tags = _texts(
        data, "episode_id", "stream", "status", "resolution", "category", "kind", "model_version", "muted"
    )
    tags |= {f"driftbus.onset.{key}": value for key, value in data["onset"].items() if isinstance(value, str)}
    metrics = {"confidence": float(data["confidence"])}
    for signal in data["signals"]:
        for when in ("before", "after"):
            if signal[when] is not None:
                metrics[f"{signal['name']}.{when}"] = float(signal[when])
    return Note(
        _run(data["episode_id"]),
        f"{data['stream']}: {data['category']} episode",
        data["stream"],
        tags,
        metrics,
        data["outcomes_seen"],
        ts_ms,
        f"{data['outcomes_seen']:09}-{data['status']}.json",
        event,
        data["status"] == "closed",
    )


def _request(data: Mapping[str, Any], event: bytes, ts_ms: int) -> Note:
    window = data["training_window"]
    tags = _texts(data, "request_id", "stream", "reason", "attempt", "model_version")
    tags["driftbus.request_status"] = data["status"]
    tags["driftbus.window"] = (
        f"{window['topic']}-{window['partition']} {window['start_offset']}:{window['end_offset']}"
    )
    return Note(
        _run(data["episode_id"] or data["request_id"]),
        f"{data['stream']}: retrain, {data['reason']}",
        data["stream"],
        tags,
        {
            "request.rows": float(window["rows"]),
            "request.rows_since_onset": float(window["rows_since_onset"]),
        },
        None,
        ts_ms,
        f"request-{data['attempt']}.json",
        event,
        # An episode goes on; a request alone has said all there is.
        data["episode_id"] is None,
    )

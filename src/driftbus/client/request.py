"""One retrain request as a trainer sees it: the reason, the rows, and the answers.

requested ──started──► training ──finished──► trained ──deployed──► answered
    │                     │                      │
    └───────── failed, deployed (steps may be left out) ──────────► answered
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson

from driftbus.client.rows import Rows
from driftbus.client.window import Row, TrainingWindow

REQUEST_TYPE = "io.driftbus.retrain-request.v1"

Time = int | str | datetime


class Desk(Protocol):
    """What a request needs of the iterator it came from."""

    def rows(self, request: Request, *, corrected: bool, since_onset: bool) -> Iterator[Row]: ...

    def publish(self, request: Request, event: Mapping[str, Any], ts: Time | None) -> None: ...


@dataclass(frozen=True)
class Request:
    """A question to the trainers: "train `stream` anew, on this window, for this reason".

    `status`, `reason` are the contract's texts, and may one day hold others. `time` is the event time of
    the decision (RFC 3339), `evidence` and `event` (the whole CloudEvent) are as they came.
    """

    request_id: str
    stream: str
    model_version: str | None
    status: str
    reason: str
    episode_id: str | None
    window: TrainingWindow
    attempt: int
    time: str
    evidence: Mapping[str, Any]
    labels: Mapping[str, str]
    event: Mapping[str, Any] = field(repr=False)
    _desk: Desk = field(repr=False, compare=False)
    _answered: Callable[[], None] = field(repr=False, compare=False)

    def rows(self, *, corrected: bool = True, since_onset: bool = False) -> Rows:
        """The window's outcomes, in the order of their completion: dictionaries with the contract's fields.

        `corrected`: labels as corrected up to the moment of the request, `error` recomputed; else as first
        given. `since_onset`: only those with `ts` at or after the onset, where there is one. May be called
        any number of times. Raises `WindowExpired` rather than giving fewer rows than were promised: at
        once when the beginning is gone, at the end when rows are missing in between.

        What it gives is an iterator that can become a table instead: `.to_pandas()`, `.to_polars()`,
        `.to_csv(path)`, `.to_parquet(path)`.
        """
        return Rows(self._desk.rows(self, corrected=corrected, since_onset=since_onset))

    def started(self, *, by: str | None = None, ts: Time | None = None) -> None:
        """Training has begun. Like all answers: returns once delivered, raises `Unavailable` otherwise.

        `ts` defaults to now; a trainer that works through recorded time gives its own.
        """
        self._say("training-started", by=by, ts=ts)

    def finished(
        self, *, model_version: str | None = None, by: str | None = None, ts: Time | None = None
    ) -> None:
        """Training has ended well; deployment is still to come."""
        self._say("training-finished", model_version=model_version, by=by, ts=ts)

    def deployed(self, *, model_version: str, by: str | None = None, ts: Time | None = None) -> None:
        """The new version answers from now on: closes the request, opens that version's reference."""
        self._say("model-deployed", model_version=model_version, by=by, ts=ts)
        self._answered()

    def failed(self, reason: str, *, by: str | None = None, ts: Time | None = None) -> None:
        """Training came to nothing; driftbus asks again later, up to its `max_attempts`."""
        self._say("training-failed", reason=reason, by=by, ts=ts)
        self._answered()

    def _say(
        self,
        type_: str,
        *,
        model_version: str | None = None,
        reason: str | None = None,
        by: str | None = None,
        ts: Time | None = None,
    ) -> None:
        said = {"type": type_, "model_version": model_version, "reason": reason, "by": by}
        event = {name: value for name, value in said.items() if value is not None}
        self._desk.publish(self, event | {"retrain_request_id": self.request_id}, ts)


def parse_request(value: bytes | None, desk: Desk, answered: Callable[[], None]) -> Request | None:
    """A record of `retrain-requests`; None when it is of another CloudEvents type.

    Unknown fields are ignored, optional ones may be absent. Raises `ValueError` when it is no such event.
    """
    try:
        event = orjson.loads(value or b"")
        if event["type"] != REQUEST_TYPE:
            return None
        data = event["data"]
        return Request(
            request_id=str(data["request_id"]),
            stream=str(data["stream"]),
            model_version=data.get("model_version"),
            status=str(data.get("status", "requested")),
            reason=str(data.get("reason", "")),
            episode_id=data.get("episode_id"),
            window=TrainingWindow.parse(data["training_window"]),
            attempt=int(data.get("attempt", 1)),
            time=str(event.get("time", "")),
            evidence=data.get("evidence") or {},
            labels=data.get("labels") or {},
            event=event,
            _desk=desk,
            _answered=answered,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a retrain request: {type(error).__name__}: {error}") from error

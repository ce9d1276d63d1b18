"""What driftbus publishes: outcomes, corrections, drift events, retrain requests, headers of dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from driftbus.core.encode import DRIFT_SCHEMA, REQUEST_SCHEMA
from driftbus.core.records import Category, Kind, Resolution, Status, Verdict
from driftbus.core.schemas.examples import DRIFT_EVENT, RETRAIN_REQUEST
from driftbus.core.schemas.fields import (
    URN,
    AnyJson,
    Count,
    Event,
    Finite,
    Labels,
    Name,
    Probability,
    Share,
    Signals,
    Slices,
    Version,
    Weight,
    Written,
    open_enum,
)


class Outcome(Event):
    """A prediction with its label: one row of the training set. All fields always, null where absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="outcome"),
            "examples": [
                {
                    "prediction_id": "p-1",
                    "stream": "fraud",
                    "seq": 1200,
                    "ts": "2026-01-01T00:00:00.000Z",
                    "label_ts": "2026-01-03T00:00:00.000Z",
                    "label_source": "event",
                    "features": {"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
                    "prediction": 1,
                    "score": 0.87,
                    "label": 0,
                    "error": 1,
                    "model_version": "v3",
                    "role": "production",
                    "slices": {"region": "eu"},
                    "signals": None,
                    "weight": 1.0,
                }
            ],
        }
    )

    prediction_id: Name
    """As it came."""
    stream: Name
    """The monitored model, the record's key."""
    seq: Count
    """Counts from 0 without gaps within a partition of `outcomes`, over all its streams."""
    ts: Written
    """Of the prediction."""
    label_ts: Written
    """Of the label, or the moment the prediction expired."""
    label_source: open_enum(Literal["event", "expired"])  # type: ignore[valid-type]
    """`expired`: no label came within the horizon, and the configuration gives such predictions one."""
    features: dict[str, AnyJson] | None
    """As they came, nulls included."""
    prediction: AnyJson
    """As it came."""
    score: Finite | dict[str, Finite] | None
    """As it came."""
    label: AnyJson
    """The first label; a later, different one is published as a correction."""
    error: Annotated[Finite, Field(ge=0)] | None
    """0 or 1; for regression |label − prediction|; null where neither is defined."""
    model_version: Version | None
    """The version that made the prediction."""
    role: open_enum(Literal["production", "canary", "shadow"])  # type: ignore[valid-type]
    """Of that version."""
    slices: Slices | None
    """As they came."""
    signals: Signals | None
    """The prediction's and the label's."""
    weight: Weight | None
    """As it came."""


class LabelCorrection(Event):
    """A later, different label of an outcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="label-correction"),
            "examples": [
                {
                    "prediction_id": "p-1",
                    "stream": "fraud",
                    "seq": 1200,
                    "previous_label": 0,
                    "label": 1,
                    "ts": "2026-01-09T00:00:00.000Z",
                }
            ],
        }
    )

    prediction_id: Name
    """Of the outcome."""
    stream: Name
    """The monitored model, the record's key."""
    seq: Count
    """Of the outcome."""
    previous_label: AnyJson
    """What it was until now."""
    label: AnyJson
    """What it is now."""
    ts: Written
    """Of the later label."""


class Offset(Event):
    """A position on the bus."""

    topic: str
    """As the bus names it: outcomes, or predictions where no label was needed to see the change."""
    partition: Count
    offset: Count


class Onset(Event):
    """When the change began, with the interval it lies in: earliest ≤ ts ≤ latest ≤ detected_at."""

    ts: Written
    earliest: Written
    latest: Written
    offset: Offset


class Evidence(Event):
    """How one signal moved."""

    name: str
    """`error`, `score`, `feature/<name>`, `missing/<name>`, `unseen/<name>`, `range/<name>`,
    `challenger_gap`, `custom/<name>`."""
    before: Finite
    """Its level before the onset."""
    after: Finite
    """Its level since."""
    detector: str
    """Who noticed."""
    evidence: Finite
    """How strongly: a log-likelihood ratio."""


class StateWindow(Event):
    """Rows in `outcomes`, start_seq ≤ seq < end_seq; times of the first and of the change after them."""

    start_seq: Count
    end_seq: Count
    """Exclusive."""
    start_ts: Written
    end_ts: Written


class EarlierState(Event):
    """A state of the world that the stream was in before."""

    state: Count
    """Its number within the stream."""
    model_version: Version | None
    """The model that was made for it; null where there was none of its own."""
    window: StateWindow
    """The newest rows of that state."""


class DriftData(Event):
    """One message about one episode: `opened` once, any number of `updated`, at most one `closed`, last."""

    episode_id: str
    stream: Name
    status: open_enum(Status)  # type: ignore[valid-type]
    resolution: open_enum(Resolution) | None  # type: ignore[valid-type]
    """How it ended; null until it is closed."""
    category: open_enum(Category)  # type: ignore[valid-type]
    """`concept` whenever the error changed."""
    kind: open_enum(Kind)  # type: ignore[valid-type]
    confidence: Probability
    """That the kind is right."""
    onset: Onset
    signals: Annotated[list[Evidence], Field(min_length=1)]
    slice: Slices | None
    """The part of the stream it is about; null: the whole."""
    detected_at: Written
    """Event time of the record that decided this message."""
    outcomes_seen: Count
    """How many of the stream's outcomes had been folded at that moment."""
    predictions_seen: Count
    """How many of the stream's predictions had been folded at that moment."""
    model_version: Version | None
    muted: bool
    labels: Labels
    """The stream's, from the configuration."""
    earlier_state: EarlierState | None = None
    """Which has returned, when the kind is `recurrent`."""


class Retraining(Event):
    """What the challenger, which learns on, has saved since the change, per row, in units of the error."""

    verdict: open_enum(Verdict)  # type: ignore[valid-type]
    """`doubtful`: surely less than a quarter of what the change has cost."""
    gain: Finite
    low: Finite
    """The interval holds at any time it is asked for, nine times out of ten."""
    high: Finite
    rows: Count
    """So many were judged."""


class Tried(Event):
    """A deployment that has not brought the error back."""

    request_id: str
    model_version: str
    error: Finite
    """Since the deployment."""
    before: Finite
    """Before the change."""
    during: Finite
    """While it lasted."""


class RequestEvidence(Event):
    """Why a retrain is asked for: the part that belongs to the reason is filled."""

    signals: list[Evidence]
    rule: str | None
    """The performance rule that fired, as configured."""
    schedule: str | None
    manual: str | None
    """The reason given by hand."""
    note: str | None = None
    """Rows that are missing, or what a rule read, for people."""
    retraining: Retraining | None = None
    """Whether retraining would help; null: no challenger tells."""
    earlier_state: EarlierState | None = None
    """Which has returned: the model that was made for it may do again."""
    tried: Tried | None = None
    """What was deployed for an earlier request about the same change, and has not helped."""


class TrainingWindow(Event):
    """Rows in `outcomes`: read start_offset ≤ offset < end_offset and keep those of the stream."""

    topic: str
    partition: Count
    start_offset: Count
    end_offset: Count
    """Exclusive."""
    start_seq: Count
    end_seq: Count
    """Exclusive."""
    start_ts: Written
    end_ts: Written
    rows: Count
    """Exactly so many are the stream's."""
    class_counts: dict[str, Count]
    """Rows by label as text; empty for regression."""
    onset_ts: Written | None
    """Of the change that the window begins at."""
    rows_since_onset: Count
    """Rows with ts ≥ onset_ts."""
    corrections_offset: Count
    """Exclusive: corrections before it, in the same partition, belong to the window."""
    sample: Share
    """The share of predictions that driftbus kept."""


class RequestData(Event):
    """One question to the trainers."""

    request_id: str
    """The same for all attempts."""
    stream: Name
    model_version: Version | None
    """The version in production."""
    status: open_enum(Literal["requested", "proposed"])  # type: ignore[valid-type]
    reason: open_enum(Literal["drift", "performance", "schedule", "manual"])  # type: ignore[valid-type]
    episode_id: str | None
    evidence: RequestEvidence
    training_window: TrainingWindow
    attempt: Annotated[int, Field(ge=1)]
    labels: Labels


class CloudEvent(Event):
    """The envelope: a structured CloudEvent 1.0 (`content-type: application/cloudevents+json`)."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1)]
    """The same when the same decision is recomputed."""
    source: Annotated[str, Field(min_length=1, json_schema_extra={"format": "uri-reference"})]
    """`instance` of the configuration."""
    subject: Name
    """The stream."""
    time: Written
    """Event time of the decision."""
    datacontenttype: Literal["application/json"]
    partitionkey: Name
    """The stream."""


class DriftEvent(CloudEvent):
    """A change of the world, in one stream."""

    model_config = ConfigDict(json_schema_extra={"$id": DRIFT_SCHEMA, "examples": [DRIFT_EVENT]})

    type: Literal["io.driftbus.drift.v1"]
    dataschema: Literal["urn:driftbus:schema:drift-event:v1"]
    data: DriftData


class RetrainRequest(CloudEvent):
    """A model should be trained anew: why, and on which rows."""

    model_config = ConfigDict(json_schema_extra={"$id": REQUEST_SCHEMA, "examples": [RETRAIN_REQUEST]})

    type: Literal["io.driftbus.retrain-request.v1"]
    dataschema: Literal["urn:driftbus:schema:retrain-request:v1"]
    data: RequestData

"""What producers send: predictions, labels, model events. Unknown fields are ignored."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from driftbus.core.schemas.fields import (
    URN,
    AnyJson,
    AnyValue,
    Event,
    Finite,
    Name,
    ShortText,
    Signals,
    Slices,
    Time,
    Version,
    Weight,
)
from driftbus.core.schemas.reference import Reference


class Prediction(Event):
    """One prediction of a model in production. `prediction` may be absent where `signals` are given."""

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="prediction"),
            "anyOf": [
                {"required": ["prediction"], "properties": {"prediction": {"not": {"type": "null"}}}},
                {"required": ["signals"], "properties": {"signals": {"type": "object", "minProperties": 1}}},
            ],
            "examples": [
                {
                    "prediction_id": "p-1",
                    "stream": "fraud",
                    "ts": "2026-01-01T00:00:00.000Z",
                    "features": {"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
                    "prediction": 1,
                    "score": 0.87,
                    "model_version": "v3",
                    "slices": {"region": "eu"},
                    "weight": 1.0,
                    "role": "production",
                },
                {"prediction_id": "q-7", "signals": {"ndcg@10": 0.41, "latency_ms": 41}},
            ],
        }
    )

    prediction_id: Name
    """Joins the prediction with its label, within its stream."""
    stream: Name | None = None
    """The monitored model; absent, the record's key."""
    ts: Time | None = None
    """When the prediction was made: RFC 3339 or epoch milliseconds; absent, the record's timestamp."""
    features: dict[str, AnyJson] | None = None
    """What the model saw. Numbers, texts and booleans are watched; arrays and objects only carried."""
    prediction: AnyJson = None
    """What it said: a number, a text or a boolean; an array or object is carried."""
    score: Finite | dict[str, Finite] | None = None
    """The probability of the positive class, or of each class."""
    model_version: Version | None = None
    """The version that made the prediction; each has its own reference."""
    slices: Slices | None = None
    """Named parts of the stream, watched beside the whole."""
    signals: Signals | None = None
    """Numbers of one's own, each watched: for models that are neither classifiers nor regressors."""
    weight: Weight | None = None
    """How much the outcome counts in metrics."""
    role: Literal["production", "canary", "shadow"] | None = "production"
    """Only production asks for retrains."""


class Label(Event):
    """What was true of one prediction. A null label is refused; it may be absent beside `signals`."""

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="label"),
            "anyOf": [
                {"required": ["label"]},
                {"required": ["signals"], "properties": {"signals": {"type": "object", "minProperties": 1}}},
            ],
            "examples": [
                {"prediction_id": "p-1", "stream": "fraud", "ts": "2026-01-03T00:00:00.000Z", "label": 0},
            ],
        }
    )

    prediction_id: Name
    """Of the prediction that this label belongs to."""
    stream: Name | None = None
    """The monitored model; absent, the record's key."""
    ts: Time | None = None
    """When the label became known; absent, the record's timestamp."""
    label: AnyValue = None
    """The truth: a number, a text or a boolean; an array or object is carried."""
    signals: Signals | None = None
    """Numbers of one's own, each watched."""


class ModelEvent(Event):
    """What trainers, deployers and people tell driftbus about a model."""

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="model-event"),
            "if": {"required": ["type"], "properties": {"type": {"const": "reference-set"}}},
            "then": {"required": ["reference"], "properties": {"reference": {"not": {"type": "null"}}}},
            "examples": [
                {
                    "stream": "fraud",
                    "ts": "2026-01-04T00:00:00.000Z",
                    "type": "model-deployed",
                    "model_version": "v4",
                    "retrain_request_id": "01J-example",
                    "by": "trainer",
                    "reason": "drift",
                },
                {
                    "stream": "fraud",
                    "type": "reference-set",
                    "model_version": "v4",
                    "reference": {
                        "rows": 50_000,
                        "features": {
                            "country": {
                                "kind": "categorical",
                                "count": 50_000,
                                "shares": [["DE", 0.7], ["FR", 0.3]],
                            },
                            "amount": {
                                "kind": "numeric",
                                "count": 49_000,
                                "missing": 0.02,
                                "mean": 40.0,
                                "deviation": 12.5,
                                "quantiles": [0, 1, 4, 10, 18, 30, 40, 50, 62, 70, 76, 79, 80],
                            },
                        },
                    },
                },
            ],
        }
    )

    type: Literal[
        "training-started",
        "training-finished",
        "training-failed",
        "model-deployed",
        "model-rolled-back",
        "retrain-requested",
        "retrain-approved",
        "request-declined",
        "episode-acknowledged",
        "episode-dismissed",
        "muted",
        "unmuted",
        "stream-retired",
        "reference-set",
    ]
    """What happened, or is asked for."""
    stream: Name | None = None
    """The monitored model; absent, the record's key."""
    ts: Time | None = None
    """When; absent, the record's timestamp."""
    model_version: ShortText | None = None
    """The version it is about."""
    retrain_request_id: ShortText | None = None
    """The request that is answered; `model-deployed` without it ends whatever is in flight."""
    by: ShortText | None = None
    """Who says so."""
    reason: ShortText | None = None
    """Why, for people."""
    episode_id: ShortText | None = None
    """The episode that is acknowledged or dismissed; absent, all that are open."""
    accept: bool | None = None
    """With `episode-dismissed`: the new level is normal from now on."""
    until: Time | None = None
    """With `muted`: when it ends; absent, when it is taken back."""
    reference: Reference | None = None
    """With `reference-set`: the training set of `model_version` (absent: of the one in production)."""

"""The events as models, and from them the JSON Schemas and the AsyncAPI document.

The hot path does not validate with these: `core/codec.py` does it by hand, many times faster. A property
test holds the two together.
"""

from __future__ import annotations

from typing import Any

from driftbus.core.schemas.asyncapi import asyncapi
from driftbus.core.schemas.dead_letters import DeadLetterHeaders
from driftbus.core.schemas.fields import Event
from driftbus.core.schemas.inputs import Label, ModelEvent, Prediction
from driftbus.core.schemas.outputs import (
    DriftEvent,
    LabelCorrection,
    Outcome,
    RetrainRequest,
)

MODELS: dict[str, type[Event]] = {
    "prediction": Prediction,
    "label": Label,
    "model-event": ModelEvent,
    "outcome": Outcome,
    "label-correction": LabelCorrection,
    "drift-event": DriftEvent,
    "retrain-request": RetrainRequest,
    "dead-letter-headers": DeadLetterHeaders,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `MODELS`."""
    schema = MODELS[name].model_json_schema(by_alias=True)
    first = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema.pop("$id")}
    return first | schema


def documents() -> dict[str, dict[str, Any]]:
    """Every document by its file name, as `driftbus schemas --out` writes them."""
    schemas = {f"{name}.v1.schema.json": json_schema(name) for name in MODELS}
    return {**schemas, "asyncapi.json": asyncapi()}


__all__ = [
    "MODELS",
    "DeadLetterHeaders",
    "DriftEvent",
    "Event",
    "Label",
    "LabelCorrection",
    "ModelEvent",
    "Outcome",
    "Prediction",
    "RetrainRequest",
    "asyncapi",
    "documents",
    "json_schema",
]

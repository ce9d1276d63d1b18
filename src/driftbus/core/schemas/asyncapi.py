"""The AsyncAPI 3.0 document over the nine topics, from the same models as the JSON Schemas.

Its schemas are labelled draft-07 and hold no references, since AsyncAPI's own parser silently skips
what is labelled 2020-12; nothing in ours differs between the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from driftbus.core.schemas.dead_letters import DeadLetterHeaders
from driftbus.core.schemas.fields import Event
from driftbus.core.schemas.inputs import Label, ModelEvent, Prediction
from driftbus.core.schemas.outputs import (
    DriftEvent,
    LabelCorrection,
    Outcome,
    RetrainRequest,
)

DRAFT_07 = "application/schema+json;version=draft-07"
# Of the events, not of the package: a release that changes no event changes no document.
CONTRACT_VERSION = "1.0.0"
_CLOUDEVENTS = "application/cloudevents+json"


class Topic(NamedTuple):
    """One topic as the document shows it: who sends, what a record holds, how long it stays."""

    name: str
    action: str  # what driftbus does there: `receive` or `send`
    message: str
    model: type[Event] | None
    summary: str
    retention: str


TOPICS = (
    Topic(
        "predictions",
        "receive",
        "prediction",
        Prediction,
        "Inference services say what they predicted.",
        "delete",
    ),
    Topic("labels", "receive", "label", Label, "Labels, as they become known.", "delete"),
    Topic(
        "model-events",
        "receive",
        "modelEvent",
        ModelEvent,
        "What trainers and people say about a model.",
        "delete",
    ),
    Topic(
        "outcomes",
        "send",
        "outcome",
        Outcome,
        "Predictions with their labels: the training set.",
        "delete, long",
    ),
    Topic(
        "label-corrections",
        "send",
        "labelCorrection",
        LabelCorrection,
        "Later, different labels.",
        "delete, long",
    ),
    Topic(
        "drift-events", "send", "driftEvent", DriftEvent, "Changes of the world, from onset to end.", "delete"
    ),
    Topic(
        "retrain-requests", "send", "retrainRequest", RetrainRequest, "Questions to the trainers.", "delete"
    ),
    Topic(
        "dead-letters",
        "send",
        "deadLetter",
        None,
        "Records that could not be used, untouched.",
        "delete, short",
    ),
    Topic("state", "send", "state", None, "driftbus's own memory; its format is internal.", "compact"),
)


def asyncapi(prefix: str = "driftbus.") -> dict[str, Any]:
    """The document, for topics that begin with `prefix`."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "driftbus",
            "version": CONTRACT_VERSION,
            "description": "Predictions and labels in; outcomes, drift events and retrain requests out. "
            "The key of every record is its stream. Consumers must tolerate new fields and new values.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic, prefix) for topic in TOPICS},
        "operations": {f"{topic.action}-{topic.name}": _operation(topic) for topic in TOPICS},
        "components": {"messages": {topic.message: _message(topic) for topic in TOPICS}},
    }


def _channel(topic: Topic, prefix: str) -> dict[str, Any]:
    return {
        "address": prefix + topic.name,
        "title": topic.name,
        "summary": topic.summary,
        "description": f"Cleanup: {topic.retention}.",
        "messages": {topic.message: {"$ref": f"#/components/messages/{topic.message}"}},
    }


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": topic.action,
        "summary": topic.summary,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{topic.message}"}],
    }


def _message(topic: Topic) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": topic.message,
        "title": topic.message,
        "summary": topic.summary,
        "bindings": {"kafka": {"key": {"type": "string", "description": "the stream"}}},
    }
    if topic.model is not None:
        schema = _without_references(topic.model.model_json_schema(by_alias=True))
        message["payload"] = {"schemaFormat": DRAFT_07, "schema": schema}
        message["examples"] = [{"payload": example} for example in schema["examples"]]
        if topic.model in (DriftEvent, RetrainRequest):
            message["contentType"] = _CLOUDEVENTS
    else:
        message["contentType"] = "application/octet-stream"
        message["payload"] = {"schemaFormat": DRAFT_07, "schema": {"description": topic.summary}}
        message["bindings"] = {"kafka": {"key": {"description": "as it was, or internal"}}}
    if topic.name == "dead-letters":
        headers = _without_references(DeadLetterHeaders.model_json_schema(by_alias=True))
        message["headers"] = {"schemaFormat": DRAFT_07, "schema": headers}
    return message


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions put where they are used; none of ours refers to itself."""
    definitions = schema.get("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            return {**resolve(definitions[name]), **{k: v for k, v in node.items() if k != "$ref"}}
        return {key: resolve(each) for key, each in node.items() if key not in ("$defs", "$id")}

    return {**resolve(schema), "$id": schema["$id"]}

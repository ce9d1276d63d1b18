"""Seldon's MLServer over Kafka: V2 requests on one topic, V2 responses on another, keyed by the inference's
id.

The record's key takes precedence over the body's `id` (MLServer's own rule), `Ce-Id` comes last; which one is
said by `join_id`. A request is known by its `inputs`, a response by its `outputs`, or by `Ce-Type`
(`io.seldon.serving.inference.request`, `.response`).

https://github.com/SeldonIO/MLServer/blob/master/mlserver/kafka/handlers.py, mlserver/cloudevents.py
"""

from __future__ import annotations

from driftbus.errors import InvalidRecord
from driftbus.sources.envelope import text_of
from driftbus.sources.formats.form import Form, Half, Part, Side
from driftbus.sources.formats.inference import documents_of
from driftbus.sources.payloads import is_request, is_response
from driftbus.sources.picks import First, path


def half(part: Part) -> Half | None:
    body, attributes = part.content
    kind = attributes.get("type", "")
    side: Side
    if kind.endswith(".request") or (not kind.endswith(".response") and is_request(body)):
        side = "request"
    elif kind.endswith(".response") or is_response(body):
        side = "response"
    else:
        raise InvalidRecord("unknown_body", "neither inputs nor outputs: no V2 request, no V2 response")
    own = body.get("id") if type(body) is dict else None
    known = text_of(part.record.key) or (own if isinstance(own, str) else None) or attributes.get("id")
    if not known:
        raise InvalidRecord("missing_field", "no id: no key, no id in the body, no Ce-Id")
    return Half(known, side)


FORM = Form(
    "seldon",
    "Seldon's MLServer over Kafka: V2 requests and responses from its input and output topics, joined by id",
    "https://docs.seldon.ai/mlserver/examples/kafka",
    {
        "stream": First((path("model_name"), path("attributes.modelid"))),
        "prediction_id": path("id"),
        "prediction": First((path("output"), path("outputs.predict"))),
        "features": path("features"),
        "model_version": path("model_version"),
    },
    half=half,
    pair=documents_of,
)

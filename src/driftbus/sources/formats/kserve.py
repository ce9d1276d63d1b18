"""KServe's inference logger: CloudEvents of requests and responses that share an id, as Knative brings them
to Kafka.

`type` is `org.kubeflow.serving.inference.request` or `.response`; `inferenceservicename`, `namespace`,
`component` and `endpoint` are extension attributes; the body is the request's or response's own, V1 or V2.
Other events of the same topic (Knative's brokers carry everybody's) are left out.

https://github.com/kserve/kserve/blob/master/pkg/logger/worker.go
"""

from __future__ import annotations

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Form, Half, Part
from driftbus.sources.formats.inference import documents_of
from driftbus.sources.picks import First, path
from driftbus.sources.settings import TimePick

_TYPE = "org.kubeflow.serving.inference."


def half(part: Part) -> Half | None:
    attributes = part.content.attributes
    kind = attributes.get("type", "")
    if not kind.startswith(_TYPE):
        if not kind:
            raise InvalidRecord(
                "missing_field", "no CloudEvent: neither ce_type among the headers nor a type"
            )
        return None
    side = kind.removeprefix(_TYPE)
    if side not in ("request", "response"):
        return None
    if not attributes.get("id"):
        raise InvalidRecord("missing_field", "the CloudEvent has no id")
    scope = "/".join(attributes.get(name, "") for name in ("namespace", "inferenceservicename", "component"))
    return Half(attributes["id"], "request" if side == "request" else "response", scope)


FORM = Form(
    "kserve",
    "KServe's inference logger: request and response CloudEvents, joined by their id",
    "https://github.com/kserve/kserve/blob/master/pkg/logger/worker.go",
    {
        "stream": path("attributes.inferenceservicename"),
        "prediction_id": path("id"),
        "ts": TimePick(path("attributes.time")),
        # scikit-learn's server calls its output `predict` beside `predict_proba`.
        "prediction": First((path("output"), path("outputs.predict"))),
        "features": path("features"),
        "model_version": path("model_version"),
    },
    half=half,
    pair=documents_of,
)

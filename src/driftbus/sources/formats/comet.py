"""Events as Comet's production monitoring takes them: over REST (`predictionId`, `features`,
`predictions.value`), one or many in `data`, or by the names of its SDK's calls (`prediction_id`,
`input_features`, `output_value`, `labels`). `labels`, sent with the prediction or later under the same id,
is the value itself or an object of one.

https://comet.com/docs/v2/api-and-sdk/rest-api/mpm-endpoints/,
https://comet.com/docs/v2/api-and-sdk/mpm-sdk/reference/CometMPM/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.payloads import MAX_ROWS
from driftbus.sources.picks import First, path
from driftbus.sources.settings import TimePick


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    body = part.content.body
    events = body["data"] if type(body) is dict and type(body.get("data")) is list else [body]
    if not 0 < len(events) <= MAX_ROWS:
        raise InvalidRecord("too_many_rows" if events else "no_rows", f"{len(events)} events in one record")
    return Documents([_document(event) for event in events], shared_id=False)


def _document(event: Any) -> dict[str, Any]:
    if type(event) is not dict:
        raise InvalidRecord("not_an_object", "not an event of Comet's: no JSON object")
    document = dict(event)
    labels = event.get("labels")
    if type(labels) is dict and len(labels) == 1:
        (document["labels"],) = labels.values()
    return document


FORM = Form(
    "comet",
    "events of Comet's production monitoring: predictions, labels, or both; one or many in a record",
    "https://comet.com/docs/v2/api-and-sdk/rest-api/mpm-endpoints/",
    {
        "stream": First((path("modelName"), path("model_name"))),
        "prediction_id": First((path("predictionId"), path("prediction_id"))),
        "ts": TimePick(path("timestamp")),
        # `prediction` in what its SDK sends, `predictions` in the documentation of the endpoint.
        "prediction": First((path("predictions.value"), path("prediction.value"), path("output_value"))),
        "score": First(
            (path("predictions.probability"), path("prediction.probability"), path("output_probability"))
        ),
        "features": First((path("features"), path("input_features"))),
        "model_version": First((path("modelVersion"), path("model_version"))),
        "label": path("labels"),
    },
    documents=documents,
)

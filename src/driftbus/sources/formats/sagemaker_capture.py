"""SageMaker's data capture: what an endpoint was asked and what it answered, in one record.

`eventMetadata.inferenceId`, the caller's own, is the id where there is one, else `eventMetadata.eventId`:
just as Model Monitor joins them with the ground truth. A CSV body has a row a line; JSON is V1's or a data
frame's, else the whole of it one row. The endpoint's name is not in the record (it is in the object's key):
`stream` says it.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.formats.inference import row_document
from driftbus.sources.formats.sagemaker_data import encoded
from driftbus.sources.payloads import csv_rows, is_request, is_response, request_rows, response_rows
from driftbus.sources.picks import First, path
from driftbus.sources.settings import TimePick

Json = Any


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    body = part.content.body
    capture = body.get("captureData") if type(body) is dict else None
    if type(capture) is not dict:
        raise InvalidRecord("missing_field", "no captureData in the record")
    said = _outputs(encoded(capture.get("endpointOutput"), "endpointOutput"))
    asked: list[Mapping[str, Json] | None] = [None] * len(said)
    if "endpointInput" in capture:
        asked = [*_inputs(encoded(capture["endpointInput"], "endpointInput"))]
    # One line of CSV for many rows: what XGBoost's and others' containers answer.
    if len(said) == 1 and len(asked) > 1 and isinstance(said[0].get("output"), list):
        said = [{"output": each} for each in said[0]["output"]]
    if len(asked) != len(said):
        raise InvalidRecord("row_mismatch", f"{len(asked)} rows asked, {len(said)} answered")
    around = {name: body.get(name) for name in ("eventMetadata", "eventVersion")}
    return Documents(
        [
            row_document(None, row, inputs, outputs, columns) | around
            for row, (inputs, outputs) in enumerate(zip(asked, said, strict=True))
        ]
    )


def _inputs(found: tuple[str, Json]) -> list[dict[str, Json]]:
    kind, data = found
    if kind == "CSV":
        return [{"": row} for row in csv_rows(data)]
    if is_request(data):
        return request_rows(data)
    return [data if type(data) is dict else {"": data}]


def _outputs(found: tuple[str, Json]) -> list[dict[str, Json]]:
    kind, data = found
    if kind == "CSV":
        return [{"output": row[0] if len(row) == 1 else row} for row in csv_rows(data)]
    if is_response(data):
        return response_rows(data)
    return [data if type(data) is dict else {"output": data}]


FORM = Form(
    "sagemaker-capture",
    "SageMaker's data capture: an endpoint's input and output in one record, CSV or JSON",
    "https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture.html",
    {
        "prediction_id": First((path("eventMetadata.inferenceId"), path("eventMetadata.eventId"))),
        "ts": TimePick(path("eventMetadata.inferenceTime")),
        # Containers with JSON answers name what they predict so (the linear learner's, for one).
        "prediction": First((path("output"), path("outputs.predicted_label"), path("outputs.score"))),
        "features": path("features"),
    },
    documents=documents,
)

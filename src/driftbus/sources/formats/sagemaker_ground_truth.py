"""SageMaker's ground truth for Model Monitor: the label of an event id, a line each where it had several
rows.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.formats.sagemaker_data import encoded
from driftbus.sources.payloads import MAX_ROWS, csv_rows
from driftbus.sources.picks import path


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    body = part.content.body
    if type(body) is not dict:
        raise InvalidRecord("not_an_object", "not a ground truth record: no JSON object")
    kind, data = encoded(body.get("groundTruthData"), "groundTruthData")
    labels = csv_rows(data) if kind == "CSV" else data if type(data) is list else [data]
    if not 0 < len(labels) <= MAX_ROWS:
        raise InvalidRecord("too_many_rows" if labels else "no_rows", f"{len(labels)} labels in one record")
    around = {name: body.get(name) for name in ("eventMetadata", "eventVersion")}
    return Documents([{"row": row, "label": label} | around for row, label in enumerate(labels)])


FORM = Form(
    "sagemaker-ground-truth",
    "SageMaker's ground truth records: the label of an event id",
    "https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html",
    {"prediction_id": path("eventMetadata.eventId"), "label": path("label")},
    documents=documents,
)

"""Databricks' inference tables: a served request and its response in one row, both as JSON in text.

`client_request_id`, the caller's own, is the id where there is one, else `databricks_request_id`. Rows of
requests that failed (`status_code` other than 200) are left out. Bodies are MLflow's: `dataframe_split`,
`dataframe_records`, `instances`, `inputs`; answers `predictions`.

https://docs.databricks.com/aws/en/machine-learning/model-serving/inference-tables
"""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.errors import InvalidRecord
from driftbus.sources.envelope import json_of
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.formats.inference import row_document
from driftbus.sources.payloads import request_rows, response_rows
from driftbus.sources.picks import First, path
from driftbus.sources.settings import TimePick


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    table = part.content.body
    if type(table) is not dict:
        raise InvalidRecord("not_an_object", "not a row of an inference table: no JSON object")
    status = table.get("status_code")
    if status not in (None, 200):
        return None
    asked = request_rows(json_of(table.get("request"), "request"))
    said = response_rows(json_of(table.get("response"), "response"))
    if len(asked) != len(said):
        raise InvalidRecord("row_mismatch", f"{len(asked)} rows asked, {len(said)} answered")
    around = {name: value for name, value in table.items() if name not in ("request", "response")}
    around["request_metadata"] = json_of(table.get("request_metadata"), "request_metadata")
    return Documents(
        [
            around | row_document(None, row, inputs, outputs, columns)
            for row, (inputs, outputs) in enumerate(zip(asked, said, strict=True))
        ]
    )


FORM = Form(
    "databricks",
    "Databricks' inference tables: request and response of a serving endpoint in one row",
    "https://docs.databricks.com/aws/en/machine-learning/model-serving/inference-tables",
    {
        "stream": First(
            (
                path("request_metadata.endpoint_name"),
                path("request_metadata.model_name"),
                path("served_entity_id"),
            )
        ),
        "prediction_id": First((path("client_request_id"), path("databricks_request_id"))),
        # `request_time` is the newer tables' name.
        "ts": TimePick(First((path("timestamp_ms"), path("request_time")))),
        "prediction": path("output"),
        "features": path("features"),
        "model_version": path("request_metadata.model_version"),
    },
    documents=documents,
)

"""BentoML's monitoring log: a JSON object a row, the columns as the service named them, and `timestamp`,
`request_id`, `trace_id`.

Roles of columns are in a schema log of its own, so the configuration names the prediction (`prediction:
pred`); every other column is a feature. All rows of one request have its `request_id`: a service that
predicts several rows at once logs an id of its own and names it (`prediction_id: row_id`). Times have no
zone: run it in UTC.

https://github.com/bentoml/BentoML/blob/main/src/bentoml/_internal/monitoring/default.py
"""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.picks import path
from driftbus.sources.settings import TimePick


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    row = part.content.body
    if type(row) is not dict:
        raise InvalidRecord("not_an_object", "not a row of BentoML's log: no JSON object")
    if "columns" in row and "meta_data" in row:
        return None  # the schema log
    return Documents([{name: value for name, value in row.items() if name != "trace_id"}], shared_id=False)


FORM = Form(
    "bentoml",
    "BentoML's monitoring log: columns, `timestamp`, `request_id`; the configuration names the prediction",
    "https://docs.bentoml.com/en/latest/build-with-bentoml/observability/monitoring-and-data-collection.html",
    {
        "prediction_id": path("request_id"),
        "ts": TimePick(path("timestamp")),
        "features": path("$rest"),
    },
    documents=documents,
)

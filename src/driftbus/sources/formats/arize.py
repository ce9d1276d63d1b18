"""Rows as Arize's SDK logs them: the prediction, the actual value later under the same id, or both at once.

`prediction_label` may be `[label, score]`, as the SDK takes it for classes with a score. Timestamps are
seconds.

https://arize.com/docs/ax/machine-learning/machine-learning/api-reference-ml/python-sdk/arize-log/logpage
"""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Form, Part
from driftbus.sources.picks import First, path
from driftbus.sources.settings import TimePick


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    row = part.content.body
    if type(row) is not dict:
        raise InvalidRecord("not_an_object", "not a logged row: no JSON object")
    document = dict(row)
    for label, score in (("prediction_label", "prediction_score"), ("actual_label", "actual_score")):
        both = row.get(label)
        if type(both) is list and len(both) == 2:
            document[label] = both[0]
            document.setdefault(score, both[1])
    return Documents([document], shared_id=False)


FORM = Form(
    "arize",
    "rows as Arize's SDK logs them: predictions, actuals, or both",
    "https://arize.com/docs/ax/machine-learning/machine-learning/api-reference-ml/python-sdk/arize-log/logpage",
    {
        "stream": path("model_id"),
        "prediction_id": path("prediction_id"),
        "ts": TimePick(path("prediction_timestamp"), "s"),
        "prediction": path("prediction_label"),
        "score": path("prediction_score"),
        "features": path("features"),
        "model_version": path("model_version"),
        "label": First((path("actual_label"), path("actual_score"))),
        "label_ts": TimePick(First((path("actual_timestamp"), path("prediction_timestamp"))), "s"),
    },
    documents=documents,
)

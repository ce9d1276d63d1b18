"""A request and its response as documents, a row each: what KServe's and Seldon's formats have in common.

{"id", "row", "inputs": {name: value}, "features": {…}, "outputs": {name: value}, "output": value where there
 is but one, "model_name", "model_version", "parameters", "attributes": {the CloudEvent's}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftbus.errors import InvalidRecord
from driftbus.sources.formats.form import Documents, Part
from driftbus.sources.payloads import features_of, request_rows, response_rows

Json = Any


def documents_of(request: Part | None, response: Part, columns: Sequence[str], known: str) -> Documents:
    """The rows of both; without a request they have no features. Raises `InvalidRecord`."""
    outputs = response_rows(response.content.body)
    inputs: Sequence[Mapping[str, Json] | None] = [None] * len(outputs)
    attributes = dict(response.content.attributes)
    if request is not None:
        inputs = request_rows(request.content.body)
        attributes |= request.content.attributes
    if len(inputs) != len(outputs):
        raise InvalidRecord("row_mismatch", f"{len(inputs)} rows asked, {len(outputs)} answered")
    around = {name: response.content.body.get(name) for name in ("model_name", "model_version", "parameters")}
    return Documents(
        [
            row_document(known, row, asked, said, columns) | around | {"attributes": attributes}
            for row, (asked, said) in enumerate(zip(inputs, outputs, strict=True))
        ]
    )


def row_document(
    known: Json, row: int, asked: Mapping[str, Json] | None, said: Mapping[str, Json], columns: Sequence[str]
) -> dict[str, Json]:
    """One row of both."""
    document: dict[str, Json] = {"id": known, "row": row, "outputs": said}
    if asked is not None:
        document["inputs"] = asked
        document["features"] = features_of(asked, columns)
    if len(said) == 1:
        (document["output"],) = said.values()
    return document

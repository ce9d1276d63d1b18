"""Any JSON: the configuration says where everything stands. `rows` cuts a record along one of its arrays."""

from __future__ import annotations

from collections.abc import Sequence

from driftbus.sources.formats.form import Documents, Form, Part


def documents(part: Part, columns: Sequence[str]) -> Documents | None:
    return Documents([part.content.body], shared_id=False)


FORM = Form(
    "json",
    "any JSON, by the paths that the configuration gives",
    "https://www.rfc-editor.org/rfc/rfc6901",
    documents=documents,
)

"""The `data` of SageMaker's records, which has an `encoding` of its own: CSV, JSON, or BASE64 of either."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from driftbus.errors import InvalidRecord
from driftbus.sources.envelope import json_of

Json = Any


def encoded(holder: Json, what: str) -> tuple[str, Json]:
    """`CSV` or `JSON`, and the text or the value. Raises `InvalidRecord`."""
    if type(holder) is not dict or "data" not in holder:
        raise InvalidRecord("missing_field", f"{what} holds no data")
    data, encoding = holder["data"], holder.get("encoding")
    kind = str(holder.get("observedContentType", ""))
    if encoding == "BASE64":
        try:
            data = base64.b64decode(data, validate=True).decode()
        except (ValueError, TypeError, binascii.Error) as error:
            raise InvalidRecord("not_text", f"{what} is no BASE64 of text: {error}") from None
        encoding = "JSON" if "json" in kind else "CSV" if "csv" in kind or not kind else None
    if encoding == "CSV":
        return "CSV", data
    if encoding == "JSON":
        return "JSON", json_of(data, what)
    raise InvalidRecord(
        "unknown_encoding", f"{what} is {encoding!r:.40} of {kind!r:.40}, neither CSV nor JSON"
    )

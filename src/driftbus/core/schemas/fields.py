"""The kinds of field that events are made of, each with its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from driftbus.core.timestamps import MAX_TS_MS
from driftbus.core.validity import MAX_NAME_CHARS

_T = TypeVar("_T")

URN = "urn:driftbus:schema:{name}:v1"


class Event(BaseModel):
    """Base of all events: validated as JSON is, without conversions; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


def open_enum(literal: Any) -> Any:
    """The known values of a field that may get more of them: consumers must tolerate any text."""
    known = list(get_args(literal))
    return Annotated[literal, WithJsonSchema({"anyOf": [{"enum": known}, {"type": "string"}]})]


# Contract: 1 to 256 characters, not bytes. JSON Schema counts characters too.
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
ShortText = Annotated[str, Field(max_length=4 * MAX_NAME_CHARS)]
Time = Annotated[
    str | int,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0, "maximum": MAX_TS_MS},
            ]
        }
    ),
]
# How driftbus itself writes times: UTC, milliseconds, fixed width.
Written = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Signals = dict[str, Finite]
Slices = dict[str, Annotated[str, Field(max_length=MAX_NAME_CHARS)]]
Version = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Anything JSON can hold, with finite numbers and 64-bit integers; arrays and objects are only carried.
AnyJson = Annotated[Any, WithJsonSchema({})]
AnyValue = Annotated[Any, WithJsonSchema({"not": {"type": "null"}})]
Labels = Mapping[str, str]

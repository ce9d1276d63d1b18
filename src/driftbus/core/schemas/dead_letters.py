"""What driftbus adds to a record that it cannot use."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from driftbus.core.schemas.fields import URN, Event

_ERRORS = "__connect.errors."


class DeadLetterHeaders(Event):
    """Headers added to a record that could not be used; its key, value and own headers stay as they were.

    Named as Kafka Connect names them, all UTF-8 text.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "$id": URN.format(name="dead-letter-headers"),
            "examples": [
                {
                    "__connect.errors.topic": "driftbus.predictions",
                    "__connect.errors.partition": "3",
                    "__connect.errors.offset": "1042",
                    "__connect.errors.exception.class.name": "not_json",
                    "__connect.errors.exception.message": "not JSON: unexpected character",
                    "__connect.errors.stage": "VALUE_CONVERTER",
                }
            ],
        }
    )

    topic: Annotated[str, Field(alias=_ERRORS + "topic")]
    """Where the record came from."""
    partition: Annotated[str, Field(alias=_ERRORS + "partition", pattern="^[0-9]+$")]
    """In decimal."""
    offset: Annotated[str, Field(alias=_ERRORS + "offset", pattern="^[0-9]+$")]
    """In decimal."""
    reason: Annotated[str, Field(alias=_ERRORS + "exception.class.name")]
    """The reason it is counted under."""
    message: Annotated[str, Field(alias=_ERRORS + "exception.message")]
    """The reason, for people."""
    stage: Annotated[str, Field(alias=_ERRORS + "stage")]
    """Where in driftbus it failed."""

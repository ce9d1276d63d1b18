"""What every section of a configuration is: keys that belong together, unknown ones refused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

UNSET: Any = Field(default=None)


class Section(BaseModel):
    """Keys that belong together. Unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def empty_section(value: Any) -> Any:
    """A section with all its keys commented out reads as null and means an empty one."""
    return {} if value is None else value

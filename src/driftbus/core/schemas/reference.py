"""The summaries of a training set, as `reference-set` carries them: no rows.

Checked beyond the schema: quantiles rise, the mean lies within them, shares add up to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from driftbus.core.reference import LEVELS
from driftbus.core.reference_checks import MAX_CATEGORIES, MAX_FEATURES
from driftbus.core.scaling import HUGE
from driftbus.core.schemas.fields import Share

Number = Annotated[float, Field(ge=-HUGE, le=HUGE)]
Deviation = Annotated[float, Field(ge=0, le=2 * HUGE)]
Rows = Annotated[int, Field(ge=1, le=2**53)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", use_attribute_docstrings=True)


class NumberSummary(_Part):
    """A number in a training set."""

    kind: Literal["numeric"] = "numeric"
    count: Rows
    """How many numbers there were."""
    missing: Share = 0.0
    """The share of rows without one."""
    mean: Number
    """Of the values, those beyond 2.5 times the quartiles' distance from the quartiles counted as that."""
    deviation: Deviation
    """Standard deviation of the same."""
    quantiles: Annotated[list[Number], Field(min_length=len(LEVELS), max_length=len(LEVELS))]
    """At 0, .001, .01, .05, .1, .25, .5, .75, .9, .95, .99, .999 and 1."""
    means_deviation: Deviation | None = None
    """Standard deviation of means of 16 rows in a row, where rows are in the order of time."""


class CategorySummary(_Part):
    """A category in a training set."""

    kind: Literal["categorical"]
    count: Rows
    """How many values there were."""
    missing: Share = 0.0
    """The share of rows without one."""
    shares: Annotated[
        list[
            Annotated[
                list[str | bool | Number],
                Field(min_length=2, max_length=2, description="A category and its share of the values."),
            ]
        ],
        Field(min_length=1, max_length=MAX_CATEGORIES),
    ]
    """The categories, each with its share."""
    other: Share = 0.0
    """The share of all that are not listed."""
    unseen: Share = 0.0
    """The share of values to come that is expected to be of none met in training."""


class NumericFeature(NumberSummary):
    """A numeric feature in a training set."""

    kind: Literal["numeric"]


class Reference(_Part):
    """A training set in summaries. Redacted features are never among them."""

    rows: Rows
    """How many rows it had."""
    features: Annotated[dict[str, NumericFeature | CategorySummary], Field(max_length=MAX_FEATURES)] = {}
    """By name."""
    score: NumberSummary | None = None
    """The model's scores for these rows."""

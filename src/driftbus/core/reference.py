"""A training set in summaries, as a `reference-set` event brings it: what a version's signals are held
against instead of their own first rows.

    reference = reference_of(raw)             # the event's `reference`, see `core.reference_checks`
    reference.features["amount"].quantiles    # a NumberSummary; of a category a CategorySummary
    reference_of(reference.as_json())         # the same again

No rows: a number is its mean, its deviation and thirteen quantiles, a category the shares of its values. Both
say how many values there were and which part was missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from driftbus.core.categories import Category
from driftbus.core.scaling import fences

# Where a number's distribution is told: the ends, the quartiles that give the clipping bounds, and tails fine
# enough to tell a seldom value from a constant (3 % of ones) and from a stray (one in a million).
LEVELS = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_FIRST_QUARTER, _THIRD_QUARTER = LEVELS.index(0.25), LEVELS.index(0.75)


@dataclass(frozen=True, slots=True)
class NumberSummary:
    """Of `count` numbers. `missing`: the share of rows without one. `mean` and `deviation` are of the values
    with those beyond `fences` counted as the nearer of them. `means_deviation`: standard deviation of means
    of 16 rows in the order of time, where that order is known."""

    count: int
    missing: float
    mean: float
    deviation: float
    quantiles: tuple[float, ...]
    means_deviation: float | None = None

    kind: ClassVar[Literal["numeric"]] = "numeric"

    @property
    def fences(self) -> tuple[float, float]:
        """Bounds beyond which a value counts as the bound."""
        return fences_of(self.quantiles)

    def values(self, count: int) -> list[float]:
        """So many numbers that are distributed alike, evenly in any run of them: the quantiles at the points
        of van der Corput's sequence."""
        return [self._quantile(_van_der_corput(place)) for place in range(1, count + 1)]

    def _quantile(self, share: float) -> float:
        above = next(place for place, level in enumerate(LEVELS) if level >= share)
        if above == 0:
            return self.quantiles[0]
        low, high = LEVELS[above - 1], LEVELS[above]
        part = (share - low) / (high - low)
        return self.quantiles[above - 1] * (1.0 - part) + self.quantiles[above] * part

    def as_json(self) -> dict[str, Any]:
        """As the event has it."""
        said: dict[str, Any] = {"kind": self.kind, "count": self.count, "missing": self.missing}
        said |= {"mean": self.mean, "deviation": self.deviation, "quantiles": list(self.quantiles)}
        if self.means_deviation is not None:
            said["means_deviation"] = self.means_deviation
        return said


@dataclass(frozen=True, slots=True)
class CategorySummary:
    """Of `count` values. `shares` of them per category, `other`: the share of all categories that are not
    listed; `unseen`: the share of values to come that is expected to be of categories not met here."""

    count: int
    missing: float
    shares: tuple[tuple[Category, float], ...]
    other: float = 0.0
    unseen: float = 0.0

    kind: ClassVar[Literal["categorical"]] = "categorical"

    def as_json(self) -> dict[str, Any]:
        """As the event has it."""
        said: dict[str, Any] = {"kind": self.kind, "count": self.count, "missing": self.missing}
        said |= {"shares": [list(pair) for pair in self.shares], "other": self.other, "unseen": self.unseen}
        return said


Summary = NumberSummary | CategorySummary


@dataclass(frozen=True, slots=True)
class Reference:
    """`rows` of a training set in summaries. `score`: None where it had none."""

    rows: int
    features: Mapping[str, Summary] = field(default_factory=dict)
    score: NumberSummary | None = None

    def as_json(self) -> dict[str, Any]:
        """As the event has it."""
        said: dict[str, Any] = {"rows": self.rows}
        said["features"] = {name: summary.as_json() for name, summary in self.features.items()}
        if self.score is not None:
            said["score"] = self.score.as_json()
        return said


def fences_of(quantiles: tuple[float, ...]) -> tuple[float, float]:
    """Clipping bounds from quantiles at `LEVELS`. Where the quartiles coincide, the nearest quantiles that
    are another value say how far the others lie."""
    first, third = quantiles[_FIRST_QUARTER], quantiles[_THIRD_QUARTER]
    above = next((q for q in quantiles[_THIRD_QUARTER:] if q > third), third)
    below = next((q for q in quantiles[_FIRST_QUARTER::-1] if q < first), first)
    return fences(first, third, below, above)


def _van_der_corput(place: int) -> float:
    """The binary digits of `place`, mirrored at the point: in (0, 1), and any run of them evenly spread."""
    share, part = 0.0, 0.5
    while place:
        if place & 1:
            share += part
        place >>= 1
        part /= 2.0
    return share

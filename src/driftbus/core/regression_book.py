"""Regression: sums of errors and labels of one population.

Sums of floats depend on their order, so rows are added one by one in the order of the outcomes, and what
corrections change is added up apart: neither where blocks are cut nor how corrections and outcomes
interleave changes a bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

# Errors and labels are clipped here, so that sums of their squares stay finite over 10^27 rows.
_LIMIT = 1e140
_MAX_WEIGHT = 1e9


# One row: error (prediction - label), label less the origin, weight.
Row = tuple[float, float, float]


def row_of(prediction: Any, label: Any, weight: float | None, origin: float) -> Row | None:
    """One row; None where a side is not a number."""
    if not isinstance(prediction, int | float) or not isinstance(label, int | float):
        return None
    error = min(max(prediction - label, -_LIMIT), _LIMIT)
    level = min(max(label - origin, -_LIMIT), _LIMIT)
    return error, level, 1.0 if weight is None else min(max(weight, 0.0), _MAX_WEIGHT)


class RegressionTally:
    """Sums over rows (weight w, error e, label less the origin y): of w, w|e|, we², we, wy, wy²."""

    __slots__ = ("corrections", "sums")

    def __init__(self) -> None:
        self.sums = [0.0] * 6
        self.corrections: list[float] | None = None

    def add(self, block: Sequence[Row | None], start: int, end: int) -> None:
        """Count the rows start … end of a block."""
        n, absolute, squares, errors, levels, level_squares = self.sums
        for row in block[start:end]:
            if row is not None:
                error, level, weight = row
                n += weight
                absolute += weight * abs(error)
                squares += weight * error * error
                errors += weight * error
                levels += weight * level
                level_squares += weight * level * level
        self.sums = [n, absolute, squares, errors, levels, level_squares]

    def move(self, old: Row | None, new: Row | None) -> None:
        """Take a row out and put another in: a correction."""
        sums = self.corrections if self.corrections is not None else [0.0] * 6
        for row, sign in ((old, -1.0), (new, 1.0)):
            if row is not None:
                error, level, weight = row
                weight *= sign
                terms = (1.0, abs(error), error * error, error, level, level * level)
                sums = [s + weight * term for s, term in zip(sums, terms, strict=True)]
        self.corrections = sums

    def dump(self) -> Any:
        """[sums, sums of corrections or None]."""
        return [list(self.sums), None if self.corrections is None else list(self.corrections)]

    @classmethod
    def load(cls, state: Any) -> RegressionTally:
        tally = cls()
        sums, corrections = state
        tally.sums = [float(s) for s in sums]
        tally.corrections = None if corrections is None else [float(s) for s in corrections]
        return tally


def regression_metrics(tallies: Iterable[RegressionTally]) -> dict[str, float]:
    """All metrics that have a value, over all tallies together, added up in their order."""
    totals = [0.0] * 6
    for tally in tallies:
        for sums in (tally.sums, tally.corrections):
            if sums is not None:
                totals = [t + s for t, s in zip(totals, sums, strict=True)]
    n, absolute, squares, errors, levels, level_squares = totals
    if n <= 0.0:
        return {}
    mean_square = max(squares, 0.0) / n
    mae = max(absolute, 0.0) / n
    values = {"mae": mae, "rmse": sqrt(mean_square), "bias": errors / n, "error": mae}
    spread = level_squares / n - (levels / n) * (levels / n)
    # A constant label has no spread but for rounding: below this share R² would be noise.
    if spread > 1e-12 * (level_squares / n):
        values["r2"] = 1.0 - mean_square / spread
    return values


class RegressionBook:
    """A regressor's outcomes: pending rows, sums since deployment, and what windows take."""

    def __init__(self) -> None:
        self.since = RegressionTally()
        self._origin: float | None = None  # the first numeric label: keeps R² exact for labels far from 0
        self._pending: list[Row | None] = []

    def keep(
        self,
        labels: Sequence[Any],
        predictions: Sequence[Any],
        scores: Sequence[Any] | None,
        weights: Sequence[float | None] | None,
    ) -> None:
        """Put a block with the pending rows; a regressor's scores are not looked at."""
        if self._origin is None:
            self._origin = next((float(y) for y in labels if isinstance(y, int | float)), None)
        origin = self._origin or 0.0
        if weights is None:
            pairs = zip(predictions, labels, strict=True)
            self._pending.extend([row_of(p, y, None, origin) for p, y in pairs])
        else:
            triples = zip(predictions, labels, weights, strict=True)
            self._pending.extend([row_of(p, y, w, origin) for p, y, w in triples])

    def take(self, for_windows: bool) -> list[Row | None]:
        """Count the pending rows since deployment; what windows count them from."""
        rows, self._pending = self._pending, []
        self.since.add(rows, 0, len(rows))
        return rows

    def rows(
        self, prediction: Any, score: Any, weight: float | None, old: Any, new: Any
    ) -> tuple[Row | None, Row | None]:
        """A corrected outcome as it was counted and as it is to be counted."""
        origin = self._origin or 0.0
        return row_of(prediction, old, weight, origin), row_of(prediction, new, weight, origin)

    def new_chunk(self) -> RegressionTally:
        return RegressionTally()

    def dump_chunks(self, chunks: Sequence[RegressionTally]) -> Any:
        return [chunk.dump() for chunk in chunks]

    def load_chunks(self, state: Any) -> list[RegressionTally]:
        return [RegressionTally.load(chunk) for chunk in state]

    def metrics(self, chunks: list[Any] | None) -> dict[str, float]:
        """Since deployment (None) or over chunks."""
        return regression_metrics([self.since] if chunks is None else chunks)

    def confusion(self) -> list[tuple[Any, Any, float]]:
        return []

    def dump(self) -> Any:
        """[origin, sums], with nothing pending."""
        return [self._origin, self.since.dump()]

    @classmethod
    def load(cls, state: Any) -> RegressionBook:
        book = cls()
        book._origin, since = state
        book.since = RegressionTally.load(since)
        return book

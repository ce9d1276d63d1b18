"""Tables in Markdown, and numbers in them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.quality.poisson import rate_interval


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column holds names, the others numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def share(value: float | None, digits: int = 3) -> str:
    """A number as a share, `.95`."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}".removeprefix("0") if 0.0 <= value < 1.0 else f"{value:.{digits}f}"


def rate(count: int, rows: int, per: int = 100_000) -> str:
    """A rate with its exact 95 % interval."""
    if not rows:
        return "–"
    found, low, high = rate_interval(count, rows, per)
    return f"{_short(found)} [{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    if value == 0.0:
        return "0"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else share(value, 2)


def middle(values: Sequence[float]) -> str:
    """The median."""
    return f"{median(values):.0f}" if values else "–"


def high(values: Sequence[float], quantile: float = 0.9) -> str:
    """The value below which this share of the values lies."""
    if not values:
        return "–"
    ordered = sorted(values)
    return f"{ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]:.0f}"


def ratio(value: float | None) -> str:
    """A ratio."""
    return "–" if value is None else f"{value:.2f}"

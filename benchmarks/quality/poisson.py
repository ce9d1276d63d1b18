"""Exact confidence bounds of a Poisson rate, and the share of a binomial, from counts."""

from __future__ import annotations

from scipy.stats import beta, chi2

CONFIDENCE = 0.95


def rate_interval(count: int, events: int, per: int = 100_000) -> tuple[float, float, float]:
    """Rate per `per` events with its exact 95 % interval (Garwood 1936)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if count == 0 else float(chi2.ppf(tail, 2 * count)) / 2.0
    high = float(chi2.ppf(1.0 - tail, 2 * count + 2)) / 2.0
    scale = per / events
    return count * scale, low * scale, high * scale


def share_interval(count: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper and Pearson 1934)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, trials - count + 1))
    high = 1.0 if count == trials else float(beta.ppf(1.0 - tail, count + 1, trials - count))
    return low, high

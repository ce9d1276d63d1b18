"""What every detector answers: a block of values in, the positions where the level changed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Protocol

# Signals are scaled to about [0, 1]; this bound only keeps sums and squares of anything that slips
# through finite (1e9 squared times 2^31 values is far below 1e308). Larger values count as the bound.
LIMIT = 1e9


@dataclass(frozen=True, slots=True)
class Hit:
    """One alarm.

    `index` is the position in the block that raised it, `direction` +1 when the level rose, -1 when it
    fell, 0 unknown; `before` and `after` are the levels in the signal's own unit; `since` says how many
    values ago, counting this one, the new level is thought to have begun (None: unknown); `evidence` is
    a log-likelihood ratio for "two levels" against "one" (0.0: the detector has none to offer).
    """

    index: int
    direction: int
    before: float
    after: float
    since: int | None
    evidence: float


class Detector(Protocol):
    """An online test on one signal.

    A block update equals repeated single updates, bit for bit. A non-finite value is ignored (it keeps
    its place in the block's positions): callers never pass one and count what they held back.
    """

    name: str

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised (with index 0), if any."""

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values in order; the alarms, in order, with their positions in the block."""

    def dump(self) -> Any:
        """The state as plain JSON values; None when it cannot be represented (a load starts fresh)."""


def is_plain(values: Sequence[float]) -> bool:
    """Whether a block is all finite and within ±LIMIT, in one pass at C speed (NaN fails the comparison)."""
    return sum(map(abs, values)) <= LIMIT


def bounded(value: float) -> float | None:
    """The value within ±LIMIT; None when it is not finite and has to be ignored."""
    if value - value != 0.0:
        return None
    return min(max(value, -LIMIT), LIMIT)


def bernoulli_evidence(n_before: float, before: float, n_after: float, after: float) -> float:
    """Log-likelihood ratio of two Bernoulli levels against one, for values in [0, 1].

    For 0/1 values it is the generalised likelihood ratio; for other values in [0, 1] a lower bound of
    the evidence, as the Bernoulli law is the widest on that interval. Levels outside are clipped.
    """
    p, q = min(max(before, 0.0), 1.0), min(max(after, 0.0), 1.0)
    if n_before <= 0.0 or n_after <= 0.0:
        return 0.0
    pooled = (n_before * p + n_after * q) / (n_before + n_after)
    return max(n_before * _divergence(p, pooled) + n_after * _divergence(q, pooled), 0.0)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q), in nats; q = 0 or 1 only where p is."""
    left = p * log(p / q) if p > 0.0 and q > 0.0 else 0.0
    right = (1.0 - p) * log((1.0 - p) / (1.0 - q)) if p < 1.0 and q < 1.0 else 0.0
    return left + right

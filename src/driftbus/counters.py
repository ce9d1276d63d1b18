"""What a worker counts beside its streams' own state."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from driftbus.intake import INPUTS

# Upper bounds of the transaction histogram's buckets, in seconds.
TRANSACTION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Counters:
    """What a worker counts beside its streams' own state; since the process began."""

    records: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INPUTS, 0))
    dead_letters: dict[tuple[str, str], int] = field(default_factory=dict)
    misrouted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INPUTS, 0))
    steps: int = 0
    rebalances: int = 0
    transaction_counts: list[int] = field(default_factory=lambda: [0] * (len(TRANSACTION_BOUNDS_S) + 1))
    transaction_seconds: float = 0.0

    def transaction(self, seconds: float) -> None:
        """One more transaction, which took so long."""
        self.transaction_counts[bisect_left(TRANSACTION_BOUNDS_S, seconds)] += 1
        self.transaction_seconds += seconds

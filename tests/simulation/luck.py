"""What may happen between two port calls, and how often in this schedule."""

from __future__ import annotations

import random

# How often each thing happens, per port call, before a schedule draws what it has of it.
RATES = {
    "switch": 0.03,
    "write": 0.03,
    "kill": 0.003,
    "freeze": 0.003,
    "cut off": 0.002,
    "away": 0.001,
    "lost": 0.001,
    "compact": 0.003,
    "trim": 0.003,
    "time": 0.01,
}
# These come in every schedule, so that it gets on.
ALWAYS = ("switch", "write")


class Luck:
    """One schedule's: some have none of a thing, some of it sixteen times as much as others."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._slow_markers = rng.choice((0.0, 0.2, 0.6))
        self._limits: list[tuple[float, str]] = []
        self._total = 0.0
        for what, rate in RATES.items():
            if what in ALWAYS or rng.random() < 0.6:
                self._total += rate * 4.0 ** rng.uniform(-1.0, 1.0)
                self._limits.append((self._total, what))

    def draw(self) -> str | None:
        """What happens before this call; mostly nothing."""
        drawn = self._rng.random()
        if drawn >= self._total:
            return None
        return next(what for limit, what in self._limits if drawn < limit)

    def marker_delay_ms(self) -> int:
        """How long after its end a transaction's next marker arrives: at once, or up to 5 s later."""
        if self._rng.random() >= self._slow_markers:
            return 0
        return int(10 ** self._rng.uniform(0, 3.7))

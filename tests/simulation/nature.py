"""What the bus in memory asks of the world around it: time, chance, and leave for every call."""

from __future__ import annotations

import random
import time
from typing import Literal, Protocol

# What a call may meet: "away": it fails and nothing happened; "lost": it happens, and its answer is lost.
Fault = Literal["away", "lost"]


class Nature(Protocol):
    """The surroundings of every process that uses the bus."""

    rng: random.Random

    def now_ms(self) -> int: ...

    def point(self, process: str, call: str, *details: object) -> Fault | None:
        """Before every port call. What happens between two calls happens in here."""

    def wait(self, until_ms: float) -> None:
        """Until then, or until something has happened that a waiting reader may be waiting for."""


class Upstream(Protocol):
    """The producers of the inputs, and whoever cleans topics."""

    def write(self) -> None: ...

    def done(self) -> bool: ...

    def compact(self) -> None: ...

    def trim(self) -> None: ...


class RealTime:
    """Nothing goes wrong, and a clock on the wall: for the suite that all buses pass."""

    # Waiting looks again so often.
    PAUSE_S = 0.002

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def point(self, process: str, call: str, *details: object) -> Fault | None:
        return None

    def wait(self, until_ms: float) -> None:
        time.sleep(max(0.0, min(self.PAUSE_S, until_ms / 1000 - time.time())))

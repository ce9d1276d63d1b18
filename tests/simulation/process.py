"""One worker's process: a thread that runs only while it holds its baton."""

from __future__ import annotations

import threading
from _thread import LockType as Lock

from .bus import MemoryBus


class Killed(BaseException):
    """Unwinds the thread of a process that was killed."""


class Violation(AssertionError):
    """A promise was broken."""


def closed() -> Lock:
    """A baton that nobody has handed over yet."""
    baton = threading.Lock()
    baton.acquire()
    return baton


class Process:
    """One worker's process, over its lives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.baton = closed()
        self.bus: MemoryBus | None = None
        self.lives = 0
        self.alive = False
        self.doomed = False
        self.wake_ms: float | None = None  # waits until then, or until the broker's version is another
        self.version = 0
        self.frozen_until: float | None = None
        self.starts_at: float | None = None
        self.return_to: Process | None = None

    def ready(self, now_ms: int, version: int) -> bool:
        if not self.alive or self.frozen_until is not None:
            return False
        return self.wake_ms is None or self.wake_ms <= now_ms or self.version != version

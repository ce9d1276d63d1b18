"""What a client could not send: counted by reason, and said in the log once in a while."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger("driftbus.client")

# A service under load must not drown in its own log; a minute is how often people look.
LOG_EVERY_S = 60.0


class Losses:
    """Counts by reason; thread-safe, and cheap because a loss is rare."""

    def __init__(self) -> None:
        self.start_fresh()

    def start_fresh(self) -> None:
        """Nothing lost yet: in the beginning, and in a forked child (whose lock may be held by nobody)."""
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._said_at: dict[str, float] = {}

    def add(self, reason: str, detail: str, events: int = 1) -> None:
        """Count `events` lost for `reason`; logs a warning unless that reason was logged lately."""
        now = time.monotonic()
        with self._lock:
            total = self._counts[reason] = self._counts.get(reason, 0) + events
            said_at = self._said_at.get(reason)
            if said_at is not None and now - said_at < LOG_EVERY_S:
                return
            self._said_at[reason] = now
        log.warning("driftbus emitter lost an event (%s, %d so far): %s", reason, total, detail)

    def counts(self) -> dict[str, int]:
        """A copy: reason → events lost."""
        with self._lock:
            return dict(self._counts)

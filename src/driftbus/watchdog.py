"""Ends a process whose loop no longer moves.

librdkafka's `send_offsets_to_transaction` can wait for ever (librdkafka#5511), and so can other people's code
inside the fold; nothing inside such a call can be woken. A thread looks at the loop's heartbeat; when it has
stood still for too long the thread says where, and ends the process: a restart is the normal recovery.

    loop       beat ─ beat ─ beat ─ beat ─ ✕ …
    watchdog      look ─ look ─ look ─ look ─ look ─ still for `limit_s` → stacks, exit 70
    backstop      set ── set ── set ─ a call that keeps even other threads waiting → stacks, exit 1
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from contextlib import suppress

log = logging.getLogger("driftbus.watchdog")

# Exit code of a process whose loop stalled (EX_SOFTWARE): none of the shell's or of ours, so that a
# supervisor's log tells it.
STALLED_EXIT = 70
# How often the heartbeat is looked at: a hundredth of the shortest limit that makes sense on Kafka.
LOOK_S = 0.25
# A native call that holds Python's lock keeps the watchdog's own thread waiting. The interpreter's timer
# needs no lock; it strikes this much later than the watchdog would have.
BACKSTOP_S = 5.0


class Heartbeat:
    """What the loop says of itself. One thread beats, any may look."""

    __slots__ = ("beats", "doing")

    def __init__(self) -> None:
        self.beats = 0
        self.doing = "starting"

    def beat(self, doing: str) -> None:
        """The loop moves; `doing` is what it goes on with, for whoever asks what it hangs in."""
        self.doing = doing
        self.beats += 1


class Stillness:
    """For how long the heartbeat has stood still, as somebody saw it who looked every now and then.

    Time in which nobody looked does not count: a process that was stopped and goes on (SIGSTOP, a laptop's
    lid) has not stalled.
    """

    def __init__(self, longest_look_s: float) -> None:
        self.still_s = 0.0
        self._longest_look_s = longest_look_s
        self._beats = -1
        self._looked_at = 0.0

    def look(self, beats: int, now_s: float) -> float:
        """`still_s` as of now, by any clock that runs evenly."""
        if beats != self._beats:
            self._beats, self.still_s = beats, 0.0
        else:
            self.still_s += min(now_s - self._looked_at, self._longest_look_s)
        self._looked_at = now_s
        return self.still_s


class Watchdog:
    """Watches one heartbeat until the process ends. `limit_s` may be changed meanwhile.

    `thread` is the one that beats: where it hangs is what the log shows.
    """

    def __init__(self, heart: Heartbeat, limit_s: float, thread: int | None = None) -> None:
        self.limit_s = limit_s
        self._heart = heart
        self._thread = thread if thread is not None else threading.get_ident()
        self._stillness = Stillness(2 * LOOK_S)

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the loop moves: once it does not, the process is about to end."""
        return self._stillness.still_s < self.limit_s

    def _watch(self) -> None:
        while True:
            faulthandler.dump_traceback_later(self.limit_s + BACKSTOP_S, exit=True)
            if self._stillness.look(self._heart.beats, time.monotonic()) >= self.limit_s:
                self._end()
            time.sleep(LOOK_S)

    def _end(self) -> None:
        """Say what hangs, and leave without asking anybody: no handler, no destructor may hang as well."""
        try:
            frame = sys._current_frames().get(self._thread)
            log.critical(
                "the loop has not moved for %.1f s while %s: ending the process with exit code %d",
                self._stillness.still_s,
                self._heart.doing,
                STALLED_EXIT,
                extra={"stack": "".join(traceback.format_stack(frame)) if frame else "unknown"},
            )
            with suppress(OSError, ValueError):  # nobody may be reading any more
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
                sys.stderr.flush()
        finally:
            os._exit(STALLED_EXIT)

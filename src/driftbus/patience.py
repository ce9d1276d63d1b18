"""How long a metric of somebody's own may take: one that never returns is switched off, as one that raises.

A timer interrupts the main thread every `limit_s`. Where it finds the same call of a custom metric twice, the
call has taken between one and two limits, and an error is raised in it, which `CustomMetrics` answers by
switching the metric off. Everything else about the stream, and every other stream, goes on.

What cannot be interrupted (a native call that does not return) is left to the watchdog, which ends the
process and says where it hung.
"""

from __future__ import annotations

import logging
import signal
import traceback
from types import FrameType

from driftbus.core.custom_metrics import CustomMetrics
from driftbus.errors import DriftbusError

log = logging.getLogger("driftbus.worker")

# A step takes about a second, for all streams. A metric that takes ten for one stream's rows holds all of
# them up, whether it would return or not.
LIMIT_S = 10.0
_CALLS = frozenset(
    method.__code__
    for method in (CustomMetrics.update, CustomMetrics.read, CustomMetrics.dump, CustomMetrics.restore)
)


class TooSlow(DriftbusError):
    """A custom metric did not return in time."""


class Patience:
    """Interrupts custom metrics in the main thread. Takes SIGALRM and the real-time interval timer."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.limit_s = limit_s
        self._seen: FrameType | None = None

    def start(self) -> None:
        """From the main thread, once."""
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, self.limit_s, self.limit_s)

    def stop(self) -> None:
        """Before the process ends: Python lets go of its handlers first, and an alarm would kill it then."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)

    def _look(self, number: int, frame: FrameType | None) -> None:
        call = frame
        while call is not None and call.f_code not in _CALLS:
            call = call.f_back
        # Raised only from inside the metric's own code: there is where its error is caught.
        if call is None or call is frame or call is not self._seen:
            self._seen = call
            return
        self._seen = None
        stack = "".join(traceback.format_stack(frame))
        log.error("a custom metric does not return: it is interrupted", extra={"stack": stack})
        raise TooSlow(f"a custom metric did not return within {self.limit_s:g} s")

"""From the caller's thread to the bus: a bounded queue, and one thread that empties it.

The caller pays for one append. Everything that can wait, fail or block (opening the bus, its buffers,
delivery, retries) happens in the pump's own thread, which starts with the first event, so that a process
that forks before it emits anything never carries a connection across the fork.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from driftbus.client.losses import Losses, log
from driftbus.ports import Bus, Producer

# How often the thread looks for events while there are some: waking it for each would hand it the interpreter
# in the middle of the caller's work, and 10 ms is short against any label delay.
LINGER_S = 0.01
# After this long without events the thread sleeps until the next one wakes it.
ACTIVE_S = 1.0
# Asleep: look again after this long even if nobody woke us.
IDLE_S = 0.5
# The bus's own buffer is full: it drains in the meantime.
FULL_PAUSE_S = 0.005
# Between two attempts to reach a bus that is not there.
REOPEN_S = 1.0
# One slice of waiting for deliveries, after which new events are taken again.
DELIVERY_SLICE_S = 0.1
# At the interpreter's exit: long enough for a healthy bus, short enough for a rolling restart.
EXIT_TIMEOUT_S = 5.0


class Event(NamedTuple):
    """One record on its way."""

    topic: str
    key: bytes
    value: bytes


class Pump:
    """Takes events without blocking, delivers them in order in a thread of its own.

    Bounded twice: by `max_events` and, nearly (callers' threads race for the sum, which is put right
    whenever the queue runs empty), by `max_bytes`. What does not fit is counted as `buffer_full`.
    """

    def __init__(self, open_bus: Callable[[], Bus], losses: Losses, max_events: int, max_bytes: int) -> None:
        self._open_bus = open_bus
        self._losses = losses
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._closing_at: float | None = None
        self._start_fresh()
        _pumps.add(self)

    def _start_fresh(self) -> None:
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._wake = threading.Event()
        self._idle = False
        self._active_at = 0.0
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._bus: Bus | None = None
        self._producer: Producer | None = None
        self._unreachable = False
        self._unconfirmed = False
        self._lost_at_bus = 0

    # -- the caller's side ------------------------------------------------------------------------

    def put(self, event: Event) -> None:
        """Queue one event, or count it as lost; never waits."""
        if self._closing_at is not None:
            self._losses.add("closed", "the emitter is closed")
            return
        size = len(event.value)
        if len(self._queue) >= self._max_events or self._bytes + size > self._max_bytes:
            self._losses.add("buffer_full", "the bus does not take events as fast as they come")
            return
        self._bytes += size
        self._queue.append(event)
        if self._idle:
            self._wake.set()
        if self._thread is None:
            self._start_thread()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far is delivered (or given up by the bus); False: not in time."""
        deadline = time.monotonic() + timeout_s
        while self._queue or self._unconfirmed:
            if time.monotonic() >= deadline or self._thread is None:
                return False
            self._wake.set()
            time.sleep(LINGER_S)
        return True

    def close(self, timeout_s: float) -> None:
        """Deliver what is queued within `timeout_s`, then release the bus; the rest is counted as lost."""
        self.retire(timeout_s)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s + REOPEN_S)
        left = len(self._queue)
        self._queue.clear()
        if left:
            self._losses.add("undelivered", f"still queued after {timeout_s} s at closing", left)

    def retire(self, timeout_s: float) -> None:
        """Like `close`, without waiting for it: the thread delivers, releases and ends by itself."""
        if self._closing_at is None:
            self._closing_at = time.monotonic() + timeout_s
        self._wake.set()

    def lost_at_bus(self) -> int:
        """Events that were handed to the bus and given up by it."""
        producer = self._producer
        return producer.lost() if producer is not None else self._lost_at_bus

    def _start_thread(self) -> None:
        with self._start_lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="driftbus-emitter", daemon=True)
                thread.start()
                self._thread = thread

    # -- the thread's side ------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            # Without this thread nothing would ever be delivered again: it is said, and tried again.
            except Exception:
                log.warning("driftbus emitter: trying again", exc_info=True)
                self._pause(REOPEN_S)
            if self._closing_at is not None and (self._nothing_left() or self._late()):
                break
        self._release()

    def _turn(self) -> None:
        if self._queue:
            if not self._deliver():
                self._pause(REOPEN_S)
        elif self._unconfirmed:
            self._confirm(DELIVERY_SLICE_S)
        elif self._closing_at is None:
            self._wait_for_events()

    def _deliver(self) -> bool:
        """Hand the queue to the producer; False when there is no bus to hand it to."""
        producer = self._opened()
        if producer is None:
            return False
        while self._queue:
            event = self._queue[0]
            try:
                taken = producer.produce(event.topic, key=event.key, value=event.value)
            # One event that the bus cannot take, for whatever reason, must not hold up those behind it.
            except Exception as error:
                self._losses.add("refused", f"{type(error).__name__}: {error}")
                taken = True
            if not taken:
                self._unconfirmed = True
                producer.flush(FULL_PAUSE_S)
                if self._closing_at is not None and self._late():
                    return True
                continue
            # In this order: a flush between the two lines would take the event for delivered.
            self._unconfirmed = True
            self._queue.popleft()
            self._bytes -= len(event.value)
        self._bytes = 0
        self._active_at = time.monotonic()
        return True

    def _confirm(self, timeout_s: float) -> None:
        if self._producer is not None and self._producer.flush(timeout_s) == 0 and not self._queue:
            self._unconfirmed = False

    def _opened(self) -> Producer | None:
        if self._producer is None:
            try:
                self._bus = self._open_bus()
                self._producer = self._bus.producer()
            # Whatever keeps a bus from opening (a wrong property, a folder that cannot be written, a
            # network) must end in the service's log, never in the service.
            except Exception:
                if not self._unreachable:
                    log.warning("driftbus emitter cannot open the bus; events wait in memory", exc_info=True)
                self._unreachable = True
                return None
            self._unreachable = False
        return self._producer

    def _wait_for_events(self) -> None:
        if time.monotonic() - self._active_at < ACTIVE_S:
            # `close` and `flush` wake us, `put` does not.
            self._pause(LINGER_S)
            return
        self._idle = True
        # Asked again after saying so: a `put` in between saw nobody to wake.
        if not self._queue and self._closing_at is None:
            self._wake.wait(IDLE_S)
        self._idle = False
        self._wake.clear()

    def _pause(self, pause_s: float) -> None:
        self._wake.clear()
        if self._closing_at is None:
            self._wake.wait(pause_s)

    def _nothing_left(self) -> bool:
        return not self._queue and not self._unconfirmed

    def _late(self) -> bool:
        # A bus that did not open so far will not open in the closing seconds either.
        return self._unreachable or time.monotonic() >= (self._closing_at or 0.0)

    def _release(self) -> None:
        if self._producer is not None:
            left = max(0.0, (self._closing_at or 0.0) - time.monotonic())
            self._producer.close(left)
            self._lost_at_bus = self._producer.lost()
            self._producer = None
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    # -- fork -------------------------------------------------------------------------------------

    def forked(self) -> None:
        """In a child: the parent's events, thread and connection stay the parent's.

        The inherited handles are left alone for ever, uncounted by the collector: their destructors
        wait for threads that this process does not have.
        """
        for handle in (self._producer, self._bus):
            if handle is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
        self._losses.start_fresh()
        self._start_fresh()


_pumps: weakref.WeakSet[Pump] = weakref.WeakSet()


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    for pump in list(_pumps):
        pump.close(max(0.0, deadline - time.monotonic()))


atexit.register(_close_all)


def _after_fork_in_child() -> None:
    for pump in list(_pumps):
        pump.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork_in_child)

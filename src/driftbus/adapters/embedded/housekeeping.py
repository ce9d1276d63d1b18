"""What has to happen from time to time while a bus is open: one thread, with a connection of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from driftbus.adapters.embedded import cleaning, groups, log
from driftbus.adapters.embedded.consumer import EmbeddedConsumer
from driftbus.adapters.embedded.database import Database, Handle
from driftbus.adapters.embedded.presence import Presence
from driftbus.errors import BusError

_logger = logging.getLogger(__name__)

# How often the thread looks whether anything is due: bounds how late a sign of life can be, and how late a
# death is noticed.
_TICK_S = 0.1
# Between checkpoints: each costs two fsyncs, and what is not checkpointed a power failure may take.
_CHECKPOINT_INTERVAL_S = 0.5
# Under steady writing a passive checkpoint never catches up, and the WAL would grow for ever. Beyond this
# many pages of 4 KiB (64 MiB) writers are made to wait for a complete one: some tens of ms, seldom.
_WAL_PAGES = 16_384
# A complete checkpoint waits for readers with the write lock held: give up early, and try again later.
_LOCK_TIMEOUT_S = 0.25
# Between two steps of cleaning: as long as a step, so that others get the write lock at least half of the
# time.
_STEP_PAUSE_S = 0.005
# Cleaning per tick: about five steps, 25,000 rows/s, which outruns any writer that a laptop has.
_CLEANING_SLICE_S = 0.05


@dataclass(slots=True)
class _Due:
    """When (monotonic seconds) the next round of each duty is."""

    checkpoint_at_s: float = 0.0
    expiry_at_s: float = 0.0
    cleaning_at_s: float = 0.0


def expire_reservations(handle: Handle) -> None:
    """End transactions whose promised offsets are outstanding for too long; their producers are fenced."""
    with handle.read() as connection:
        overdue = log.overdue_reservations(connection, time.time())
    if overdue:
        with handle.write() as connection:
            for producer in log.overdue_reservations(connection, time.time()):
                log.fence(connection, producer)


class Housekeeper:
    """Signs of life for one bus's consumers, the dead, expired promises, checkpoints, cleaning."""

    def __init__(
        self,
        database: Database,
        consumers: Callable[[], Iterable[EmbeddedConsumer]],
        presence: Presence,
        *,
        clean_interval_s: float,
    ) -> None:
        self._handle = database.connect(_LOCK_TIMEOUT_S)
        self._consumers = consumers
        self._presence = presence
        self._clean_interval_s = clean_interval_s
        self._version = -1
        self._due = _Due()
        self._cleaning: Iterator[int] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driftbus-embedded-housekeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._handle.close()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                self._tick(time.monotonic())
            except (BusError, OSError) as error:
                # Locked or full: everything here is tried again anyway, and whoever writes says so louder.
                _logger.debug("housekeeping of the embedded bus postponed: %s", error)

    def _tick(self, now_s: float) -> None:
        for consumer in self._consumers():
            beat = consumer.due_beat(now_s)
            if beat is not None:
                with self._handle.write() as connection:
                    groups.beat(connection, *beat, time.time())
        self._presence.bury_the_dead(self._handle)
        if now_s >= self._due.expiry_at_s:
            self._due.expiry_at_s = now_s + _CHECKPOINT_INTERVAL_S
            expire_reservations(self._handle)
        if now_s >= self._due.checkpoint_at_s:
            self._due.checkpoint_at_s = now_s + _CHECKPOINT_INTERVAL_S
            self._checkpoint()
        self._clean(now_s)

    def _checkpoint(self) -> None:
        version = self._handle.data_version()
        if version == self._version:
            return
        self._version = version
        if self._handle.checkpoint("PASSIVE") > _WAL_PAGES:
            self._handle.checkpoint("TRUNCATE")

    def _clean(self, now_s: float) -> None:
        """A slice of cleaning; the next tick goes on, so that signs of life never wait for the end of it."""
        if self._cleaning is None:
            if now_s < self._due.cleaning_at_s:
                return
            self._due.cleaning_at_s = now_s + self._clean_interval_s
            if not cleaning.take_turn(self._handle, time.time(), self._clean_interval_s):
                return
            self._cleaning = cleaning.clean(self._handle, time.time())
        steps, self._cleaning = self._cleaning, None
        until_s = time.monotonic() + _CLEANING_SLICE_S
        while time.monotonic() < until_s:
            if next(steps, None) is None:
                return
            if self._stop.wait(_STEP_PAUSE_S):
                return
        self._cleaning = steps

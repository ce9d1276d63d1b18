"""Settings → a running worker: the one file that names concrete classes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from driftbus.config import HttpSettings, Settings, load
from driftbus.core.settings import Limits
from driftbus.core.views import Source
from driftbus.errors import (
    BusError,
    ConfigError,
    Fenced,
    MissingTopic,
    StateError,
    TooManyDeadLetters,
    Unavailable,
)
from driftbus.patience import LIMIT_S, Patience
from driftbus.ports import Bus
from driftbus.topics import check_topics, halves_specs, topic_specs
from driftbus.watchdog import Heartbeat, Watchdog

if TYPE_CHECKING:
    from driftbus.adapters.http.access import Guard
    from driftbus.adapters.http.peers import Peers
    from driftbus.adapters.http.server import HttpServer

log = logging.getLogger("driftbus.wiring")

# Between two attempts to reach a bus that is away: short enough that a broker's restart costs seconds.
RETRY_S = 2.0
# Partitions of topics that the embedded bus makes by itself: as many workers as a laptop has use for.
EMBEDDED_PARTITIONS = 4
# Python's collector looks for cycles after every 700 new containers by default, and walks all that is pending
# each time the heap has grown by a quarter; the fold makes no cycles. So seldom it costs nothing (it was a
# fifth of the CPU), and what a library leaves behind is still found.
GC_THRESHOLDS = (200_000, 50, 1_000)


def open_bus(settings: Settings) -> Bus:
    """The bus that the configuration names; only its adapter is imported, which keeps commands quick."""
    if settings.bus == "kafka":
        from driftbus.adapters.kafka.bus import KafkaBus

        return KafkaBus(settings.kafka, partitioner=settings.partitioner)
    from driftbus.adapters.embedded.bus import EmbeddedBus

    return EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)


def worker_id(settings: Settings) -> str:
    """The configured id, else host and port: workers that differ in their port alone fence no other."""
    return settings.worker_id or f"{socket.gethostname()}-{settings.http.port}"


def guard_of(http: HttpSettings) -> Guard:
    """Who may read metrics and page."""
    from driftbus.adapters.http.access import Guard

    if http.tls is None:
        return Guard(token=http.token)
    return Guard(http.tls.cert, http.tls.key, http.token)


def peers_of(http: HttpSettings) -> Peers | None:
    """The group's other workers, for the page; None where none are known. Raises `ConfigError`."""
    from driftbus.adapters.http.peers import Peers, trusting

    if not http.peers:
        return None
    return Peers(http.peers, http.token, trusting(http.tls.cert if http.tls is not None else None))


def run_worker(settings: Settings, config_path: Path | None, ready: Callable[[], None] = lambda: None) -> int:
    """Run the service until SIGTERM or SIGINT; the exit code. `ready` is called once signals are handled."""
    return _run(_WorkerService(settings, config_path), ready)


def run_ingest(settings: Settings, config_path: Path | None) -> int:
    """Run an ingest worker until SIGTERM or SIGINT; the exit code. Raises `ConfigError` without sources."""
    return _run(_IngestService(settings, config_path), lambda: None)


def _run(service: _Service, ready: Callable[[], None]) -> int:
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    signal.signal(signal.SIGTERM, service.on_stop)
    signal.signal(signal.SIGINT, service.on_stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, service.on_reload)
    patience = Patience(min(LIMIT_S, service.settings.worker.stall_timeout_ms / 3000))
    patience.start()
    ready()
    try:
        return service.run()
    finally:
        patience.stop()


class _Shown(Source, Protocol):
    """What a service shows; `trouble` says why there is nothing to see."""

    trouble: str | None


class _Runs(Protocol):
    """What a service runs."""

    def stop(self) -> None: ...


class _Service(ABC):
    """Runs one worker after another: anew after a fenced transaction, a lost broker, a new configuration."""

    def __init__(self, settings: Settings, config_path: Path | None, source: _Shown) -> None:
        self.settings = settings
        self.config_path = config_path
        self.worker: _Runs | None = None
        self.stopping = threading.Event()
        self.next_settings: Settings | None = None
        self.server: HttpServer | None = None
        self.heart = Heartbeat()
        self.watchdog = Watchdog(self.heart, settings.worker.stall_timeout_ms / 1000)
        self.source = source

    @abstractmethod
    def _once(self) -> None:
        """One run, until `worker` was asked to stop, or something failed."""

    def on_stop(self, number: int, frame: FrameType | None) -> None:
        log.info("%s: finishing the step, committing, leaving", signal.Signals(number).name)
        self.stopping.set()
        if self.worker is not None:
            self.worker.stop()

    def on_reload(self, number: int, frame: FrameType | None) -> None:
        """Validate the new configuration; only a good one makes the worker finish and start with it."""
        try:
            found = load(self.config_path, os.environ)
            if self.server is not None:
                self.server.renew(guard_of(found.http), peers_of(found.http))
            self.next_settings = found
        except ConfigError as error:
            for one in (error, *error.others):
                log.error("the new configuration is not taken over: %s", one)
            return
        if self.worker is not None:
            self.worker.stop()

    def run(self) -> int:
        from driftbus.adapters.http.server import HttpServer

        http = self.settings.http
        if http.enabled:
            self.server = HttpServer(self.source, http.host, http.port, guard_of(http), peers_of(http))
            self.server.start()
            log.info("page and metrics at %s", self.server.url)
        self.watchdog.start()
        try:
            return self._work()
        finally:
            if self.server is not None:
                self.server.close()

    def _work(self) -> int:
        while not self.stopping.is_set():
            self._take_over_configuration()
            try:
                self._once()
            except (MissingTopic, StateError, TooManyDeadLetters) as error:
                log.error("%s", error)
                return 1
            except Unavailable as error:
                self._trouble(str(error))
                log.warning("%s; trying again", error)
                self._rest(RETRY_S)
            except (Fenced, BusError) as error:
                self._trouble(str(error))
                log.error("%s; all that was not committed is discarded", error)
                if not self.settings.worker.restart:
                    return 1
                self._rest(self.settings.worker.restart_wait_ms / 1000)
        return 0

    def _rest(self, seconds: float) -> None:
        """Wait before the next attempt, or for the end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopping.is_set():
            self.heart.beat("waiting to try again")
            self.stopping.wait(min(1.0, left))

    def _take_over_configuration(self) -> None:
        if self.next_settings is not None:
            self.settings, self.next_settings = self.next_settings, None
            self.watchdog.limit_s = self.settings.worker.stall_timeout_ms / 1000
            log.info("took over the new configuration")

    def _trouble(self, text: str) -> None:
        self.source.trouble = text


class _WorkerService(_Service):
    """`driftbus worker`."""

    def __init__(self, settings: Settings, config_path: Path | None) -> None:
        # River loads with it: not for commands that only open a bus.
        from driftbus.exposure import WorkerSource

        self._views = WorkerSource(lambda: self.watchdog.alive)
        super().__init__(settings, config_path, self._views)

    def _once(self) -> None:
        from driftbus.worker import Worker

        self.heart.beat("opening the bus")
        bus = open_bus(self.settings)
        try:
            self.heart.beat("looking for the topics")
            if self.settings.bus == "embedded":
                # One machine, one file: nobody else would create them, and nothing that exists is changed.
                bus.create_topics(topic_specs(self.settings, EMBEDDED_PARTITIONS))
            partitions = check_topics(bus, self.settings)
            self.worker = worker = Worker(
                bus,
                replace(self.settings, limits=share(self.settings.limits, partitions)),
                worker_id(self.settings),
                self.heart,
            )
            self._views.watch(worker)
            if self.stopping.is_set():
                return
            worker.run()
        finally:
            self.worker = None
            self._views.watch(None)
            self.heart.beat("closing the bus")
            bus.close()


class _IngestService(_Service):
    """`driftbus ingest`."""

    def __init__(self, settings: Settings, config_path: Path | None) -> None:
        from driftbus.ingest import check_sources
        from driftbus.ingest_views import IngestSource

        check_sources(settings)
        self._views = IngestSource(lambda: self.watchdog.alive)
        super().__init__(settings, config_path, self._views)

    def _once(self) -> None:
        from driftbus.ingest import Ingest

        self.heart.beat("opening the bus")
        bus = open_bus(self.settings)
        try:
            if self.settings.bus == "embedded":
                bus.create_topics(
                    [
                        *topic_specs(self.settings, EMBEDDED_PARTITIONS),
                        *halves_specs(self.settings, EMBEDDED_PARTITIONS),
                    ]
                )
            self.worker = ingest = Ingest(bus, self.settings, worker_id(self.settings), self.heart)
            self._views.watch(ingest)
            if not self.stopping.is_set():
                ingest.run()
        finally:
            self.worker = None
            self._views.watch(None)
            self.heart.beat("closing the bus")
            bus.close()


def share(limits: Limits, partitions: int) -> Limits:
    """The limits of one partition: process-wide bounds over as many as a single worker may come to hold.

    The share does not depend on how many are assigned, since what is forgotten must not depend on it.
    """

    def part(n: int) -> int:
        return max(1, n // max(1, partitions))

    return replace(
        limits,
        max_pending=part(limits.max_pending),
        max_early_labels=part(limits.max_early_labels),
        max_remembered=part(limits.max_remembered),
        max_streams=part(limits.max_streams),
    )

"""What the HTTP adapter reads of an ingest worker: the same views as of a worker, without streams."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from driftbus import __version__
from driftbus.core.views import (
    ChartPoint,
    HistogramView,
    IngestView,
    LimitView,
    PartitionView,
    StreamDetail,
    StreamView,
    WorkerView,
)
from driftbus.counters import TRANSACTION_BOUNDS_S
from driftbus.ingest import Ingest


class IngestSource:
    """A `Source` over the ingest worker of this process; between two runs it is not ready."""

    def __init__(self, moves: Callable[[], bool] = lambda: True) -> None:
        self.alive = moves
        self._ingest: Ingest | None = None
        self._started = time.monotonic()
        self.trouble: str | None = "starting"

    def watch(self, ingest: Ingest | None) -> None:
        """Show this one from now on."""
        self._ingest = ingest

    def worker(self) -> WorkerView:
        running = self._ingest
        uptime_s = time.monotonic() - self._started
        if running is None:
            why = self.trouble or "starting"
            return WorkerView("", "", "", __version__, uptime_s, False, False, (why,))
        settings, counters = running.settings, running.counters
        rules, waiting = settings.ingest, running.joining.waiting
        reasons = () if running.ready else ("reading back what waits" if running.connected else "connecting",)
        lag: dict[int, dict[str, int]] = {}
        for tp, n in list(running.lag.items()):
            lag.setdefault(tp.partition, {})[tp.topic] = n
        return WorkerView(
            group=running.group,
            instance=settings.source,
            worker_id=running.worker_id,
            version=__version__,
            uptime_s=uptime_s,
            connected=running.connected,
            ready=not reasons,
            not_ready=reasons,
            bus=settings.bus,
            partitions=tuple(
                PartitionView(number, restored=True, lag=topics) for number, topics in sorted(lag.items())
            ),
            max_exported_streams=settings.limits.max_exported_streams,
            records_total=dict(counters.records),
            dead_letters=dict(counters.dead_letters),
            published=dict(running.published),
            steps_total=counters.steps,
            rebalances_total=counters.rebalances,
            limits={
                "ingest.max_waiting": LimitView(len(waiting), rules.max_waiting),
                "ingest.max_waiting_bytes": LimitView(waiting.size_bytes, rules.max_waiting_bytes),
            },
            transaction_duration=HistogramView(
                TRANSACTION_BOUNDS_S, tuple(counters.transaction_counts), counters.transaction_seconds
            ),
            ingest=IngestView(len(waiting), dict(running.given_up), dict(running.ignored)),
        )

    def streams(self) -> Iterable[StreamView]:
        return ()

    def chart(self, name: str) -> tuple[ChartPoint, ...]:
        return ()

    def stream(self, name: str) -> StreamDetail | None:
        return None

    def ready(self) -> bool:
        running = self._ingest
        return running is not None and running.ready

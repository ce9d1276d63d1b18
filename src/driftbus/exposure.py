"""What the HTTP adapter reads of a worker: views built under the fold's lock, kept until a stream changes."""

from __future__ import annotations

import time
from collections.abc import Iterable

from driftbus import __version__
from driftbus.core.ledger import DELAY_BOUNDS_MS
from driftbus.core.stream_views import stream_detail, stream_view
from driftbus.core.views import (
    HistogramView,
    LimitView,
    PartitionView,
    StreamDetail,
    StreamView,
    WorkerView,
)
from driftbus.counters import TRANSACTION_BOUNDS_S
from driftbus.intake import INPUTS
from driftbus.worker import Worker


class WorkerSource:
    """A `Source` over the worker of this process; between two runs it shows nothing and is not ready."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._started = time.monotonic()
        self._kept: dict[str, tuple[int, StreamView]] = {}
        self.trouble: str | None = "starting"

    def watch(self, worker: Worker | None) -> None:
        """Show this worker from now on."""
        self._worker = worker
        self._kept.clear()

    def worker(self) -> WorkerView:
        w = self._worker
        if w is None:
            return WorkerView(
                "", "", "", __version__, self._uptime(), False, False, (self.trouble or "starting",)
            )
        settings, counters = w.settings, w.counters
        with w.lock:
            partitions = tuple(self._partitions(w))
            monitors = [m for t in w.tasks.values() for m in t.partition.streams.values()]
            delays = [0] * (len(DELAY_BOUNDS_MS) + 1)
            delay_sum_ms = 0
            for monitor in monitors:
                delay_sum_ms += monitor.ledger.delay_sum_ms
                for index, n in enumerate(monitor.ledger.delay_counts):
                    delays[index] += n
            reasons = self._not_ready(w)
            return WorkerView(
                group=settings.group,
                instance=settings.source,
                worker_id=w.worker_id,
                version=__version__,
                uptime_s=self._uptime(),
                connected=w.connected,
                ready=not reasons,
                not_ready=reasons,
                bus=settings.bus,
                partitions=partitions,
                streams=len(monitors),
                max_exported_streams=settings.limits.max_exported_streams,
                records_total=dict(counters.records),
                dead_letters=dict(counters.dead_letters),
                misrouted=dict(counters.misrouted),
                published=dict(w.published),
                steps_total=counters.steps,
                rebalances_total=counters.rebalances,
                limits=self._limits(w),
                transaction_duration=HistogramView(
                    TRANSACTION_BOUNDS_S, tuple(counters.transaction_counts), counters.transaction_seconds
                ),
                label_delay=HistogramView(
                    tuple(bound / 1000 for bound in DELAY_BOUNDS_MS), tuple(delays), delay_sum_ms / 1000
                ),
            )

    def streams(self) -> Iterable[StreamView]:
        w = self._worker
        if w is None:
            return []
        with w.lock:
            found: list[StreamView] = []
            kept: dict[str, tuple[int, StreamView]] = {}
            for number, task in w.tasks.items():
                for name, monitor in task.partition.streams.items():
                    known = self._kept.get(name)
                    if known is None or known[0] != monitor.folds or known[1].partition != number:
                        known = (monitor.folds, stream_view(monitor, number))
                    kept[name] = known
                    found.append(known[1])
            self._kept = kept
            return found

    def stream(self, name: str) -> StreamDetail | None:
        w = self._worker
        if w is None:
            return None
        with w.lock:
            for number, task in w.tasks.items():
                monitor = task.partition.streams.get(name)
                if monitor is not None:
                    return stream_detail(monitor, number)
        return None

    def alive(self) -> bool:
        w = self._worker
        if w is None:
            return True  # being started or restarted; a start that fails ends the process
        return time.monotonic() - w.turned_at < w.settings.worker.stall_timeout_ms / 1000

    def ready(self) -> bool:
        w = self._worker
        return w is not None and not self._not_ready(w)

    def _not_ready(self, w: Worker) -> tuple[str, ...]:
        if not w.connected:
            return (w.trouble or self.trouble or "not connected",)
        if w.restoring:
            return (f"restoring partitions {', '.join(map(str, sorted(w.restoring)))}",)
        return ()

    def _uptime(self) -> float:
        return time.monotonic() - self._started

    def _partitions(self, w: Worker) -> Iterable[PartitionView]:
        for number, (_, progress) in sorted(w.restoring.items()):
            yield PartitionView(number, restored=False, restored_ratio=progress)
        for number, task in sorted(w.tasks.items()):
            join = task.partition.join
            sizes = join.sizes()
            yield PartitionView(
                number,
                restored=True,
                step=task.journal.next_step,
                pending=sizes["max_pending"],
                early_labels=sizes["max_early_labels"],
                remembered=sizes["max_remembered"],
                streams=len(task.partition.streams),
                watermark_ms=join.watermark or None,
                lag={name: w.lag.get((name, number), 0) for name in INPUTS},
            )

    def _limits(self, w: Worker) -> dict[str, LimitView]:
        """What is used of each bound, over the partitions held now: each has an equal share of it."""
        limits, held = w.settings.limits, len(w.tasks)
        used = {"max_pending": 0, "max_early_labels": 0, "max_remembered": 0}
        streams = 0
        for task in w.tasks.values():
            for name, n in task.partition.join.sizes().items():
                used[name] += n
            streams += len(task.partition.streams)
        views = {name: LimitView(n, getattr(limits, name) * max(1, held)) for name, n in used.items()}
        views["max_streams"] = LimitView(streams, limits.max_streams * max(1, held))
        return views

"""Writes `/metrics`: the views of this moment as Prometheus text or OpenMetrics.

Metrics are pulled from state at scrape, never pushed per event, so a revoked partition's series vanish with
its view. The text is written directly: for 10,000 streams stock metric objects took 1.8 s and 241 MB a
scrape, label strings joined in list comprehensions a tenth of that. What keeps a hand-written page honest
is `metric_table` (no name is spelled here) and the tests, which read it back with two foreign parsers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, cast

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client import exposition as text_format
from prometheus_client.openmetrics import exposition as openmetrics_format

from driftbus.adapters.http import metric_table as t
from driftbus.adapters.http.exposition import Family, escape, labelled, number
from driftbus.adapters.http.metric_table import Metric
from driftbus.adapters.http.stream_families import STREAM_FAMILIES, Rows, Written
from driftbus.core.views import HistogramView, IngestView, StreamView, WorkerView

# Exported at 0 for each input topic, so that `increase()` sees the first one: what decoding and admission
# refuse. One that is missing here appears with its first record all the same.
REASONS_DEAD_LETTERED = (
    "bad_timestamp", "missing_field", "not_an_object", "not_json", "null_label", "number_range",
    "stream_limit", "tombstone", "too_deep", "too_large", "too_long", "unsupported_version", "wrong_type",
    "wrong_value",
)  # fmt: skip


def _histogram(metric: Metric, view: HistogramView | None) -> Family:
    lines: list[str] = []
    if view is not None:
        total = 0
        for bound, count in zip((*view.bounds, float("inf")), view.counts, strict=True):
            total += count
            lines.append(f'{metric.name}_bucket{{le="{number(bound)}"}} {total}')
        lines += [f"{metric.name}_sum {number(view.sum)}", f"{metric.name}_count {total}"]
    return Family(metric, lines)


def _counts(metric: Metric, counts: Mapping[Any, float]) -> Family:
    """One line a key of `counts`; a key is one label value, or a tuple of them."""
    return Family(
        metric,
        [
            f"{labelled(metric, key if isinstance(key, tuple) else (key,))} {number(n)}"
            for key, n in sorted(counts.items())
        ],
    )


def _worker_families(worker: WorkerView, exported: int, dropped_total: int, last_s: float) -> list[Family]:
    def one(metric: Metric, value: float, *labels: str) -> Family:
        name = labelled(metric, labels) if labels else metric.name
        return Family(metric, [f"{name} {number(value)}"])

    families = [
        one(t.BUILD_INFO, 1, worker.version, worker.bus),
        one(t.WORKER_INFO, 1, worker.group, worker.instance, worker.worker_id),
        one(t.UPTIME, worker.uptime_s),
        one(t.CONNECTED, worker.connected),
        one(t.READY, worker.ready),
        one(t.STREAMS, worker.streams),
        one(t.EXPORTED, exported),
        one(t.EXPORT_DROPPED, dropped_total),
        one(t.EXPORT_DURATION, last_s),
        _counts(t.RECORDS, worker.records_total),
        _counts(t.PUBLISHED, worker.published),
        _counts(
            t.DEAD_LETTERS,
            {(topic, reason): 0 for topic in worker.records_total for reason in REASONS_DEAD_LETTERED}
            | dict(worker.dead_letters),
        ),
        _counts(t.MISROUTED, worker.misrouted),
        one(t.STEPS, worker.steps_total),
        one(t.REBALANCES, worker.rebalances_total),
        _histogram(t.TRANSACTION_DURATION, worker.transaction_duration),
        _histogram(t.LABEL_DELAY, worker.label_delay),
        _counts(t.LIMIT_USED, {name: limit.used for name, limit in worker.limits.items()}),
        _counts(t.LIMIT_MAX, {name: limit.limit for name, limit in worker.limits.items()}),
        one(t.CUSTOM_FAILED, worker.custom_metrics_failed),
    ]
    partitions = [(str(p.partition), p) for p in worker.partitions]
    families += [
        _counts(t.RESTORED_RATIO, {k: 1.0 if p.restored else p.restored_ratio for k, p in partitions}),
        _counts(t.PENDING, {k: p.pending for k, p in partitions}),
        _counts(t.EARLY_LABELS, {k: p.early_labels for k, p in partitions}),
        _counts(t.REMEMBERED, {k: p.remembered for k, p in partitions}),
        _counts(
            t.WATERMARK,
            {k: p.watermark_ms / 1000 for k, p in partitions if p.watermark_ms is not None},
        ),
        _counts(t.LAG, {(topic, k): n for k, p in partitions for topic, n in p.lag.items()}),
    ]
    return families


def _ingest_families(view: IngestView) -> list[Family]:
    zeros = {(source, why): 0 for source in view.ignored for why in ("expired", "evicted")}
    return [
        Family(t.INGEST_WAITING, [f"{t.INGEST_WAITING.name} {view.waiting}"]),
        _counts(t.INGEST_GIVEN_UP, zeros | dict(view.given_up)),
        _counts(t.INGEST_IGNORED, view.ignored),
    ]


def choose_streams(views: Iterable[StreamView], limit: int) -> tuple[list[StreamView], int]:
    """At most `limit` views, by name, so that the same series stay from scrape to scrape; and how many
    were left out."""
    chosen = list(views)
    left_out = max(0, len(chosen) - limit)
    if left_out:
        chosen = sorted(chosen, key=attrgetter("stream"))[:limit]
    return chosen, left_out


class Exposition:
    """Writes one page per scrape; remembers only what its own metrics need."""

    def __init__(self) -> None:
        self._dropped_total = 0
        self._last_s = 0.0
        self._written = Written()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def took(self, seconds: float) -> None:
        """How long the last page took, shown by the next one."""
        self._last_s = seconds

    def page(self, worker: WorkerView, streams: Iterable[StreamView], *, openmetrics: bool) -> bytes:
        """The whole page, UTF-8; `openmetrics` chooses the format (`TEXT_TYPE` or `OPENMETRICS_TYPE`)."""
        views, left_out = choose_streams(streams, worker.max_exported_streams)
        self._dropped_total += left_out
        families = _worker_families(worker, len(views), self._dropped_total, self._last_s)
        if worker.ingest is not None:
            families += _ingest_families(worker.ingest)
        if views:
            labels = [f'{{stream="{name}"' for name in map(escape, map(attrgetter("stream"), views))]
            rows = Rows(views, labels, self._written)
            families += [family(rows) for family in STREAM_FAMILIES]
        # Encoded a family at a time: the whole page as text beside itself as bytes would be 100 MB.
        parts = [family.text(openmetrics).encode() for family in families]
        return b"".join((*parts, self._process_metrics(openmetrics)))

    def _process_metrics(self, openmetrics: bool) -> bytes:
        """CPU, memory, descriptors under their customary names; in OpenMetrics it ends the page (`# EOF`)."""
        write: Any = openmetrics_format.generate_latest if openmetrics else text_format.generate_latest
        return cast(bytes, write(self._process))

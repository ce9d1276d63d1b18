"""Every metric that driftbus exports, in one typed table: name, kind, unit, labels, help.

The collector writes exactly these, dashboards, alert rules and their tests are checked against them, and
the documentation lists them. Counters carry `_total` in their name, base units stand at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "driftbus_"
MetricKind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` is that of its samples (of a histogram: without `_bucket` …)."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def family(self) -> str:
        """The name OpenMetrics gives the family: without `_total` or `_info`."""
        return self.name.removesuffix({"counter": "_total", "info": "_info"}.get(self.kind, ""))

    @property
    def sample_names(self) -> tuple[str, ...]:
        """The names that PromQL knows it by."""
        if self.kind != "histogram":
            return (self.name,)
        return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")


def _metric(name: str, kind: MetricKind, help: str, labels: tuple[str, ...] = (), unit: str = "") -> Metric:
    return Metric(PREFIX + name, kind, help, labels, unit)


_STREAM = ("stream",)
_PARTITION = ("partition",)

# One worker process.
BUILD_INFO = _metric("build_info", "info", "The running version, and the bus it runs on.", ("version", "bus"))
WORKER_INFO = _metric("worker_info", "info", "Who this worker is.", ("group", "instance", "worker_id"))
UPTIME = _metric("uptime_seconds", "gauge", "Seconds since the worker started.", unit="seconds")
CONNECTED = _metric("connected", "gauge", "1 while the event bus answers.")
READY = _metric("ready", "gauge", "1 while connected and every assigned partition is restored.")
STREAMS = _metric("streams", "gauge", "Streams whose state this worker holds.")
EXPORTED = _metric("exported_streams", "gauge", "Streams shown in this scrape.")
EXPORT_DROPPED = _metric(
    "export_dropped_streams_total",
    "counter",
    "Streams left out of scrapes because of limits.max_exported_streams, added up over scrapes.",
)
EXPORT_DURATION = _metric(
    "export_duration_seconds", "gauge", "How long the scrape before this one took to write.", unit="seconds"
)
RECORDS = _metric("records_total", "counter", "Records read, by input topic.", ("topic",))
PUBLISHED = _metric("published_records_total", "counter", "Records published, by output topic.", ("topic",))
DEAD_LETTERS = _metric(
    "dead_letters_total", "counter", "Records that could not be used, by reason.", ("topic", "reason")
)
MISROUTED = _metric(
    "misrouted_records_total", "counter", "Records found in another partition than their key's.", ("topic",)
)
STEPS = _metric("steps_total", "counter", "Steps committed; each is one transaction of one partition.")
REBALANCES = _metric("rebalances_total", "counter", "Assignments of partitions this worker took part in.")
TRANSACTION_DURATION = _metric(
    "transaction_duration_seconds", "histogram", "From begin to commit of a transaction.", unit="seconds"
)
LABEL_DELAY = _metric(
    "label_delay_seconds", "histogram", "Event time from a prediction to its label.", unit="seconds"
)
CUSTOM_FAILED = _metric(
    "custom_metrics_failed", "gauge", "Metrics of one's own that raised and are off, over all streams."
)
LIMIT_USED = _metric("limit_used", "gauge", "How much of a bound under `limits` is used.", ("limit",))
LIMIT_MAX = _metric("limit_max", "gauge", "The bound itself, as configured.", ("limit",))

# One assigned partition.
RESTORED_RATIO = _metric(
    "partition_restored_ratio",
    "gauge",
    "How much of a partition's state is read back; 1 when done.",
    _PARTITION,
)
PENDING = _metric("pending_predictions", "gauge", "Predictions waiting for their label.", _PARTITION)
EARLY_LABELS = _metric("early_labels", "gauge", "Labels waiting for their prediction.", _PARTITION)
REMEMBERED = _metric("remembered_ids", "gauge", "Matched ids remembered against replays.", _PARTITION)
WATERMARK = _metric(
    "watermark_timestamp_seconds",
    "gauge",
    "Event time up to which the partition is complete.",
    _PARTITION,
    "seconds",
)
LAG = _metric(
    "consumer_lag_records",
    "gauge",
    "Records in an input partition that are not folded yet.",
    ("topic", "partition"),
    "records",
)

# One stream.
PREDICTIONS = _metric("predictions_total", "counter", "Predictions taken.", _STREAM)
OUTCOMES = _metric("outcomes_total", "counter", "Predictions joined with their label.", _STREAM)
UNMATCHED = _metric(
    "labels_unmatched_total",
    "counter",
    "Labels that made no outcome: late (after the horizon), orphan (no prediction came), duplicate (known).",
    ("stream", "reason"),
)
DUPLICATES = _metric(
    "duplicate_predictions_total", "counter", "Predictions whose id was known already: left out.", _STREAM
)
CORRECTIONS = _metric("label_corrections_total", "counter", "Labels that replaced an earlier one.", _STREAM)
LAST_PREDICTION = _metric(
    "last_prediction_timestamp_seconds", "gauge", "Event time of the last prediction.", _STREAM, "seconds"
)
LAST_LABEL = _metric(
    "last_label_timestamp_seconds", "gauge", "Event time of the last label.", _STREAM, "seconds"
)
MODEL_METRIC = _metric(
    "model_metric", "gauge", "A metric of the production model since its deployment.", ("stream", "metric")
)
MODEL_METRIC_WINDOW = _metric(
    "model_metric_window",
    "gauge",
    "The same over a sliding window: of outcomes (a number) or of event time (as 1h).",
    ("stream", "metric", "window"),
)
CHALLENGER_METRIC = _metric(
    "challenger_metric", "gauge", "The same metric of the challenger.", ("stream", "metric")
)
ESTIMATED_METRIC = _metric(
    "estimated_metric",
    "gauge",
    "The metric expected of the newest predictions by their scores, labels unseen; absent while doubted.",
    ("stream", "metric"),
)
EPISODES_OPENED = _metric(
    "drift_episodes_opened_total", "counter", "Episodes opened.", ("stream", "category")
)
EPISODES_CLOSED = _metric(
    "drift_episodes_total", "counter", "Episodes closed, with their verdict.", ("stream", "category", "kind")
)
EPISODE_OPEN = _metric("drift_episode_open", "gauge", "Episodes open now.", ("stream", "category"))
EPISODE_MUTED = _metric(
    "drift_episode_muted",
    "gauge",
    "Episodes open now that are muted: alerts leave them out. Only of categories that were ever opened.",
    ("stream", "category"),
)
LAST_DRIFT = _metric(
    "last_drift_timestamp_seconds",
    "gauge",
    "Event time at which the last episode opened.",
    _STREAM,
    "seconds",
)
REQUESTS = _metric("retrain_requests_total", "counter", "Retrain requests sent.", ("stream", "reason"))
REQUEST_IN_FLIGHT = _metric(
    "retrain_request_in_flight", "gauge", "1 while a retrain request waits for its model.", _STREAM
)
LAST_REQUEST = _metric(
    "last_retrain_request_timestamp_seconds",
    "gauge",
    "Event time of the last retrain request.",
    _STREAM,
    "seconds",
)
LAST_DEPLOYMENT = _metric(
    "last_deployment_timestamp_seconds",
    "gauge",
    "Event time at which the last model version was first seen, or rolled back to.",
    _STREAM,
    "seconds",
)
UNKNOWN_REQUESTS = _metric(
    "unknown_retrain_request_ids_total", "counter", "Model events naming a request nobody knows.", _STREAM
)
SET_ASIDE = _metric(
    "stream_set_aside",
    "gauge",
    "1 while a stream is not watched because of a defect, and only counted.",
    _STREAM,
)
RESETS = _metric(
    "stream_resets_total",
    "counter",
    "How often signals or other parts of what watches a stream began anew (the API names them): its rules "
    "changed, or driftbus did.",
    _STREAM,
)
MODEL_VERSIONS = _metric("model_versions", "gauge", "Model versions watched side by side.", _STREAM)
STREAM_INFO = _metric(
    "stream_info",
    "info",
    "What a stream is; its configured labels are added to these.",
    ("stream", "partition", "task", "model_version"),
)

# `driftbus ingest`, beside what it shares with a worker.
INGEST_WAITING = _metric(
    "ingest_waiting_halves",
    "gauge",
    "Requests and responses that wait for their other half, in this process.",
)
INGEST_GIVEN_UP = _metric(
    "ingest_given_up_halves_total",
    "counter",
    "Halves that went to the dead letters alone: expired (ingest.wait), evicted (ingest.max_waiting).",
    ("source", "reason"),
)
INGEST_IGNORED = _metric(
    "ingest_ignored_records_total",
    "counter",
    "Foreign records that are none of a source's: another type, another value than `when` asks for.",
    ("source",),
)

WORKER_METRICS = (
    BUILD_INFO, WORKER_INFO, UPTIME, CONNECTED, READY, STREAMS, EXPORTED, EXPORT_DROPPED, EXPORT_DURATION,
    RECORDS, PUBLISHED, DEAD_LETTERS, MISROUTED, STEPS, REBALANCES, TRANSACTION_DURATION, LABEL_DELAY,
    LIMIT_USED, LIMIT_MAX, CUSTOM_FAILED,
)  # fmt: skip
PARTITION_METRICS = (RESTORED_RATIO, PENDING, EARLY_LABELS, REMEMBERED, WATERMARK, LAG)
STREAM_METRICS = (
    PREDICTIONS, OUTCOMES, UNMATCHED, DUPLICATES, CORRECTIONS, LAST_PREDICTION, LAST_LABEL, MODEL_METRIC,
    MODEL_METRIC_WINDOW, CHALLENGER_METRIC, ESTIMATED_METRIC, EPISODES_OPENED, EPISODES_CLOSED, EPISODE_OPEN,
    EPISODE_MUTED, LAST_DRIFT, REQUESTS, REQUEST_IN_FLIGHT, LAST_REQUEST, LAST_DEPLOYMENT, UNKNOWN_REQUESTS,
    RESETS, MODEL_VERSIONS, SET_ASIDE, STREAM_INFO,
)  # fmt: skip
INGEST_METRICS = (INGEST_WAITING, INGEST_GIVEN_UP, INGEST_IGNORED)
# What a worker shows; those of `driftbus ingest` stand apart.
ALL_METRICS = WORKER_METRICS + PARTITION_METRICS + STREAM_METRICS


_BESIDE_INGEST = (
    "Beside these it shows a worker's own, its topics being the foreign ones: `driftbus_records_total`, "
    "`driftbus_published_records_total`, `driftbus_dead_letters_total`, `driftbus_consumer_lag_records`, "
    '`driftbus_limit_used{limit="ingest.max_waiting"}`, transactions, readiness.\n\n'
)


def as_markdown() -> str:
    """docs/metrics.md: `python -m driftbus.adapters.http.metric_table > docs/metrics.md`."""
    parts = [
        "# Metrics\n\n"
        "What `/metrics` of a worker shows, in Prometheus's text format or OpenMetrics. Stream counters are "
        "part of the state: a restart or a move to another worker continues them (they are taken back by no "
        "more than the step that was not committed yet), and a revoked partition's series vanish at once, so "
        "`sum by (stream)` over all workers is right. A worker's own counters begin at 0 with its process. "
        "Standard `process_*` metrics stand beside these.\n\n"
        "The metrics of models are read anew for at most 1,000 changed streams a scrape (100 a second on "
        "average), the longest unread first: with thousands of busy streams a value is up to some minutes "
        "old. Counters, episodes and requests are always of the moment of the scrape. Over windows only "
        "error, accuracy, F1, log loss and ROC AUC, or MAE and RMSE, and metrics of one's own are exported; "
        "the page and `/api/streams/{stream}` show the others too.\n"
    ]
    for title, metrics in (
        ("A worker", WORKER_METRICS),
        ("A partition", PARTITION_METRICS),
        ("A stream", STREAM_METRICS),
        ("`driftbus ingest`", INGEST_METRICS),
    ):
        before = _BESIDE_INGEST if metrics is INGEST_METRICS else ""
        parts.append(f"\n## {title}\n\n{before}")
        parts.append("| metric | kind | labels | what it is |\n|---|---|---|---|\n")
        for m in metrics:
            labels = ", ".join(f"`{label}`" for label in m.labels)
            parts.append(f"| `{m.name}` | {m.kind} | {labels} | {m.help} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(as_markdown(), end="")

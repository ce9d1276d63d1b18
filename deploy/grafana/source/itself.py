"""driftbus itself: do the workers keep up, is anything lost to them, how near are their bounds."""

# ruff: noqa: E501  an expression or a description on one line reads and compares best

from __future__ import annotations

from pieces import (
    GREEN_FROM_1,
    ORANGE_ABOVE_0,
    RUNBOOKS,
    Json,
    Placed,
    alerts,
    dashboard,
    lines,
    link,
    stat,
    table,
    target,
)


def overview() -> list[Placed]:
    return [
        (4, 4, stat("Workers ready", "Workers that are connected and restored.", "none", "sum(driftbus_ready)",
                    steps=GREEN_FROM_1)),
        (4, 4, stat("Lag", "Records that wait in the input topics.", "short", "sum(driftbus_consumer_lag_records)",
                    steps=[(None, "green"), (10_000, "orange"), (100_000, "red")])),
        (4, 4, stat("Transactions, p99", "The slowest worker: 99 of 100 transactions were quicker.", "s",
                    "max(instance:driftbus_transaction_duration_seconds:p99_rate5m)",
                    steps=[(None, "green"), (1, "orange"), (5, "red")])),
        (4, 4, stat("Nearest bound", "The fullest of all bounds under `limits`, over all workers.", "percentunit",
                    "max(driftbus_limit_used / driftbus_limit_max)", steps=[(None, "green"), (0.8, "orange"), (0.9, "red")])),
        (4, 4, stat("Streams set aside", "Streams that are not watched any more because of a defect.", "none",
                    "sum(driftbus_stream_set_aside)", steps=ORANGE_ABOVE_0)),
        (4, 4, stat("Custom metrics off", "Metrics of one's own that raised and are switched off.", "none",
                    "sum(driftbus_custom_metrics_failed)", steps=ORANGE_ABOVE_0)),
    ]  # fmt: skip


def panels() -> list[Placed]:
    return [
        (8, 8, lines(
            "Records read", "Per second, by input topic.", "ops",
            [target("sum by (topic) (rate(driftbus_records_total[$__rate_interval]))", "{{topic}}")],
        )),
        (8, 8, lines(
            "Records published", "Per second, by output topic.", "ops",
            [target("sum by (topic) (rate(driftbus_published_records_total[$__rate_interval]))", "{{topic}}")],
        )),
        (8, 8, lines(
            "Lag", "Records that wait, by partition. One alone: a hot stream; all: too little CPU.", "short",
            [target("sum by (topic, partition) (driftbus_consumer_lag_records)", "{{topic}} {{partition}}")],
        )),
        (8, 8, lines(
            "Transactions", "From begin to commit.", "s",
            [target(f"histogram_quantile({q}, sum by (le) (rate(driftbus_transaction_duration_seconds_bucket"
                    f"[$__rate_interval])))", name) for q, name in ((0.5, "p50"), (0.99, "p99"))],
        )),
        (8, 8, lines(
            "Dead letters and misrouted records", "Per second. Dead letters could not be used; misrouted ones lie in "
            "another partition than their key's.", "ops",
            [target("sum by (topic, reason) (rate(driftbus_dead_letters_total[$__rate_interval]))",
                    "{{topic}}: {{reason}}"),
             target("sum by (topic) (rate(driftbus_misrouted_records_total[$__rate_interval]))",
                    "{{topic}}: misrouted")],
        )),
        (8, 8, lines(
            "Bounds used", "Share of each bound under `limits`. At 1 the oldest is dropped or the newest refused.",
            "percentunit",
            [target("max by (limit) (driftbus_limit_used / driftbus_limit_max)", "{{limit}}")],
            defaults={"min": 0, "max": 1},
        )),
        (8, 8, lines(
            "Waiting in the join", "Predictions without a label, labels without a prediction, ids remembered.",
            "short",
            [target("sum(driftbus_pending_predictions)", "pending predictions"),
             target("sum(driftbus_early_labels)", "early labels"),
             target("sum(driftbus_remembered_ids)", "remembered ids")],
        )),
        (8, 8, lines(
            "Steps and rebalances", "Steps (one transaction of one partition) per second; assignments per hour.",
            "none",
            [target("sum(rate(driftbus_steps_total[$__rate_interval]))", "steps per second"),
             target("sum(increase(driftbus_rebalances_total[1h]))", "rebalances per hour")],
        )),
        (8, 8, lines(
            "Event time behind the clock", "How old the watermark of each partition is.", "s",
            [target("time() - max by (partition) (driftbus_watermark_timestamp_seconds)", "partition {{partition}}")],
        )),
        (8, 8, lines(
            "Restored", "How much of each partition's state is read back after an assignment.", "percentunit",
            [target("max by (partition) (driftbus_partition_restored_ratio)", "partition {{partition}}")],
            defaults={"min": 0, "max": 1},
        )),
        (8, 8, lines(
            "Memory", "Resident memory of each worker.", "bytes",
            [target('process_resident_memory_bytes{job="driftbus"}', "{{instance}}")],
        )),
        (8, 8, lines(
            "CPU", "Cores used by each worker; near 1 a worker is full.", "none",
            [target('rate(process_cpu_seconds_total{job="driftbus"}[$__rate_interval])', "{{instance}}")],
        )),
        (24, 7, table(
            "Workers", "Who runs, which version, for how long.", "s",
            [target("max by (instance, group, worker_id) (driftbus_worker_info * on (instance) group_left () "
                    "driftbus_uptime_seconds)", "", instant=True, table=True),
             target("max by (instance, version, bus) (driftbus_build_info)", "", instant=True, table=True)],
            hide=("Value #B",), rename={"Value #A": "up for"}, merge=True,
        )),
    ]  # fmt: skip


def more() -> list[Placed]:
    return [
        (12, 8, lines(
            "Label delay", "Event time from prediction to label: half and nineteen in twenty of those that came "
            "lately. It must stay well below `join.horizon`.", "s",
            [target(f"histogram_quantile({q}, sum by (le) (rate(driftbus_label_delay_seconds_bucket[$__rate_interval])))",
                    name) for q, name in ((0.5, "p50"), (0.95, "p95"))],
        )),
        (12, 8, alerts("Alerts on workers and topics", ',stream=""')),
        (12, 8, lines(
            "Streams held, shown and left out", "Per worker. Left out of metrics: beyond `limits.max_exported_streams`, added per scrape.",
            "none",
            [target("sum by (instance) (driftbus_streams)", "{{instance}} held"),
             target("sum by (instance) (driftbus_exported_streams)", "{{instance}} shown"),
             target("sum by (instance) (rate(driftbus_export_dropped_streams_total[$__rate_interval]))", "{{instance}} left out")],
        )),
        (12, 8, lines(
            "Writing metrics", "How long a worker's own scrape takes to write, off the hot path.", "s",
            [target("max by (instance) (driftbus_export_duration_seconds)", "{{instance}}")],
        )),
        (12, 8, lines(
            "Answering", "1 while a worker answers Prometheus, and while its bus answers it.", "none",
            [target('max by (instance) (up{job="driftbus"})', "{{instance}} scraped"),
             target("max by (instance) (driftbus_connected)", "{{instance}} connected")],
        )),
    ]  # fmt: skip


def ingest() -> list[Placed]:
    return [
        (12, 8, lines(
            "Halves", "Of sources that log an inference as two events: how many wait for their other half, and how many per second went "
            "to the dead letters without it.", "short",
            [target("sum(driftbus_ingest_waiting_halves)", "waiting"),
             target("sum by (source, reason) (rate(driftbus_ingest_given_up_halves_total[$__rate_interval]))",
                    "given up: {{source}}, {{reason}}")],
        )),
        (12, 8, lines(
            "Foreign records passed over", "Per second, by source: records that are none of it, of another type or another value than "
            "`when` asks for.", "ops",
            [target("sum by (source) (rate(driftbus_ingest_ignored_records_total[$__rate_interval]))", "{{source}}")],
        )),
    ]  # fmt: skip


def build() -> Json:
    return dashboard(
        "driftbus-itself", "driftbus: itself",
        "The workers: lag, transactions, dead letters, bounds, memory.",
        [(None, overview()), ("Work", panels()), ("Foreign events: driftbus ingest", ingest()), ("Alerts and metrics", more())],
        variables=[RUNBOOKS], annotations=[], links=[link("Runbooks", "${runbooks}/")],
    )  # fmt: skip

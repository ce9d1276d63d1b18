"""Writes dashboards/driftbus.json: `python deploy/grafana/build_dashboard.py`.

The dashboard is code, so that a change of a metric's name is one diff here and a test can compare; Grafana
reads the JSON. Every panel has a unit and says in its description what one is to make of it.
"""

# ruff: noqa: E501  an expression or a description on one line reads and compares best

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("dashboards") / "driftbus.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
STREAM = 'stream=~"$stream"'
WIDTH = 24  # Grafana's grid

Json = dict[str, Any]


def target(expr: str, legend: str, *, instant: bool = False, table: bool = False, ref: str = "A") -> Json:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def panel(kind: str, title: str, description: str, unit: str, targets: list[Json], **more: Any) -> Json:
    for ref, one in zip("ABCDEFGH", targets, strict=False):
        one["refId"] = ref
    defaults: Json = {"unit": unit, "custom": more.pop("custom", {})} | more.pop("defaults", {})
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        **more,
    }


def stat(
    title: str, description: str, unit: str, expr: str, *, steps: list[tuple[float | None, str]] | None = None
) -> Json:
    found = steps or [(None, "text")]
    return panel(
        "stat", title, description, unit, [target(expr, title, instant=True)],
        defaults={"thresholds": {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in found]}},
        options={"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    )  # fmt: skip


def lines(
    title: str, description: str, unit: str, targets: list[Json], *, stacked: bool = False, bars: bool = False,
    **more: Any,
) -> Json:  # fmt: skip
    custom: Json = {"lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": False}
    if bars:
        custom |= {"drawStyle": "bars", "fillOpacity": 70, "lineWidth": 0}
    if stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 70 if bars else 20}
    return panel(
        "timeseries", title, description, unit, targets, custom=custom,
        options={
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        **more,
    )  # fmt: skip


RED_ABOVE_0: list[tuple[float | None, str]] = [(None, "green"), (1, "red")]
ORANGE_ABOVE_0: list[tuple[float | None, str]] = [(None, "green"), (1, "orange")]
GREEN_FROM_1: list[tuple[float | None, str]] = [(None, "red"), (1, "green")]


def overview() -> list[tuple[int, int, Json]]:
    return [
        (4, 4, stat("Streams", "Streams watched by all workers together.", "none", "sum(driftbus_streams)")),
        (4, 4, stat("Episodes open", "Changes of the world that go on now, over all streams.", "none",
                    "sum(driftbus_drift_episode_open)", steps=RED_ABOVE_0)),
        (4, 4, stat("Retrains in flight", "Requests that wait for their model.", "none",
                    "sum(driftbus_retrain_request_in_flight)", steps=ORANGE_ABOVE_0)),
        (4, 4, stat("Outcomes", "Predictions joined with their label, per second.", "ops",
                    "sum(rate(driftbus_published_records_total{topic=\"outcomes\"}[$__rate_interval]))")),
        (4, 4, stat("Lag", "Records that wait in the input topics.", "short", "sum(driftbus_consumer_lag_records)",
                    steps=[(None, "green"), (10_000, "orange"), (100_000, "red")])),
        (4, 4, stat("Workers ready", "Workers that are connected and restored.", "none", "sum(driftbus_ready)",
                    steps=GREEN_FROM_1)),
    ]  # fmt: skip


def streams() -> list[tuple[int, int, Json]]:
    metric = f'{STREAM},metric="$metric"'
    return [
        (16, 10, lines(
            "$metric, over the last $window", "The production model, over a sliding window. Red lines: an episode "
            "opened.", "short",
            [target(f'max by (stream) (driftbus_model_metric_window{{{metric},window="$window"}})', "{{stream}}")],
        )),
        (8, 10, panel(
            "bargauge", "Worst streams", "The ten streams with the highest error over the window; a stream without "
            "an error metric is not here.", "short",
            [target('topk(10, max by (stream) (driftbus_model_metric_window{metric=~"error|mae",window="$window"}))',
                    "{{stream}}", instant=True)],
            defaults={"thresholds": {"mode": "absolute", "steps": [{"value": None, "color": "blue"}]}, "min": 0},
            options={"orientation": "horizontal", "displayMode": "basic",
                     "reduceOptions": {"calcs": ["lastNotNull"]}},
        )),
        (12, 8, lines(
            "Production beside the challenger: $metric", "Since deployment. A challenger that is clearly better says "
            "that learning from recent rows would help.", "short",
            [target(f"max by (stream) (driftbus_model_metric{{{metric}}})", "{{stream}} production"),
             target(f"max by (stream) (driftbus_challenger_metric{{{metric}}})", "{{stream}} challenger")],
        )),
        (12, 8, lines(
            "Events per second", "Predictions and outcomes. Outcomes trail predictions by the delay of the labels.",
            "ops",
            [target(f"sum by (stream) (rate(driftbus_predictions_total{{{STREAM}}}[$__rate_interval]))",
                    "{{stream}} predictions"),
             target(f"sum by (stream) (rate(driftbus_outcomes_total{{{STREAM}}}[$__rate_interval]))",
                    "{{stream}} outcomes")],
        )),
        (24, 8, panel(
            "table", "What they are", "Task, model version, partition and configured labels of each stream, and how "
            "many versions are watched side by side.", "none",
            [target(f"driftbus_stream_info{{{STREAM}}} * on (stream, instance) group_left () "
                    f"driftbus_model_versions{{{STREAM}}}", "", instant=True, table=True)],
            transformations=[{"id": "organize", "options": {
                "excludeByName": {"Time": True, "__name__": True, "job": True},
                "renameByName": {"Value": "versions", "model_version": "model"}}}],
        )),
    ]  # fmt: skip


def episodes() -> list[tuple[int, int, Json]]:
    return [
        (12, 8, lines(
            "Episodes open", "By category. `concept`: the error changed. `data`, `prediction`: inputs or answers "
            "moved. `quality`: values are missing, unseen or out of range.", "none",
            [target(f"sum by (category) (driftbus_drift_episode_open{{{STREAM}}})", "{{category}}")], stacked=True,
        )),
        (12, 8, lines(
            "Episodes opened and closed", "Per hour; closed ones carry the verdict.", "none",
            [target(f"sum by (category) (increase(driftbus_drift_episodes_opened_total{{{STREAM}}}[1h]))",
                    "opened: {{category}}"),
             target(f"sum by (kind) (increase(driftbus_drift_episodes_total{{{STREAM}}}[1h]))", "closed: {{kind}}"),
             target(f"sum(increase(driftbus_stream_resets_total{{{STREAM}}}[1h]))", "signals begun anew")],
            bars=True,
        )),
        (12, 8, lines(
            "Retrain requests", "Per hour, by reason.", "none",
            [target(f"sum by (reason) (increase(driftbus_retrain_requests_total{{{STREAM}}}[1h]))", "{{reason}}")],
            bars=True, stacked=True,
        )),
        (6, 8, panel(
            "table", "Drifted last", "Streams by how long ago their last episode opened.", "s",
            [target(f"sort(time() - max by (stream) (driftbus_last_drift_timestamp_seconds{{{STREAM}}}))",
                    "{{stream}}", instant=True, table=True)],
            transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True},
                                                            "renameByName": {"Value": "ago"}}}],
        )),
        (6, 8, panel(
            "table", "Retrains in flight", "Streams whose trainer has been asked and has not delivered.", "none",
            [target(f"max by (stream) (driftbus_retrain_request_in_flight{{{STREAM}}}) == 1", "{{stream}}",
                    instant=True, table=True)],
            transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}],
        )),
    ]  # fmt: skip


def labels() -> list[tuple[int, int, Json]]:
    return [
        (8, 8, lines(
            "Label delay", "Event time from prediction to label: half and nineteen in twenty of those that came "
            "lately. It must stay well below `join.horizon`.", "s",
            [target(f"histogram_quantile({q}, sum by (le) (rate(driftbus_label_delay_seconds_bucket[$__rate_interval])))",
                    name) for q, name in ((0.5, "p50"), (0.95, "p95"))],
        )),
        (8, 8, lines(
            "Labels that made no outcome, and corrections", "Per second. Late: the prediction had expired; orphan: "
            "nobody made it; duplicate: known already.", "ops",
            [target(f"sum by (reason) (rate(driftbus_labels_unmatched_total{{{STREAM}}}[$__rate_interval]))",
                    "{{reason}}"),
             target(f"sum(rate(driftbus_duplicate_predictions_total{{{STREAM}}}[$__rate_interval]))",
                    "predictions sent twice"),
             target(f"sum(rate(driftbus_label_corrections_total{{{STREAM}}}[$__rate_interval]))", "corrections"),
             target(f"sum(rate(driftbus_unknown_retrain_request_ids_total{{{STREAM}}}[$__rate_interval]))",
                    "model events with an unknown request")],
        )),
        (8, 8, lines(
            "Age of the last event", "Since the last prediction and the last label (event time).", "s",
            [target(f"time() - max by (stream) (driftbus_last_prediction_timestamp_seconds{{{STREAM}}})",
                    "{{stream}} prediction"),
             target(f"time() - max by (stream) (driftbus_last_label_timestamp_seconds{{{STREAM}}})",
                    "{{stream}} label")],
        )),
    ]  # fmt: skip


def itself() -> list[tuple[int, int, Json]]:
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
        (24, 7, panel(
            "table", "Workers", "Who runs, which version, for how long.", "s",
            [target("max by (instance, group, worker_id) (driftbus_worker_info * on (instance) group_left () "
                    "driftbus_uptime_seconds)", "", instant=True, table=True),
             target("max by (instance, version, bus) (driftbus_build_info)", "", instant=True, table=True)],
            transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": {
                "excludeByName": {"Time": True, "Value #B": True}, "renameByName": {"Value #A": "up for"}}}],
        )),
    ]  # fmt: skip


def rows() -> list[Json]:
    """All panels in place: each row of the grid filled from the left."""
    placed: list[Json] = []
    top = 0
    for title, panels in (
        (None, overview()), ("Streams", streams()), ("Episodes and requests", episodes()), ("Labels", labels()),
        ("driftbus itself", itself()),
    ):  # fmt: skip
        if title is not None:
            placed.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                           "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}})  # fmt: skip
            top += 1
        left, tallest = 0, 0
        for width, height, one in panels:
            if left + width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            placed.append(one | {"gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return [one | {"id": number} for number, one in enumerate(placed, start=1)]


def variable(name: str, label: str, query: str, *, many: bool, current: str | None) -> Json:
    chosen = {"text": ["All"], "value": ["$__all"]} if many else {"text": current, "value": current}
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
        "multi": many, "includeAll": many, "allValue": ".*" if many else None, "current": chosen,
    }  # fmt: skip


def dashboard() -> Json:
    return {
        "uid": "driftbus",
        "title": "driftbus",
        "description": "Models in production: their error, what changed, what was asked for, and driftbus itself.",
        "tags": ["driftbus", "drift", "mlops"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [],
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
             "current": {"text": "Prometheus", "value": "prometheus"}},
            variable("stream", "Stream", "label_values(driftbus_predictions_total, stream)", many=True, current=None),
            variable("metric", "Metric", "label_values(driftbus_model_metric, metric)", many=False, current="error"),
            variable("window", "Window", "label_values(driftbus_model_metric_window, window)", many=False,
                     current="1000"),
        ]},
        "annotations": {"list": [{
            "name": "Drift",
            "datasource": DATASOURCE,
            "enable": True,
            "iconColor": "red",
            # The value is the moment itself, so that a mark stands where the episode opened in event time.
            "expr": f"max by (stream) (driftbus_last_drift_timestamp_seconds{{{STREAM}}}) * 1000",
            "useValueForTime": True,
            "titleFormat": "Drift of {{stream}}",
            "textFormat": "An episode opened.",
            "tagKeys": "stream",
            "step": "60s",
        }]},
        "panels": rows(),
    }  # fmt: skip


def text() -> str:
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUT.write_text(text())

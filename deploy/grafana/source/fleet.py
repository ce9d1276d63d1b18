"""All streams at a glance: which are well, which are not, and who is asked for what."""

# ruff: noqa: E501  an expression or a description on one line reads and compares best

from __future__ import annotations

from pieces import (
    GREEN_FROM_1,
    MARKS,
    ORANGE_ABOVE_0,
    PAGE,
    RED_ABOVE_0,
    RUNBOOKS,
    STREAM,
    Json,
    Placed,
    alerts,
    choice,
    dashboard,
    lines,
    link,
    panel,
    stat,
    table,
    target,
)


def overview() -> list[Placed]:
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


def models() -> list[Placed]:
    metric = f'{STREAM},metric="$metric"'
    return [
        (16, 10, lines(
            "$metric, over the last $window", "The production models, over a sliding window; the ten highest now. Red marks: an "
            "episode opened; orange: a retrain was asked for; blue: a model was deployed.", "short",
            [target(f'topk(10, max by (stream) (driftbus_model_metric_window{{{metric},window="$window"}}))', "{{stream}}")],
        )),
        (8, 10, panel(
            "bargauge", "Worst streams", "The ten streams with the highest error over the window; a stream without "
            "an error metric is not here.", "short",
            [target(f'topk(10, max by (stream) (driftbus_model_metric_window{{{STREAM},metric=~"error|mae",window="$window"}}))',
                    "{{stream}}", instant=True)],
            defaults={"thresholds": {"mode": "absolute", "steps": [{"value": None, "color": "blue"}]}, "min": 0},
            options={"orientation": "horizontal", "displayMode": "basic",
                     "reduceOptions": {"calcs": ["lastNotNull"]}},
        )),
        (12, 9, alerts("Alerts on streams", f',stream!="",{STREAM}')),
        (12, 9, table(
            "Episodes open", "Streams with a change that goes on now, by category.", "none",
            [target(f"sum by (stream, category) (driftbus_drift_episode_open{{{STREAM}}}) > 0", "", instant=True, table=True)],
            rename={"Value": "open"},
        )),
    ]  # fmt: skip


def episodes() -> list[Placed]:
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
        (6, 8, table(
            "Drifted last", "Streams by how long ago their last episode opened.", "s",
            [target(f"sort(time() - max by (stream) (driftbus_last_drift_timestamp_seconds{{{STREAM}}}))",
                    "{{stream}}", instant=True, table=True)],
            rename={"Value": "ago"},
        )),
        (6, 8, table(
            "Retrains in flight", "Streams whose trainer has been asked and has not delivered, and for how long.", "s",
            [target(f"time() - max by (stream) (driftbus_last_retrain_request_timestamp_seconds{{{STREAM}}}) "
                    f"and on (stream) (max by (stream) (driftbus_retrain_request_in_flight{{{STREAM}}}) == 1)", "{{stream}}",
                    instant=True, table=True)],
            rename={"Value": "since"},
        )),
    ]  # fmt: skip


def labels() -> list[Placed]:
    return [
        (12, 8, lines(
            "Labels that find no prediction", "Share of a stream's labels that were late or orphans, over an hour; the ten highest. "
            "Above a tenth for half an hour it alerts.", "percentunit",
            [target(f"topk(10, stream:driftbus_labels_unmatched:ratio_rate1h{{{STREAM}}})", "{{stream}}")],
            defaults={"min": 0},
        )),
        (12, 8, lines(
            "Oldest last label", "Since a stream's last label (event time); the ten oldest. Its error is blind for so long.", "s",
            [target(f"topk(10, time() - max by (stream) (driftbus_last_label_timestamp_seconds{{{STREAM}}}))", "{{stream}}")],
        )),
        (24, 9, table(
            "What they are", "Task, model version, partition and configured labels of each stream, and how "
            "many versions are watched side by side.", "none",
            [target(f"driftbus_stream_info{{{STREAM}}} * on (stream, instance) group_left () "
                    f"driftbus_model_versions{{{STREAM}}}", "", instant=True, table=True)],
            rename={"Value": "versions", "model_version": "model"},
        )),
    ]  # fmt: skip


def build() -> Json:
    return dashboard(
        "driftbus", "driftbus: all streams",
        "Models in production: their error, what changed, what was asked for.",
        [(None, overview()), ("Models", models()), ("Episodes and requests", episodes()), ("Labels, and what they are", labels())],
        variables=[
            choice("stream", "Stream", "label_values(driftbus_predictions_total, stream)", many=True),
            choice("metric", "Metric", "label_values(driftbus_model_metric, metric)", many=False, current="error"),
            choice("window", "Window", "label_values(driftbus_model_metric_window, window)", many=False, current="1000"),
            PAGE, RUNBOOKS,
        ],
        annotations=MARKS,
        links=[link("driftbus's page", "${page}/"), link("Runbooks", "${runbooks}/")],
    )  # fmt: skip

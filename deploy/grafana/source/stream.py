"""One stream: its error and the challenger's, its episodes and requests, its labels."""

# ruff: noqa: E501  an expression or a description on one line reads and compares best

from __future__ import annotations

from pieces import (
    MARKS,
    ORANGE_ABOVE_0,
    PAGE,
    RED_ABOVE_0,
    RUNBOOKS,
    Json,
    Placed,
    alerts,
    choice,
    dashboard,
    lines,
    link,
    stat,
    table,
    target,
)

ONE = 'stream="$stream"'


def overview() -> list[Placed]:
    return [
        (4, 4, stat("Error", "Of the production model over the last 1,000 outcomes: share of wrong answers, or mean absolute error.", "short",
                    f'max(driftbus_model_metric_window{{{ONE},metric=~"error|mae",window="1000"}})')),
        (4, 4, stat("Episodes open", "Changes that go on now, of all categories.", "none",
                    f"sum(driftbus_drift_episode_open{{{ONE}}})", steps=RED_ABOVE_0)),
        (4, 4, stat("Retrain in flight", "1 while a request waits for its model.", "none",
                    f"max(driftbus_retrain_request_in_flight{{{ONE}}})", steps=ORANGE_ABOVE_0)),
        (4, 4, stat("Last deployment", "How long the production model has been there (event time).", "s",
                    f"time() - max(driftbus_last_deployment_timestamp_seconds{{{ONE}}})")),
        (4, 4, stat("Last label", "Since the last label (event time).", "s",
                    f"time() - max(driftbus_last_label_timestamp_seconds{{{ONE}}})")),
        (4, 4, stat("Outcomes", "Predictions joined with their label, in all.", "short",
                    f"max(driftbus_outcomes_total{{{ONE}}})")),
    ]  # fmt: skip


def model() -> list[Placed]:
    metric = f'{ONE},metric="$metric"'
    return [
        (24, 10, lines(
            "$metric, over the last $window", "The production model over a sliding window. Red marks: an episode opened; orange: a retrain "
            "was asked for; blue: a model was deployed.", "short",
            [target(f'max(driftbus_model_metric_window{{{metric},window="$window"}})', "production")],
        )),
        (12, 8, lines(
            "Production beside the challenger: $metric", "Since deployment. A challenger that is clearly better says "
            "that learning from recent rows would help.", "short",
            [target(f"max(driftbus_model_metric{{{metric}}})", "production"),
             target(f"max(driftbus_challenger_metric{{{metric}}})", "challenger"),
             target(f"max(driftbus_estimated_metric{{{metric}}})", "expected of predictions without labels")],
        )),
        (12, 8, lines(
            "Every metric over the last $window", "All that are computed for the task of this stream.", "short",
            [target(f'max by (metric) (driftbus_model_metric_window{{{ONE},window="$window"}})', "{{metric}}")],
        )),
    ]  # fmt: skip


def episodes() -> list[Placed]:
    return [
        (8, 8, lines(
            "Episodes open", "By category. `concept`: the error changed. `data`, `prediction`: inputs or answers "
            "moved. `quality`: values are missing, unseen or out of range.", "none",
            [target(f"sum by (category) (driftbus_drift_episode_open{{{ONE}}})", "{{category}}")], stacked=True,
        )),
        (8, 8, lines(
            "Episodes opened, requests sent", "In all; a step up is one more.", "none",
            [target(f"sum by (category) (driftbus_drift_episodes_opened_total{{{ONE}}})", "episode: {{category}}"),
             target(f"sum by (reason) (driftbus_retrain_requests_total{{{ONE}}})", "request: {{reason}}")],
        )),
        (8, 8, alerts("Alerts", f",{ONE}")),
    ]  # fmt: skip


def labels() -> list[Placed]:
    return [
        (12, 8, lines(
            "Events per second", "Predictions and outcomes. Outcomes trail predictions by the delay of the labels.", "ops",
            [target(f"sum(stream:driftbus_predictions:rate5m{{{ONE}}})", "predictions"),
             target(f"sum(stream:driftbus_outcomes:rate5m{{{ONE}}})", "outcomes")],
        )),
        (12, 8, lines(
            "Labels without an outcome, corrections, repetitions", "Per second. Late: the prediction had expired; orphan: nobody "
            "made it; duplicate: known already.", "ops",
            [target(f"sum by (reason) (rate(driftbus_labels_unmatched_total{{{ONE}}}[$__rate_interval]))", "{{reason}}"),
             target(f"sum(rate(driftbus_duplicate_predictions_total{{{ONE}}}[$__rate_interval]))", "predictions sent twice"),
             target(f"sum(rate(driftbus_label_corrections_total{{{ONE}}}[$__rate_interval]))", "corrections"),
             target(f"sum(rate(driftbus_unknown_retrain_request_ids_total{{{ONE}}}[$__rate_interval]))",
                    "model events with an unknown request")],
        )),
        (24, 5, table(
            "What it is", "Task, model version, partition, and the labels its owner gave it.", "none",
            [target(f"driftbus_stream_info{{{ONE}}}", "", instant=True, table=True)],
            hide=("Value",), rename={"model_version": "model"},
        )),
    ]  # fmt: skip


def build() -> Json:
    return dashboard(
        "driftbus-stream", "driftbus: one stream",
        "One model in production: its error, what changed and when, what was asked for.",
        [(None, overview()), ("Model", model()), ("Episodes and requests", episodes()), ("Events and labels", labels())],
        variables=[
            choice("stream", "Stream", "label_values(driftbus_predictions_total, stream)", many=False),
            choice("metric", "Metric", "label_values(driftbus_model_metric, metric)", many=False, current="error"),
            choice("window", "Window", "label_values(driftbus_model_metric_window, window)", many=False, current="1000"),
            PAGE, RUNBOOKS,
        ],
        annotations=MARKS,
        links=[link("This stream's page", "${page}/#/stream/${stream}"), link("Runbooks", "${runbooks}/")],
    )  # fmt: skip

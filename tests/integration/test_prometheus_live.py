"""Debian's Prometheus scrapes a running `driftbus worker`; every expression we ship is asked of it.

No Grafana runs here: what it would ask for, variables filled in, is asked instead. Names that would break a
careless writer come from a source of ready views.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftbus.adapters.http import metric_table as t
from driftbus.adapters.http.server import HttpServer
from tests.integration.alertmanager_server import Alertmanager, alertmanager
from tests.integration.live_ingest import live_ingest
from tests.integration.live_source import LiveSource
from tests.integration.live_worker import STREAMS, LiveWorker, live_worker
from tests.integration.prometheus_server import RULES, Prometheus, prometheus

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana/dashboards").glob("*.json"))
EVERY_METRIC = (*t.ALL_METRICS, *t.INGEST_METRICS)
# What Grafana puts for its variables. The rate interval is four scrapes there (of 15 s), here too (of 1 s).
FILLED = {"$__rate_interval": "4s", "$metric": "error", "$window": "1000"}
# Where one stream is looked at, it is the one in trouble.
CHOSEN = {"driftbus-stream": "churn"}
# Streams that would break a careless writer.
HOSTILE = ['quo"te', "back\\slash", "new\nline", "nul\0", "cr\r", "brace}{", "漢字", "{{x}}", "50 %"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWorker]:
    with live_worker(tmp_path_factory.mktemp("worker")) as running:
        yield running


@pytest.fixture(scope="module")
def alerting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager"), teams={"demo": "risk"}) as running:
        yield running


@pytest.fixture(scope="module")
def live(
    worker: LiveWorker, alerting: Alertmanager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus over the worker, once `fraud` is retrained and `churn` waits for it."""
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        live_ingest(folder, worker) as ingest,
        prometheus(
            folder, [f"127.0.0.1:{port}" for port in (worker.port, ingest)], alertmanager=alerting.address
        ) as running,
    ):
        worker.go_on()
        running.wait_for('driftbus_drift_episode_open{stream="churn",category="concept"} == 1')
        running.wait_for('driftbus_stream_info{stream="fraud",model_version="v2"}')
        # Enough scrapes for a rate over four of them, and for rules that use recorded series.
        running.wait_for('count_over_time(up{job="driftbus"}[1m]) >= 8 and up == 1')
        running.wait_for("count(ALERTS)")
        yield running


def dashboards() -> Iterator[dict[str, Any]]:
    assert len(DASHBOARDS) == 3
    for path in DASHBOARDS:
        yield json.loads(path.read_text())


def filled(board: dict[str, Any], expr: str) -> str:
    stream = CHOSEN.get(board["uid"], ".*")
    # What scores foretell is not believed of a stream in trouble, and then not shown.
    stream = "steady" if stream == "churn" and "driftbus_estimated_metric" in expr else stream
    for name, value in {**FILLED, "$stream": stream}.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, f"a variable nobody fills in: {expr}"
    return expr


def panel_exprs() -> list[tuple[str, str]]:
    return [
        (f"{board['uid']}: {panel['title']} {target['refId']}", filled(board, target["expr"]))
        for board in dashboards()
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


def mark_exprs() -> list[tuple[str, str]]:
    return [
        (f"{board['uid']}: {mark['name']}", filled(board, mark["expr"]))
        for board in dashboards()
        for mark in board["annotations"]["list"]
    ]


def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def all_exprs() -> list[tuple[str, str]]:
    ruled = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    return panel_exprs() + mark_exprs() + ruled


def assert_data(live: Prometheus, what: str, expr: str) -> None:
    found = live.query(expr)
    assert found, f"{what}: no data from {expr}"
    values = [sample["value"][1] for sample in found]
    assert "NaN" not in values, f"{what}: NaN from {expr}"


@pytest.mark.parametrize(("title", "expr"), panel_exprs(), ids=lambda v: v[:50])
def test_every_panel_has_data(live: Prometheus, title: str, expr: str) -> None:
    assert_data(live, title, expr)


def test_annotations_name_moments_in_milliseconds(live: Prometheus, worker: LiveWorker) -> None:
    view = worker.json("/api/streams/churn")["view"]
    shown = {"Episodes": "last_drift_ms", "Requests": "last_request_ms", "Deployments": "last_deployment_ms"}
    marked = mark_exprs()
    assert len(marked) == 2 * len(shown)
    for name, expr in marked:
        assert_data(live, name, expr)
        found = {s["metric"]["stream"]: float(s["value"][1]) for s in live.query(expr)}
        assert found["churn"] == pytest.approx(view[shown[name.split(": ")[1]]])
        # The past that was fed begins 1,650 rows, four seconds each, ago.
        assert time.time() * 1000 - 10_000_000 < found["churn"] < time.time() * 1000


def test_every_variable_has_values(live: Prometheus) -> None:
    variables = [one for board in dashboards() for one in board["templating"]["list"]]
    assert {one["type"] for one in variables} == {"datasource", "query", "textbox"}
    for one in variables:
        if one["type"] != "query":
            continue
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["definition"]).groups()  # type: ignore[union-attr]
        values = live.get(f"label/{label}/values", **{"match[]": name})
        assert values, one["name"]
        if not one["includeAll"] and one["current"]:
            assert one["current"]["value"] in values


def test_every_rule_runs_and_every_recording_has_data(live: Prometheus) -> None:
    running = [rule for group in live.get("rules")["groups"] for rule in group["rules"]]
    assert len(running) == len(rules())
    for rule in running:
        assert rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}"
    for rule in rules():
        if "record" in rule:
            assert_data(live, rule["record"], rule["record"])
        else:
            # An alert is silent as a rule: what it compares must be there all the same.
            # The owner of a stream is joined to what is within brackets.
            if found := re.fullmatch(
                r"\(\n(.*)\n\)\n\* on \(stream\) group_left.*\n", rule["expr"], re.DOTALL
            ):
                assert_data(live, rule["alert"], "stream:driftbus_owner:info")
            for side in re.split(r"\band\b", found[1] if found else rule["expr"]):
                compared = re.sub(r"(==|<|>)\s*[\d.]+\s*$", "", side.strip())
                assert compared != side.strip(), f"{rule['alert']} compares with no number"
                assert_data(live, rule["alert"], compared.strip())


def test_the_alert_for_an_open_episode_fires(live: Prometheus) -> None:
    found = live.wait_for('ALERTS{alertname="DriftbusConceptDrift",alertstate="firing"}')
    # fraud's ended with its new model; the owner is the one of the configuration.
    assert {(sample["metric"]["stream"], sample["metric"]["team"]) for sample in found} == {("churn", "risk")}


def test_the_alert_reaches_its_owner(live: Prometheus, alerting: Alertmanager) -> None:
    """Through a real Alertmanager with the routes that are shipped, and the team of this configuration."""
    told = alerting.wait_for("team-demo", "DriftbusConceptDrift")
    assert (told["labels"]["stream"], told["labels"]["team"]) == ("churn", "risk")
    assert told["labels"]["severity"] == "warning"
    assert told["annotations"]["runbook_url"] == "docs/runbooks/DriftbusConceptDrift.md"
    # What has no owner goes to everybody, and nothing here is critical.
    assert alerting.heard("on-call") == []


def test_no_expression_names_a_metric_that_does_not_exist() -> None:
    known = {name for metric in EVERY_METRIC for name in metric.sample_names}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for what, expr in all_exprs():
        for name in re.findall(r"[a-z_:0-9]*driftbus_[a-z_:0-9]+", expr):
            assert name in known | recorded, f"{what} names {name}"


def test_every_metric_is_used_or_left_out_on_purpose() -> None:
    used = {name for _, expr in all_exprs() for name in re.findall(r"driftbus_[a-z_0-9]+", expr)}
    unused = {m.name for m in EVERY_METRIC if not used & set(m.sample_names)}
    assert unused == set()


def test_everything_written_arrives_under_its_name(live: Prometheus) -> None:
    names = set(live.get("label/__name__/values"))
    for metric in EVERY_METRIC:
        assert set(metric.sample_names) <= names, metric.name


def test_the_numbers_are_those_of_the_traffic(live: Prometheus) -> None:
    def one(expr: str) -> float:
        [sample] = live.query(expr)
        return float(sample["value"][1])

    assert {s["metric"]["stream"] for s in live.query("driftbus_outcomes_total")} == set(STREAMS)
    assert one('driftbus_model_metric_window{stream="churn",metric="error",window="1000"}') > 0.3
    assert one('driftbus_model_metric{stream="fraud",metric="error"}') < 0.2  # v2, since its deployment
    assert one('driftbus_model_metric{stream="prices",metric="mae"}') == pytest.approx(0.8, abs=0.2)
    assert one('driftbus_challenger_metric{stream="steady",metric="error"}') < 0.5
    assert one('driftbus_stream_info{stream="prices",task="regression",team="risk"}') == 1
    assert one('driftbus_retrain_request_in_flight{stream="churn"}') == 1
    assert one('driftbus_retrain_request_in_flight{stream="fraud"}') == 0
    assert one('sum(driftbus_retrain_requests_total{stream="steady"})') == 0
    assert one('driftbus_labels_unmatched_total{stream="churn",reason="late"}') == 0
    assert one('driftbus_unknown_retrain_request_ids_total{stream="churn"}') > 0
    assert one('driftbus_misrouted_records_total{topic="labels"}') > 0
    for topic, reason in (
        ("predictions", "not_json"),
        ("predictions", "too_long"),
        ("labels", "bad_timestamp"),
    ):
        assert one(f'driftbus_dead_letters_total{{topic="{topic}",reason="{reason}"}}') > 0
    assert 0 < one("time() - min(driftbus_last_label_timestamp_seconds)") + 30 < 60
    assert one('driftbus_model_versions{stream="steady"}') == 2
    # Three quarters of the delays are within the past, up to 30 s of event time.
    assert one("driftbus_label_delay_seconds_sum / driftbus_label_delay_seconds_count") == pytest.approx(
        15, abs=2
    )


@pytest.fixture(scope="module")
def source() -> LiveSource:
    return LiveSource(int(time.time() * 1000), ["fraud", "control", *HOSTILE])


@pytest.fixture(scope="module")
def over_views(source: LiveSource, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with HttpServer(source, "127.0.0.1", 0) as server:
        host, port = server.address
        with prometheus(tmp_path_factory.mktemp("views"), [f"{host}:{port}"]) as running:
            running.wait_for("up == 1")
            yield running


def test_any_name_arrives_as_it_is(over_views: Prometheus, source: LiveSource) -> None:
    found = over_views.wait_for("driftbus_outcomes_total")
    shown = {sample["metric"]["stream"] for sample in found}
    assert len(shown) == len(source.names)
    assert {name for name in source.names if name.isprintable()} <= shown
    assert "new\nline" in shown


def test_a_revoked_stream_vanishes_with_the_next_scrape(over_views: Prometheus, source: LiveSource) -> None:
    over_views.wait_for('driftbus_outcomes_total{stream="control"}')
    whole = source.streams
    source.streams = lambda: [view for view in whole() if view.stream != "control"]  # type: ignore[method-assign]
    try:
        # Prometheus marks a series that is missing from a scrape as stale: it does not linger for minutes.
        over_views.wait_for('absent(driftbus_outcomes_total{stream="control"})', within_s=20)
    finally:
        source.streams = whole  # type: ignore[method-assign]

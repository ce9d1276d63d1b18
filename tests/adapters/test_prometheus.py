"""The page that Prometheus reads, read back with foreign parsers."""

from __future__ import annotations

import dataclasses
import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from driftbus.adapters.http import metric_table as t
from driftbus.adapters.http.exposition import escape, label_name
from driftbus.adapters.http.prometheus import Exposition, choose_streams
from driftbus.core.views import HistogramView, StreamView
from tests.integration.live_source import LiveSource

NOW_MS = 1_767_225_600_000


def page(source: LiveSource, *, openmetrics: bool = False) -> str:
    return Exposition().page(source.worker(), source.streams(), openmetrics=openmetrics).decode()


def samples(text: str, *, openmetrics: bool = False) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    read = read_openmetrics if openmetrics else read_text
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in read(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def test_the_table_names_each_metric_once_in_the_conventions() -> None:
    names = [m.name for m in t.ALL_METRICS]
    assert len(set(names)) == len(names)
    for m in t.ALL_METRICS:
        assert m.name.startswith(t.PREFIX)
        assert m.name.endswith("_total") == (m.kind == "counter"), m.name
        assert m.name.endswith("_info") == (m.kind == "info"), m.name
        assert not m.unit or m.family.endswith(f"_{m.unit}"), m.name
        assert m.help.endswith("."), m.name


def test_the_documentation_lists_the_table() -> None:
    written = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    assert written == t.as_markdown(), "python -m driftbus.adapters.http.metric_table > docs/metrics.md"


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_metric_of_the_table_is_written_with_its_kind_and_labels(openmetrics: bool) -> None:
    text = page(LiveSource(NOW_MS), openmetrics=openmetrics)
    read = read_openmetrics if openmetrics else read_text
    families = {f.name: f for f in read(text) if f.name.startswith(t.PREFIX)}
    expected = {}
    for m in t.ALL_METRICS:
        # The text parser of the Python client names a counter's family as OpenMetrics does, but not infos.
        expected[m.name if m.kind == "info" and not openmetrics else m.family] = m
    assert families.keys() == expected.keys()
    for name, metric in expected.items():
        kind = "gauge" if metric.kind == "info" and not openmetrics else metric.kind
        assert families[name].type == kind
        assert families[name].documentation == metric.help
        for sample in families[name].samples:
            assert sample.name in metric.sample_names
            labels = set(sample.labels) - ({"le"} if metric.kind == "histogram" else set())
            if metric is t.STREAM_INFO:
                assert labels == {*metric.labels, "team"} | (labels & {"severity"})
            else:
                assert labels == set(metric.labels)


def test_both_formats_say_the_same() -> None:
    source = LiveSource(NOW_MS)
    worker, streams = source.worker(), source.streams()
    text = samples(Exposition().page(worker, streams, openmetrics=False).decode())
    other = samples(Exposition().page(worker, streams, openmetrics=True).decode(), openmetrics=True)

    def ours(found: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> dict[object, float]:
        return {key: value for key, value in found.items() if key[0].startswith(t.PREFIX)}

    assert ours(text) == ours(other)
    assert ("process_cpu_seconds_total", frozenset()) in text.keys() & other.keys()


def test_promtool_is_content() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page(LiveSource(NOW_MS)), capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if line.startswith(t.PREFIX)]
    assert not complaints
    assert done.returncode == 0, done.stderr


def test_numbers_come_from_the_views() -> None:
    source = LiveSource(NOW_MS, ["fraud", "calm"], drifted=1)
    found = samples(page(source))

    def value(name: str, **labels: str) -> float | None:
        return found.get((f"driftbus_{name}", frozenset(labels.items())))

    view = source._view("fraud")
    assert value("outcomes_total", stream="fraud") == view.outcomes_total
    assert value("model_metric", stream="fraud", metric="f1") == pytest.approx(view.metrics["f1"])
    assert value("model_metric_window", stream="fraud", metric="f1", window="1h") == pytest.approx(
        view.windowed["1h"]["f1"]
    )
    assert value("last_drift_timestamp_seconds", stream="fraud") == view.last_drift_ms / 1000  # type: ignore[operator]
    assert value("last_drift_timestamp_seconds", stream="calm") is None
    at = {
        one: value(f"last_{one}_timestamp_seconds", stream="fraud")
        for one in ("retrain_request", "deployment")
    }
    assert at == {
        "retrain_request": view.last_request_ms / 1000,
        "deployment": view.last_deployment_ms / 1000,
    }  # type: ignore[operator]
    # Born at 0, so that increase() sees the first one.
    for category in ("concept", "data", "prediction", "quality"):
        assert value("drift_episodes_opened_total", stream="calm", category=category) == 0
    for reason in ("drift", "performance", "schedule", "manual"):
        assert value("retrain_requests_total", stream="calm", reason=reason) == 0
    assert value("retrain_requests_total", stream="fraud", reason="drift") == 1
    assert value("drift_episodes_total", stream="fraud", category="concept", kind="sudden") == 1
    assert value("drift_episodes_total", stream="fraud", category="concept", kind="gradual") == 0
    assert value("dead_letters_total", topic="model-events", reason="not_json") == 0
    assert value("dead_letters_total", topic="predictions", reason="not_json") == 3
    assert value("consumer_lag_records", topic="predictions", partition="1") == 21


def test_muted_episodes_are_told_from_those_that_alert() -> None:
    source = LiveSource(NOW_MS, ["fraud", "calm"], drifted=1)
    view = source._view("fraud")
    heard = source._episode("fraud", open_=True)
    muted = dataclasses.replace(heard, muted=True)
    views = [dataclasses.replace(view, open_episodes=(heard, muted, muted)), source._view("calm")]
    found = samples(Exposition().page(source.worker(), views, openmetrics=False).decode())
    at = frozenset({("stream", "fraud"), ("category", heard.category)})
    assert found["driftbus_drift_episode_open", at] == 3
    assert found["driftbus_drift_episode_muted", at] == 2
    # A stream in which nothing was ever opened has no line of it.
    assert {dict(labels)["stream"] for name, labels in found if name == "driftbus_drift_episode_muted"} == {
        "fraud"
    }


def test_a_histogram_counts_up_to_each_bound() -> None:
    delays = HistogramView((1.0, 10.0), (2, 1, 1), 102.6)
    worker = dataclasses.replace(LiveSource(NOW_MS).worker(), label_delay=delays)
    text = Exposition().page(worker, [], openmetrics=True).decode()
    rows = [line for line in text.splitlines() if line.startswith("driftbus_label_delay_seconds_")]
    assert rows == [
        'driftbus_label_delay_seconds_bucket{le="1.0"} 2',
        'driftbus_label_delay_seconds_bucket{le="10.0"} 3',
        'driftbus_label_delay_seconds_bucket{le="+Inf"} 4',
        "driftbus_label_delay_seconds_sum 102.6",
        "driftbus_label_delay_seconds_count 4",
    ]


NAMES = st.text(min_size=1, max_size=30)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.dictionaries(NAMES, NAMES, max_size=3))
def test_hostile_names_change_no_line(names: list[str], labels: dict[str, str]) -> None:
    views = [
        StreamView(stream=name, partition=0, labels=labels, metrics={"a%s": 1.0, names[0]: 0.5})
        for name in names
    ]
    worker = LiveSource(NOW_MS).worker()
    for openmetrics in (False, True):
        text = Exposition().page(worker, views, openmetrics=openmetrics).decode()
        shown = [
            dict(labels)["stream"]
            for (name, labels) in samples(text, openmetrics=openmetrics)
            if name == "driftbus_predictions_total"
        ]
        visible = [name for name in names if escape(name) == name or name.isprintable()]
        assert len(shown) == len(names)
        assert set(visible) <= set(shown)


@given(NAMES)
def test_an_escaped_value_holds_nothing_that_ends_it(value: str) -> None:
    escaped = escape(value)
    bare = escaped.replace("\\\\", "").replace('\\"', "").replace("\\n", "")
    assert '"' not in bare
    assert "\n" not in escaped
    assert "\0" not in escaped
    escaped.encode()


def test_configured_labels_never_displace_our_own() -> None:
    own = t.STREAM_INFO.labels
    assert [label_name(key, own) for key in ("team", "cost-centre", "9x", "__x", "stream", "")] == [
        "team", "cost_centre", "label_9x", "label___x", "label_stream", "label_",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_still_read(value: float) -> None:
    view = StreamView(stream="x", partition=0, metrics={"f1": 0.5, "log_loss": value})
    worker = LiveSource(NOW_MS).worker()
    text = Exposition().page(worker, [view], openmetrics=True).decode()
    found = samples(text, openmetrics=True)
    shown = found["driftbus_model_metric", frozenset({("stream", "x"), ("metric", "log_loss")})]
    assert shown == value or (math.isnan(shown) and math.isnan(value))


def test_streams_beyond_the_bound_are_left_out_and_counted() -> None:
    source = LiveSource(NOW_MS, [f"s{i}" for i in range(5)])
    worker = dataclasses.replace(source.worker(), max_exported_streams=3)
    exposition = Exposition()
    exposition.page(worker, source.streams(), openmetrics=False)
    found = samples(exposition.page(worker, reversed(source.streams()), openmetrics=False).decode())
    shown = {dict(labels)["stream"] for name, labels in found if name == "driftbus_outcomes_total"}
    assert shown == {"s0", "s1", "s2"}  # the same ones whatever order they come in
    assert found["driftbus_exported_streams", frozenset()] == 3
    assert found["driftbus_export_dropped_streams_total", frozenset()] == 4
    assert choose_streams(source.streams(), 5)[1] == 0


def test_a_revoked_stream_is_gone_with_the_next_scrape() -> None:
    source = LiveSource(NOW_MS, ["stays", "goes"])
    exposition = Exposition()
    assert b'"goes"' in exposition.page(source.worker(), source.streams(), openmetrics=False)
    assert b'"goes"' not in exposition.page(source.worker(), source.streams()[:1], openmetrics=False)


def test_ten_thousand_streams_are_written_at_a_bounded_cost_a_line() -> None:
    # How long it takes belongs to the benchmark; here that no line is lost or doubled at that size.
    base = LiveSource(NOW_MS, ["x"], drifted=0)._view("x")
    views = [dataclasses.replace(base, stream=f"s{i}") for i in range(10_000)]
    text = Exposition().page(LiveSource(NOW_MS).worker(), views, openmetrics=False).decode()
    lines = [line for line in text.splitlines() if '{stream="' in line]
    assert len(lines) == len(set(lines))
    assert len(lines) % 10_000 == 0

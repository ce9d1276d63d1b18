"""What a configuration file may say, and what that means."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from driftbus.config import load
from driftbus.core.settings import (
    DAY_MS,
    AlarmBudget,
    DetectorSpec,
    JoinPolicy,
    Limits,
    MetricWindow,
    RetrainPolicy,
    Rule,
    StreamSettings,
)
from tests.config.files import CONTRACT, loaded, refused


def test_nothing_at_all_gives_the_documented_defaults() -> None:
    chosen = load(None, {})
    assert (chosen.bus, chosen.group, chosen.topic_prefix) == ("kafka", "driftbus", "driftbus.")
    assert dict(chosen.kafka) == {"bootstrap.servers": "127.0.0.1:9092"}
    assert (chosen.http.host, chosen.http.port, chosen.http.enabled) == ("127.0.0.1", 8711, True)
    assert chosen.limits == Limits()
    assert chosen.stream("anything") == StreamSettings()
    assert chosen.topics["model-events"] == "driftbus.model-events"
    assert len(chosen.topics) == 9


def test_the_contracts_own_example_loads_and_says_what_it_says() -> None:
    chosen = load(CONTRACT, {})
    stream = chosen.stream("fraud-eu")
    assert stream.labels == {"team": "risk"}
    assert stream.positive_label == 1
    assert stream.join == JoinPolicy()
    assert stream.signals.score == (DetectorSpec("adwin", {"delta": 0.001}),)
    assert stream.signals.error is None
    assert stream.retrain.rules == (
        Rule("f1", True, 0.7, MetricWindow(outcomes=1000, text="1000"), "f1 < 0.70 over 1000"),
        Rule("accuracy", True, 0.9, MetricWindow(span_ms=7_200_000, text="2h"), "accuracy < 0.9 over 2h"),
    )
    assert dataclasses.replace(stream.retrain, rules=()) == RetrainPolicy()
    assert chosen.topics["drift-events"] == "risk.drift"
    assert chosen.source == "prod-eu"
    assert stream.false_alarms == AlarmBudget(1, 90 * DAY_MS)
    assert chosen.warnings == ()
    assert chosen.stream("other").labels == {}


def test_all_globs_merge_in_file_order_and_the_exact_name_comes_last(tmp_path: Path) -> None:
    chosen = loaded(
        tmp_path,
        """
        stream_defaults: {labels: {team: all, tier: "1"}, retrain: {cooldown: 1h}}
        streams:
          fraud-eu: {labels: {team: exact}}
          "fraud-*": {labels: {team: glob, region: any}, retrain: {min_rows: 7, kinds: [sudden]}}
          "*-eu": {labels: {region: eu}, retrain: {kinds: gradual}}
        """,
    )
    stream = chosen.stream("fraud-eu")
    assert stream.labels == {"team": "exact", "tier": "1", "region": "eu"}
    assert (stream.retrain.cooldown_ms, stream.retrain.min_rows) == (3_600_000, 7)
    assert stream.retrain.kinds == ("gradual",)
    assert chosen.stream("Fraud-eu").labels == {"team": "all", "tier": "1", "region": "eu"}
    assert chosen.stream("fraud-us").retrain.kinds == ("sudden",)
    assert chosen.stream("fraud-us") is chosen.stream("fraud-asia")


def test_words_that_yaml_1_1_would_twist_mean_themselves(tmp_path: Path) -> None:
    chosen = loaded(
        tmp_path,
        """
        stream_defaults:
          challenger: off
          signals: {error: off, score: false, quality: "off"}
          labels: {on: yes, version: 1.10, code: 007}
          positive_label: yes
          retrain: {mode: off, on_drift: true}
        kafka: {sasl.password: 00123, enable.idempotence: true, linger.ms: 5}
        streams: {no: {sample: 0.5}, 2026-01-01: {sample: 0.25}, 1: {sample: 1}}
        """,
    )
    stream = chosen.stream("x")
    assert stream.challenger is None
    assert (stream.signals.error, stream.signals.score, stream.signals.quality) == ((), (), ())
    assert stream.labels == {"on": "yes", "version": "1.10", "code": "007"}
    assert stream.positive_label == "yes"
    assert stream.retrain.mode == "off"
    assert chosen.kafka["sasl.password"] == "00123"
    assert chosen.kafka["enable.idempotence"] == "true"
    assert chosen.kafka["linger.ms"] == "5"
    assert [chosen.stream(name).sample for name in ("no", "2026-01-01", "1")] == [0.5, 0.25, 1.0]


@pytest.mark.parametrize("word", ["off", "OFF", "false", "'off'"])
def test_every_spelling_of_off_is_off(tmp_path: Path, word: str) -> None:
    stream = loaded(
        tmp_path,
        f"stream_defaults: {{challenger: {word}, signals: {{error: {word}}}, retrain: {{mode: {word}}}}}",
    ).stream("x")
    assert (stream.challenger, stream.signals.error, stream.retrain.mode) == (None, (), "off")


@pytest.mark.parametrize(
    ("written", "kind"),
    [("true", bool), ("1", int), ("1.0", float), ("'1'", str), ("yes", str), ("null", type(None))],
)
def test_a_class_keeps_its_type(tmp_path: Path, written: str, kind: type) -> None:
    value = loaded(tmp_path, f"stream_defaults: {{positive_label: {written}}}").stream("x").positive_label
    assert type(value) is kind


@pytest.mark.parametrize(
    "written",
    [
        "adwin",
        "[adwin, {page_hinkley: {threshold: 30}}]",
        "{adwin: {delta: 0.001}, page_hinkley: null}",
        "[{adwin: {delta: 0.001}}, page_hinkley]",
    ],
)
def test_detectors_by_name_with_or_without_parameters(tmp_path: Path, written: str) -> None:
    specs = loaded(tmp_path, f"stream_defaults: {{signals: {{error: {written}}}}}").stream("x").signals.error
    assert specs
    assert [spec.name for spec in specs] == ["adwin", "page_hinkley"][: len(specs)]
    assert all(type(value) in (int, float) for spec in specs for value in spec.params.values())


def test_windows_and_custom_metrics(tmp_path: Path) -> None:
    stream = loaded(
        tmp_path, "stream_defaults: {metrics: {windows: [500, 2h], custom: river.metrics.FBeta}}"
    ).stream("x")
    assert stream.windows == (MetricWindow(500, None, "500"), MetricWindow(None, 7_200_000, "2h"))
    assert stream.custom_metrics == ("river.metrics.FBeta",)


def test_sections_with_nothing_in_them_and_merge_keys(tmp_path: Path) -> None:
    chosen = loaded(
        tmp_path,
        """
        http:
        stream_defaults:
        topic_prefix:
        streams:
          a: &a {labels: {team: x}, sample: 0.5}
          b: {<<: *a, sample: 1.0}
        """,
    )
    assert chosen.topics["labels"] == "labels"
    assert (chosen.stream("b").labels, chosen.stream("b").sample) == ({"team": "x"}, 1.0)


def test_included_files_come_after_the_first_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.yaml").write_text("group: b\nstreams: {s: {sample: 0.5}}")
    (tmp_path / "conf.d" / "a.yaml").write_text("group: a\nhttp: {port: 1}")
    chosen = loaded(tmp_path, "include: conf.d/*.yaml\ngroup: first\nhttp: {host: 0.0.0.0}")
    assert (chosen.group, chosen.http.port, chosen.http.host) == ("b", 1, "0.0.0.0")  # noqa: S104 - only read
    assert [path.name for path in chosen.sources] == ["driftbus.yaml", "a.yaml", "b.yaml"]
    (tmp_path / "conf.d" / "c.yaml").write_text("grup: c")
    error = refused(tmp_path, "include: conf.d/*.yaml")
    assert error.where == f"{tmp_path}/conf.d/c.yaml:1"
    assert "include" in str(refused(tmp_path, "include: absent.yaml"))

"""Configuration from the environment."""

from __future__ import annotations

from pathlib import Path

from driftbus.config import load
from tests.config.files import loaded, refused


def test_every_kind_of_key_from_the_environment(tmp_path: Path) -> None:
    chosen = loaded(
        tmp_path,
        "group: file\nstreams: {Fraud: {sample: 0.5, labels: {team: risk}}}",
        {
            "DRIFTBUS_GROUP": "007",
            "DRIFTBUS_TOPIC_PREFIX": "",
            "DRIFTBUS_HTTP__PORT": "0",
            "DRIFTBUS_TOPICS__DRIFT_EVENTS": "risk.drift",
            "DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS": "a:1,b:2",
            "DRIFTBUS_KAFKA__SASL__PASSWORD": "{not: yaml",
            "DRIFTBUS_KAFKA__LOG_LEVEL": "3",
            "DRIFTBUS_STREAM_DEFAULTS__RETRAIN__COOLDOWN": "90s",
            "DRIFTBUS_STREAM_DEFAULTS__RETRAIN__WHEN": '["f1 < 0.7 over 10", "mae > 3 over 2h"]',
            "DRIFTBUS_STREAM_DEFAULTS__RETRAIN__MODE": "off",
            "DRIFTBUS_STREAM_DEFAULTS__LABELS__TEAM": "all",
            "DRIFTBUS_STREAMS__Fraud__LABELS__TIER": "1",
            "DRIFTBUS_STREAMS__churn__SAMPLE": "0.25",
            "DRIFTBUS_STREAMS": '{"a-*": {sample: 0.125}}',
            "DRIFTBUS_LIMITS__MAX_STREAMS": "5",
            "OTHER": "x",
        },
    )
    assert (chosen.group, chosen.topic_prefix, chosen.http.port) == ("007", "", 0)
    assert chosen.topics["drift-events"] == "risk.drift"
    assert dict(chosen.kafka) == {
        "bootstrap.servers": "a:1,b:2",
        "sasl.password": "{not: yaml",
        "log_level": "3",
    }
    fraud = chosen.stream("Fraud")
    assert fraud.labels == {"team": "risk", "tier": "1"}
    assert fraud.sample == 0.5
    assert fraud.retrain.cooldown_ms == 90_000
    assert [rule.metric for rule in fraud.retrain.rules] == ["f1", "mae"]
    assert fraud.retrain.mode == "off"
    assert chosen.stream("churn").sample == 0.25
    assert chosen.stream("a-1").sample == 0.125
    assert chosen.stream("x").labels == {"team": "all"}
    assert chosen.limits.max_streams == 5


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("group: g")
    assert load(None, {"DRIFTBUS_CONFIG": str(tmp_path / "f.yaml")}).group == "g"
    assert load(None, {"DRIFTBUS_CONFIG": ""}).group == "driftbus"


def test_what_kubernetes_sets_for_a_service_of_our_name_is_not_ours() -> None:
    load(
        None,
        {
            "DRIFTBUS_SERVICE_HOST": "10.0.0.1",
            "DRIFTBUS_SERVICE_PORT": "8711",
            "DRIFTBUS_SERVICE_PORT_HTTP": "8711",
            "DRIFTBUS_PORT": "tcp://10.0.0.1:8711",
            "DRIFTBUS_PORT_8711_TCP": "tcp://10.0.0.1:8711",
            "DRIFTBUS_PORT_8711_TCP_ADDR": "10.0.0.1",
            "DRIFTBUS_WORKER_SERVICE_HOST": "10.0.0.2",
            "DRIFTBUS_WORKER_PORT_8711_TCP_PROTO": "tcp",
        },
    )


def test_mistakes_in_the_environment_name_the_variable(tmp_path: Path) -> None:
    error = refused(tmp_path, "", {"DRIFTBUS_HTPP__PORT": "1"})
    assert (error.key, error.nearest, error.where) == (
        "htpp",
        "http",
        "environment variable DRIFTBUS_HTPP__PORT",
    )
    assert "DRIFTBUS_HTTP__PORT" in str(refused(tmp_path, "", {"DRIFTBUS_HTTP__PORT": "x"}))
    twice = {"DRIFTBUS_KAFKA__CLIENT_ID": "a", "DRIFTBUS_KAFKA__CLIENT__ID": "b"}
    assert "one variable for one key" in str(refused(tmp_path, "", twice))
    assert "DRIFTBUS_STREAMS" in str(refused(tmp_path, "", {"DRIFTBUS_STREAMS": "{"}))

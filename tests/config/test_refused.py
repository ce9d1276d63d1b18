"""What is refused, how it is said, and that no secret is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftbus.config import KafkaProperties, load
from driftbus.core.settings import (
    ChallengerSpec,
)
from driftbus.errors import ConfigError
from tests.config.files import loaded, refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stream_defaults:\n  retrain:\n    cooldwon: 6h",
            ":3: stream_defaults.retrain.cooldwon: 'cooldwon' cannot be used; allowed: categories, cooldown, "
            "every, hold_doubtful, kinds, max_attempts, max_wait, min_rows, min_rows_per_class, mode, "
            "on_drift, timeout, when, without_labels. Did you mean 'cooldown'?",
        ),
        (
            "stream_defaults:\n  retrain:\n    cooldown: 6 hours",
            ":3: stream_defaults.retrain.cooldown: '6 hours' cannot be used; "
            "allowed: a duration such as 500ms, 90s, 30m, 6h, 7d, 2w.",
        ),
        (
            "http:\n  port: 99999",
            ":2: http.port: 99999 cannot be used; allowed: a whole number, 0 to 65535.",
        ),
        (
            "streams:\n  a:\n    task: regresion",
            ":3: streams.a.task: 'regresion' cannot be used; "
            "allowed: auto, classification, regression, none. Did you mean 'regression'?",
        ),
        (
            "bus: kafak",
            ":1: bus: 'kafak' cannot be used; allowed: kafka, embedded. Did you mean 'kafka'?",
        ),
        (
            "group: a\ngroup: b",
            ":2: group: 'group' cannot be used; allowed: each key once; it stands in line 1 already.",
        ),
        (
            "kafka:\n  group.id: x",
            ":2: kafka.group.id: 'group.id' cannot be used; "
            "allowed: properties that driftbus does not set itself (`group` outside of `kafka:` sets it).",
        ),
        (
            "stream_defaults:\n  retrain:\n    when:\n      - f1 < 0.7 over 9\n      - acuracy < 0.9 over 2h",
            ":5: stream_defaults.retrain.when[1]: 'acuracy < 0.9 over 2h' cannot be used; allowed: "
            "a rule over one of accuracy, balanced_accuracy, precision, recall, f1, "
            "kappa, log_loss, roc_auc, mae, rmse, r2, bias, error. "
            "Did you mean 'accuracy'?",
        ),
        ("- a\n- b", ":1: (document): ['a', 'b'] cannot be used; allowed: a mapping of keys."),
        (
            "group: !!python/object/apply:os.system [id]",
            ":1: (document): 'tag:yaml.org,2002:python/object/apply:os.system' cannot be used; allowed: "
            "values without a tag, or !!str, !!int, !!float, !!bool, !!null, !!map, !!seq.",
        ),
    ],
)
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    assert str(refused(tmp_path, text)) == f"{tmp_path}/driftbus.yaml{message}"


def test_a_right_name_in_the_wrong_section_is_sent_to_its_own(tmp_path: Path) -> None:
    assert refused(tmp_path, "stream_defaults: {cooldown: 6h}").nearest == "stream_defaults.retrain.cooldown"


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    error = refused(tmp_path, "bus: x\nhttp: {port: x}\nkafka: {a: [1], b: [2]}\nstreams: {s: 7}")
    keys = [each.key for each in (error, *error.others)]
    assert sorted(keys) == ["bus", "http.port", "kafka.a", "kafka.b", "streams.s"]


@pytest.mark.parametrize(
    "text",
    [
        "stream_defaults: {sample: 0}",
        "stream_defaults: {sample: .nan}",
        "stream_defaults: {sample: true}",
        "stream_defaults: {positive_label: .inf}",
        "stream_defaults: {positive_label: 36893488147419103232}",
        "stream_defaults: {positive_label: [1]}",
        "stream_defaults: {join: {horizon: 0s}}",
        "stream_defaults: {join: {horizon: 5}}",
        "stream_defaults: {join: {horizon: 999999d}}",
        "stream_defaults: {retrain: {on_drift: on}}",
        "stream_defaults: {retrain: {min_rows: 1.5}}",
        "stream_defaults: {retrain: {max_attempts: 0}}",
        "stream_defaults: {retrain: {when: [f1 = 0.7 over 10]}}",
        "stream_defaults: {retrain: {when: [f1 < 0.7 over 0]}}",
        "stream_defaults: {retrain: {when: [f1 < 0.7 over 0h]}}",
        "stream_defaults: {labels: {stream: x}}",
        "stream_defaults: {labels: {a-b: x}}",
        "stream_defaults: {labels: {a: [x]}}",
        "stream_defaults: {metrics: {windows: [0]}}",
        "stream_defaults: {metrics: {custom: [os.path.nothing]}}",
        "stream_defaults: {metrics: {custom: [no.such.module.Thing]}}",
        "stream_defaults: {false_alarms: often}",
        "stream_defaults: {false_alarms: 1 per 7d among 0}",
        "stream_defaults: {signals: {custom: {x: {better: bigger}}}}",
        "stream_defaults: {signals: {error: 7}}",
        "stream_defaults: {signals: {error: [adwin, [adwin]]}}",
        "stream_defaults: {signals: {error: {adwin: {delta: .nan}}}}",
        "topics: {labels: x, predictions: x}",
        "topics: {lables: x}",
        "topic_prefix: 'a b'",
        "instance: 'a b'",
        "instance: ''",
        "worker_id: ''",
        "limits: {max_streams: 0}",
        "partitioner: murmur2",
        "embedded: {path: ''}",
        "group: [a",
        "group: *a",
        "{a: 1}: 2",
        "a: 1\n---\nb: 2",
        "\x00",
    ],
)
def test_refused(tmp_path: Path, text: str) -> None:
    assert str(refused(tmp_path, text))


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("adwinn", "adwin"),
        ("{adwin: {detla: 0.1}}", None),
        ("{adwin: {delta: -1}}", None),
    ],
)
def test_a_detector_that_cannot_be_built_is_refused(
    tmp_path: Path, written: str, nearest: str | None
) -> None:
    error = refused(tmp_path, f"stream_defaults: {{signals: {{error: {written}}}}}")
    assert error.key.startswith("stream_defaults.signals.error")
    assert error.nearest == nearest


def test_a_model_by_name_and_a_wrong_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, "stream_defaults: {challenger: auto}").stream("x").challenger == ChallengerSpec()
    named = loaded(tmp_path, "stream_defaults: {challenger: hoeffding_tree}").stream("x").challenger
    assert named == ChallengerSpec("hoeffding_tree")
    assert refused(tmp_path, "stream_defaults: {challenger: hoefding_tree}").nearest == "hoeffding_tree"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match="can be read"):
            load(path, {})
    (tmp_path / "bytes.yaml").write_bytes(b"group: a\n\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "bytes.yaml", {})


def test_secrets_are_in_no_dump_and_no_error(tmp_path: Path) -> None:
    keys = [
        "sasl.password",
        "ssl.key.password",
        "sasl.oauthbearer.client.secret",
        "ssl.key.pem",
        "sasl.jaas.config",
    ]
    chosen = loaded(tmp_path, "kafka: {" + ", ".join(f"{key}: hunter2" for key in keys) + ", client.id: me}")
    assert [chosen.kafka[key] for key in keys] == ["hunter2"] * len(keys)
    for dump in (
        repr(chosen),
        str(chosen.kafka),
        json.dumps(chosen.shown()),
        f"{chosen}",
        str(chosen.topics),
    ):
        assert "hunter2" not in dump
    assert "client.id" in repr(chosen)
    assert "hunter2" not in str(refused(tmp_path, "kafka: {sasl.password: [hunter2]}"))
    assert "hunter2" not in repr(KafkaProperties({"sasl.password": "hunter2"}))

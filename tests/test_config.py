"""The configuration: what it takes, what it refuses and how, from the file and from the environment."""

from __future__ import annotations

import dataclasses
import json
import string
import textwrap
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from driftbus.config import KafkaProperties, Settings, StreamRules, load
from driftbus.config.document import plain, read
from driftbus.config.values import duration_text, parse_duration_ms
from driftbus.config.watching import METRICS
from driftbus.core.metrics import Performance
from driftbus.core.settings import (
    ChallengerSpec,
    DetectorSpec,
    JoinPolicy,
    Limits,
    MetricWindow,
    RetrainPolicy,
    Rule,
    StreamSettings,
)
from driftbus.errors import ConfigError

CONTRACT = Path(__file__).parent / "data" / "contract.yaml"


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "driftbus.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load(path, environ or {})


def refused(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, environ)
    return caught.value


# What is taken


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
    assert "false_alarms" in chosen.warnings[0]
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


# The environment


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


# What is refused, and how


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stream_defaults:\n  retrain:\n    cooldwon: 6h",
            ":3: stream_defaults.retrain.cooldwon: 'cooldwon' cannot be used; allowed: categories, cooldown, "
            "every, kinds, max_attempts, max_wait, min_rows, min_rows_per_class, mode, on_drift, timeout, "
            "when, without_labels. Did you mean 'cooldown'?",
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


# Secrets


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


# Reloading, hashes


def test_the_hash_covers_what_the_fold_depends_on_and_nothing_else(tmp_path: Path) -> None:
    base = "stream_defaults: {sample: 0.5}\n"
    first = loaded(tmp_path, base)
    moved = loaded(
        tmp_path, base + "http: {port: 1}\nkafka: {client.id: x}\ngroup: g\nworker: {max_records: 7}"
    )
    assert first.config_hash == moved.config_hash
    assert first.fingerprint("s") == moved.fingerprint("s")
    for other in (
        "stream_defaults: {sample: 0.25}",
        base + "limits: {max_pending: 7}",
        base + "streams: {x: {}}",
    ):
        assert loaded(tmp_path, other).config_hash != first.config_hash


def test_the_fingerprint_covers_what_the_models_depend_on(tmp_path: Path) -> None:
    first = load(None, {}).fingerprint("x")
    other = loaded(
        tmp_path,
        """
        streams:
          x:
            labels: {a: b}
            retrain: {when: [f1 < 0.5 over 70]}
            sample: 0.5
            join: {grace: 1d}
            features: {redact: a}
          y: {features: {ignore: a}}
          z: {signals: {error: off}}
        """,
    )
    assert other.fingerprint("x") == first
    assert len({first, other.fingerprint("y"), other.fingerprint("z")}) == 3


def test_rules_may_use_exactly_the_metrics_that_windows_have() -> None:
    names: set[str] = set()
    for task, said in (("classification", [0, 1, 1, 0]), ("regression", [0.1, 1.2, 0.7, 0.2])):
        window = MetricWindow(outcomes=4, text="4")
        performance = Performance(task, None, (window,))
        performance.add(range(4), range(4), [0, 1, 0, 1], said, [0.2, 0.9, 0.6, 0.4], None)
        names |= performance.read(window).keys()
    assert set(METRICS) == names


def test_the_document_of_the_rules_gives_the_same_rules_again() -> None:
    rules = load(CONTRACT, {}).streams
    document = orjson.loads(orjson.dumps(rules.document()))
    again = StreamRules.load(document)
    assert again.document() == document
    for name in ("fraud-eu", "other"):
        assert again.stream(name) == rules.stream(name)
        assert again.fingerprint(name) == rules.fingerprint(name)


# Properties

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        *(
            "bus",
            "kafka",
            "embedded",
            "group",
            "instance",
            "worker_id",
            "topic_prefix",
            "topics",
            "partitioner",
        ),
        *(
            "http",
            "worker",
            "limits",
            "include",
            "stream_defaults",
            "streams",
            "task",
            "positive_label",
            "labels",
        ),
        *(
            "sample",
            "join",
            "horizon",
            "grace",
            "expired_label",
            "features",
            "watch",
            "max",
            "signals",
            "error",
        ),
        *(
            "score",
            "custom",
            "better",
            "detectors",
            "challenger",
            "retrain",
            "mode",
            "on_drift",
            "kinds",
            "when",
        ),
        *("every", "cooldown", "min_rows", "metrics", "windows", "false_alarms", "port", "host"),
        *("bootstrap.servers", "sasl.password", "a", "*", "<<"),
    ]
)
CLOSE = st.recursive(
    ANY | st.sampled_from(["off", "auto", "6h", "f1 < 0.7 over 10", "adwin", "1 per 9d", 0, 1, 0.5]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=15,
)


def _loads_or_refuses(text: str, environ: dict[str, str], path: Path) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        chosen = load(path, environ)
    except ConfigError as error:
        for each in (error, *error.others):
            assert each.key
            assert str(each)
        return
    assert chosen.stream("any") == chosen.stream("any")
    assert orjson.loads(orjson.dumps(chosen.shown()))["group"]
    again = StreamRules.load(orjson.loads(orjson.dumps(chosen.streams.document())))
    assert again.stream("any") == chosen.stream("any")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "any.yaml"


@given(st.text())
def test_any_text_loads_or_is_a_config_error(scratch: Path, text: str) -> None:
    _loads_or_refuses(text, {}, scratch)


@given(st.dictionaries(KEYS | st.text(max_size=8), CLOSE, max_size=5))
@example({"[key]": {}})  # pydantic's own mark in its locations
@settings(max_examples=300)
def test_any_document_loads_or_is_a_config_error(scratch: Path, document: dict[str, Any]) -> None:
    _loads_or_refuses(yaml.safe_dump(document, allow_unicode=True), {}, scratch)


@given(
    st.dictionaries(
        st.lists(
            KEYS.map(str.upper) | st.text(string.ascii_letters + "_", max_size=6), min_size=1, max_size=4
        ).map(lambda parts: "DRIFTBUS_" + "__".join(parts)),
        st.text(max_size=12) | st.sampled_from(["{a: 1}", "[1, 2]", "6h", "off", "[", '"x"']),
        max_size=4,
    )
)
def test_any_environment_loads_or_is_a_config_error(scratch: Path, environ: dict[str, str]) -> None:
    environ.pop("DRIFTBUS_CONFIG", None)
    _loads_or_refuses("", environ, scratch)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: " * 5_000,
        "\n".join(" " * i + "a:" for i in range(2_000)),
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(
            f"b{i}: &b{i} [{', '.join([f'*{p}'] * 10)}]"
            for i, p in enumerate(["a", *[f"b{i}" for i in range(9)]])
        ),
        "group: &a [*a]",
        "group: " + "9" * 100_000,
    ],
    ids=["flow", "nested keys", "block", "laughs", "self", "digits"],
)
def test_hostile_documents_are_refused_quickly(tmp_path: Path, text: str) -> None:
    assert len(str(refused(tmp_path, text))) < 2_000


@given(st.integers(0, 36_525 * 86_400_000))
def test_durations_are_read_as_they_are_written(ms: int) -> None:
    assert parse_duration_ms(duration_text(ms)) == ms


@given(st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False))
def test_plain_words_mean_what_a_yaml_1_2_writer_means(value: Any) -> None:
    written = (
        {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    )
    text = written or repr(value).replace("inf", ".inf")
    assert plain(text) == value
    assert read(f"a: {text}", "x") == {"a": value}

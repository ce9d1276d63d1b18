"""CONTRACT section 2 and the outcomes of section 3: what is taken, how, and what is dead-lettered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.house import DAY, MINUTE, T0, House, rfc

OUTCOME_FIELDS = {
    "prediction_id", "stream", "seq", "ts", "label_ts", "label_source", "features", "prediction", "score",
    "label", "error", "model_version", "role", "slices", "signals", "weight",
}  # fmt: skip
LONG = "ü" * 256
DATE = rfc(T0)[:10]
DAY_BEFORE = rfc(T0 - DAY)[:10]


def _deep(levels: int) -> bytes:
    return b'{"prediction_id":"deep","prediction":1,"features":{"x":' + b"[" * levels + b"]" * levels + b"}}"


def _cloud(data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/model", "type": "prediction", "data": data}


def _p(pid: str, **fields: Any) -> dict[str, Any]:
    return {"prediction_id": pid, "ts": T0, "prediction": 1, **fields}


def _l(pid: str, label: Any, **fields: Any) -> dict[str, Any]:
    return {"prediction_id": pid, "ts": T0 + MINUTE, "label": label, **fields}


CE = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_type", b"p"), ("ce_source", b"/m")]
CE_DASH = [("ce-specversion", b"1.0"), ("ce-id", b"7"), ("ce-type", b"p"), ("ce-source", b"/m")]
FULL = {
    "prediction_id": "full",
    "stream": "forms",
    "ts": rfc(T0),
    "features": {"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
    "prediction": 1,
    "score": 0.87,
    "model_version": "v3",
    "slices": {"region": "eu"},
    "weight": 1.0,
    "role": "production",
}

# Everything on stream `forms` unless said: name → (prediction value, key, record time, headers)
# ruff: noqa: E501 - a table, a case a line
GOOD: dict[str, tuple[Any, str, int, Any]] = {
    "full": (FULL, "forms", T0, None),
    "structured": (_cloud(_p("structured", stream="forms")), "forms", T0, [("content-type", b"application/cloudevents+json")]),
    "binary": (_p("binary"), "forms", T0, CE),
    "binary-dash": (_p("binary-dash"), "forms", T0, CE_DASH),
    "no-stream": (_p("no-stream"), "forms", T0, None),
    "null-stream": (_p("null-stream", stream=None), "forms", T0, None),
    "no-ts": ({"prediction_id": "no-ts", "prediction": 1}, "forms", T0 + 1234, None),
    "null-ts": ({"prediction_id": "null-ts", "prediction": 1, "ts": None}, "forms", T0 + 1235, None),
    "int-ts": (_p("int-ts", ts=T0 + 5), "forms", T0, None),
    "offset-ts": (_p("offset-ts", ts=DATE + "T05:30:00+05:30"), "forms", T0, None),
    "lower-ts": (_p("lower-ts", ts=DATE + "t00:00:00z"), "forms", T0, None),
    "space-ts": (_p("space-ts", ts=DATE + " 00:00:00Z"), "forms", T0, None),
    "nano-ts": (_p("nano-ts", ts=DATE + "T00:00:00.123456789Z"), "forms", T0, None),
    "short-ts": (_p("short-ts", ts=DATE + "T00:00:00.5Z"), "forms", T0, None),
    "negative-offset": (_p("negative-offset", ts=DAY_BEFORE + "T19:00:00-05:00"), "forms", T0, None),
    "unknown": (_p("unknown", something={"of": ["theirs"]}, driftbus=1), "forms", T0, None),
    LONG: (_p(LONG), "forms", T0, None),
    "x": (_p("x"), "forms", T0, None),
    "string": (_p("string", prediction="cat", score={"cat": 0.7, "dog": 0.3}), "forms-text", T0, None),
    "bool": (_p("bool", prediction=True), "forms-bool", T0, None),
    "nested": (
        _p("nested", features={"list": [1, 2, [3]], "object": {"a": {"b": 1}}, "n": 1}),
        "forms", T0, None,
    ),
    "array-prediction": (_p("array-prediction", prediction=[1, 2]), "forms-array", T0, None),
    "object-prediction": (_p("object-prediction", prediction={"a": 1}), "forms-array", T0, None),
    "signals": ({"prediction_id": "signals", "ts": T0, "signals": {"ndcg@10": 0.41, "latency_ms": 41}}, "forms-signals", T0, None),
    "int64": (_p("int64", features={"big": 2**63 - 1, "small": -(2**63)}), "forms", T0, None),
    "zero-weight": (_p("zero-weight", weight=0), "forms", T0, None),
    "nulls": (
        _p("nulls", features=None, score=None, model_version=None, slices=None, weight=None, role=None, signals=None),
        "forms", T0, None,
    ),
    "empty-features": (_p("empty-features", features={}), "forms", T0, None),
}  # fmt: skip

BAD: dict[str, bytes | None] = {
    "tombstone": None,
    "empty": b"",
    "not json": b"hello",
    "array": b"[1]",
    "number": b"3",
    "null": b"null",
    "text": b'"prediction"',
    "utf-16": '{"prediction_id":"p","prediction":1}'.encode("utf-16"),
    "not utf-8": b'{"prediction_id":"\xff","prediction":1}',
    "cut": b'{"prediction_id":"p","predic',
    "two objects": b'{"prediction_id":"p","prediction":1}{"prediction_id":"q","prediction":1}',
    "no id": b'{"prediction":1}',
    "null id": b'{"prediction_id":null,"prediction":1}',
    "number id": b'{"prediction_id":7,"prediction":1}',
    "empty id": b'{"prediction_id":"","prediction":1}',
    "long id": json.dumps({"prediction_id": "i" * 257, "prediction": 1}).encode(),
    "long stream": json.dumps({"prediction_id": "i", "stream": "s" * 257, "prediction": 1}).encode(),
    "empty stream": b'{"prediction_id":"p","stream":"","prediction":1}',
    "number stream": b'{"prediction_id":"p","stream":5,"prediction":1}',
    "no prediction": b'{"prediction_id":"p"}',
    "NaN": b'{"prediction_id":"p","prediction":NaN}',
    "infinity": b'{"prediction_id":"p","prediction":1,"score":Infinity}',
    "-infinity": b'{"prediction_id":"p","prediction":1,"features":{"a":-Infinity}}',
    "1e999": b'{"prediction_id":"p","prediction":1,"features":{"a":1e999}}',
    "1e999 nested": b'{"prediction_id":"p","prediction":1,"features":{"a":{"b":[1e999]}}}',
    "2**63": b'{"prediction_id":"p","prediction":1,"features":{"a":9223372036854775808}}',
    "2**64": b'{"prediction_id":"p","prediction":18446744073709551616}',
    "-2**63-1": b'{"prediction_id":"p","prediction":-9223372036854775809}',
    "big weight": b'{"prediction_id":"p","prediction":1,"weight":99999999999999999999}',
    "surrogate": b'{"prediction_id":"p","prediction":"\\ud800"}',
    "surrogate key": b'{"prediction_id":"p","prediction":1,"features":{"\\udfff":1}}',
    "deep": _deep(100),
    "absurdly deep": _deep(100_000),
    "huge": b'{"prediction_id":"p","prediction":1,"features":{"a":"' + b"x" * 1_200_000 + b'"}}',
    "text score": b'{"prediction_id":"p","prediction":1,"score":"0.9"}',
    "bool score": b'{"prediction_id":"p","prediction":1,"score":true}',
    "features array": b'{"prediction_id":"p","prediction":1,"features":[1]}',
    "role": b'{"prediction_id":"p","prediction":1,"role":"boss"}',
    "ts text": b'{"prediction_id":"p","prediction":1,"ts":"yesterday"}',
    "ts date": b'{"prediction_id":"p","prediction":1,"ts":"2026-01-01"}',
    "ts local": b'{"prediction_id":"p","prediction":1,"ts":"2026-01-01T00:00:00"}',
    "ts float": b'{"prediction_id":"p","prediction":1,"ts":1.5}',
    "ts bool": b'{"prediction_id":"p","prediction":1,"ts":true}',
    "ts negative": b'{"prediction_id":"p","prediction":1,"ts":-1}',
    "cloud without object": b'{"specversion":"1.0","id":"1","source":"/","type":"t","data":[1]}',
}
BAD_LABELS: dict[str, bytes | None] = {
    "tombstone": None,
    "null label": b'{"prediction_id":"full","label":null}',
    "no label": b'{"prediction_id":"full"}',
    "NaN label": b'{"prediction_id":"full","label":NaN}',
    "big label": b'{"prediction_id":"full","label":9223372036854775808}',
    "no id": b'{"label":1}',
}
BAD_EVENTS: dict[str, bytes | None] = {
    "tombstone": None,
    "no type": b'{"stream":"forms"}',
    "unknown type": b'{"type":"model-exploded"}',
    "number type": b'{"type":3}',
}
KEYS: list[bytes | None] = [b"forms", "schlüssel".encode(), b"\x00\xff\xfe", b"k"]
THEIRS = [("trace", b"00-ab-01"), ("trace", b"again"), ("empty", b""), ("null", None), ("bytes", b"\xff\x00")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("in"), {"stream_defaults": {"join": {"horizon": "7d"}}})
    records: list[Any] = []
    for pid, (v, key, ts, headers) in GOOD.items():
        records.append(("predictions", key, v, ts, headers))
        said = v.get("data", v).get("prediction")
        label = _l(pid, said) if said is not None else _l(pid, None)
        if said is None:
            label = {"prediction_id": pid, "ts": T0 + MINUTE, "signals": {"clicks": 3}}
        records.append(("labels", key, label, T0 + MINUTE))
    # Keyless, with a stream of its own.
    records.append(("predictions", None, _p("keyless", stream="forms"), T0))
    records.append(("labels", None, _l("keyless", 1, stream="forms"), T0))
    # The stream named in the event counts, not the key.
    records.append(("predictions", "other-key", _p("named", stream="forms"), T0))
    records.append(("labels", "forms", _l("named", 1), T0))
    # Structured and binary labels.
    for pid in ("cloud-label", "binary-label", "text-ts-label"):
        records.append(("predictions", "forms", _p(pid), T0))
    records.append(("labels", "forms", _cloud(_l("cloud-label", 0)), T0))
    records.append(("labels", "forms", _l("binary-label", 0), T0, CE))
    records.append(("labels", "forms", _l("text-ts-label", 0, ts=DATE + "T01:00:00+01:00"), T0))
    # The classes: true = 1 = 1.0, "1" is another.
    for pid, said, truth in (
        ("c-int", 1, 1), ("c-float", 1, 1.0), ("c-bool", 1, True), ("c-text", 1, "1"), ("c-false", False, 0),
        ("c-texts", "1", "1"), ("c-text-bool", "true", True), ("c-other", 0, 1),
    ):  # fmt: skip
        records.append(("predictions", "classes", _p(pid, prediction=said), T0))
        records.append(("labels", "classes", _l(pid, truth), T0))
    for pid, said, truth in (("r-1", 2.5, 3.0), ("r-2", 4, 1), ("r-3", -1.0, -1.0)):
        records.append(("predictions", "prices", _p(pid, prediction=said), T0))
        records.append(("labels", "prices", _l(pid, truth), T0))
    records.append(("labels", "forms-array", _l("array-prediction", [1, 3]), T0))
    for number, bad in enumerate(BAD.values()):
        records.append(("predictions", KEYS[number % len(KEYS)], bad, T0, THEIRS))
    records.append(("predictions", b"\xff\xfe", b'{"prediction_id":"p","prediction":1}', T0))
    records.append(("predictions", None, b'{"prediction_id":"p","prediction":1}', T0))
    for bad in BAD_LABELS.values():
        records.append(("labels", "forms", bad, T0, THEIRS))
    for bad in BAD_EVENTS.values():
        records.append(("model-events", "forms", bad, T0, THEIRS))
    house.config["streams"] = {"prices": {"task": "regression"}, "classes": {"task": "classification"}}
    house.write_config()
    house.feed(records)
    house.work()
    yield house
    house.close()


@pytest.fixture(scope="module")
def outcomes(house: House) -> dict[str, dict[str, Any]]:
    found = {row["prediction_id"]: row for row in house.values("outcomes")}
    assert len(found) == len(house.values("outcomes")), "a pair has one outcome"
    return found


@pytest.mark.parametrize("pid", GOOD)
def test_every_form_becomes_an_outcome_with_all_fields(outcomes: dict[str, Any], pid: str) -> None:
    row = outcomes[pid]
    assert set(row) == OUTCOME_FIELDS
    v, key, _, _ = GOOD[pid]
    event = v.get("data", v) if "specversion" in v else v
    assert row["stream"] == key
    for name in ("features", "prediction", "score", "slices", "model_version", "weight"):
        assert row[name] == event.get(name), name
        assert type(row[name]) is type(event.get(name)), name
    assert row["role"] == "production"
    assert row["label_source"] == "event"
    assert row["label_ts"] == rfc(T0 + MINUTE)


def test_time_is_the_event_s_else_the_record_s(outcomes: dict[str, Any]) -> None:
    assert outcomes["full"]["ts"] == rfc(T0)
    assert outcomes["no-ts"]["ts"] == rfc(T0 + 1234)
    assert outcomes["null-ts"]["ts"] == rfc(T0 + 1235)
    assert outcomes["int-ts"]["ts"] == rfc(T0 + 5)
    for pid in ("offset-ts", "lower-ts", "space-ts", "negative-offset"):
        assert outcomes[pid]["ts"] == rfc(T0), pid
    assert outcomes["nano-ts"]["ts"] == rfc(T0 + 123)
    assert outcomes["short-ts"]["ts"] == rfc(T0 + 500)
    assert outcomes["text-ts-label"]["label_ts"] == rfc(T0)


def test_forms_of_labels_and_the_stream_of_an_event(outcomes: dict[str, Any]) -> None:
    for pid in ("cloud-label", "binary-label"):
        assert (outcomes[pid]["label"], outcomes[pid]["error"]) == (0, 1), pid
    assert outcomes["keyless"]["stream"] == outcomes["named"]["stream"] == "forms"


def test_features_come_out_as_they_came(outcomes: dict[str, Any]) -> None:
    assert outcomes["full"]["features"] == FULL["features"]
    assert outcomes["nested"]["features"] == GOOD["nested"][0]["features"]
    assert outcomes["int64"]["features"] == {"big": 2**63 - 1, "small": -(2**63)}
    assert outcomes["array-prediction"]["label"] == [1, 2]
    assert outcomes["object-prediction"]["label"] == {"a": 1}
    assert outcomes["string"]["score"] == {"cat": 0.7, "dog": 0.3}
    assert outcomes["signals"]["signals"] == {"ndcg@10": 0.41, "latency_ms": 41, "clicks": 3}
    assert outcomes["signals"]["label"] is None
    assert outcomes["signals"]["error"] is None


def test_errors_of_classes_and_numbers(outcomes: dict[str, Any]) -> None:
    for pid, error in (
        ("c-int", 0), ("c-float", 0), ("c-bool", 0), ("c-text", 1), ("c-false", 0), ("c-texts", 0),
        ("c-text-bool", 1), ("c-other", 1), ("full", 0), ("string", 0), ("bool", 0),
    ):  # fmt: skip
        assert outcomes[pid]["error"] == error, pid
        assert type(outcomes[pid]["error"]) is int, pid
    assert outcomes["c-bool"]["label"] is True
    assert outcomes["r-1"]["error"] == 0.5
    assert outcomes["r-2"]["error"] == 3
    assert outcomes["r-3"]["error"] == 0


def test_seq_counts_without_gaps_in_the_order_of_the_topic(house: House) -> None:
    rows = house.values("outcomes")
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    for record in house.records("outcomes"):
        assert record.key == json.loads(record.value or b"")["stream"].encode()


def test_every_bad_record_is_a_dead_letter_untouched(house: House) -> None:
    letters: dict[tuple[str, int], Any] = {}
    for record in house.records("dead-letters"):
        said = dict(record.headers[-20:])
        topic, offset = said["__connect.errors.topic"], said["__connect.errors.offset"]
        assert topic is not None
        assert offset is not None
        letters[topic.decode(), int(offset)] = record
    wanted: list[tuple[str, str | None, Any]] = []
    bad = {
        "predictions": set(BAD.values()) | {b'{"prediction_id":"p","prediction":1}'},
        "labels": set(BAD_LABELS.values()),
        "model-events": set(BAD_EVENTS.values()),
    }
    expected = 0
    for topic in bad:
        for source in house.records(topic):
            if source.value not in bad[topic]:
                continue
            expected += 1
            letter = letters[house.topic(topic), source.offset]
            assert letter.key == source.key
            assert letter.headers[: len(source.headers)] == source.headers
            ours = letter.headers[len(source.headers) :]
            names = [name for name, _ in ours]
            for name in (
                "topic",
                "partition",
                "offset",
                "exception.class.name",
                "exception.message",
                "stage",
            ):
                assert names.count(f"__connect.errors.{name}") == 1
            said = {name: (v or b"").decode() for name, v in ours}
            assert said["__connect.errors.partition"] == "0"
            assert said["__connect.errors.exception.class.name"]
            assert said["__connect.errors.exception.message"]
            assert said["__connect.errors.stage"]
            if source.value is not None and len(source.value) > 1_000_000:
                assert source.value.startswith(letter.value)
                assert len(letter.value) < len(source.value)
                assert any(str(len(source.value)) == v for v in said.values())
            else:
                assert letter.value == source.value
            wanted.append((topic, None, letter))
    assert expected == len(letters) == len(BAD) + 2 + len(BAD_LABELS) + len(BAD_EVENTS)

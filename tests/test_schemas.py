"""Schemas say what the codec takes and what the encoders give, and stand on disk as they are generated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from driftbus.config import TOPICS
from driftbus.core import encode
from driftbus.core.codec import MODEL_EVENT_TYPES, decode
from driftbus.core.records import (
    Correction,
    DriftEvent,
    Onset,
    Outcome,
    Prediction,
    RetrainRequest,
    SignalEvidence,
    TrainingWindow,
)
from driftbus.core.schemas import MODELS, asyncapi, documents, json_schema
from driftbus.errors import InvalidRecord

ON_DISK = Path(__file__).parent.parent / "schemas"
VALIDATORS = {
    name: jsonschema.Draft202012Validator(
        json_schema(name), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for name in MODELS
}


def test_what_stands_on_disk_is_what_is_generated() -> None:
    generated = {
        name: json.dumps(each, indent=2, ensure_ascii=False) + "\n" for name, each in documents().items()
    }
    assert {path.name: path.read_text("utf-8") for path in ON_DISK.glob("*.json")} == generated, (
        "run `driftbus schemas --out schemas`"
    )


def test_every_schema_passes_the_metaschema() -> None:
    files = sorted(map(str, ON_DISK.glob("*.schema.json")))
    assert len(files) == len(MODELS)
    command = [sys.executable, "-m", "check_jsonschema", "--check-metaschema", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_names_and_examples(name: str) -> None:
    schema = json_schema(name)
    assert schema["$id"] == f"urn:driftbus:schema:{name}:v1"
    assert schema["examples"]
    for example in schema["examples"]:
        VALIDATORS[name].validate(example)
        MODELS[name].model_validate_json(orjson.dumps(example))


CONTRACT_EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    (
        "prediction",
        {
            "prediction_id": "p-1",
            "stream": "fraud",
            "ts": "2026-01-01T00:00:00.000Z",
            "features": {"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
            "prediction": 1,
            "score": 0.87,
            "model_version": "v3",
            "slices": {"region": "eu"},
            "weight": 1.0,
            "role": "production",
        },
    ),
    ("label", {"prediction_id": "p-1", "stream": "fraud", "ts": "2026-01-03T00:00:00.000Z", "label": 0}),
    ("prediction", {"prediction_id": "p", "signals": {"ndcg@10": 0.41, "latency_ms": 41}}),
    ("prediction", {"prediction_id": "p", "prediction": [1, {"a": 2}], "features": {"v": [1, 2]}, "new": 1}),
    ("label", {"prediction_id": "p", "ts": 1767225600000, "label": "fraud"}),
    ("model-event", {"stream": "fraud", "type": "model-deployed", "model_version": "v4"}),
    (
        "label-correction",
        {
            "prediction_id": "p",
            "stream": "s",
            "seq": 0,
            "previous_label": 0,
            "label": "x",
            "ts": "2026-01-01T00:00:00.000Z",
        },
    ),
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("prediction", {"prediction_id": "p"}),
    ("prediction", {"prediction": 1}),
    ("prediction", {"prediction_id": "", "prediction": 1}),
    ("prediction", {"prediction_id": "x" * 257, "prediction": 1}),
    ("prediction", {"prediction_id": "p", "prediction": None}),
    ("prediction", {"prediction_id": "p", "prediction": 1, "role": "other"}),
    ("prediction", {"prediction_id": "p", "prediction": 1, "score": "high"}),
    ("prediction", {"prediction_id": "p", "prediction": 1, "features": [1]}),
    ("prediction", {"prediction_id": "p", "prediction": 1, "weight": -1}),
    ("label", {"prediction_id": "p", "label": None}),
    ("label", {"prediction_id": "p"}),
    ("label", {"prediction_id": "p", "label": 1, "ts": -1}),
    ("model-event", {"type": "model-retired"}),
    ("model-event", {"type": "reference-set"}),
    ("model-event", {"type": "reference-set", "reference": {"rows": 0}}),
    ("model-event", {"type": "reference-set", "reference": {"rows": 9, "features": {"x": {"kind": "odd"}}}}),
]


@pytest.mark.parametrize(("name", "event"), CONTRACT_EXAMPLES)
def test_what_the_contract_shows_is_valid(name: str, event: dict[str, Any]) -> None:
    VALIDATORS[name].validate(event)


@pytest.mark.parametrize(("name", "event"), REFUSED)
def test_what_the_codec_refuses_is_invalid(name: str, event: dict[str, Any]) -> None:
    assert not VALIDATORS[name].is_valid(event)
    with pytest.raises(InvalidRecord):
        decode(f"{name}s", b"s", orjson.dumps(event), (), 0, 1_000_000)


# Events in: the schema and the codec take the same

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
# What a field may hold, or something near it.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "stream": TEXT | JSON,
    "ts": st.integers(-5, 2 * 10**14) | st.datetimes().map(lambda t: f"{t.isoformat()}Z") | st.none(),
    "features": st.dictionaries(TEXT, JSON, max_size=2) | JSON,
    "prediction": JSON,
    "label": JSON,
    "score": FLOATS | st.dictionaries(TEXT, FLOATS, max_size=2) | JSON,
    "model_version": TEXT | JSON,
    "slices": st.dictionaries(TEXT, TEXT | INTS, max_size=2) | JSON,
    "signals": st.dictionaries(TEXT, FLOATS | INTS | st.booleans(), max_size=2) | JSON,
    "weight": FLOATS | JSON,
    "role": st.sampled_from(["production", "canary", "shadow", "other"]) | st.none(),
    "type": st.sampled_from(sorted(MODEL_EVENT_TYPES)) | TEXT,
    "retrain_request_id": TEXT | JSON,
    "by": TEXT | JSON,
    "reason": TEXT | JSON,
    "unknown": JSON,
}


@pytest.mark.parametrize("name", ["prediction", "label", "model-event"])
@given(st.fixed_dictionaries({"prediction_id": TEXT | JSON}, optional=FIELDS))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_the_schema_takes_what_the_codec_takes(name: str, event: dict[str, Any]) -> None:
    value = orjson.dumps(event)
    assume(not isinstance(event.get("ts"), str) or event["ts"] >= "1970")
    try:
        decode(f"{name}s", b"s", value, (), 0, 1_000_000)
        is_taken = True
    except InvalidRecord:
        is_taken = False
    errors = [error.message for error in VALIDATORS[name].iter_errors(orjson.loads(value))]
    assert is_taken == (not errors), errors


# Events out: what is encoded is valid

TIMES = st.integers(0, 4 * 10**12)
COUNTS = st.integers(0, 2**53)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
EVIDENCE = st.builds(SignalEvidence, NAMES, FLOATS, FLOATS, NAMES, FLOATS)
LABELS = st.dictionaries(NAMES, TEXT, max_size=2)


def _prediction(
    pid: str, stream: str, ts: int, features: Any, said: Any, version: str | None, weight: float | None
) -> Prediction:
    fragment = encode.prediction_fragment(
        pid, stream, ts, features, said, 0.5, version, "production", {"a": "b"}, None, weight
    )
    return Prediction(
        pid, stream, ts, features, said, 0.5, version, "production", {"a": "b"}, None, weight, fragment
    )


PREDICTIONS = st.builds(
    _prediction,
    NAMES,
    NAMES,
    TIMES,
    st.none() | st.dictionaries(TEXT, JSON, max_size=2),
    JSON,
    st.none() | TEXT,
    st.none() | st.floats(0, 10),
)


def _valid(name: str, value: bytes) -> None:
    VALIDATORS[name].validate(json.loads(value))
    MODELS[name].model_validate_json(value)


@given(
    st.builds(Outcome, COUNTS, PREDICTIONS, JSON, TIMES, st.sampled_from(["event", "expired"])),
    st.none() | st.integers(0, 1) | st.floats(0, 1e9),
)
def test_outcomes_are_valid(outcome: Outcome, error: float | None) -> None:
    _valid("outcome", encode.outcome_bytes(outcome, error))


@given(NAMES, NAMES, COUNTS, TIMES, JSON, JSON)
def test_corrections_are_valid(pid: str, stream: str, seq: int, ts: int, before: Any, after: Any) -> None:
    rest = dict.fromkeys(set(Correction._fields))
    given = {"prediction_id": pid, "stream": stream, "seq": seq, "ts": ts}
    correction = Correction(**{**rest, **given, "previous_label": before, "label": after})
    _valid("label-correction", encode.correction_bytes(correction))


@given(
    st.builds(
        DriftEvent,
        NAMES,
        NAMES,
        NAMES,
        st.sampled_from(["opened", "updated", "closed"]),
        st.none() | st.sampled_from(["settled", "replaced", "passed"]),
        st.sampled_from(["concept", "data", "prediction", "quality"]),
        st.sampled_from(["sudden", "gradual", "undetermined"]),
        st.floats(0, 1),
        st.builds(Onset, TIMES, TIMES, TIMES, st.booleans(), COUNTS),
        st.lists(EVIDENCE, min_size=1, max_size=2).map(tuple),
        st.none() | st.just({"region": "eu"}),
        TIMES,
        COUNTS,
        COUNTS,
        st.none() | TEXT,
        st.booleans(),
        LABELS,
    )
)
def test_drift_events_are_valid(event: DriftEvent) -> None:
    place = {"topic": "driftbus.outcomes", "partition": 0, "offset": 3}
    value = encode.drift_event(event, "prod-eu", place)
    assert value["dataschema"] == json_schema("drift-event")["$id"]
    _valid("drift-event", encode.dumps(value))


@given(
    st.builds(
        RetrainRequest,
        event_id=NAMES,
        request_id=NAMES,
        stream=NAMES,
        signals=st.lists(EVIDENCE, max_size=2).map(tuple),
        attempt=st.integers(1, 9),
        time=TIMES,
        labels=LABELS,
        model_version=st.none() | TEXT,
        window=st.builds(
            TrainingWindow,
            start_seq=COUNTS,
            end_seq=COUNTS,
            start_ts=TIMES,
            end_ts=TIMES,
            rows=COUNTS,
            class_counts=st.dictionaries(TEXT, COUNTS, max_size=2),
            onset_ts=st.none() | TIMES,
            rows_since_onset=COUNTS,
            sample=st.floats(0.001, 1),
        ),
    )
)
def test_retrain_requests_are_valid(request: RetrainRequest) -> None:
    place = {
        "topic": "driftbus.outcomes",
        "partition": 0,
        "start_offset": 3,
        "end_offset": 9,
        "corrections_offset": 0,
    }
    value = encode.retrain_request(request, "prod-eu", place)
    assert value["dataschema"] == json_schema("retrain-request")["$id"]
    _valid("retrain-request", encode.dumps(value))


@pytest.mark.parametrize("name", ["drift-event", "retrain-request"])
def test_consumers_must_tolerate_new_fields_and_values_and_so_do_the_schemas(name: str) -> None:
    (event,) = json_schema(name)["examples"]
    event = json.loads(json.dumps(event))
    event["new"] = event["data"]["new"] = 1
    event["data"]["status"] = "a new one"
    VALIDATORS[name].validate(event)
    del event["data"]["status"]
    assert not VALIDATORS[name].is_valid(event)


# AsyncAPI


def _pointers(node: Any) -> list[str]:
    if isinstance(node, list):
        return [pointer for each in node for pointer in _pointers(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [pointer for each in node.values() for pointer in _pointers(each)]


def test_the_asyncapi_document_covers_all_topics_and_refers_to_what_it_holds() -> None:
    document = asyncapi("risk.")
    assert set(document["channels"]) == set(TOPICS)
    assert document["channels"]["model-events"]["address"] == "risk.model-events"
    for pointer in _pointers(document):
        target: Any = document
        for part in pointer.removeprefix("#/").split("/"):
            target = target[part]
        assert target
    text = json.dumps(document)
    assert "prefixItems" not in text
    assert "$defs" not in text
    assert "2020-12" not in text


def test_the_schemas_in_the_asyncapi_document_are_draft_07_and_take_the_same() -> None:
    messages = asyncapi()["components"]["messages"]
    seen = 0
    for message in messages.values():
        for part in ("payload", "headers"):
            if part in message:
                schema = message[part]["schema"]
                assert message[part]["schemaFormat"] == "application/schema+json;version=draft-07"
                jsonschema.Draft7Validator.check_schema(schema)
                for example in schema.get("examples", []):
                    jsonschema.Draft7Validator(schema).validate(example)
                    seen += 1
    assert seen >= len(MODELS)

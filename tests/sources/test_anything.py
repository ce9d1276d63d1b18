"""Any bytes, any JSON, any headers: rows or a dead letter, never an exception; and what is written,
driftbus takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.config import load
from driftbus.core.codec import decode
from driftbus.joining import Joining, Step
from driftbus.ports import Record
from tests.sources.test_samples import SAMPLES, record, sample

# Names that the formats look for: what is random else never comes near them.
NAMES = [
    "specversion", "type", "id", "data", "data_base64", "time", "inputs", "outputs", "instances",
    "predictions", "name", "shape", "datatype", "parameters", "model_name", "dataframe_split",
    "dataframe_records", "columns", "captureData", "endpointInput", "endpointOutput", "encoding",
    "observedContentType", "eventMetadata", "eventId", "inferenceId", "groundTruthData", "request",
    "response", "request_metadata", "status_code", "databricks_request_id", "timestamp_ms",
    "prediction_id", "prediction_label", "actual_label", "features", "modelName", "predictionId",
    "labels", "items", "country", "page", "at", "pred", "request_id", "timestamp",
]  # fmt: skip
TEXTS = [
    "CSV",
    "JSON",
    "BASE64",
    "1.0",
    "1,2\n3,4",
    "{}",
    "[[1]]",
    "2026-01-01T00:00:00Z",
    "impression",
    "é\0",
    "",
]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.sampled_from(TEXTS) | st.text(max_size=8)
)  # fmt: skip
KEYS = st.sampled_from(NAMES) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_type", "Ce-Type", "ce_id", "ce-id", "Ce-Modelid", "model-version", "x"]),
        st.none()
        | st.binary(max_size=6)
        | st.sampled_from(
            [b"org.kubeflow.serving.inference.request", b"org.kubeflow.serving.inference.response", b"a-1"]
        ),
    ),
    max_size=4,
).map(tuple)
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), VALUES), min_size=1, max_size=3)


def joinings(folder: Path) -> dict[str, Joining]:
    """One for each sample's source."""
    found = {}
    for path in SAMPLES:
        config = folder / f"{path.stem}.yaml"
        config.write_text(yaml.safe_dump({"ingest": {"sources": {"sample": sample(path)["source"]}}}))
        found[path.stem] = config
    return {name: Joining(load(config, {}).ingest, 1_000_000) for name, config in found.items()}


@pytest.fixture(scope="module")
def by_name(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Joining]:
    return joinings(tmp_path_factory.mktemp("sources"))


def checked(joining: Joining, records: list[Record]) -> Step:
    """Map the records, whatever they are, and see that each has one fate and each event is good."""
    step = Step()
    for each in records:
        before = len(step.events), len(step.letters), step.ignored.total(), len(step.fresh)
        joining.map(each, step)
        after = len(step.events), len(step.letters), step.ignored.total(), len(step.fresh)
        assert before != after or any(each is waiting for _, waiting in step.fresh.values()), (
            "a record vanished"
        )
    joining.settle(step)
    for event in step.events:
        decode(event.topic, event.stream.encode(), event.value, (), 0)
    for letter in step.letters:
        letter.headers()
    return step


@given(st.binary(max_size=60) | st.none(), st.none() | st.binary(max_size=5), HEADERS)
def test_any_bytes(
    by_name: dict[str, Joining], value: bytes | None, key: bytes | None, headers: tuple
) -> None:
    for joining in by_name.values():
        (topic, *_) = joining.topics
        checked(joining, [Record(topic, 0, 0, key, value, headers, 0)])


@given(VALUES, st.none() | st.binary(max_size=5), HEADERS)
def test_any_json(by_name: dict[str, Joining], value: Any, key: bytes | None, headers: tuple) -> None:
    for joining in by_name.values():
        (topic, *_) = joining.topics
        checked(joining, [Record(topic, 0, 0, key, orjson.dumps(value), headers, 0)])


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place inside a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for name, each in value.items():
            found += places(each, (*path, name))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            found += places(each, (*path, i))
    return found


def changed(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    head, *rest = path
    copied = value.copy()
    copied[head] = changed(value[head], tuple(rest), new)
    return copied


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@settings(max_examples=25)
@given(changes=CHANGES)
def test_a_good_record_with_something_else_somewhere_inside(
    by_name: dict[str, Joining], path: Path, changes: list[tuple[int, Any]]
) -> None:
    joining, expected = by_name[path.stem], sample(path)
    records = []
    for number, given_ in enumerate(expected["records"]):
        good = record(number, expected["source"]["topics"][0], given_ | {"framed": False})
        body = orjson.loads(good.value or b"")
        for where, new in changes:
            choice = places(body)
            body = changed(body, choice[where % len(choice)], new)
        records.append(good._replace(value=orjson.dumps(body)))
    checked(joining, records)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 1000 + b"]" * 1000,
        b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
        b'{"inputs": [{"name": "a", "shape": [1000000000, 2000000000], "data": [1]}]}',
        b'{"inputs": [{"name": "a", "shape": [0], "data": []}]}',
        b'{"instances": []}',
        b'{"predictions": [' + b",".join([b"1"] * 10_001) + b"]}",
        b'{"id": 1e400}',
        b'{"id": 123456789012345678901234567890}',
        b'{"prediction_id": "\\ud800"}',
        b"\0\0\0\0",
        b"\0" * 5 + b"{}",
    ],
)
def test_what_is_deep_large_or_absurd(by_name: dict[str, Joining], value: bytes) -> None:
    for joining in by_name.values():
        (topic, *_) = joining.topics
        assert not checked(joining, [Record(topic, 0, 0, None, value, (), 0)]).events

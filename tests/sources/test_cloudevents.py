"""Envelopes as the CloudEvents SDK writes them: both of Kafka's modes, attributes, binary data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from driftbus.ports import Record
from driftbus.sources import Source, SourceSettings
from driftbus.sources.envelope import content_of

WHEN = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def event(side: str, data: Any) -> CloudEvent:
    attributes = {
        "id": "a-1",
        "source": "http://localhost:9081/",
        "type": f"org.kubeflow.serving.inference.{side}",
        "specversion": "1.0",
        "time": WHEN,
        "datacontenttype": "application/json",
        "inferenceservicename": "iris",
        "namespace": "default",
        "component": "predictor",
        "partitionkey": "anything",
    }
    return CloudEvent(attributes=attributes, data=data)


def record(message: KafkaMessage) -> Record:
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return Record("t", 0, 0, key, message.value, tuple(message.headers.items()), 0)


@pytest.mark.parametrize("ask", [to_binary, to_structured])
@pytest.mark.parametrize("answer", [to_binary, to_structured])
def test_kserve_joins_events_of_either_mode(ask: Any, answer: Any) -> None:
    source = Source(SourceSettings("s", "kserve", ("t",)))
    request = record(ask(event("request", {"instances": [{"x": 1.5}]}), JSONFormat()))
    response = record(answer(event("response", {"predictions": [1]}), JSONFormat()))
    halves = source.half(request), source.half(response)
    assert [(half.id, half.side, half.scope) for half in halves if half is not None] == [
        ("a-1", "request", "default/iris/predictor"),
        ("a-1", "response", "default/iris/predictor"),
    ]
    mapped = source.map_pair(request, response)
    (said,) = mapped.events
    assert orjson.loads(said.value) == {
        "prediction_id": "a-1",
        "stream": "iris",
        "ts": round(WHEN.timestamp() * 1000),
        "prediction": 1,
        "features": {"x": 1.5},
    }


def test_data_as_bytes_comes_back_as_the_json_it_is() -> None:
    body = b'{"instances": [[1, 2]]}'
    given = event("request", body)
    assert content_of(*_value(to_binary(given, JSONFormat()))).body == orjson.loads(body)
    assert content_of(*_value(to_structured(given, JSONFormat()))).body == orjson.loads(body)


def _value(message: KafkaMessage) -> tuple[bytes | None, tuple]:
    made = record(message)
    return made.value, made.headers


def test_attributes_are_known_whatever_the_case_of_their_headers() -> None:
    names = {"ce_type": "a", "Ce-Id": "b", "CE_Source": "c", "ce-modelid": "d", "other": "e"}
    headers = tuple((name, value.encode()) for name, value in names.items())
    found = content_of(b"{}", (*headers, ("ce_broken", b"\xff"), ("ce_null", None)))
    assert found.attributes == {"type": "a", "id": "b", "source": "c", "modelid": "d"}

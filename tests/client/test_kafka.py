"""The clients on a real Kafka: what the embedded tests promise, once through, forks included."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator

import orjson
import pytest

from driftbus.adapters.kafka.bus import KafkaBus
from driftbus.client import Emitter, RetrainRequests
from driftbus.errors import WindowExpired
from driftbus.ports import TopicPartition, TopicSpec
from tests.cli.commands import driftbus
from tests.client.conftest import TOPICS
from tests.client.test_emitter import FORKING
from tests.client.test_requests import outcome, request_event, window

pytestmark = pytest.mark.kafka


@pytest.fixture
def prefix() -> str:
    return f"clients-{uuid.uuid4().hex[:8]}."


@pytest.fixture
def kafka(kafka_bootstrap: str, prefix: str) -> Iterator[KafkaBus]:
    bus = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    bus.create_topics([TopicSpec(prefix + name, 2) for name in TOPICS])
    yield bus
    bus.close()


def values(bus: KafkaBus, topic: str) -> list[dict[str, object]]:
    return [orjson.loads(record.value or b"") for p in (0, 1) for record in bus.read_from(topic, p, 0)]


def test_events_of_a_stream_share_a_partition_in_order(
    kafka: KafkaBus, kafka_bootstrap: str, prefix: str
) -> None:
    with Emitter(kafka={"bootstrap.servers": kafka_bootstrap}, topic_prefix=prefix) as emitter:
        for n in range(500):
            emitter.prediction("fraud", f"p-{n}", prediction=n)
            emitter.label("fraud", f"p-{n}", n)
    assert emitter.lost == {}
    partition = kafka.partition_for(prefix + "predictions", b"fraud")
    for topic in ("predictions", "labels"):
        records = list(kafka.read_from(prefix + topic, partition, 0))
        ids = [orjson.loads(record.value or b"")["prediction_id"] for record in records]
        assert ids == [f"p-{n}" for n in range(500)]


def test_each_process_delivers_its_own_after_a_fork(
    kafka: KafkaBus, kafka_bootstrap: str, prefix: str
) -> None:
    arguments = {"kafka": {"bootstrap.servers": kafka_bootstrap}, "topic_prefix": prefix}
    program = FORKING.format(arguments=arguments, flush_s=30.0)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    ids = sorted(str(event["prediction_id"]) for event in values(kafka, prefix + "predictions"))
    assert ids == ["child", "parent-after", "parent-before"]


def test_a_request_is_read_answered_and_committed(kafka: KafkaBus, kafka_bootstrap: str, prefix: str) -> None:
    place = TopicPartition(
        prefix + "retrain-requests", kafka.partition_for(prefix + "retrain-requests", b"fraud")
    )
    rows_in = kafka.partition_for(prefix + "outcomes", b"fraud")
    producer = kafka.producer()
    for seq in range(20):
        producer.produce(prefix + "outcomes", key=b"fraud", value=orjson.dumps(outcome(seq)))
    correction = {"stream": "fraud", "seq": 12, "label": 1}
    producer.produce(prefix + "label-corrections", key=b"fraud", value=orjson.dumps(correction))
    where = {"topic": prefix + "outcomes", "partition": rows_in}
    whole = window(10, 5, 15, corrections_offset=1, **where)
    gone = window(10, 5, 14, **where)
    for name, cut in (("r-1", whole), ("r-2", gone)):
        event = request_event(name, **cut)
        producer.produce(place.topic, key=b"fraud", value=orjson.dumps(event))
    assert producer.flush(60.0) == 0
    producer.close(10.0)

    group = prefix + "trainer"
    where_kafka = {"bootstrap.servers": kafka_bootstrap}
    with RetrainRequests(kafka=where_kafka, group=group, topic_prefix=prefix, timeout_s=60.0) as requests:
        request = next(requests)
        rows = list(request.rows())
        assert [row["seq"] for row in rows] == list(range(5, 15))
        assert [row["seq"] for row in rows if row["label"] == 1] == [12]
        assert request.rows().to_polars()["seq"].to_list() == list(range(5, 15))
        request.deployed(model_version="v4", ts=1)
        assert kafka.committed(group, [place]) == {place: 1}
        second = next(requests)
        with pytest.raises(WindowExpired, match="9 rows of 10"):
            list(second.rows())
        second.failed("gone", ts=2)
        assert kafka.committed(group, [place]) == {place: 2}
    said = [event["type"] for event in values(kafka, prefix + "model-events")]
    assert said == ["model-deployed", "training-failed"]

    environ = {"DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap, "DRIFTBUS_TOPIC_PREFIX": prefix}
    exported = driftbus("export", "r-1", environ=environ)
    assert exported.returncode == 0, exported.stderr
    assert [orjson.loads(line) for line in exported.stdout.splitlines()] == rows
    whole_stream = driftbus("export", "--stream", "fraud", environ=environ)
    assert [orjson.loads(line)["label"] for line in whole_stream.stdout.splitlines()] == [
        int(seq == 12) for seq in range(20)
    ]
    assert driftbus("export", "r-2", environ=environ).returncode == 1

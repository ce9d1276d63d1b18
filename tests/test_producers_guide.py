"""docs/guides/producers.md: the properties it names are librdkafka's, and bring a stream where it belongs."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from driftbus.adapters.kafka.bus import KafkaBus
from driftbus.core.codec import decode
from driftbus.ports import TopicSpec

PAGE = (Path(__file__).resolve().parents[1] / "docs/guides/producers.md").read_text()
# A prime, so that another hash, or chance, rarely gives the same partition; several streams leave no doubt.
PARTITIONS = 7
STREAMS = [f"stream-{i}" for i in range(12)]


def go() -> dict[str, str]:
    (source,) = re.findall(r"ConfigMap\{\n(.*?)\n\s*\}\)", PAGE, re.DOTALL)
    return {
        key: value.strip('"')
        for key, value in re.findall(r'"([a-z.]+)":\s+("[^"]*"|true|false)', source)
        if key != "bootstrap.servers"
    }


def kcat() -> list[tuple[str, dict[str, str], bytes, bytes]]:
    """Topic, properties, key and value of each command."""
    found = []
    for said, topic, options in re.findall(
        r"echo '([^']*)' \|\n  kcat -P -b \S+ -t (\S+) -K '\|' (.*)", PAGE
    ):
        key, value = said.split("|", 1)
        found.append((topic, dict(re.findall(r"-X ([a-z.]+)=(\S+)", options)), key.encode(), value.encode()))
    return found


def examples() -> list[dict[str, str]]:
    return [go(), *(properties for _, properties, _, _ in kcat())]


def test_the_page_has_them() -> None:
    assert len(kcat()) == 2
    assert all(properties["partitioner"] == "murmur2_random" for properties in examples())


def test_every_event_on_the_page_is_taken() -> None:
    for topic, _, key, value in kcat():
        assert decode(topic.removeprefix("driftbus."), key, value, (), 0).stream == "fraud"
    (label,) = re.findall(r"Value:\s+\[\]byte\(`(.*)`\)", PAGE)
    assert decode("labels", b"fraud", label.encode(), (), 0).label == 0
    java = "".join(re.findall(r'^\s+(?:String prediction = |\+ )"(.*)"', PAGE, re.MULTILINE))
    assert decode("predictions", b"fraud", java.replace('\\"', '"').encode(), (), 0).model_version == "v3"


@pytest.mark.kafka
def test_its_properties_bring_a_stream_where_driftbus_looks_for_it(kafka_bootstrap: str) -> None:
    topic = f"guide-{uuid.uuid4().hex[:8]}"
    bus = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    try:
        bus.create_topics([TopicSpec(topic, PARTITIONS)])
        for properties in examples():
            producer = Producer({"bootstrap.servers": kafka_bootstrap, **properties})
            for stream in STREAMS:
                producer.produce(topic, key=stream.encode(), value=orjson.dumps({"stream": stream}))
            assert producer.flush(60) == 0
        records = [
            record
            for p in range(PARTITIONS)
            for record in bus.read_from(topic, p, bus.begin_offset(topic, p))
        ]
        assert len(records) == len(examples()) * len(STREAMS)
        for record in records:
            assert record.partition == bus.partition_for(topic, record.key or b"")
    finally:
        bus.close()

"""What a bus has kept, by time: found whatever lies between, and replayed as a file of it would be."""

from __future__ import annotations

import io
import time
from pathlib import Path

import orjson
import pytest

from driftbus import recorded as reading
from driftbus.config import load
from driftbus.ports import Bus
from driftbus.recorded import first_since, recorded, spans
from driftbus.replay import Summary, replay, replay_history
from driftbus.topics import topic_specs
from tests.core.streams import Shape, events

from .buses import unique
from .conftest import MakeTopic

# Written lately, so that no bus's retention takes it away.
BEGAN_MS = time.time_ns() // 1_000_000 - 3_600_000
STEP_MS = 1_000


def fill(bus: Bus, topic: str, count: int) -> None:
    """Records a second apart, with what was given up and markers between."""
    transaction = bus.transaction(unique("tx"))
    for start in range(0, count, 40):
        transaction.begin()
        for i in range(start, min(count, start + 40)):
            ts = BEGAN_MS + i * STEP_MS
            transaction.produce(topic, key=b"k", value=b"%d" % i, timestamp_ms=ts, partition=0)
        transaction.commit()
        transaction.begin()
        transaction.produce(topic, key=b"k", value=b"given up", timestamp_ms=BEGAN_MS, want_offset=True)
        transaction.flush()
        transaction.abort()
    transaction.close()


@pytest.mark.parametrize("scan", [1, 16, 10_000])
def test_a_moment_is_found(
    bus: Bus, make_topic: MakeTopic, scan: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SCAN_OFFSETS", scan)
    topic = make_topic()
    fill(bus, topic, 100)
    low, high = bus.begin_offset(topic, 0), bus.end_offset(topic, 0, committed=True)
    offsets = [record.offset for record in bus.read_from(topic, 0, low)]
    assert len(offsets) == 100
    for i in (0, 1, 39, 40, 77, 99):
        at = BEGAN_MS + i * STEP_MS
        # Between two records what was given up may be counted to either.
        before = offsets[i - 1] + 1 if i else low
        assert before <= first_since(bus, topic, 0, low, high, at) <= offsets[i]
        after = offsets[i + 1] if i < 99 else high
        assert offsets[i] < first_since(bus, topic, 0, low, high, at + 1) <= after
    assert first_since(bus, topic, 0, low, high, 0) <= offsets[0]
    assert first_since(bus, topic, 0, low, high, BEGAN_MS + 1_000 * STEP_MS) == high


def test_history_is_replayed_as_the_file_of_it(bus: Bus, tmp_path: Path) -> None:
    prefix = unique("history") + "."
    settings = load(None, {"DRIFTBUS_TOPIC_PREFIX": prefix})
    bus.create_topics(topic_specs(settings, 2))
    producer, lines = bus.producer(), []
    for n, (topic, value, _) in enumerate(events([Shape("sudden", rows=900, change=450)], seed=4)):
        ts, key = BEGAN_MS + n, value["stream"].encode()
        assert producer.produce(settings.topics[topic], key=key, value=orjson.dumps(value), timestamp_ms=ts)
        lines.append({"topic": topic, "key": "sudden", "ts": ts, "value": value})
    assert producer.produce(settings.topics["labels"], key=b"x", value=b"poison", timestamp_ms=BEGAN_MS + 7)
    assert producer.flush(30) == 0
    producer.close(5)
    for begin, end in ((None, None), (BEGAN_MS + 200, BEGAN_MS + 1_500)):
        file, said, told = tmp_path / "events.jsonl", io.BytesIO(), io.BytesIO()
        kept = [row for row in lines if (begin or 0) <= row["ts"] < (end or 1 << 60)]
        file.write_bytes(b"\n".join(map(orjson.dumps, kept)))
        expected = replay([file], settings, csv=None, out=said, progress=lambda done, total: None)
        found = replay_history(bus, settings, begin, end, out=told, progress=lambda done, total: None)
        assert told.getvalue() == said.getvalue()
        assert found.streams == expected.streams
        assert found.dead_letters == ({} if begin else {"not_json": 1})
        assert b"drift-events" in told.getvalue() or begin is not None
    assert (
        replay_history(bus, settings, BEGAN_MS - 5, BEGAN_MS, out=told, progress=lambda done, total: None)
        == Summary()
    )


def test_topics_are_merged_by_time(bus: Bus) -> None:
    settings = load(None, {"DRIFTBUS_TOPIC_PREFIX": unique("merged") + "."})
    bus.create_topics(topic_specs(settings, 1))
    producer = bus.producer()
    for topic, ts in (
        ("labels", 3),
        ("labels", 5),
        ("predictions", 1),
        ("predictions", 5),
        ("model-events", 4),
    ):
        assert producer.produce(settings.topics[topic], key=b"k", value=b"{}", timestamp_ms=BEGAN_MS + ts)
    assert producer.flush(30) == 0
    producer.close(5)
    found = recorded(bus, spans(bus, settings.topics, 0, BEGAN_MS + 2, None))
    assert [(name, record.timestamp_ms - BEGAN_MS) for name, record in found] == [
        ("labels", 3), ("model-events", 4), ("predictions", 5), ("labels", 5)
    ]  # fmt: skip

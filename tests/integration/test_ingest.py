"""`driftbus ingest` under `kill -9`: what services emitted is in `predictions`, each once, on both buses.

Requests and responses of inferences come on topics of their own, keyed by anything, half of the pairs the
wrong way round and far apart; two workers share them and are killed in the midst. Whatever the kills: each
pair is one prediction, each label one label, poison one dead letter, and what has no other half still waits.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.config import Settings, load
from driftbus.ports import Bus, Record, TopicPartition, TopicSpec
from driftbus.topics import halves_specs, topic_specs
from driftbus.wiring import open_bus
from tests.integration.workers import WorkerProcess, wait_until

PAIRS = 600
PARTITIONS = 3
FOREIGN = {"ask": 2, "answer": 3, "truth": 2}


class IngestProcess(WorkerProcess):
    command = "ingest"
    assigned = b"assigned: "


def config(folder: Path, bus: dict) -> Settings:
    prefix = f"k{uuid.uuid4().hex[:8]}."
    document = {
        **bus,
        "group": f"ingest-{uuid.uuid4().hex[:8]}",
        "topic_prefix": prefix,
        "http": {"enabled": False},
        # Small steps, so that kills fall into many different places.
        "worker": {"max_records": 40, "commit_interval": "20ms", "restart_wait": "100ms"},
        "ingest": {
            "sources": {
                "models": {"format": "seldon", "topics": [f"{prefix}x.ask", f"{prefix}x.answer"]},
                "truths": {
                    "format": "json",
                    "topics": [f"{prefix}x.truth"],
                    "stream": "{model}",
                    "prediction_id": "id",
                    "label": "was",
                },
            }
        },
    }
    path = folder / "driftbus.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path, {})


def everything(rng: random.Random, prefix: str) -> list[tuple[str, bytes | None, bytes | None]]:
    """Foreign records in an order in which halves are up to 300 records apart."""
    placed: list[tuple[float, str, bytes | None, bytes | None]] = []
    for i in range(PAIRS):
        at = float(i)
        request = {
            "id": f"p-{i}",
            "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [i / 7]}],
        }
        response = {
            "id": f"p-{i}",
            "model_name": f"m{i % 5}",
            "model_version": "v1",
            "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [i % 2]}],
        }
        # A key of one's own would be the id for Seldon's format: these are keyed by nothing.
        for name, body in (("ask", request), ("answer", response)):
            if name == "answer" and i % 50 == 7:
                continue  # a request that nobody answered
            placed.append((at + rng.choice([0, 0, 1, 30, 150]), name, None, orjson.dumps(body)))
        truth = {"model": f"m{i % 5}", "id": f"p-{i}", "was": (i // 3) % 2}
        placed.append((at + 40, "truth", rng.choice([None, b"k", b"\xff"]), orjson.dumps(truth)))
        if i % 60 == 0:
            placed.append(
                (at, rng.choice(["ask", "answer", "truth"]), b"poison", rng.choice([b"{", b"[1]", None]))
            )
    placed.sort(key=lambda each: each[0])
    return [(f"{prefix}x.{name}", key, value) for _, name, key, value in placed]


def left(bus: Bus, settings: Settings) -> int:
    """Records of foreign topics and halves that are not committed yet. Of halves, which are written in
    transactions, markers do not count: they end with some for ever."""
    foreign = [
        TopicPartition(f"{settings.topic_prefix}x.{name}", p) for name, n in FOREIGN.items() for p in range(n)
    ]
    halves = [TopicPartition(settings.halves_topic, p) for p in range(PARTITIONS)]
    committed = bus.committed(f"{settings.group}-ingest", [*foreign, *halves])
    unread = sum(bus.end_offset(*tp, committed=True) - committed.get(tp, 0) for tp in foreign)
    if unread:
        return unread
    return sum(len(list(bus.read_from(*tp, committed.get(tp, 0)))) for tp in halves)


def records(bus: Bus, topic: str) -> list[Record]:
    found = []
    for p in range(bus.partitions(topic)):
        begin, end = bus.begin_offset(topic, p), bus.end_offset(topic, p, committed=True)
        found += list(bus.read_from(topic, p, begin, end))
    return found


def run(settings: Settings, folder: Path, kills: int) -> None:
    rng = random.Random(41)
    bus = open_bus(settings)
    workers = [IngestProcess(folder / "driftbus.yaml", f"w{i}") for i in range(2)]
    try:
        prefix = settings.topic_prefix
        bus.create_topics(
            [
                *topic_specs(settings, PARTITIONS),
                *halves_specs(settings, PARTITIONS),
                *(TopicSpec(f"{prefix}x.{name}", n) for name, n in FOREIGN.items()),
            ]
        )
        producer = bus.producer()
        for worker in workers:
            worker.start()
        sent = everything(rng, prefix)
        size = -(-len(sent) // (kills + 1))
        for i in range(0, len(sent), size):
            part = sent[i : i + size]
            most = left(bus, settings) + len(part)
            for topic, key, value in part:
                while not producer.produce(topic, key=key, value=value):
                    producer.flush(0.1)
            assert producer.flush(30) == 0
            # Killed in the midst of the work: once something of this part is committed, and not all of it.
            wait_until(lambda most=most: left(bus, settings) < most, 120, "progress after a kill", workers)
            victim = rng.choice(workers)
            victim.kill()
            victim.start()
        wait_until(lambda: left(bus, settings) == 0, 180, "everything committed", workers)
        wait_until(lambda: all(worker.joined() for worker in workers), 60, "both in the group", workers)
        assert [worker.stop() for worker in workers] == [0, 0], workers[0].tail() + workers[1].tail()
        producer.close(5)
        check(bus, settings, sent)
    finally:
        for worker in workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()
        bus.close()


def check(bus: Bus, settings: Settings, sent: list[tuple[str, bytes | None, bytes | None]]) -> None:
    predictions = records(bus, settings.topics["predictions"])
    answered = {f"p-{i}": i for i in range(PAIRS) if i % 50 != 7}
    found = {}
    for record in predictions:
        event = orjson.loads(record.value or b"")
        assert record.key == event["stream"].encode()
        assert record.partition == bus.partition_for(record.topic, record.key)
        assert event["prediction_id"] not in found, "a pair came twice"
        found[event["prediction_id"]] = event
    assert found.keys() == answered.keys()
    for known, i in answered.items():
        event = found[known]
        assert event["features"] == {"x": i / 7}
        assert (event["prediction"], event["stream"], event["model_version"]) == (i % 2, f"m{i % 5}", "v1")
    labels = Counter(
        orjson.loads(record.value or b"")["prediction_id"]
        for record in records(bus, settings.topics["labels"])
    )
    assert labels == Counter(f"p-{i}" for i in range(PAIRS))
    letters = records(bus, settings.topics["dead-letters"])
    assert Counter(letter.value for letter in letters) == Counter(
        value for _, key, value in sent if key == b"poison"
    )
    # What waits for ever waits in the halves topic, and nothing else does.
    live: dict[bytes | None, bytes] = {}
    for record in records(bus, settings.halves_topic):
        if record.value is None:
            live.pop(record.key, None)
        else:
            live[record.key] = record.value
    assert {orjson.loads(value)["id"] for value in live.values()} == {
        f"p-{i}" for i in range(PAIRS) if i % 50 == 7
    }


def embedded(folder: Path) -> Settings:
    return config(folder, {"bus": "embedded", "embedded": {"path": str(folder / "data")}})


def kafka(folder: Path, bootstrap: str) -> Settings:
    properties = {
        "bootstrap.servers": bootstrap,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1500,
    }
    return config(folder, {"bus": "kafka", "kafka": properties})


def test_embedded(tmp_path: Path) -> None:
    run(embedded(tmp_path), tmp_path, 3)


@pytest.mark.kafka
def test_kafka(tmp_path: Path, kafka_bootstrap: str) -> None:
    run(kafka(tmp_path, kafka_bootstrap), tmp_path, 2)


@pytest.mark.nightly
@pytest.mark.kafka
@pytest.mark.timeout(1800)
def test_many_kills(tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PAIRS", 3_000)
    for name, chosen in (("embedded", embedded), ("kafka", lambda folder: kafka(folder, kafka_bootstrap))):
        folder = tmp_path / name
        folder.mkdir()
        run(chosen(folder), folder, 20)

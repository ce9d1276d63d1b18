"""Twenty `kill -9` of workers leave what the fold over the log gives, on both buses."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.config import Settings, load
from driftbus.ports import Bus
from driftbus.wiring import open_bus
from tests.core.streams import Shape, events
from tests.integration.exactness import check
from tests.integration.workers import WorkerProcess, create_topics, remaining, wait_until

KILLS = 20
PARTITIONS = 4
SHAPES = [
    *(Shape(f"sudden-{i}", rows=1600, change=900) for i in range(3)),
    *(Shape(f"steady-{i}", rows=1600) for i in range(3)),
    Shape("moved", rows=1600, change=1100, after=0.05, shift=3.0),
    Shape("replaced", rows=1600, change=600, versions=(1000,)),
]
POISON: list[bytes | None] = [
    b"not json",
    b"[1]",
    b'{"prediction_id": 7}',
    None,
    b'{"prediction_id": "n", "ts": -1}',
]


def config(tmp_path: Path, bus: dict) -> Settings:
    document = {
        **bus,
        "group": f"exact-{uuid.uuid4().hex[:8]}",
        "http": {"enabled": False},
        # Small steps, so that the ring turns over and kills fall into many different places.
        "worker": {"max_records": 150, "commit_interval": "50ms", "restart_wait": "100ms"},
        "stream_defaults": {"retrain": {"cooldown": "30m", "min_rows": 200, "timeout": "2h"}},
    }
    path = tmp_path / "driftbus.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path, {})


def feed(bus: Bus, settings: Settings, parts: int) -> list[list[tuple[str, bytes, bytes | None]]]:
    """All input in parts of equal size, with a poison record now and then."""
    rng = random.Random(5)
    records: list[tuple[str, bytes, bytes | None]] = []
    for topic, value, _ in events(SHAPES, seed=11):
        records.append((settings.topics[topic], value["stream"].encode(), orjson.dumps(value)))
        if rng.random() < 0.003:
            name = rng.choice(["predictions", "labels", "model-events"])
            records.append((settings.topics[name], b"poison", rng.choice(POISON)))
    size = -(-len(records) // parts)
    return [records[i : i + size] for i in range(0, len(records), size)]


def run(settings: Settings, tmp_path: Path) -> None:
    bus = open_bus(settings)
    workers = [WorkerProcess(tmp_path / "driftbus.yaml", f"w{i}") for i in range(2)]
    rng = random.Random(23)
    try:
        create_topics(bus, settings, PARTITIONS)
        producer = bus.producer()
        for worker in workers:
            worker.start()
        for part in feed(bus, settings, KILLS + 1):
            most = remaining(bus, settings, PARTITIONS) + len(part)
            for topic, key, value in part:
                while not producer.produce(topic, key=key, value=value):
                    producer.flush(0.1)
            assert producer.flush(30) == 0
            victim = rng.choice(workers)
            # Killed in the midst of the work: once something of this part is committed, and not all of it.
            wait_until(
                lambda most=most: remaining(bus, settings, PARTITIONS) < most,
                120,
                "progress after a kill",
                workers,
            )
            victim.kill()
            victim.start()
        wait_until(lambda: remaining(bus, settings, PARTITIONS) == 0, 180, "all input committed", workers)
        wait_until(lambda: all(worker.joined() for worker in workers), 60, "both in the group", workers)
        assert [worker.stop() for worker in workers] == [0, 0], workers[0].tail() + workers[1].tail()
        producer.close(5)
        found = check(bus, settings)
    finally:
        for worker in workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.kill()
        bus.close()
    rows = sum(shape.rows for shape in SHAPES)
    assert 0.96 * rows < found.outcomes < 0.98 * rows
    assert found.drift_events >= 10
    assert found.requests >= 4
    assert found.dead_letters >= 30


def test_embedded(tmp_path: Path) -> None:
    run(config(tmp_path, {"bus": "embedded", "embedded": {"path": str(tmp_path / "data")}}), tmp_path)


@pytest.mark.kafka
def test_kafka(tmp_path: Path, kafka_bootstrap: str) -> None:
    kafka = {"bootstrap.servers": kafka_bootstrap, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1500}
    run(
        config(tmp_path, {"bus": "kafka", "kafka": kafka, "topic_prefix": f"kill-{uuid.uuid4().hex[:8]}."}),
        tmp_path,
    )

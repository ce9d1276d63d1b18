"""`driftbus replay` says what the worker said, for the same records in the same order."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import orjson
import yaml

from driftbus.config import Settings, load
from driftbus.intake import INPUTS
from driftbus.ports import Bus
from driftbus.replay import replay
from driftbus.wiring import open_bus
from tests.core.streams import Shape, events
from tests.integration.exactness import read_all, steps_of
from tests.integration.workers import WorkerProcess, create_topics, remaining, wait_until

SHAPES = [
    Shape("sudden", rows=1800, change=900),
    Shape("steady", rows=1800),
    Shape("moved", rows=1800, change=1100, after=0.05, shift=3.0),
]


def test_worker_and_replay_agree(tmp_path: Path) -> None:
    document = {
        "bus": "embedded",
        "embedded": {"path": str(tmp_path / "data")},
        "worker": {"max_records": 400},
        "stream_defaults": {"retrain": {"cooldown": "30m", "min_rows": 200, "timeout": "2h"}},
    }
    path = tmp_path / "driftbus.yaml"
    path.write_text(yaml.safe_dump(document))
    settings = load(path, {})
    bus = open_bus(settings)
    worker = WorkerProcess(path, "w0")
    try:
        create_topics(bus, settings, 1)
        producer = bus.producer()
        for topic, value, _ in events(SHAPES, seed=4):
            key = value["stream"].encode()
            while not producer.produce(settings.topics[topic], key=key, value=orjson.dumps(value)):
                producer.flush(0.1)
        assert producer.flush(30) == 0
        producer.close(5)
        worker.start()
        wait_until(lambda: remaining(bus, settings, 1) == 0, 180, "all input committed", [worker])
        assert worker.stop() == 0
        said = [
            normalised(orjson.loads(record.value or b"null"))
            for name in ("drift-events", "retrain-requests")
            for record in read_all(bus, settings.topics[name])[0]
        ]
        recording = tmp_path / "events.jsonl"
        recording.write_bytes(recorded(bus, settings))
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.kill()
        bus.close()
    once, twice = printed(recording, settings), printed(recording, settings)
    assert once == twice
    replayed = [normalised(orjson.loads(line)["value"]) for line in once.splitlines()]
    replayed.sort(key=lambda event: event["type"])
    said.sort(key=lambda event: event["type"])
    assert len(said) >= 6
    assert replayed == said


def recorded(bus: Bus, settings: Settings) -> bytes:
    """The input in the order in which the worker's steps took it, as a replay file."""
    inputs = {name: read_all(bus, settings.topics[name])[0] for name in INPUTS}
    lines = []
    for step in steps_of(read_all(bus, settings.topics["state"])[0]):
        for name in INPUTS:
            start, end = step.inputs[name]
            for record in inputs[name]:
                if start <= record.offset < end:
                    line = {
                        "topic": name,
                        "key": (record.key or b"").decode(),
                        "ts": record.timestamp_ms,
                        "value": orjson.loads(record.value or b"null"),
                    }
                    lines.append(orjson.dumps(line))
    return b"\n".join(lines)


def printed(recording: Path, settings: Settings) -> bytes:
    out = io.BytesIO()
    replay([recording], settings, csv=None, out=out, progress=lambda done, total: None)
    return out.getvalue()


def normalised(event: dict[str, Any]) -> dict[str, Any]:
    """Without what may differ: ids, source, partitions, offsets."""
    data = event["data"]
    for field in ("episode_id", "request_id"):
        if field in data:
            data[field] = data[field] is not None
    if "onset" in data:
        data["onset"].pop("offset")
    for field in ("partition", "start_offset", "end_offset", "corrections_offset"):
        data.get("training_window", {}).pop(field, None)
    return {"type": event["type"], "subject": event["subject"], "time": event["time"], "data": data}

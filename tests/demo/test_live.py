"""The services of docker-compose.yml, on the embedded bus."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.demo.world import world
from driftbus.ports import TopicSpec


def test_inference_emits_at_the_clocks_own_time_and_stops_when_told(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path / "bus")
    try:
        bus.create_topics(
            [TopicSpec(f"driftbus.{name}", 1) for name in ("predictions", "labels", "model-events")]
        )
        began_ms = time.time_ns() // 1_000_000
        command = [
            "driftbus.demo.live",
            "inference",
            str(tmp_path / "models"),
            "--embedded",
            str(tmp_path / "bus"),
        ]
        service = subprocess.Popen([sys.executable, "-m", *command])
        try:
            until = time.monotonic() + 120
            while bus.end_offset("driftbus.labels", 0, committed=True) < 60:
                assert service.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(30) == 0
        said = [orjson.loads(r.value or b"") for r in bus.read_from("driftbus.predictions", 0, 0)]
        labels = [orjson.loads(r.value or b"") for r in bus.read_from("driftbus.labels", 0, 0)]
        ended_ms = time.time_ns() // 1_000_000
    finally:
        bus.close()
    assert {event["stream"] for event in said} == {stream.name for stream in world(7)}
    assert all(began_ms <= event["ts"] <= ended_ms for event in (*said, *labels))
    ids = [event["prediction_id"] for event in said]
    assert len(set(ids)) == len(ids)
    assert {event["prediction_id"] for event in labels} <= set(ids)

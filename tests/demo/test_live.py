"""The services of docker-compose.yml on the embedded bus, and how compose knows that they are well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.kafka.bus import KafkaBus
from driftbus.demo.world import world
from driftbus.ports import TopicSpec

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


def is_well(service: str, *here: tuple[str, str]) -> bool:
    """What the compose file's own probe says, with what stands there replaced by what there is `here`."""
    command, python, flag, code = yaml.safe_load(COMPOSE.read_text())["services"][service]["healthcheck"][
        "test"
    ]
    assert (command, python, flag) == ("CMD", "python", "-c")
    for there, instead in here:
        assert there in code
        code = code.replace(there, instead)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0


def test_inference_emits_at_the_clocks_own_time_and_stops_when_told(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path / "bus")
    delivered = tmp_path / "delivered"
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
            "--delivered",
            str(delivered),
        ]
        assert not is_well("inference", ("/tmp/delivered", str(delivered)))
        service = subprocess.Popen([sys.executable, "-m", *command])
        try:
            until = time.monotonic() + 120
            while bus.end_offset("driftbus.labels", 0, committed=True) < 60:
                assert service.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            while not delivered.exists():
                assert time.monotonic() < until
                time.sleep(0.1)
            assert is_well("inference", ("/tmp/delivered", str(delivered)))
            long_ago = tmp_path / "long-ago"
            long_ago.touch()
            os.utime(long_ago, (time.time() - 60,) * 2)
            assert not is_well("inference", ("/tmp/delivered", str(long_ago)))
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


@pytest.mark.kafka
def test_the_trainer_is_well_while_its_group_has_a_member(kafka_bootstrap: str, tmp_path: Path) -> None:
    prefix = f"live-{uuid.uuid4().hex[:8]}."
    with closing(KafkaBus({"bootstrap.servers": kafka_bootstrap})) as bus:
        bus.create_topics([TopicSpec(f"{prefix}retrain-requests", 1)])
    broker = ("kafka:9092", kafka_bootstrap)
    assert not is_well("trainer", broker)
    command = ["driftbus.demo.live", "trainer", str(tmp_path), "--topic-prefix", prefix]
    service = subprocess.Popen([sys.executable, "-m", *command, "--kafka", kafka_bootstrap])
    try:
        until = time.monotonic() + 120
        while not is_well("trainer", broker):
            assert service.poll() is None
            assert time.monotonic() < until
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
    assert not is_well("trainer", broker)

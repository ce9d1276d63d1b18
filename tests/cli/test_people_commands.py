"""What people tell streams, and what `episodes` and `explain` tell people, on the embedded bus."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus.config import load
from driftbus.core.codec import decode
from driftbus.core.encode import drift_event, dumps, retrain_request
from driftbus.core.records import DriftEvent
from driftbus.wiring import open_bus
from tests.cli.commands import in_process
from tests.core.test_people import House


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "driftbus.yaml"
    path.write_text(f"bus: embedded\nhttp: {{enabled: false}}\nembedded: {{path: {tmp_path / 'data'}}}\n")
    assert in_process("topics", "create", "--partitions", "2", "--config", path).returncode == 0
    return path


def told(config: Path) -> list[Any]:
    settings = load(config, {})
    bus = open_bus(settings)
    try:
        topic = settings.topics["model-events"]
        return [
            decode("model-events", r.key, r.value, r.headers, r.timestamp_ms)
            for partition in range(2)
            for r in bus.read_from(topic, partition, 0)
        ]
    finally:
        bus.close()


@pytest.mark.parametrize(
    ("command", "said", "fields"),
    [
        (["ack", "fraud", "e-1"], "episode-acknowledged", {"episode_id": "e-1"}),
        (["dismiss", "fraud", "e-1", "--accept"], "episode-dismissed", {"episode_id": "e-1", "accept": True}),
        (["dismiss", "fraud"], "episode-dismissed", {"episode_id": None, "accept": False}),
        (["mute", "fraud", "--reason", "moving"], "muted", {"until": None, "reason": "moving"}),
        (["mute", "fraud", "--until", "2030-01-01T00:00:00Z"], "muted", {"until": 1_893_456_000_000}),
        (["unmute", "fraud"], "unmuted", {}),
        (["approve", "fraud", "r-1"], "retrain-approved", {"retrain_request_id": "r-1"}),
        (["decline", "fraud", "--reason", "no"], "request-declined", {"retrain_request_id": None}),
        (["retire", "fraud"], "stream-retired", {}),
    ],
)
def test_each_is_one_model_event(config: Path, command: list[str], said: str, fields: dict[str, Any]) -> None:
    done = in_process(*command, "--by", "ann", "--config", config)
    assert done.returncode == 0, done.stderr
    (event,) = told(config)
    assert (event.stream, event.type, event.by) == ("fraud", said, "ann")
    assert {name: getattr(event, name) for name in fields} == fields


def test_a_mute_for_two_hours_ends_in_two_hours(config: Path) -> None:
    assert in_process("mute", "fraud", "--until", "2h", "--config", config).returncode == 0
    (event,) = told(config)
    assert event.until - event.ts == pytest.approx(7_200_000, abs=60_000)
    assert event.ts <= time.time_ns() // 1_000_000


def test_a_wrong_moment_is_wrong_use(config: Path) -> None:
    done = in_process("mute", "fraud", "--until", "tomorrow", "--config", config)
    assert done.returncode == 2
    assert "--until" in done.stderr
    assert told(config) == []


@pytest.fixture
def told_of(config: Path) -> tuple[Path, str]:
    """A house with an episode whose events are on the bus; a poison record and a stranger's beside them."""
    house = House([])
    settings = load(config, {})
    bus = open_bus(settings)
    producer = bus.producer()
    place = {"topic": "t", "partition": 0, "offset": 0, "start_offset": 0, "end_offset": 0}
    for _, decision in house.decided:
        if isinstance(decision, DriftEvent):
            topic, event = "drift-events", drift_event(decision, "test", place)
        else:
            topic = "retrain-requests"
            event = retrain_request(decision, "test", {**place, "corrections_offset": 0})
        assert producer.produce(settings.topics[topic], key=b"s", value=dumps(event))
    for odd in (b"no json", b"{}", b"[1]", b'{"data": {"status": "opened"}}'):
        assert producer.produce(settings.topics["drift-events"], key=b"s", value=odd)
    assert producer.flush(10) == 0
    producer.close(1)
    bus.close()
    return config, house.drifts[0].episode_id


def test_episodes_are_listed_and_explained(told_of: tuple[Path, str]) -> None:
    config, episode = told_of
    listed = in_process("episodes", "--config", config)
    assert listed.returncode == 0, listed.stderr
    assert episode in listed.stdout
    assert "concept" in listed.stdout
    assert listed.stderr.startswith("1 episode")
    raw = in_process("episodes", "--json", "--stream", "s", "--config", config)
    assert orjson.loads(raw.stdout)["episode_id"] == episode
    assert in_process("episodes", "--stream", "another", "--config", config).stdout == ""
    explained = in_process("explain", episode, "--config", config)
    assert explained.returncode == 0, explained.stderr
    for part in (episode, "more errors", "What moved", "error", "opened", "requested, attempt 1"):
        assert part in explained.stdout
    story = orjson.loads(in_process("explain", episode, "--json", "--config", config).stdout)
    assert story["events"][0]["status"] == "opened"
    assert len(story["requests"]) == 1


def test_an_unknown_episode_is_a_failure(config: Path) -> None:
    done = in_process("explain", "nothing", "--config", config)
    assert done.returncode == 1
    assert "nothing" in done.stderr

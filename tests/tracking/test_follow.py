"""Each event reaches the tracker at least once, and is committed only then."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from driftbus.config import load
from driftbus.core.schemas.examples import DRIFT_EVENT, RETRAIN_REQUEST
from driftbus.errors import ConfigError
from driftbus.ports import Bus, TopicSpec
from driftbus.tracking.follow import follow
from driftbus.tracking.notes import Note
from driftbus.tracking.trackers import TRACKERS, tracker
from driftbus.wiring import open_bus
from tests.cli.commands import driftbus


class Book:
    """A tracker that keeps notes; the one at `away` finds its server gone."""

    def __init__(self, away: int | None = None) -> None:
        self.notes: list[Note] = []
        self._away = away

    def take(self, note: Note) -> None:
        if len(self.notes) == self._away:
            raise ConnectionError("nobody listens")
        self.notes.append(note)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    environ = {"DRIFTBUS_BUS": request.param, "DRIFTBUS_EMBEDDED__PATH": str(tmp_path / "bus")}
    if request.param == "kafka":
        environ["DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS"] = request.getfixturevalue("kafka_bootstrap")
    with closing(open_bus(load(None, environ))) as bus:
        yield bus


@pytest.fixture
def topics(bus: Bus) -> list[str]:
    """Drift events and retrain requests, and what strangers wrote between them."""
    topics = [f"track-{uuid.uuid4().hex[:8]}.{name}" for name in ("drift-events", "retrain-requests")]
    bus.create_topics([TopicSpec(topic, 2) for topic in topics])
    producer = bus.producer()
    for key in (b"fraud", b"churn"):
        for value in (orjson.dumps(DRIFT_EVENT), b"{not json", b'{"data": {"stranger": 1}}', None):
            producer.produce(topics[0], key=key, value=value)
    producer.produce(topics[1], key=b"fraud", value=orjson.dumps(RETRAIN_REQUEST))
    assert producer.flush(30) == 0
    producer.close(10)
    return topics


def test_all_is_taken_once_and_strangers_are_passed_over(bus: Bus, topics: list[str]) -> None:
    first, second = Book(), Book()
    assert follow(bus, topics[0], topics, first, threading.Event(), once=True) == 3
    assert sorted(note.title for note in first.notes) == sorted(
        [
            "fraud: concept episode",
            "fraud: concept episode",
            f"fraud: retrain, {RETRAIN_REQUEST['data']['reason']}",
        ]
    )
    assert follow(bus, topics[0], topics, second, threading.Event(), once=True) == 0


@pytest.mark.parametrize("away", [0, 1, 2])
def test_what_the_tracker_did_not_take_comes_again(bus: Bus, topics: list[str], away: int) -> None:
    first, second = Book(away=away), Book()
    with pytest.raises(ConnectionError):
        follow(bus, topics[0], topics, first, threading.Event(), once=True)
    follow(bus, topics[0], topics, second, threading.Event(), once=True)
    assert len(first.notes) + len(second.notes) == 3


def test_it_ends_when_told(bus: Bus, topics: list[str]) -> None:
    ended = threading.Event()
    ended.set()
    assert follow(bus, topics[0], topics, Book(), ended, once=False) == 0


def test_a_client_that_is_not_there_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (kind, module) in TRACKERS.items():
        monkeypatch.setitem(TRACKERS, name, (kind, f"not_{module}_at_all"))
        with pytest.raises(ConfigError, match=f"driftbus\\[{name}\\]"):
            tracker(name, "driftbus")
    said = driftbus("track", "neptune", environ={"DRIFTBUS_BUS": "embedded"}, cwd=tmp_path)
    assert said.returncode == 2

"""Each event reaches the tracker at least once, and is committed only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.core.schemas.examples import DRIFT_EVENT, RETRAIN_REQUEST
from driftbus.errors import ConfigError
from driftbus.ports import TopicSpec
from driftbus.tracking.follow import follow
from driftbus.tracking.notes import Note
from driftbus.tracking.trackers import TRACKERS, tracker
from tests.cli.commands import driftbus

TOPICS = ["driftbus.drift-events", "driftbus.retrain-requests"]


class Book:
    """A tracker that keeps notes; the one at `away` finds its server gone."""

    def __init__(self, away: int | None = None) -> None:
        self.notes: list[Note] = []
        self._away = away

    def take(self, note: Note) -> None:
        if len(self.notes) == self._away:
            raise ConnectionError("nobody listens")
        self.notes.append(note)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmbeddedBus]:
    with closing(EmbeddedBus(tmp_path / "bus")) as bus:
        bus.create_topics([TopicSpec(topic, 2) for topic in TOPICS])
        producer = bus.producer()
        values = [orjson.dumps(DRIFT_EVENT), b"{not json", b'{"data": {"stranger": 1}}', None]
        for key in (b"fraud", b"churn"):
            for value in values:
                producer.produce(TOPICS[0], key=key, value=value)
        producer.produce(TOPICS[1], key=b"fraud", value=orjson.dumps(RETRAIN_REQUEST))
        producer.close(10)
        yield bus


def test_all_is_taken_once_and_strangers_are_passed_over(bus: EmbeddedBus) -> None:
    first, second = Book(), Book()
    assert follow(bus, "book", TOPICS, first, threading.Event(), once=True) == 3
    assert sorted(note.title for note in first.notes) == sorted(
        [
            "fraud: concept episode",
            "fraud: concept episode",
            f"fraud: retrain, {RETRAIN_REQUEST['data']['reason']}",
        ]
    )
    assert follow(bus, "book", TOPICS, second, threading.Event(), once=True) == 0


@pytest.mark.parametrize("away", [0, 1, 2])
def test_what_the_tracker_did_not_take_comes_again(bus: EmbeddedBus, away: int) -> None:
    first, second = Book(away=away), Book()
    with pytest.raises(ConnectionError):
        follow(bus, "book", TOPICS, first, threading.Event(), once=True)
    follow(bus, "book", TOPICS, second, threading.Event(), once=True)
    assert len(first.notes) + len(second.notes) == 3


def test_it_ends_when_told(bus: EmbeddedBus) -> None:
    ended = threading.Event()
    ended.set()
    assert follow(bus, "book", TOPICS, Book(), ended, once=False) == 0


def test_a_client_that_is_not_there_is_named_with_its_extra(
    bus: EmbeddedBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (kind, module) in TRACKERS.items():
        monkeypatch.setitem(TRACKERS, name, (kind, f"not_{module}_at_all"))
        with pytest.raises(ConfigError, match=f"driftbus\\[{name}\\]"):
            tracker(name, "driftbus")
    said = driftbus("track", "neptune", environ={"DRIFTBUS_BUS": "embedded"}, cwd=tmp_path)
    assert said.returncode == 2

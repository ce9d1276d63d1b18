"""A restore folds again what was folded before, and stops where something else comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.core.snapshot import seal, unseal
from driftbus.errors import StateError
from driftbus.ports import Bus, Record
from driftbus.restore import Task, restore
from driftbus.topics import topic_specs
from tests.test_worker import START, pair, running, send, settings_of


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    settings = settings_of(tmp_path)
    found = EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)
    found.create_topics(topic_specs(settings, 1))
    yield found
    found.close()


def test_other_decisions_than_were_published_stop_the_start(bus: Bus, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    topic = settings.topics["state"]
    with running(bus, settings, crash=True) as one:
        one.until(one.all_read)  # after the first step, which snapshots everything
        send(bus, settings, pair("a", START))
        one.until(one.all_read)
    *_, task = restore(bus, settings, 0)
    assert isinstance(task, Task)
    assert task.partition.streams["s"].ledger.outcomes == 1

    def step_of(record: Record) -> bool:
        return (record.key or b"").startswith(b"step/")

    last = [record for record in bus.read_from(topic, 0, 0) if step_of(record)][-1]
    sealed = unseal(last.value or b"")
    raw = {**sealed.json(), "decisions": {"s": "0" * 24}}
    assert raw["inputs"]["predictions"] == [0, 1]
    producer = bus.producer()
    producer.produce(topic, key=last.key, value=seal(orjson.dumps(raw), sealed.config))
    producer.close(5.0)
    with pytest.raises(StateError, match="published other decisions than its fold gives now"):
        list(restore(bus, settings, 0))

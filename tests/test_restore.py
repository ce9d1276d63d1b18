"""A restore folds again what was folded before, and stops where something else comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import Settings
from driftbus.core.snapshot import seal, unseal
from driftbus.errors import StateError
from driftbus.intake import INPUTS
from driftbus.ports import Bus, Record, TopicPartition
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


@pytest.fixture
def settings(bus: Bus, tmp_path: Path) -> Settings:
    """Of a worker that died after three steps: one that snapshots everything, two that are to be folded."""
    settings = settings_of(tmp_path)
    with running(bus, settings, crash=True) as one:
        one.until(one.all_read)
        for pid in "ab":
            send(bus, settings, pair(pid, START))
            one.until(one.all_read)
    return settings


def steps_of(bus: Bus, settings: Settings) -> list[Record]:
    records = bus.read_from(settings.topics["state"], 0, 0)
    return [record for record in records if (record.key or b"").startswith(b"step/")]


def write(bus: Bus, settings: Settings, key: bytes | None, value: bytes | None) -> None:
    producer = bus.producer()
    assert producer.produce(settings.topics["state"], key=key, value=value)
    assert producer.flush(10.0) == 0
    producer.close(5.0)


def refused(bus: Bus, settings: Settings, why: str) -> None:
    with pytest.raises(StateError, match=why):
        list(restore(bus, settings, 0))


def test_a_tail_is_folded_again(bus: Bus, settings: Settings) -> None:
    *_, task = restore(bus, settings, 0)
    assert isinstance(task, Task)
    assert task.partition.streams["s"].ledger.outcomes == 2
    assert task.positions == {"predictions": 2, "labels": 2, "model-events": 0}


def test_other_decisions_than_were_published_stop_the_start(bus: Bus, settings: Settings) -> None:
    last = steps_of(bus, settings)[-1]
    sealed = unseal(last.value or b"")
    raw = sealed.json()
    assert raw["inputs"]["predictions"][1] == 2
    write(bus, settings, last.key, seal(orjson.dumps({**raw, "decisions": {"s": "0" * 24}}), sealed.config))
    refused(bus, settings, "published other decisions than its fold gives now")


def test_a_step_that_is_missing_stops_the_start(bus: Bus, settings: Settings) -> None:
    *_, before, _ = steps_of(bus, settings)
    write(bus, settings, before.key, None)
    refused(bus, settings, "state lacks step")


def test_a_group_that_stands_elsewhere_than_the_state_stops_the_start(bus: Bus, settings: Settings) -> None:
    consumer = bus.consumer(settings.group, [settings.topics[name] for name in INPUTS])
    while not consumer.assignment():
        consumer.poll(1, 0.1)
    consumer.commit({TopicPartition(settings.topics["labels"], 0): 1})
    consumer.close()
    refused(bus, settings, "the group's offset is 1, step .* ended at 2")

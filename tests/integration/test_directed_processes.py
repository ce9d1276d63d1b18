"""Mishaps that befall whole processes: a lease that runs out, a full disk, a broker that is away."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus.config import Settings, load
from driftbus.ports import Bus
from driftbus.wiring import open_bus
from tests.chaos.crew import Member
from tests.chaos.doom import Fate
from tests.core.streams import Shape, events
from tests.integration.broker import Broker
from tests.integration.directed import RULES, WORKER, until
from tests.integration.exactness import Checked, check
from tests.integration.workers import create_topics, remaining
from tests.test_worker import send

PARTITIONS = 2
ROWS = events([Shape(f"s{i}", rows=300, change=150) for i in range(6)], seed=9)


class House:
    """An installation in a folder, its workers in processes of their own."""

    def __init__(self, folder: Path, bus: dict[str, Any]) -> None:
        self.folder = folder
        self.config = folder / "driftbus.yaml"
        document = {
            **bus,
            "group": "directed",
            "http": {"enabled": False},
            "worker": {**WORKER, "restart_wait": "100ms"},
            "stream_defaults": RULES,
        }
        self.config.write_bytes(orjson.dumps(document))
        self.settings: Settings = load(self.config, {})
        self.bus: Bus = open_bus(self.settings)
        self.members: list[Member] = []
        create_topics(self.bus, self.settings, PARTITIONS)

    def start(self, name: str, **how: Any) -> Member:
        member = Member(self.config, name, self.folder / f"{name}.log", **how)
        self.members.append(member)
        return member

    def send(self, rows: list[tuple[str, Any, int]]) -> None:
        send(self.bus, self.settings, rows)

    def remaining(self) -> int:
        return remaining(self.bus, self.settings, PARTITIONS)

    def finish(self) -> Checked:
        """All is worked off, everybody ends as asked, and what was published is what the fold gives."""
        self.until_worked_off()
        assert [member.stop() for member in self.members] == [0] * len(self.members)
        return check(self.bus, self.settings)

    def until_worked_off(self) -> None:
        until(lambda: self.remaining() == 0 or not self.all_alive())
        assert self.all_alive(), self.tails()

    def all_alive(self) -> bool:
        return all(member.alive for member in self.members)

    def tails(self) -> str:
        return "\n".join(f"--- {member.name}\n{member.said()[-3000:]}" for member in self.members)

    def close(self) -> None:
        for member in self.members:
            member.process.kill()
            member.process.join()
        self.bus.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, {"bus": "embedded", "embedded": {"path": str(tmp_path / "bus")}})
    try:
        yield house
    finally:
        house.close()


def test_a_worker_stopped_for_longer_than_its_lease(embedded: House) -> None:
    """In the midst of its third step, all of it produced. The other one takes over; the zombie's commit is
    refused, and it goes on as a member like any other."""
    embedded.send(ROWS[:1500])
    zombie = embedded.start("zombie", fate=Fate("commit:before", 3, freeze=True), lease_s=1.0)
    until(zombie.is_stopped)
    heir = embedded.start("heir", lease_s=1.0)
    until(lambda: embedded.remaining() == 0 or not heir.alive)
    assert zombie.is_stopped()
    zombie.signal(signal.SIGCONT)
    until(lambda: "all that was not committed is discarded" in zombie.said())
    embedded.send(ROWS[1500:])
    assert embedded.finish().outcomes > 0.9 * 1800


def test_a_disk_that_is_full_and_has_room_again(embedded: House) -> None:
    embedded.send(ROWS)
    worker = embedded.start("worker")
    until(lambda: "assigned partitions" in worker.said())
    limits = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in embedded.settings.embedded_path.iterdir())
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (largest + 100_000, limits[1]))
    until(lambda: worker.said().count("full") >= 2 or not worker.alive)
    assert worker.alive, worker.said()
    assert embedded.remaining() > 0
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, limits)
    assert embedded.finish().outcomes > 0.9 * 1800


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("away_s", "kafka"),
    [
        # Longer than transactions and sessions live, by configuration.
        (8.0, {"transaction.timeout.ms": 2000, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}),
        pytest.param(120.0, {}, marks=[pytest.mark.nightly, pytest.mark.timeout(600)]),
    ],
)
def test_a_broker_that_is_away(tmp_path: Path, away_s: float, kafka: dict[str, Any]) -> None:
    """kill -9 in the midst of work. The worker's process stays, says what is wrong, and goes on with it."""
    with Broker() as broker:
        house = House(tmp_path, {"bus": "kafka", "kafka": {"bootstrap.servers": broker.bootstrap, **kafka}})
        try:
            house.send(ROWS[:2000])
            worker = house.start("worker")
            until(lambda: house.remaining() < 2000)
            broker.kill()
            time.sleep(away_s)
            assert worker.alive, worker.said()
            broker.start()
            house.send(ROWS[2000:])
            assert house.finish().outcomes > 0.9 * 1800
            assert os.path.exists(worker.log)
        finally:
            house.close()

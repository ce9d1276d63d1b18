"""The buses that the contract suite runs over, and how a test opens them."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from driftbus.adapters.embedded import BufferPolicy, EmbeddedBus
from driftbus.ports import Bus, Consumer, Record, TopicPartition
from tests.ports import free_port
from tests.simulation.broker import Broker
from tests.simulation.bus import MemoryBus
from tests.simulation.nature import RealTime

# How long a test waits for something that must come: a limit for a hanging test, never part of a result.
# Compaction on a real broker is the slowest: its cleaner looks every 15 s.
LIMIT_S = 120.0


class Cluster(Protocol):
    """One running bus. Every `open` is as good as another process with a bus of its own."""

    def open(self) -> Bus: ...

    def open_impatient(self) -> Bus:
        """A bus whose consumers lose their partitions soon after they stopped polling."""

    def open_blocked(self, max_records: int) -> Bus:
        """A bus that nothing can be delivered to, whose producers hold `max_records`."""

    def forget(self, topic: str, before: int) -> None:
        """Have the records of partition 0 before this offset removed; they are older than `retention.ms`."""

    def clean(self, topic: str) -> None:
        """Have partition 0 of a compacted topic cleaned, where that does not happen by itself."""

    def close(self) -> None: ...


class EmbeddedCluster:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._opened: list[Bus] = []
        self._blockers: list[sqlite3.Connection] = []

    def open(self) -> Bus:
        return self._keep(EmbeddedBus(self._directory, clean_interval_s=0.2))

    def open_impatient(self) -> Bus:
        return self._keep(EmbeddedBus(self._directory, session_timeout_s=1.0, max_poll_interval_s=1.0))

    def open_blocked(self, max_records: int) -> Bus:
        bus = EmbeddedBus(
            self._directory, lock_timeout_s=0.1, buffer=BufferPolicy(max_records, delivery_timeout_s=LIMIT_S)
        )
        blocker = sqlite3.connect(self._directory / "bus.sqlite3", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        self._blockers.append(blocker)
        return self._keep(bus)

    def forget(self, topic: str, before: int) -> None:
        bus = self.open()
        deadline_s = time.monotonic() + LIMIT_S
        while bus.begin_offset(topic, 0) < before:
            assert time.monotonic() < deadline_s, "nothing was removed"
            time.sleep(0.05)

    def clean(self, topic: str) -> None:
        """By itself, every 0.2 s."""

    def close(self) -> None:
        for blocker in self._blockers:
            blocker.close()
        for bus in self._opened:
            bus.close()

    def _keep(self, bus: Bus) -> Bus:
        self._opened.append(bus)
        return bus


class KafkaCluster:
    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._opened: list[Bus] = []

    def open(self) -> Bus:
        return self._connect(self._bootstrap)

    def open_impatient(self) -> Bus:
        # 6 s is the broker's own minimum for a session.
        return self._connect(
            self._bootstrap,
            {"session.timeout.ms": 6000, "max.poll.interval.ms": 6000, "heartbeat.interval.ms": 1000},
        )

    def open_blocked(self, max_records: int) -> Bus:
        # Nobody answers there.
        return self._connect(f"127.0.0.1:{free_port()}", {"queue.buffering.max.messages": max_records})

    def forget(self, topic: str, before: int) -> None:
        # Not by waiting: a broker looks for expired segments every five minutes.
        from confluent_kafka import TopicPartition as Partition
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        for done in admin.delete_records([Partition(topic, 0, before)]).values():
            done.result(LIMIT_S)

    def clean(self, topic: str) -> None:
        """By itself, every 15 s."""

    def close(self) -> None:
        for bus in self._opened:
            bus.close()

    def _connect(self, bootstrap: str, more: dict[str, object] | None = None) -> Bus:
        from driftbus.adapters.kafka.bus import KafkaBus

        bus: Bus = KafkaBus({"bootstrap.servers": bootstrap, **(more or {})})
        self._opened.append(bus)
        return bus


class MemoryCluster:
    """Brokers in memory, as the simulation has them, here with a clock on the wall and nothing going wrong.
    What it promises is meaning; nothing outlives the process."""

    def __init__(self) -> None:
        self._nature = RealTime(seed=1)
        self._broker = Broker(lambda: self._nature.rng.choice((0, 0, 5)))
        self._opened: list[MemoryBus] = []

    def open(self) -> Bus:
        return self._keep()

    def open_impatient(self) -> Bus:
        return self._keep(patience_ms=1000.0)

    def open_blocked(self, max_records: int) -> Bus:
        return self._keep(blocked=max_records)

    def forget(self, topic: str, before: int) -> None:
        self._broker.log(TopicPartition(topic, 0)).begin = before

    def clean(self, topic: str) -> None:
        self._broker.log(TopicPartition(topic, 0)).compact()

    def close(self) -> None:
        for bus in self._opened:
            bus.close()

    def _keep(self, **how: Any) -> Bus:
        bus = MemoryBus(self._broker, self._nature, f"client-{len(self._opened)}", **how)
        self._opened.append(bus)
        return bus


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:12]}"


def drain(consumer: Consumer, count: int, max_records: int = 100) -> list[Record]:
    """Poll until `count` records came."""
    records: list[Record] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(records) < count:
        assert time.monotonic() < deadline_s, f"only {len(records)} of {count} records came"
        records += consumer.poll(max_records, 1.0)
    return records


def pump(consumers: Iterable[Consumer], until: Callable[[], bool]) -> list[Record]:
    """Poll the consumers in turn until something has become true."""
    records: list[Record] = []
    deadline_s = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < deadline_s, "it never came true"
        for consumer in consumers:
            records += consumer.poll(100, 0.05)
    return records


def settled(members: Sequence[Consumer], partitions: Iterable[TopicPartition]) -> Callable[[], bool]:
    """Whether every member holds something, and together they hold each of the partitions once."""
    wanted = sorted(partitions)

    def is_settled() -> bool:
        shares = [member.assignment() for member in members]
        return all(shares) and sorted(each for share in shares for each in share) == wanted

    return is_settled


def everything(bus: Bus, topic: str) -> list[Record]:
    """All committed records of a topic, once none of its transactions is under way any more.

    Kafka answers a commit before its markers have reached the partitions: for some milliseconds more, readers
    end before it.
    """
    deadline_s = time.monotonic() + LIMIT_S
    for partition in range(bus.partitions(topic)):
        while bus.end_offset(topic, partition, committed=True) < bus.end_offset(
            topic, partition, committed=False
        ):
            assert time.monotonic() < deadline_s, "a transaction stays open"
            time.sleep(0.01)
    return visible(bus, topic)


def visible(bus: Bus, topic: str) -> list[Record]:
    """What a reader of committed records sees of a topic at this moment, partition by partition."""
    return [
        record
        for partition in range(bus.partitions(topic))
        for record in bus.read_from(topic, partition, bus.begin_offset(topic, partition))
    ]

"""`driftbus.ports.Bus` over brokers in memory: what one process of a group, or of a test, holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import RLock

from driftbus.adapters.partitioner import partition_of
from driftbus.errors import OffsetOutOfRange, Unavailable
from driftbus.ports import Headers, PartitionsChanged, Record, TopicPartition, TopicSpec

from .broker import Broker
from .consumer import MemoryConsumer
from .nature import Nature
from .transaction import MemoryTransaction

# A committed read waits this long for a transaction that is still open, as the Kafka adapter does.
OPEN_TRANSACTION_LIMIT_MS = 60_000
# Records that one request of a range brings: a restore makes several, and something can happen between them.
FETCH = 40
POLICIES = {"compact", "delete"}


class MemoryBus:
    """One process's view. `dead` processes are not heard any more: what they still call does nothing.

    `patience_ms`: how long its consumers may go without a poll. `blocked`: deliver nothing, hold so many.
    """

    def __init__(
        self,
        broker: Broker,
        nature: Nature,
        process: str,
        *,
        patience_ms: float = float("inf"),
        blocked: int | None = None,
    ) -> None:
        self.broker, self.nature, self.process = broker, nature, process
        self.patience_ms, self.blocked = patience_ms, blocked
        self.dead = False
        self.consumers: list[MemoryConsumer] = []
        self.transactions: list[MemoryTransaction] = []

    def enter(self, call: str, *details: object) -> bool:
        """Every port call begins here; whether its answer will be lost. Raises `Unavailable`."""
        fault = self.nature.point(self.process, call, *details)
        self.broker.pass_time(self.nature.now_ms())
        if fault == "away":
            raise Unavailable(f"{call}: the broker is away")
        return fault == "lost"

    def silence(self, expires_ms: float) -> None:
        """No sign of life from here until then, when its members are thrown out; infinity: there are."""
        for group in self.broker.groups.values():
            for consumer in self.consumers:
                member = group.members.get(consumer.member)
                if member is not None:
                    member.expires_ms = expires_ms
        self.broker.changed()

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        self.enter("create_topics")
        return [spec.name for spec in specs if self.broker.create(spec)]

    def partitions(self, topic: str) -> int:
        self.enter("partitions", topic)
        return len(self.broker.topic(topic).logs)

    def topic_id(self, topic: str) -> str:
        self.enter("topic_id", topic)
        return self.broker.topic(topic).id

    def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of("murmur2_random", key, len(self.broker.topic(topic).logs)) or 0

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    def transaction(self, transactional_id: str) -> MemoryTransaction:
        made = MemoryTransaction(self, transactional_id)
        self.transactions.append(made)
        return made

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None = None,
        revoked: PartitionsChanged | None = None,
    ) -> MemoryConsumer:
        self.enter("consumer", group)
        for topic in topics:
            self.broker.topic(topic)
        made = MemoryConsumer(self, group, topics, assigned=assigned, revoked=revoked)
        self.consumers.append(made)
        return made

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.enter("committed", group)
        known = self.broker.group(group)
        until_ms = self.nature.now_ms() + OPEN_TRANSACTION_LIMIT_MS
        while any(
            not running.offsets.get(group, {}).keys().isdisjoint(partitions) for running in known.pending
        ):
            self._wait(until_ms, f"positions of group {group!r}")
        return {partition: known.offsets[partition] for partition in partitions if partition in known.offsets}

    def read_from(
        self,
        topic: str,
        partition: int,
        offset: int,
        end: int | None = None,
        *,
        committed: bool = True,
    ) -> Iterator[Record]:
        self.enter("read_from", topic, partition, offset, end)
        log = self.broker.log(TopicPartition(topic, partition))
        readable = log.stable if committed else len(log.entries)
        end = readable if end is None else min(end, len(log.entries))
        if offset < end and offset < log.begin:
            raise OffsetOutOfRange(topic, partition, offset)
        return self._read(TopicPartition(topic, partition), offset, end, committed)

    def _read(self, partition: TopicPartition, at: int, end: int, committed: bool) -> Iterator[Record]:
        log = self.broker.log(partition)
        until_ms = self.nature.now_ms() + OPEN_TRANSACTION_LIMIT_MS
        while at < end:
            before = at
            records, at = log.read(at, end, FETCH, committed=committed)
            yield from records
            if at >= end:
                return
            if at == before:
                self._wait(until_ms, f"{partition.topic}[{partition.partition}] behind {at}")
            else:
                self.enter("read_on", *partition, at)

    def begin_offset(self, topic: str, partition: int) -> int:
        self.enter("begin_offset", topic, partition)
        return self.broker.log(TopicPartition(topic, partition)).begin

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        self.enter("end_offset", topic, partition, committed)
        log = self.broker.log(TopicPartition(topic, partition))
        return log.stable if committed else len(log.entries)

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        for transaction in self.transactions:
            transaction.close()

    def _wait(self, until_ms: float, what: str) -> None:
        if self.nature.now_ms() >= until_ms:
            raise Unavailable(f"{what}: a transaction stays open")
        self.nature.wait(until_ms)
        self.broker.pass_time(self.nature.now_ms())


class MemoryProducer:
    """See `driftbus.ports.Producer`. Many threads may use one."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._lock = RLock()
        self._anywhere = 0
        self._held = self._lost = 0
        self._open = True

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> bool:
        bus = self._bus
        with self._lock:
            if not self._open:
                return False
            if bus.blocked is not None:
                if self._held == bus.blocked:
                    return False
                self._held += 1
                return True
            count = len(bus.broker.topic(topic).logs)
            partition = partition_of("murmur2_random", key, count)
            if partition is None:
                self._anywhere += 1
                partition = self._anywhere % count
            time_ms = bus.nature.now_ms() if timestamp_ms is None else timestamp_ms
            bus.broker.append(TopicPartition(topic, partition), [(key, value, headers, time_ms)])
            return True

    def flush(self, timeout_s: float) -> int:
        return self._held

    def lost(self) -> int:
        return self._lost

    def close(self, timeout_s: float) -> None:
        self._lost, self._held, self._open = self._lost + self._held, 0, False

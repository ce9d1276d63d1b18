"""A transactional producer on brokers in memory: records wait in the client, and reach their partitions at
any time up to the flush. Any failure inside a transaction is `Fenced` and for good.

    idle ──begin──► open ──commit or abort──► idle
                     │ any error                  close() from everywhere
                     ▼
                   broken: everything but abort and close is Fenced
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from driftbus.adapters.partitioner import partition_of
from driftbus.errors import BusError, Fenced, Unavailable
from driftbus.ports import Consumer, Headers, TopicPartition

from .broker import Draft
from .consumer import MemoryConsumer

if TYPE_CHECKING:
    from .bus import MemoryBus

# Of so many calls of `produce` one finds the client's batch on its way.
EARLY_DELIVERY = 0.15


class MemoryTransaction:
    """See `driftbus.ports.Transaction`."""

    def __init__(self, bus: MemoryBus, transactional_id: str) -> None:
        self._bus = bus
        self._id = transactional_id
        self._state = "idle"
        self._anywhere = 0
        self._offsets: list[int | None] = []
        bus.enter("transaction", transactional_id)
        self._epoch = bus.broker.open_producer(transactional_id, bus.nature.now_ms())
        self._forget()

    def begin(self) -> None:
        self._require("idle", "begin")
        self._bus.enter("begin", self._id)
        self._forget()
        self._state = "open"

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
        want_offset: bool = False,
    ) -> None:
        self._require("open", "produce")
        lost = self._enter("produce", topic, partition, key, len(value or b""))
        logs = self._bus.broker.topic(topic).logs
        if partition is None:
            partition = partition_of("murmur2_random", key, len(logs))
            if partition is None:
                self._anywhere += 1
                partition = self._anywhere % len(logs)
        where = TopicPartition(topic, partition)
        queue = self._queued.setdefault(where, [])
        time_ms = self._bus.nature.now_ms() if timestamp_ms is None else timestamp_ms
        queue.append(((key, value, headers, time_ms), len(self._offsets) if want_offset else None))
        if want_offset:
            self._offsets.append(None)
        if self._bus.nature.rng.random() < EARLY_DELIVERY:
            self._guard("produce", self._deliver, where)
        if lost:
            self._fail("produce", "no answer")

    def flush(self) -> list[int]:
        self._require("open", "flush")
        lost = self._enter("flush", self._id)
        self._guard("flush", self._deliver_all)
        if lost:
            self._fail("flush", "no answer")
        offsets = [offset for offset in self._offsets if offset is not None]
        self._offsets = []
        return offsets

    def send_offsets(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        self._require("open", "send_offsets")
        if not isinstance(consumer, MemoryConsumer):
            raise TypeError("a transaction of the bus in memory takes consumers of the bus in memory")
        try:
            member = consumer.membership(offsets)
        except Fenced as error:
            self._fail("send_offsets", error)
        lost = self._enter("send_offsets", dict(offsets))
        now_ms = self._bus.nature.now_ms()
        self._guard(
            "send_offsets",
            self._bus.broker.add_offsets,
            *(self._id, self._epoch, member, dict(offsets), now_ms),
        )
        if lost:
            self._fail("send_offsets", "no answer")

    def commit(self) -> None:
        self._require("open", "commit")
        lost = self._enter("commit", self._id)
        self._guard("commit", self._deliver_all)
        self._guard("commit", self._end, True)
        if lost:
            self._fail("commit", "no answer")
        self._state = "idle"

    def abort(self) -> None:
        if self._state not in ("open", "broken"):
            return
        was_open, self._state = self._state == "open", "broken"
        self._enter("abort", self._id)
        self._guard("abort", self._end, False)
        self._forget()
        if was_open:
            self._state = "idle"

    def close(self) -> None:
        if self._state == "closed" or self._bus.dead:
            return
        if self._state in ("open", "broken"):
            with contextlib.suppress(BusError):
                self._bus.enter("close", self._id)
                self._end(False)
        self._forget()
        self._state = "closed"

    def lose(self) -> None:
        """The process was killed: of what it had queued, any part may still be on its way."""
        if self._state != "open":
            return
        rng = self._bus.nature.rng
        for where, queue in list(self._queued.items()):
            del queue[rng.randint(0, len(queue)) :]
            with contextlib.suppress(Fenced):
                self._deliver(where)

    # -- inside ---------------------------------------------------------------------------------------

    def _end(self, committed: bool) -> None:
        broker = self._bus.broker
        broker.end(self._id, self._epoch, committed, self._bus.nature.now_ms())

    def _deliver(self, where: TopicPartition) -> None:
        queue = self._queued.pop(where, [])
        if not queue:
            return
        drafts: list[Draft] = [draft for draft, _ in queue]
        broker, now_ms = self._bus.broker, self._bus.nature.now_ms()
        first = broker.deliver(self._id, self._epoch, where, drafts, now_ms)
        for offset, (_, wanted) in enumerate(queue, first):
            if wanted is not None:
                self._offsets[wanted] = offset

    def _deliver_all(self) -> None:
        """In an order of their own: what goes to different partitions goes different ways."""
        places = list(self._queued)
        self._bus.nature.rng.shuffle(places)
        for where in places:
            self._deliver(where)

    def _forget(self) -> None:
        self._queued: dict[TopicPartition, list[tuple[Draft, int | None]]] = {}
        self._offsets = []

    def _enter(self, call: str, *details: object) -> bool:
        try:
            return self._bus.enter(call, *details)
        except Unavailable as error:
            self._fail(call, error)

    def _guard(self, doing: str, call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except BusError as error:
            self._fail(doing, error)

    def _require(self, state: str, doing: str) -> None:
        if self._state != state:
            raise Fenced(f"transaction {self._id!r}, {doing}: it is {self._state}")

    def _fail(self, doing: str, reason: object) -> NoReturn:
        self._state = "broken"
        raise Fenced(f"transaction {self._id!r}, {doing}: {reason}")

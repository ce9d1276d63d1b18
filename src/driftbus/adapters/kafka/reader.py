"""Reading a range of one partition outside any group, with clients that are kept for the next range.

Opening a client costs tens of ms, reading a short range with an open one about 15: bisecting `outcomes`
makes many short reads.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition

from driftbus.adapters.kafka.failures import (
    is_missing,
    is_turned_away,
    is_unknown,
    is_unreachable,
    translate,
)
from driftbus.adapters.kafka.kept import KeptConsumers
from driftbus.adapters.kafka.messages import Positions, to_records
from driftbus.adapters.kafka.properties import KafkaProperties
from driftbus.errors import BusError, MissingTopic, OffsetOutOfRange, Unavailable
from driftbus.ports import Record, TopicPartition

Answer = TypeVar("Answer")

# One hand-over from librdkafka; larger only holds more memory.
_BATCH = 5_000

# Pauses between attempts while a partition has no leader, and the piece in which data is waited for.
_RETRY_PAUSE_S = 0.1
_SLICE_S = 0.1

# A committed read stops before an open transaction. Its owner's timeout (15 s here) ends it; longer ones
# belong to somebody who must be told.
_OPEN_TRANSACTION_LIMIT_S = 60.0


class Readers:
    """Clients for reading outside groups. Thread-safe: every read borrows a client of its own.

    `count` says how many partitions a topic has, as the broker knows it, or raises `MissingTopic`.
    """

    def __init__(self, properties: KafkaProperties, timeout_s: float, count: Callable[[str], int]) -> None:
        self._properties = properties
        self._timeout_s = timeout_s
        self._count = count
        self._clients: KeptConsumers[bool] = KeptConsumers(
            lambda committed: properties.build(Consumer, properties.reader(committed=committed))
        )

    def bounds(self, partition: TopicPartition, *, committed: bool) -> tuple[int, int]:
        """First offset held, and one past the last: the last stable offset or the high watermark."""
        with self._clients.lent(committed) as client:
            return self._bounds(client, partition)

    def read(
        self, partition: TopicPartition, offset: int, end: int | None, *, committed: bool
    ) -> Iterator[Record]:
        """See `driftbus.ports.Bus.read_from`. Raises at once for what is missing or gone."""
        first, readable = self.bounds(partition, committed=committed)
        if end is None:
            end = readable
        elif end > readable and committed:
            end = min(end, self.bounds(partition, committed=False)[1])
        else:
            end = min(end, readable)
        if offset < end and offset < first:
            raise OffsetOutOfRange(*partition, offset)
        return self._records(partition, offset, end, committed)

    def close(self) -> None:
        """Close all clients, those in use too."""
        self._clients.close()

    def _records(self, partition: TopicPartition, offset: int, end: int, committed: bool) -> Iterator[Record]:
        if offset >= end:
            return
        with self._clients.lent(committed) as client:
            client.assign([Partition(*partition, offset)])
            try:
                # An assignment does not wake the broker's thread, which may sleep for 1 s; a request does.
                self._bounds(client, partition)
                for records in self._batches(client, partition, offset, end):
                    yield from records
            finally:
                # Who lets go of a reader half read, after its bus was closed, finds the client closed too.
                with contextlib.suppress(RuntimeError):
                    client.unassign()

    def _batches(
        self, client: Consumer, partition: TopicPartition, offset: int, end: int
    ) -> Iterator[list[Record]]:
        positions: Positions = {partition: offset}
        failures: list[BusError] = []
        ended: set[TopicPartition] = set()

        def event(where: TopicPartition, at: int, error: KafkaError) -> None:
            if where != partition:
                # Of the client as a whole (its group's coordinator, which nobody needs here).
                return
            if error.code() == KafkaError._PARTITION_EOF:
                positions[partition] = max(at, positions[partition] or 0)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                failures.append(OffsetOutOfRange(*partition, positions[partition] or 0))
            elif not is_unreachable(error):
                failures.append(
                    translate(
                        error, f"reading {partition.topic}", self._properties.bootstrap, partition.topic
                    )
                )

        moved_s = time.monotonic()
        while True:
            # consume(n, t) waits for all n: wait for one, then take what is there.
            first = client.poll(_SLICE_S)
            messages = [] if first is None else [first, *client.consume(_BATCH - 1, 0)]
            before = positions[partition]
            records = to_records(messages, positions, ended, event)
            if records and records[-1].offset >= end:
                yield [record for record in records if record.offset < end]
                return
            if records:
                yield records
            if failures:
                raise failures[0]
            position = positions[partition] or 0
            if position >= end:
                # Also by the end of the partition: markers and aborted records are never delivered.
                return
            now_s = time.monotonic()
            if position != before or records:
                moved_s = now_s
            elif now_s - moved_s > self._timeout_s:
                self._check_still_reachable(client, partition, position, end, now_s - moved_s)

    def _check_still_reachable(
        self, client: Consumer, partition: TopicPartition, position: int, end: int, waited_s: float
    ) -> None:
        """Nothing came for a while: is the broker away (`Unavailable`), or a transaction open?"""
        _, readable = self._bounds(client, partition)
        if waited_s < _OPEN_TRANSACTION_LIMIT_S:
            return
        why = "the broker sends nothing"
        if readable <= position:
            why = f"a transaction that began at offset {readable} is still open"
        where = f"{partition.topic}[{partition.partition}], {position} of {end}"
        raise Unavailable(f"{where}: nothing to read for {waited_s:.0f} s: {why}")

    def _bounds(self, client: Consumer, partition: TopicPartition) -> tuple[int, int]:
        def ask() -> tuple[int, int]:
            try:
                low, high = client.get_watermark_offsets(Partition(*partition), self._timeout_s)
            except KafkaException as error:
                if not is_unknown(error.args[0]):
                    raise
                count = self._count(partition.topic)
                if partition.partition >= count:
                    raise BusError(
                        f"{partition.topic!r} has {count} partitions, none is {partition.partition}"
                    ) from error
                # The broker knows it, this client not yet.
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, error.args[0].str())) from error
            return low, high

        doing = f"asking for the ends of {partition.topic}"
        return retried(ask, doing, self._properties.bootstrap, self._timeout_s)


def retried(
    ask: Callable[[], Answer], doing: str, bootstrap: str, timeout_s: float, topic: str | None = None
) -> Answer:
    """`ask()`, again and again while its error says that trying again can help and there is time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if topic is not None and is_missing(reason):
                raise MissingTopic(topic) from error
            is_hopeless = not is_unreachable(reason) or is_turned_away(reason)
            if is_hopeless or time.monotonic() > deadline_s:
                raise translate(reason, doing, bootstrap, topic) from error
        time.sleep(_RETRY_PAUSE_S)

"""What the worker, the clients and restore ask of an event bus; Kafka and the embedded bus answer.

No broker type leaks through: records, positions and the errors of `driftbus.errors` are all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = tuple[tuple[str, bytes | None], ...]


class TopicPartition(NamedTuple):
    """One partition of one topic (the name as it stands on the bus)."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as a consumer sees it; `timestamp_ms` is the record's own, in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create. `config` holds Kafka's own keys (cleanup.policy, retention.ms, …)."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


PartitionsChanged = Callable[[list[TopicPartition]], None]


class Consumer(Protocol):
    """A member of a consumer group. All calls come from one thread.

    Reads committed records only. `assigned` and `revoked` are called from within `poll`; newly
    assigned partitions are paused until `seek` and `resume` are called for them. `revoked` is also
    called for partitions that were lost.
    """

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """At most `max_records`, waiting at most `timeout_s` for the first of them."""

    def assignment(self) -> list[TopicPartition]: ...

    def position(self, partition: TopicPartition) -> int | None:
        """The offset the next record read will have at least; None before the first seek."""

    def at_end(self, partition: TopicPartition) -> bool:
        """Whether the last poll found nothing further in this partition: nothing to read, and nothing that an
        open transaction hides. A topic whose records are merely hidden is not idle."""

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit outside a transaction, synchronously (trainers use it; the worker does not)."""

    def close(self) -> None:
        """Leave the group at once."""


class Transaction(Protocol):
    """One transactional producer; a newer one with the same id fences it.

    begin → produce … → flush → send_offsets → commit. Any error other than `Unavailable` from
    `begin` is `Fenced`: what was produced is discarded and the process starts again.
    """

    def begin(self) -> None: ...

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
        """Queue a record; without `partition` the bus's partitioner chooses by key."""

    def flush(self) -> list[int]:
        """Wait for delivery; offsets of records with `want_offset` since the last flush, in that order."""

    def send_offsets(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Add the consumer group's positions to the transaction."""

    def commit(self) -> None:
        """All or nothing from here on. On Kafka readers of committed records may see it some ms later."""

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Producer(Protocol):
    """Sends outside transactions and never blocks: the emitter's side of the bus."""

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> bool:
        """Queue a record; False when the buffer is full, and the record is not taken."""

    def flush(self, timeout_s: float) -> int:
        """Wait until all is delivered or the time is over; how many records are still queued."""

    def lost(self) -> int:
        """Records taken by `produce` whose delivery failed for good."""

    def close(self, timeout_s: float) -> None: ...


class Bus(Protocol):
    """One event bus: Kafka, or the embedded one."""

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create what is missing and change nothing that exists; the names created."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `MissingTopic`."""

    def topic_id(self, topic: str) -> str:
        """An identity that changes when a topic is deleted and created again. Raises `MissingTopic`."""

    def partition_for(self, topic: str, key: bytes) -> int:
        """The partition the bus's partitioner gives a key."""

    def producer(self) -> Producer: ...

    def transaction(self, transactional_id: str) -> Transaction:
        """A transactional producer; earlier ones with this id are fenced."""

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None = None,
        revoked: PartitionsChanged | None = None,
    ) -> Consumer:
        """Join a group. Without callbacks partitions start at the committed offset, else the beginning,
        and run at once (no pause, no seek needed)."""

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed positions, after any pending transaction on them has ended; absent where none."""

    def read_from(
        self,
        topic: str,
        partition: int,
        offset: int,
        end: int | None = None,
        *,
        committed: bool = True,
    ) -> Iterator[Record]:
        """Records from `offset` up to `end` (exclusive; default the end as of now); ends by itself.

        Only committed records unless `committed` is False. Raises `OffsetOutOfRange` when `offset`
        lies before the first one held.
        """

    def begin_offset(self, topic: str, partition: int) -> int: ...

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        """One past the last record: the last stable offset, or with `committed=False` the high watermark."""

    def close(self) -> None: ...

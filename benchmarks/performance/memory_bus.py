"""A bus in this process's memory: what the worker costs when the bus costs nothing.

A poll gives at most `max_records`. What is produced is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.performance.workload import Event

from driftbus.adapters.partitioner import partition_of
from driftbus.ports import Headers, PartitionsChanged, Record, TopicPartition, TopicSpec


def as_records(events: Iterator[Event], topics: Mapping[str, str], partitions: int) -> list[Record]:
    """Events as a consumer would see them: partitioned by key, offsets counted per partition."""
    offsets: dict[tuple[str, int], int] = {}
    records = []
    for event in events:
        key = event.stream.encode()
        partition = partition_of("murmur2_random", key, partitions) or 0
        offset = offsets.get((event.topic, partition), 0)
        offsets[event.topic, partition] = offset + 1
        records.append(Record(topics[event.topic], partition, offset, key, event.value, (), event.ts))
    return records


def in_runs(records: Sequence[Record], length: int) -> list[Record]:
    """Runs of one partition after another, as a consumer that catches up is given them."""
    held: dict[int, list[Record]] = {}
    found: list[Record] = []
    for record in records:
        run = held.setdefault(record.partition, [])
        run.append(record)
        if len(run) == length:
            found += run
            run.clear()
    for run in held.values():
        found += run
    return found


class MemoryBus:
    """`Bus`, `Consumer` and `Transaction` in one; `ended` is called when all records were given out."""

    def __init__(self, records: Sequence[Record], partitions: int, ended: Callable[[], None]) -> None:
        self._records = records
        self._partitions = partitions
        self._ended = ended
        self._at = 0
        self._assigned: PartitionsChanged | None = None
        self._ready = 0
        self._cited = 0
        self.produced: dict[str, int] = {}
        self.produced_bytes: dict[str, int] = {}

    # -- bus -----------------------------------------------------------------------------------------

    def partitions(self, topic: str) -> int:
        return self._partitions

    def topic_id(self, topic: str) -> str:
        return topic

    def partition_for(self, topic: str, key: bytes) -> int:
        return partition_of("murmur2_random", key, self._partitions) or 0

    def transaction(self, transactional_id: str) -> Any:
        return self

    def consumer(self, group: str, topics: Sequence[str], **callbacks: Any) -> Any:
        self._topics = list(topics)
        self._assigned = callbacks["assigned"]
        return self

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def read_from(self, *place: Any, **options: Any) -> Iterator[Record]:
        return iter(())

    def begin_offset(self, topic: str, partition: int) -> int:
        return 0

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        return 0

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        return []

    # -- consumer ------------------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if self._assigned is not None:
            assigned, self._assigned = self._assigned, None
            assigned([TopicPartition(t, p) for t in self._topics for p in range(self._partitions)])
            return []
        if self._ready < len(self._topics) * self._partitions:
            return []  # some partition is still being restored
        batch = self._records[self._at : self._at + max_records]
        self._at += len(batch)
        if not batch:
            self._ended()
        return list(batch)

    def at_end(self, partition: TopicPartition) -> bool:
        return self._at >= len(self._records) or partition.topic.endswith("model-events")

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._ready += 1

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    # -- transaction ---------------------------------------------------------------------------------

    def begin(self) -> None:
        self._cited = 0

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
        self.produced[topic] = self.produced.get(topic, 0) + 1
        self.produced_bytes[topic] = self.produced_bytes.get(topic, 0) + len(value or b"")
        self._cited += want_offset

    def flush(self) -> list[int]:
        cited, self._cited = self._cited, 0
        return list(range(cited))

    def send_offsets(self, consumer: Any, offsets: Mapping[TopicPartition, int]) -> None: ...

    def commit(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

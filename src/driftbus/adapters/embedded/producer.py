"""Sends outside transactions and never blocks: a bounded buffer, and a thread that commits it in batches."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from driftbus.adapters.embedded import log
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.headers import pack
from driftbus.adapters.partitioner import Partitioner, partition_of
from driftbus.errors import BusError
from driftbus.ports import Headers

# One batch holds the file's write lock for about 10 ms at this size, and amortises a commit to nothing.
_BATCH_RECORDS = 2_000
# How long a batch gathers after its first record, librdkafka's `linger.ms`: a commit then serves many
# records.
_LINGER_S = 0.005
# A write that waits for the lock cannot be stopped; it is tried again anyway, and `close` waits no longer.
_LOCK_TIMEOUT_S = 1.0
# Pause before another attempt while the file is locked, the disk full, or a topic missing.
_RETRY_S = 0.1
# What SQLite and Kafka can hold.
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class BufferPolicy:
    """How much a producer holds, and for how long. The defaults are librdkafka's, but for the bytes (its: 1
    GiB), which an inference service should not have to give away."""

    max_records: int = 100_000
    max_bytes: int = 64 * 1024 * 1024
    delivery_timeout_s: float = 120.0


class _Queued(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes | None
    timestamp_ms: int
    taken_at_s: float

    def size(self) -> int:
        return len(self.key or b"") + len(self.value or b"")


class EmbeddedProducer:
    """See `driftbus.ports.Producer`. `produce` may be called from many threads."""

    def __init__(
        self,
        database: Database,
        find_topic: Callable[[str], log.Topic],
        *,
        partitioner: Partitioner,
        policy: BufferPolicy,
        closed: Callable[[EmbeddedProducer], None],
    ) -> None:
        self._handle = database.connect(_LOCK_TIMEOUT_S)
        self._find_topic = find_topic
        self._partitioner: Partitioner = partitioner
        self._policy = policy
        self._closed = closed
        self._anywhere = count()
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._delivered = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._queue: deque[_Queued] = deque()
        # Taken and not yet delivered or lost: what lies in the queue and what the thread has in hand.
        self._held_records = 0
        self._held_bytes = 0
        self._lost = 0
        self._stopping = False
        # The last attempt to write failed: records are not taken from the queue before one has succeeded.
        self._blocked = False
        self._thread = threading.Thread(target=self._run, name="driftbus-embedded-producer", daemon=True)
        self._thread.start()

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> bool:
        """Queue a record; False when the buffer is full, the producer closed, or this is a forked child.

        False as well for what no log can hold: a header's name that is not UTF-8, a time beyond 64 bits.
        """
        if os.getpid() != self._process:
            return False
        if timestamp_ms is None:
            timestamp_ms = time.time_ns() // 1_000_000
        elif timestamp_ms not in _INT64:
            return False
        try:
            packed = pack(headers)
        except UnicodeEncodeError:
            return False
        record = _Queued(topic, key, value, packed, timestamp_ms, time.monotonic())
        size = record.size()
        with self._lock:
            if (
                self._stopping
                or self._held_records >= self._policy.max_records
                or self._held_bytes + size > self._policy.max_bytes
            ):
                return False
            self._queue.append(record)
            self._held_records += 1
            self._held_bytes += size
        if not self._wake.is_set():
            self._wake.set()
        return True

    def flush(self, timeout_s: float) -> int:
        """Wait until all is delivered or the time is over; how many records are still queued."""
        self._wake.set()
        with self._delivered:
            self._delivered.wait_for(lambda: not self._held_records, timeout_s)
            return self._held_records

    def lost(self) -> int:
        with self._lock:
            return self._lost

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered in this time; the rest is lost, and counted."""
        with self._lock:
            if self._stopping:
                return
        self.flush(timeout_s)
        with self._lock:
            self._stopping = True
        self._wake.set()
        self._thread.join()
        with self._lock:
            self._lost += self._held_records
            self._held_records = self._held_bytes = 0
            self._queue.clear()
        self._handle.close()
        self._closed(self)

    def _run(self) -> None:
        waiting: list[_Queued] = []
        while True:
            if waiting:
                time.sleep(_RETRY_S)
            else:
                self._wake.wait()
                time.sleep(_LINGER_S)
            with self._lock:
                if self._stopping:
                    return
                # Cleared before the queue is emptied: a record that comes later sets it again.
                self._wake.clear()
                # What waits for its topic keeps nobody else waiting; a file that is locked keeps everybody.
                room = 0 if self._blocked else _BATCH_RECORDS
                fresh = [self._queue.popleft() for _ in range(min(len(self._queue), room))]
                if self._queue:
                    self._wake.set()
            waiting = self._deliver(waiting + fresh)

    def _deliver(self, batch: list[_Queued]) -> list[_Queued]:
        """Commit a batch; what must wait and be tried again, in order."""
        topics: dict[str, log.Topic | None] = {}
        rows: dict[int, list[log.Row]] = {}
        done: list[_Queued] = []
        waiting: list[_Queued] = []
        for record in batch:
            if record.topic not in topics:
                topics[record.topic] = self._look_up(record.topic)
            topic = topics[record.topic]
            if topic is None:
                waiting.append(record)
                continue
            partition = partition_of(self._partitioner, record.key, topic.partitions)
            if partition is None:
                partition = next(self._anywhere) % topic.partitions
            row = (record.key, record.value, record.headers, record.timestamp_ms)
            rows.setdefault(topic.first_pid + partition, []).append(row)
            done.append(record)
        try:
            with self._handle.write() as connection:
                for pid, some in rows.items():
                    log.append(connection, pid, some)
            self._blocked = False
        except BusError:
            self._blocked = True
            done, waiting = [], batch
        oldest_s = time.monotonic() - self._policy.delivery_timeout_s
        expired = [record for record in waiting if record.taken_at_s < oldest_s]
        self._let_go(done, expired)
        return [record for record in waiting if record.taken_at_s >= oldest_s]

    def _look_up(self, topic: str) -> log.Topic | None:
        try:
            return self._find_topic(topic)
        except BusError:
            # Missing, or the file cannot be read now: both may pass.
            return None

    def _let_go(self, done: list[_Queued], expired: list[_Queued]) -> None:
        with self._delivered:
            self._held_records -= len(done) + len(expired)
            self._held_bytes -= sum(record.size() for record in done) + sum(
                record.size() for record in expired
            )
            self._lost += len(expired)
            if not self._held_records:
                self._delivered.notify_all()

"""The embedded bus: Kafka's log, groups, transactions and fencing for one machine, in one SQLite file."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from driftbus.adapters.embedded import cleaning, groups, log
from driftbus.adapters.embedded.consumer import EmbeddedConsumer, GroupTimes
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.housekeeping import Housekeeper, expire_reservations
from driftbus.adapters.embedded.presence import Presence
from driftbus.adapters.embedded.producer import BufferPolicy, EmbeddedProducer
from driftbus.adapters.embedded.transaction import EmbeddedTransaction
from driftbus.adapters.partitioner import Partitioner, partition_of
from driftbus.errors import BusError, MissingTopic
from driftbus.ports import PartitionsChanged, Record, TopicPartition, TopicSpec

# Records per page of `read_from`: a few ms per view of the file, so that a long read never holds the WAL.
_PAGE_RECORDS = 2_000
# While a reader waits for an open transaction: as seldom as an idle consumer looks.
_PAUSE_S = 0.05
# Closing a bus whose producers were not closed gives them this long to deliver.
_CLOSE_TIMEOUT_S = 5.0


_Opened = TypeVar("_Opened", EmbeddedConsumer, EmbeddedProducer, EmbeddedTransaction)


class EmbeddedBus:
    """See `driftbus.ports.Bus`. Any number of processes of one machine may open the same directory.

    `path`: a directory on a local disk, made if missing. `session_timeout_s`: after this long without a sign
    of life from its process (stopped, killed) a member loses its partitions. `max_poll_interval_s`: the same
    for a loop that lives but does not poll. `transaction_timeout_s`: how long promised offsets hold readers
    back after their process died. `lock_timeout_s`: how long a write waits for others before it is
    `Unavailable`. `min_free_bytes`: with less free space no transaction begins. `clean_interval_s`: between
    rounds of retention and compaction. Calls may come from any thread; a bus does not survive a fork: open
    one per process.
    """

    def __init__(
        self,
        path: Path,
        *,
        partitioner: Partitioner = "murmur2_random",
        session_timeout_s: float = 10.0,
        max_poll_interval_s: float = 300.0,
        transaction_timeout_s: float = 15.0,
        lock_timeout_s: float = 10.0,
        min_free_bytes: int = 32 * 1024 * 1024,
        clean_interval_s: float = 5.0,
        buffer: BufferPolicy = BufferPolicy(),  # noqa: B008 - frozen, so sharing it is safe
    ) -> None:
        self._partitioner: Partitioner = partitioner
        self._times = GroupTimes(session_timeout_s, max_poll_interval_s)
        self._transaction_timeout_s = transaction_timeout_s
        self._min_free_bytes = min_free_bytes
        self._buffer = buffer
        self._database = Database(Path(path), lock_timeout_s)
        self._handle = self._database.connect()
        self._topics: dict[str, log.Topic] = {}
        self._lock = threading.Lock()
        self._opened: set[EmbeddedConsumer | EmbeddedProducer | EmbeddedTransaction] = set()
        self._open = True
        self._presence = Presence(self._database.directory)
        self._housekeeper = Housekeeper(
            self._database, self._consumers, self._presence, clean_interval_s=clean_interval_s
        )

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        with self._handle.write() as connection:
            return [spec.name for spec in specs if log.create_topic(connection, spec)]

    def partitions(self, topic: str) -> int:
        return self._topic(topic).partitions

    def topic_id(self, topic: str) -> str:
        return self._topic(topic).id

    def partition_for(self, topic: str, key: bytes) -> int:
        """Where any partition would do (see `partitioner`), the first."""
        return partition_of(self._partitioner, key, self._topic(topic).partitions) or 0

    def producer(self) -> EmbeddedProducer:
        return self._keep(
            EmbeddedProducer(
                self._database,
                self._topic,
                partitioner=self._partitioner,
                policy=self._buffer,
                closed=self._forget,
            )
        )

    def transaction(self, transactional_id: str) -> EmbeddedTransaction:
        return self._keep(
            EmbeddedTransaction(
                self._database,
                transactional_id,
                self._topic,
                partitioner=self._partitioner,
                timeout_s=self._transaction_timeout_s,
                presence=self._presence.name,
                min_free_bytes=self._min_free_bytes,
                closed=self._forget,
            )
        )

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None = None,
        revoked: PartitionsChanged | None = None,
    ) -> EmbeddedConsumer:
        """Raises `MissingTopic`. The group is joined by the first `poll`."""
        return self._keep(
            EmbeddedConsumer(
                self._database,
                group,
                [self._topic(topic) for topic in topics],
                self._times,
                presence=self._presence.name,
                assigned=assigned,
                revoked=revoked,
                closed=self._forget,
            )
        )

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """A transaction's positions appear with its commit, so there is never a pending one to wait for."""
        pids = {partition: self._pid(*partition) for partition in partitions}
        with self._handle.read() as connection:
            found = {partition: groups.position(connection, group, pid) for partition, pid in pids.items()}
        return {partition: offset for partition, offset in found.items() if offset is not None}

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

        Before an offset promised to an open transaction a committed read waits, as long as such a transaction
        may take. Records of open transactions are not in the file, so `committed=False` sees only gaps in
        their place. Raises `OffsetOutOfRange` when `offset` is not held, also when retention overtakes the
        reader.
        """
        pid = self._pid(topic, partition)
        held = self._bounds(pid)
        if end is None:
            end = held.stable if committed else held.next
        end = min(end, held.next)
        name = TopicPartition(topic, partition)
        if offset < end:
            log.check_held(name, offset, held)
        return self._pages(name, pid, offset, end, committed)

    def _pages(
        self, name: TopicPartition, pid: int, position: int, end: int, committed: bool
    ) -> Iterator[Record]:
        while position < end:
            with self._handle.read() as connection:
                held = log.bounds(connection, [pid])[pid]
                log.check_held(name, position, held)
                upto = min(end, held.stable) if committed else end
                if position < upto:
                    records, position = log.page(connection, name, pid, position, upto, _PAGE_RECORDS)
                else:
                    records = []
            if upto <= position < end and not records:
                # A reservation is in the way: it ends by commit, abort, or here by its age.
                expire_reservations(self._handle)
                time.sleep(_PAUSE_S)
            yield from records

    def begin_offset(self, topic: str, partition: int) -> int:
        return self._bounds(self._pid(topic, partition)).first

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        held = self._bounds(self._pid(topic, partition))
        return held.stable if committed else held.next

    def clean(self) -> None:
        """Do all retention and compaction that is due, now; else they run by themselves from time to time."""
        for _ in cleaning.clean(self._handle, time.time()):
            pass

    def close(self) -> None:
        """Close everything opened from this bus: consumers leave, transactions abort, producers deliver."""
        if not self._open:
            return
        self._open = False
        with self._lock:
            opened = list(self._opened)
        for each in opened:
            if isinstance(each, EmbeddedProducer):
                each.close(_CLOSE_TIMEOUT_S)
            else:
                each.close()
        self._housekeeper.stop()
        self._presence.close()
        self._handle.close()

    def _bounds(self, pid: int) -> log.Bounds:
        with self._handle.read() as connection:
            return log.bounds(connection, [pid])[pid]

    def _topic(self, name: str) -> log.Topic:
        topic = self._topics.get(name)
        if topic is None:
            with self._handle.read() as connection:
                topic = log.find_topic(connection, name)
            if topic is None:
                raise MissingTopic(name)
            self._topics[name] = topic
        return topic

    def _pid(self, name: str, partition: int) -> int:
        topic = self._topic(name)
        if not 0 <= partition < topic.partitions:
            raise BusError(f"{name!r} has {topic.partitions} partitions, none is {partition}")
        return topic.first_pid + partition

    def _consumers(self) -> list[EmbeddedConsumer]:
        with self._lock:
            return [each for each in self._opened if isinstance(each, EmbeddedConsumer)]

    def _keep(self, opened: _Opened) -> _Opened:
        with self._lock:
            self._opened.add(opened)
        return opened

    def _forget(self, closed: EmbeddedConsumer | EmbeddedProducer | EmbeddedTransaction) -> None:
        with self._lock:
            self._opened.discard(closed)

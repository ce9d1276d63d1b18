"""A transaction: kept in memory until `commit`, then one SQLite transaction that checks and writes it all.

    ready ──begin──► open ──commit──► ready
      ▲                │ abort          any failure: ──► fenced (for good)
      └────────────────┘

Inside the committing SQLite transaction: (1) is this still the newest producer of its transactional id,
(2) does the consumer still own, in the same generation, every partition whose position is committed,
(3) records, (4) positions, (5) the end of the reservations. Nothing is visible before, all of it after.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import NoReturn

from driftbus.adapters.embedded import groups, log
from driftbus.adapters.embedded.consumer import EmbeddedConsumer
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.groups import Membership
from driftbus.adapters.embedded.headers import pack
from driftbus.adapters.partitioner import Partitioner, partition_of
from driftbus.errors import BusError, Fenced, Unavailable
from driftbus.ports import Consumer, Headers, TopicPartition


class _State(Enum):
    READY = "ready"
    OPEN = "open"
    FENCED = "fenced"
    CLOSED = "closed"


@dataclass(slots=True)
class _Pending:
    """Records of one partition, in order. The first len(`offsets`) of them have their offsets already."""

    rows: list[log.Row] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    wanted: bool = False

    def reserved(self) -> Iterator[tuple[int, list[log.Row]]]:
        """The rows that have offsets: each run of consecutive ones with its first offset."""
        start = 0
        for i in range(1, len(self.offsets) + 1):
            if i == len(self.offsets) or self.offsets[i] != self.offsets[i - 1] + 1:
                yield self.offsets[start], self.rows[start:i]
                start = i

    def unreserved(self) -> list[log.Row]:
        return self.rows[len(self.offsets) :] if self.offsets else self.rows


class EmbeddedTransaction:
    """See `driftbus.ports.Transaction`. Calls come one at a time, from any thread."""

    def __init__(
        self,
        database: Database,
        transactional_id: str,
        find_topic: Callable[[str], log.Topic],
        *,
        partitioner: Partitioner,
        timeout_s: float,
        presence: str,
        min_free_bytes: int,
        closed: Callable[[EmbeddedTransaction], None],
    ) -> None:
        self._database = database
        self._id = transactional_id
        self._find_topic = find_topic
        self._partitioner: Partitioner = partitioner
        self._timeout_s = timeout_s
        self._presence = presence
        self._min_free_bytes = min_free_bytes
        self._closed = closed
        self._anywhere = count()
        self._state = _State.READY
        self._handle = database.connect()
        try:
            with self._handle.write() as connection:
                self._epoch = log.fence(connection, transactional_id)
        except BusError:
            self._handle.close()
            raise
        self._reset()

    def begin(self) -> None:
        """Raises `Unavailable` when the file is locked or the disk nearly full, `Fenced` when replaced."""
        self._require(_State.READY)
        free_bytes = self._database.free_bytes()
        if free_bytes < self._min_free_bytes:
            raise Unavailable(
                f"{self._database.directory}: {free_bytes} bytes free, {self._min_free_bytes} wanted"
            )
        with self._handle.read() as connection:
            epoch = log.current_epoch(connection, self._id)
        if epoch != self._epoch:
            self._fail(f"transactional id {self._id!r} was taken over")
        self._state = _State.OPEN

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
        self._require(_State.OPEN)
        try:
            found = self._find_topic(topic)
        except BusError as error:
            self._fail(str(error), error)
        if partition is None:
            partition = partition_of(self._partitioner, key, found.partitions)
            if partition is None:
                partition = next(self._anywhere) % found.partitions
        elif not 0 <= partition < found.partitions:
            self._fail(f"{topic!r} has {found.partitions} partitions, none is {partition}")
        pid = found.first_pid + partition
        pending = self._pending.get(pid)
        if pending is None:
            pending = self._pending[pid] = _Pending()
        if want_offset:
            self._wanted.append((pid, len(pending.rows)))
            pending.wanted = True
        pending.rows.append(
            (key, value, pack(headers), time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms)
        )

    def flush(self) -> list[int]:
        """Offsets of the records produced with `want_offset` since the last flush, in that order.

        Where there are new ones, this reserves offsets in their partitions: until commit or abort, readers of
        those partitions wait before them. See `log` for what that means when this process dies.
        """
        self._require(_State.OPEN)
        reserving = {pid: p for pid, p in self._pending.items() if p.wanted}
        if reserving:
            try:
                with self._handle.write() as connection:
                    self._check_epoch(log.current_epoch(connection, self._id))
                    promise = log.Promise(self._id, time.time(), self._timeout_s, self._presence)
                    for pid, pending in reserving.items():
                        fresh = len(pending.rows) - len(pending.offsets)
                        first = log.reserve(connection, promise, pid, fresh)
                        pending.offsets.extend(range(first, first + fresh))
                        pending.wanted = False
            except BusError as error:
                self._fail(str(error), error)
            self._reserved = True
        offsets = [self._pending[pid].offsets[i] for pid, i in self._wanted]
        self._wanted.clear()
        return offsets

    def send_offsets(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises `Fenced` when the consumer does not hold the partitions any more."""
        self._require(_State.OPEN)
        if not isinstance(consumer, EmbeddedConsumer):
            raise TypeError("a transaction of the embedded bus takes consumers of the embedded bus")
        try:
            membership, by_pid = consumer.claim(offsets)
        except Fenced as error:
            self._fail(str(error), error)
        self._positions.append((membership, by_pid))

    def commit(self) -> None:
        self._require(_State.OPEN)
        try:
            with self._handle.write() as connection:
                self._check_epoch(log.current_epoch(connection, self._id))
                for membership, by_pid in self._positions:
                    groups.check(connection, membership, by_pid)
                for pid, pending in self._pending.items():
                    for first, rows in pending.reserved():
                        log.write(connection, pid, first, rows)
                    log.append(connection, pid, pending.unreserved())
                for membership, by_pid in self._positions:
                    groups.store_positions(connection, membership.group, by_pid)
                if self._reserved:
                    log.release(connection, self._id)
        except BusError as error:
            self._fail(str(error), error)
        self._reset()
        self._state = _State.READY

    def abort(self) -> None:
        """Forget everything; reserved offsets stay unused: a gap. Nothing to do where nothing is open."""
        if self._state is not _State.OPEN:
            return
        if self._reserved:
            try:
                with self._handle.write() as connection:
                    self._check_epoch(log.current_epoch(connection, self._id))
                    log.release(connection, self._id)
            except BusError as error:
                self._fail(str(error), error)
        self._reset()
        self._state = _State.READY

    def close(self) -> None:
        """Aborts what is open."""
        if self._state is _State.CLOSED:
            return
        self._drop_reservations()
        self._state = _State.CLOSED
        self._reset()
        self._handle.close()
        self._closed(self)

    def _reset(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._wanted: list[tuple[int, int]] = []
        self._positions: list[tuple[Membership, dict[int, int]]] = []
        self._reserved = False

    def _require(self, state: _State) -> None:
        if self._state is _State.FENCED:
            raise Fenced(f"transactional id {self._id!r}: an earlier failure ended this producer")
        if self._state is not state:
            raise Fenced(f"transactional id {self._id!r} is {self._state.value}, not {state.value}")

    def _check_epoch(self, current: int) -> None:
        if current != self._epoch:
            raise Fenced(f"transactional id {self._id!r} was taken over or its transaction timed out")

    def _drop_reservations(self) -> None:
        """Let readers go on at once where that is ours to say; else the reservation expires by itself."""
        if not self._reserved:
            return
        with contextlib.suppress(BusError), self._handle.write() as connection:
            self._check_epoch(log.current_epoch(connection, self._id))
            log.release(connection, self._id)

    def _fail(self, reason: str, cause: BusError | None = None) -> NoReturn:
        self._drop_reservations()
        self._reset()
        self._state = _State.FENCED
        raise Fenced(reason) from cause

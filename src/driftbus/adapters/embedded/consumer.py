"""One member of a consumer group: follows its group inside `poll`, and reads the partitions it owns.

outside ──join──► joining ──all have joined──► holding ──rebalance: give back, join──► joining
   ▲                 │ thrown out                 │ thrown out: give back
   └─────────────────┴────────────────────────────┘
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from driftbus.adapters.embedded import groups, log
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.groups import Membership
from driftbus.errors import BusError, Fenced, Unavailable
from driftbus.ports import PartitionsChanged, Record, TopicPartition

# Waiting for records looks at the file's change counter (about 5 µs) this often: at first as soon as a busy
# writer commits, in the end seldom enough that an idle consumer costs a tenth of a percent of a core.
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05
# Signs of life per session timeout, as Kafka's clients do: two may be missed.
BEATS_PER_SESSION = 3


class _State(Enum):
    OUTSIDE = "outside"
    JOINING = "joining"
    HOLDING = "holding"


@dataclass(slots=True)
class _Cursor:
    """Where reading of one owned partition stands."""

    pid: int
    position: int | None
    paused: bool
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """How long a member may be silent before it is thrown out: its process, and its loop."""

    session_timeout_s: float
    max_poll_interval_s: float


class EmbeddedConsumer:
    """See `driftbus.ports.Consumer`. Reads raise `Unavailable` while the file is locked or unreadable."""

    def __init__(
        self,
        database: Database,
        group: str,
        topics: Sequence[log.Topic],
        times: GroupTimes,
        *,
        presence: str,
        assigned: PartitionsChanged | None,
        revoked: PartitionsChanged | None,
        closed: Callable[[EmbeddedConsumer], None],
    ) -> None:
        self._handle = database.connect()
        self._group = group
        self._topics = [topic.name for topic in topics]
        self._names = {
            topic.first_pid + p: TopicPartition(topic.name, p)
            for topic in topics
            for p in range(topic.partitions)
        }
        self._times = times
        self._presence = presence
        self._assigned, self._revoked, self._closed = assigned, revoked, closed
        self._state = _State.OUTSIDE
        self._member = ""
        self._membership: Membership | None = None
        self._cursors: dict[TopicPartition, _Cursor] = {}
        self._turn = 0
        self._open = True
        self._polled_at_s = time.monotonic()
        self._beaten_at_s = time.monotonic()

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """At most `max_records`, waiting at most `timeout_s` for the first of them.

        When retention has removed the next record of a partition: raises `OffsetOutOfRange` where the caller
        handles assignments (`assigned`), else goes on at the beginning of what is held.
        """
        if not self._open:
            raise BusError("this consumer is closed")
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._polled_at_s = time.monotonic()
            # Asked before reading: what is committed in between is then seen as a change, not overlooked.
            version = self._handle.data_version()
            moved = self._follow_group()
            records = self._fetch(max_records)
            if records or (not moved and not self._wait(version, deadline_s)):
                return records

    def assignment(self) -> list[TopicPartition]:
        return sorted(self._cursors)

    def position(self, partition: TopicPartition) -> int | None:
        cursor = self._cursors.get(partition)
        return None if cursor is None else cursor.position

    def at_end(self, partition: TopicPartition) -> bool:
        cursor = self._cursors.get(partition)
        return cursor is not None and cursor.at_end

    def seek(self, partition: TopicPartition, offset: int) -> None:
        cursor = self._cursor(partition)
        cursor.position, cursor.at_end = offset, False

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            cursor = self._cursor(partition)
            cursor.paused, cursor.at_end = True, False

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._cursor(partition).paused = False

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit outside a transaction. Raises `Fenced` when another member took over meanwhile."""
        if not offsets:
            return
        membership, by_pid = self.claim(offsets)
        with self._handle.write() as connection:
            groups.check(connection, membership, by_pid)
            groups.store_positions(connection, membership.group, by_pid)

    def close(self) -> None:
        """Leave the group at once. A group that cannot be told notices when the session expires."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(Unavailable), self._handle.write() as connection:
            groups.leave(connection, self._group, self._member)
        self._cursors.clear()
        self._membership = None
        self._handle.close()
        self._closed(self)

    def claim(self, offsets: Mapping[TopicPartition, int]) -> tuple[Membership, dict[int, int]]:
        """Under what membership these positions may be committed, and the positions by partition id.

        Raises `Fenced` when this consumer does not hold all of the partitions.
        """
        cursors, membership = self._cursors, self._membership
        missing = [partition for partition in offsets if partition not in cursors]
        if membership is None or missing:
            raise Fenced(f"group {self._group!r}: this member does not hold {missing or list(offsets)}")
        return membership, {cursors[partition].pid: offset for partition, offset in offsets.items()}

    def due_beat(self, now_s: float) -> tuple[str, str] | None:
        """Group and member when a sign of life is due at `now_s` (monotonic) and the loop still polls."""
        if self._state is _State.OUTSIDE or not self._open:
            return None
        if now_s - self._polled_at_s > self._times.max_poll_interval_s:
            return None
        if now_s - self._beaten_at_s < self._times.session_timeout_s / BEATS_PER_SESSION:
            return None
        self._beaten_at_s = now_s
        return self._group, self._member

    def _cursor(self, partition: TopicPartition) -> _Cursor:
        cursor = self._cursors.get(partition)
        if cursor is None:
            raise BusError(f"{partition.topic}[{partition.partition}] is not assigned to this consumer")
        return cursor

    def _wait(self, version: int, deadline_s: float) -> bool:
        """Sleep until somebody commits something (True) or the time is over (False)."""
        pause_s = _FIRST_PAUSE_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(pause_s, left_s))
            self._polled_at_s = time.monotonic()
            if self._handle.data_version() != version:
                return True
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return False

    def _follow_group(self) -> bool:
        """One step of the life cycle drawn above; whether there was one to make."""
        with self._handle.read() as connection:
            seen = groups.view(connection, self._group, self._member)
        if self._state is _State.OUTSIDE:
            self._member = uuid.uuid4().hex
            self._join()
        elif seen.joined is None or (self._membership and seen.generation != self._membership.generation):
            self._give_back()
            self._state = _State.OUTSIDE
        elif self._state is _State.HOLDING and seen.rebalancing:
            self._give_back()
            self._join()
        elif self._state is _State.JOINING and not seen.rebalancing:
            self._take()
        elif self._state is _State.JOINING and not seen.joined:
            # A generation was made and ended before we looked: we never held its partitions.
            self._join()
        else:
            return False
        return True

    def _join(self) -> None:
        with self._handle.write() as connection:
            groups.join(
                connection,
                self._group,
                self._member,
                self._topics,
                self._times.session_timeout_s,
                self._presence,
                time.time(),
            )
        self._beaten_at_s = time.monotonic()
        self._state = _State.JOINING

    def _take(self) -> None:
        with self._handle.read() as connection:
            seen = groups.view(connection, self._group, self._member)
            pids = groups.owned(connection, self._group, self._member)
            committed = {pid: groups.position(connection, self._group, pid) for pid in pids}
            held = log.bounds(connection, pids)
        self._membership = Membership(self._group, self._member, seen.generation)
        self._state = _State.HOLDING
        for pid in pids:
            if self._assigned is not None:
                self._cursors[self._names[pid]] = _Cursor(pid, None, paused=True)
            else:
                offset = committed[pid]
                start = held[pid].first if offset is None else offset
                self._cursors[self._names[pid]] = _Cursor(pid, start, paused=False)
        if self._assigned is not None and pids:
            self._assigned(self.assignment())

    def _give_back(self) -> None:
        try:
            if self._revoked is not None and self._cursors:
                self._revoked(self.assignment())
        finally:
            self._cursors = {}
            self._membership = None

    def _fetch(self, max_records: int) -> list[Record]:
        """A fair share of each partition first, then what is left from whoever has more."""
        running = [
            (name, cursor)
            for name, cursor in self._cursors.items()
            if not cursor.paused and cursor.position is not None
        ]
        if not running:
            return []
        self._turn = (self._turn + 1) % len(running)
        running = running[self._turn :] + running[: self._turn]
        records: list[Record] = []
        with self._handle.read() as connection:
            held = log.bounds(connection, (cursor.pid for _, cursor in running))
            starts = self._starts(running, held)
            asked = running
            for share in (max(1, max_records // len(running)), max_records):
                unsated = []
                for name, cursor in asked:
                    limit = min(share, max_records - len(records))
                    start, stable = starts[name], held[cursor.pid].stable
                    if limit > 0 and start < stable:
                        found, starts[name] = log.page(connection, name, cursor.pid, start, stable, limit)
                        records += found
                        # Fewer than asked for: at its end, or large enough already.
                        if len(found) == limit:
                            unsated.append((name, cursor))
                asked = unsated
        for name, cursor in running:
            cursor.position = starts[name]
            cursor.at_end = starts[name] >= held[cursor.pid].next
        return records

    def _starts(
        self, running: Iterable[tuple[TopicPartition, _Cursor]], held: Mapping[int, log.Bounds]
    ) -> dict[TopicPartition, int]:
        starts = {}
        for name, cursor in running:
            position = cursor.position or 0
            first, _, following = held[cursor.pid]
            if self._assigned is None and not first <= position <= following:
                position = first
            log.check_held(name, position, held[cursor.pid])
            starts[name] = position
        return starts

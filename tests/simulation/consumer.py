"""One member of a group on brokers in memory: follows its group inside `poll`, and reads what it owns.

outside ──join──► joining ──all have joined──► holding ──rebalance: give back, join──► joining
   ▲                 │ thrown out                 │ thrown out: give back
   └─────────────────┴────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from driftbus.errors import BusError, Fenced, OffsetOutOfRange
from driftbus.ports import PartitionsChanged, Record, TopicPartition

if TYPE_CHECKING:
    from .bus import MemoryBus

# Of so many looks at a partition one brings nothing yet: its answer is still on its way.
SLOW_FETCH = 0.15
# Of so many ends one is not told with the last record before it, but by a later look.
LATE_END = 0.3


@dataclass(slots=True)
class Cursor:
    """Where reading of one owned partition stands."""

    position: int | None
    paused: bool
    at_end: bool = False


class MemoryConsumer:
    """See `driftbus.ports.Consumer`."""

    def __init__(
        self,
        bus: MemoryBus,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None,
        revoked: PartitionsChanged | None,
    ) -> None:
        self._bus = bus
        self._group = bus.broker.group(group)
        self._topics = list(topics)
        self._assigned, self._revoked = assigned, revoked
        self._state = "outside"
        self._joins = 0
        self.member = ""
        self._generation = -1
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._open = True

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if not self._open:
            raise BusError("this consumer is closed")
        nature = self._bus.nature
        until_ms = nature.now_ms() + timeout_s * 1000
        self._bus.enter("poll", max_records, timeout_s)
        while True:
            if self._bus.patience_ms != float("inf"):
                known = self._group.members.get(self.member)
                if known is not None:
                    known.expires_ms = nature.now_ms() + self._bus.patience_ms
                    self._bus.broker.changed()
            moved = self._follow_group()
            records = self._fetch(max_records)
            if records or (not moved and nature.now_ms() >= until_ms):
                return records
            if not moved:
                nature.wait(until_ms)
                self._bus.broker.pass_time(nature.now_ms())

    def assignment(self) -> list[TopicPartition]:
        return sorted(self._cursors)

    def position(self, partition: TopicPartition) -> int | None:
        cursor = self._cursors.get(partition)
        return None if cursor is None else cursor.position

    def at_end(self, partition: TopicPartition) -> bool:
        cursor = self._cursors.get(partition)
        return cursor is not None and cursor.at_end

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._bus.enter("seek", partition, offset)
        cursor = self._cursor(partition)
        cursor.position, cursor.at_end = offset, False

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._bus.enter("pause", *partitions)
        for partition in partitions:
            cursor = self._cursor(partition)
            cursor.paused, cursor.at_end = True, False

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._bus.enter("resume", *partitions)
        for partition in partitions:
            self._cursor(partition).paused = False

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        _, member, generation = self.membership(offsets)
        self._bus.enter("commit_offsets", dict(offsets))
        self._group.check(member, generation)
        self._group.offsets.update(offsets)

    def close(self) -> None:
        if not self._open or self._bus.dead:
            return
        self._open = False
        self._group.leave(self.member, self._bus.broker.topics)
        self._bus.broker.changed()
        self._cursors.clear()

    def membership(self, partitions: Mapping[TopicPartition, int]) -> tuple[str, str, int]:
        """Group, member and generation under which positions of these partitions may be sent.

        What the client knows: it may be long outdated, which only the broker can tell; or newer than what the
        application has been told, for the client learns of a generation when it is made.
        """
        lacking = [partition for partition in partitions if partition not in self._cursors]
        if lacking:
            raise Fenced(f"group {self._group.name!r}: this member does not hold {lacking}")
        told = self._state != "joining" or self._group.rebalancing
        return self._group.name, self.member, self._generation if told else self._group.generation

    # -- inside poll ----------------------------------------------------------------------------------

    def _follow_group(self) -> bool:
        """One step of the life cycle drawn above; whether there was one to make."""
        group = self._group
        known = group.members.get(self.member)
        if self._state == "outside":
            self._joins += 1
            self.member = f"{self._bus.process}-{len(self._bus.consumers)}.{self._joins}"
            self._join()
        elif known is None or (self._state == "holding" and self._generation != group.generation):
            self._give_back()
            self._state = "outside"
        elif self._state == "holding" and group.rebalancing:
            self._give_back()
            self._join()
        elif self._state == "joining" and not group.rebalancing:
            self._take()
        elif self._state == "joining" and not known.joined:
            # A generation was made and ended before we looked: we never held its partitions.
            self._join()
        else:
            return False
        return True

    def _join(self) -> None:
        self._group.join(self.member, self._topics, self._bus.broker.topics)
        self._bus.broker.changed()
        self._state = "joining"

    def _take(self) -> None:
        self._generation = self._group.generation
        self._state = "holding"
        for partition in self._group.shares[self.member]:
            if self._assigned is not None:
                self._cursors[partition] = Cursor(None, paused=True)
            else:
                begin = self._bus.broker.log(partition).begin
                self._cursors[partition] = Cursor(self._group.offsets.get(partition, begin), paused=False)
        if self._assigned is not None and self._cursors:
            self._assigned(self.assignment())

    def _give_back(self) -> None:
        try:
            if self._revoked is not None and self._cursors:
                self._revoked(self.assignment())
        finally:
            self._cursors = {}

    def _fetch(self, max_records: int) -> list[Record]:
        """Runs of one partition after another, in any order, as answers of brokers come."""
        rng, broker = self._bus.nature.rng, self._bus.broker
        running = [
            (name, cursor)
            for name, cursor in self._cursors.items()
            if not cursor.paused and cursor.position is not None
        ]
        rng.shuffle(running)
        records: list[Record] = []
        for name, cursor in running:
            room = max_records - len(records)
            if rng.random() < SLOW_FETCH:
                continue
            log, start = broker.log(name), cursor.position or 0
            if not log.begin <= start <= len(log.entries):
                if self._assigned is not None:
                    raise OffsetOutOfRange(*name, start)
                start = log.begin
            if room > 0:
                found, cursor.position = log.read(start, len(log.entries), room, committed=True)
                records += found
                told = not found or rng.random() >= LATE_END
                cursor.at_end = told and cursor.position >= len(log.entries)
        return records

    def _cursor(self, partition: TopicPartition) -> Cursor:
        cursor = self._cursors.get(partition)
        if cursor is None:
            raise BusError(f"{partition.topic}[{partition.partition}] is not assigned to this consumer")
        return cursor

"""What brokers hold: partitions with open transactions, transactional ids, consumer groups. In memory.

Kafka's meaning, where the port leaves room the weaker promise, so that whatever relies on more is found:

* a record is in its partition as soon as it is delivered; readers of committed records stop before the first
  one whose transaction has not ended *in this partition* (the last stable offset);
* the end of a transaction reaches each partition, and the group's offsets, by a marker of its own, at a time
  of its own: a commit may be visible in `outcomes` and not yet in `state`, or the other way round;
* markers take offsets, aborted records keep theirs: offsets have gaps;
* positions are checked when they are added to a transaction (member, generation), not when it commits: who
  asks for committed positions waits for what is pending;
* a newer producer of a transactional id, or a timeout, ends the open transaction and shuts its producer out.

Time is whatever the caller says it is, in ms.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from driftbus.errors import Fenced, MissingTopic
from driftbus.ports import Headers, Record, TopicPartition, TopicSpec

from .groups import Group

# driftbus' own setting for its transactional producers.
TRANSACTION_TIMEOUT_MS = 15_000

Draft = tuple[bytes | None, bytes | None, Headers, int]


class Running:
    """A transaction the broker knows of: open, or ended with markers still to be written."""

    __slots__ = ("began_ms", "committed", "epoch", "id", "logs", "offsets")

    def __init__(self, transactional_id: str, epoch: int, now_ms: int) -> None:
        self.id, self.epoch, self.began_ms = transactional_id, epoch, now_ms
        self.committed: bool | None = None  # None: open
        self.logs: list[Log] = []  # without a marker
        self.offsets: dict[str, dict[TopicPartition, int]] = {}  # by group, without a marker


class Log:
    """One partition. `entries[offset]` is None where a marker stands."""

    __slots__ = ("begin", "entries", "name", "open", "owners", "removed")

    def __init__(self, name: TopicPartition) -> None:
        self.name = name
        self.entries: list[Record | None] = []
        self.owners: list[Running | None] = []
        self.open: dict[Running, int] = {}  # transactions not ended here → their first offset
        self.begin = 0
        self.removed: set[int] = set()  # by compaction

    @property
    def stable(self) -> int:
        return min(self.open.values(), default=len(self.entries))

    def append(self, drafts: Iterable[Draft], owner: Running | None) -> int:
        """Put records at the end; the first one's offset."""
        first = offset = len(self.entries)
        if owner is not None and owner not in self.open:
            self.open[owner] = first
            owner.logs.append(self)
        for key, value, headers, timestamp_ms in drafts:
            self.entries.append(Record(*self.name, offset, key, value, headers, timestamp_ms))
            self.owners.append(owner)
            offset += 1
        return first

    def mark(self, owner: Running) -> None:
        """The end of a transaction, as this partition learns of it."""
        del self.open[owner]
        owner.logs.remove(self)
        self.entries.append(None)
        self.owners.append(None)

    def read(self, start: int, end: int, limit: int, *, committed: bool) -> tuple[list[Record], int]:
        """At most `limit` records with `start` ≤ offset < `end`, and where to go on."""
        found: list[Record] = []
        stop = min(end, self.stable if committed else len(self.entries))
        at = max(start, self.begin)
        while at < stop and len(found) < limit:
            record, owner = self.entries[at], self.owners[at]
            hidden = record is None or at in self.removed
            if not hidden and not (committed and owner is not None and not owner.committed):
                found.append(record)  # type: ignore[arg-type]
            at += 1
        return found, at

    def everything(self) -> list[Record]:
        """All committed records there ever were, retention and compaction notwithstanding."""
        return [
            record
            for record, owner in zip(self.entries, self.owners, strict=True)
            if record is not None and (owner is None or (owner.committed and owner not in self.open))
        ]

    def compact(self) -> None:
        """Of each key keep the newest record below the last stable offset."""
        newest: dict[bytes | None, int] = {}
        for record in self.read(self.begin, self.stable, len(self.entries), committed=True)[0]:
            if record.key is not None and record.key in newest:
                self.removed.add(newest[record.key])
            newest[record.key] = record.offset


@dataclass(slots=True)
class Topic:
    spec: TopicSpec
    id: str
    logs: list[Log]


@dataclass(slots=True)
class Broker:
    """All of it. `delay_ms` says when the next marker arrives after the end of its transaction."""

    delay_ms: Callable[[], int]
    topics: dict[str, Topic] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    version: int = 0  # rises with everything that a waiting reader may be waiting for
    wake_ms: float = 0.0  # nothing happens by itself before this
    _epochs: dict[str, int] = field(default_factory=dict)
    _running: dict[str, Running] = field(default_factory=dict)
    _markers: list[tuple[float, int, Running, Log | Group]] = field(default_factory=list)
    _drawn: int = 0

    def create(self, spec: TopicSpec) -> bool:
        if spec.name in self.topics:
            return False
        self._drawn += 1
        logs = [Log(TopicPartition(spec.name, p)) for p in range(spec.partitions)]
        self.topics[spec.name] = Topic(spec, f"id-{self._drawn}", logs)
        return True

    def topic(self, name: str) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            raise MissingTopic(name)
        return topic

    def log(self, partition: TopicPartition) -> Log:
        return self.topic(partition.topic).logs[partition.partition]

    def group(self, name: str) -> Group:
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(name)
        return group

    def append(self, partition: TopicPartition, drafts: Iterable[Draft]) -> None:
        """Records outside of transactions."""
        self.log(partition).append(drafts, None)
        self.version += 1

    # -- what happens by itself -----------------------------------------------------------------------

    def pass_time(self, now_ms: int) -> None:
        """Markers arrive, transactions time out, silent members are thrown out."""
        if now_ms < self.wake_ms:
            return
        while self._markers and self._markers[0][0] <= now_ms:
            self._mark(heapq.heappop(self._markers))
        for running in list(self._running.values()):
            if running.committed is None and now_ms >= running.began_ms + TRANSACTION_TIMEOUT_MS:
                self._epochs[running.id] += 1
                self._end(running, False, now_ms)
        for group in self.groups.values():
            if group.expire(now_ms, self.topics):
                self.version += 1
        dues = [self._markers[0][0]] if self._markers else []
        dues += [r.began_ms + TRANSACTION_TIMEOUT_MS for r in self._running.values() if r.committed is None]
        dues += [group.next_expiry for group in self.groups.values()]
        self.wake_ms = min(dues, default=float("inf"))

    def changed(self) -> None:
        """Something may be due at another time, or a waiting reader be served."""
        self.wake_ms = 0.0
        self.version += 1

    # -- transactions ---------------------------------------------------------------------------------

    def open_producer(self, transactional_id: str, now_ms: int) -> int:
        """Shut out earlier producers of this id; the epoch of the new one."""
        epoch = self._epochs[transactional_id] = self._epochs.get(transactional_id, 0) + 1
        running = self._running.get(transactional_id)
        if running is not None:
            if running.committed is None:
                self._end(running, False, now_ms)
            self._finish(running)
        return epoch

    def check(self, transactional_id: str, epoch: int) -> None:
        if self._epochs.get(transactional_id) != epoch:
            raise Fenced(f"transactional id {transactional_id!r}: another producer or a timeout has ended it")

    def deliver(
        self, transactional_id: str, epoch: int, partition: TopicPartition, drafts: list[Draft], now_ms: int
    ) -> int:
        """Records of an open transaction reach their partition; the first one's offset."""
        running = self._of(transactional_id, epoch, now_ms)
        first = self.log(partition).append(drafts, running)
        self.changed()
        return first

    def add_offsets(
        self,
        transactional_id: str,
        epoch: int,
        member: tuple[str, str, int],
        offsets: dict[TopicPartition, int],
        now_ms: int,
    ) -> None:
        """Positions join an open transaction, if the member is (still) one of this generation."""
        running = self._of(transactional_id, epoch, now_ms)
        name, who, generation = member
        group = self.group(name)
        group.check(who, generation)
        running.offsets.setdefault(name, {}).update(offsets)
        if running not in group.pending:
            group.pending.append(running)
        self.changed()

    def end(self, transactional_id: str, epoch: int, committed: bool, now_ms: int) -> None:
        """Commit or abort; markers follow."""
        self.check(transactional_id, epoch)
        running = self._running.get(transactional_id)
        if running is not None and running.committed is None:
            self._end(running, committed, now_ms)

    def _of(self, transactional_id: str, epoch: int, now_ms: int) -> Running:
        self.check(transactional_id, epoch)
        running = self._running.get(transactional_id)
        if running is not None and running.committed is not None:
            # The next transaction of an id waits until the markers of the one before are written.
            self._finish(running)
            running = None
        if running is None:
            running = self._running[transactional_id] = Running(transactional_id, epoch, now_ms)
        return running

    def _end(self, running: Running, committed: bool, now_ms: int) -> None:
        running.committed = committed
        targets: list[Log | Group] = [*running.logs, *(self.group(name) for name in running.offsets)]
        for target in targets:
            self._drawn += 1
            heapq.heappush(self._markers, (now_ms + self.delay_ms(), self._drawn, running, target))
        if not targets:
            self._running.pop(running.id, None)
        self.changed()
        self.pass_time(now_ms)

    def _finish(self, running: Running) -> None:
        mine = [each for each in self._markers if each[2] is running]
        self._markers = [each for each in self._markers if each[2] is not running]
        heapq.heapify(self._markers)
        for each in sorted(mine):
            self._mark(each)

    def _mark(self, marker: tuple[float, int, Running, Log | Group]) -> None:
        _, _, running, target = marker
        if isinstance(target, Log):
            target.mark(running)
        else:
            offsets = running.offsets.pop(target.name)
            target.pending.remove(running)
            if running.committed:
                target.offsets.update(offsets)
        if not running.logs and not running.offsets and self._running.get(running.id) is running:
            del self._running[running.id]
        self.changed()

"""One member of a consumer group, by librdkafka's classic protocol with eager rebalancing (all partitions are
given back whenever somebody comes or goes), or by KIP-848's, where only those that move are.

A newly assigned partition, when the caller handles assignments:

    assigned, paused at the beginning ──seek──► positioned ──resume──► running ⇄ paused
                └────────────────────resume, then seek──────────────────────────┘

Nothing is delivered of a partition before its seek, nor from before its position.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition

from driftbus.adapters.kafka.failures import describe, is_missing, translate
from driftbus.adapters.kafka.messages import Positions, to_records
from driftbus.adapters.kafka.properties import LOGGER, KafkaProperties
from driftbus.errors import BusError, Fenced, MissingTopic, OffsetOutOfRange
from driftbus.ports import PartitionsChanged, Record, TopicPartition

# librdkafka waits out its timeout even when a rebalance came meanwhile: a wait is cut into pieces this long,
# so that `assigned` is called soon after. Costs an idle consumer ten wake-ups a second.
_SLICE_S = 0.1

# The request wakes, its answer is of no interest: it may stand behind a fetch that waits for data.
_WAKE_TIMEOUT_S = 0.001

# The commit failed because the partition is somebody else's by now.
_NO_LONGER_MEMBER = frozenset(
    {
        KafkaError._ASSIGNMENT_LOST,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)

# Told by librdkafka in the stream of messages while it mends them itself.
_PASSING = frozenset({KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})


class KafkaConsumer:
    """See `driftbus.ports.Consumer`. Joins the group in `poll`; all calls come from one thread.

    `poll` raises `OffsetOutOfRange` when retention removed the next record of a partition (without
    callbacks reading goes on at the beginning instead), `MissingTopic`, `Fenced` on a fatal error.
    """

    def __init__(
        self,
        properties: KafkaProperties,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None,
        revoked: PartitionsChanged | None,
        closed: Callable[[KafkaConsumer], None],
    ) -> None:
        self._group = group
        self._bootstrap = properties.bootstrap
        self._assigned, self._revoked, self._closed = assigned, revoked, closed
        # Whoever handles assignments seeks to where the state says; a position that is gone must be loud.
        self._managed = assigned is not None
        reset = "error" if self._managed else "earliest"
        self._incremental = properties.incremental
        self._client = properties.build(Consumer, properties.group_consumer(group, reset=reset))
        self._positions: Positions = {}
        self._paused: set[TopicPartition] = set()
        self._ended: set[TopicPartition] = set()
        # Assigned by the group, not yet told to the caller.
        self._unannounced: list[TopicPartition] = []
        # Partitions whose broker connection is known to be busy fetching.
        self._awake: set[TopicPartition] = set()
        self._failure: BusError | None = None
        self._open = True
        self._client.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        if not self._open:
            raise BusError("this consumer is closed")
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        messages = self._messages(max_records, timeout_s)
        records = to_records(messages, self._positions, self._ended, self._event)
        if self._unannounced:
            fresh, self._unannounced = self._unannounced, []
            if self._assigned is not None:
                self._assigned(fresh)
        if self._failure is not None and not records:
            failure, self._failure = self._failure, None
            raise failure
        return records

    def assignment(self) -> list[TopicPartition]:
        return sorted(self._positions.keys() - set(self._unannounced))

    def position(self, partition: TopicPartition) -> int | None:
        return self._positions.get(partition)

    def at_end(self, partition: TopicPartition) -> bool:
        if partition not in self._ended:
            return False
        # What librdkafka calls a partition's end is the last stable offset. Behind it there may be records of
        # a transaction that is still open, and of whoever wrote after it.
        _, high = self._client.get_watermark_offsets(Partition(*partition), cached=True)
        return high <= (self._positions[partition] or 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._check_assigned([partition])
        first = self._positions[partition] is None
        try:
            self._client.seek(Partition(*partition, offset))
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise translate(error.args[0], f"seek, group {self._group!r}", self._bootstrap) from error
            self._restart(partition, offset)
        self._positions[partition] = offset
        self._ended.discard(partition)
        if first and partition not in self._paused:
            self._run([partition])

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.update(partitions)
        self._ended.difference_update(partitions)
        self._request("pause", self._client.pause, [Partition(*partition) for partition in partitions])
        if not self._running():
            self._awake.clear()

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._check_assigned(partitions)
        self._paused.difference_update(partitions)
        self._run([partition for partition in partitions if self._positions[partition] is not None])

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises `Fenced` when the partitions went to another member meanwhile.

        Without a broker it is `Unavailable` only after the session timeout.
        """
        self.check_held(offsets)
        wanted = [Partition(*partition, offset) for partition, offset in offsets.items()]
        if not wanted:
            return
        answers = self._request("commit", lambda: self._client.commit(offsets=wanted, asynchronous=False))
        for answer in answers or []:
            if answer.error is not None:
                raise self._commit_failure(answer.error)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        # Leaves the group; the caller has stopped, so it hears of no revocation.
        self._client.close()
        self._positions.clear()
        self._closed(self)

    def group_metadata(self) -> Any:
        """The membership under which a transaction may commit offsets, as of now."""
        return self._client.consumer_group_metadata()

    def check_held(self, partitions: Iterable[TopicPartition]) -> None:
        """Raises `Fenced` when one of these is not assigned to this member (any more)."""
        lacking = [partition for partition in partitions if partition not in self._positions]
        if lacking:
            raise Fenced(f"group {self._group!r}: this member does not hold {lacking}")

    # --- inside poll ---------------------------------------------------------------------------------

    def _messages(self, max_records: int, timeout_s: float) -> list[Any]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            # consume(n, t) waits for all n: wait for one, then take what is there.
            first = self._client.poll(max(0.0, min(_SLICE_S, left_s)))
            if first is not None:
                rest = self._client.consume(max_records - 1, 0) if max_records > 1 else []
                return [first, *rest]
            if left_s <= 0 or self._unannounced:
                return []

    def _event(self, partition: TopicPartition, offset: int, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            position = self._positions.get(partition)
            if position is not None and offset >= position and partition not in self._paused:
                # Past transaction markers and aborted records: the next record can only come from here on.
                self._positions[partition] = offset
                self._ended.add(partition)
        elif error.fatal():
            self._failure = Fenced(f"group {self._group!r}: {describe(error)}")
        elif code in _PASSING:
            LOGGER.warning("group %s: %s", self._group, describe(error))
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            position = self._positions.get(partition)
            if position is not None:
                self._failure = OffsetOutOfRange(*partition, position)
        elif is_missing(error) and partition.topic:
            self._failure = MissingTopic(partition.topic)
        else:
            self._failure = translate(error, f"reading as group {self._group!r}", self._bootstrap)

    def _on_assign(self, client: Consumer, partitions: list[Partition]) -> None:
        fresh = [TopicPartition(each.topic, each.partition) for each in partitions]
        assign = client.incremental_assign if self._incremental else client.assign
        if not self._incremental:
            self._positions = {}
        if self._managed:
            # No committed offsets to look up: seeking works at once. Not at offset 0: a fetch can slip
            # through before the pause, and where 0 is no longer held it stops the partition for good.
            # A record that slips through has no position to be at, and is dropped.
            assign([Partition(*partition, OFFSET_BEGINNING) for partition in fresh])
            client.pause(partitions)
            self._positions.update(dict.fromkeys(fresh))
        else:
            # Without an offset librdkafka looks up the committed one.
            assign(partitions)
            self._positions.update(dict.fromkeys(fresh, 0))
        self._unannounced += fresh

    def _on_revoke(self, client: Consumer, partitions: list[Partition]) -> None:
        """Also for partitions that were lost. By the classic protocol always all of them."""
        gone = {TopicPartition(each.topic, each.partition) for each in partitions}
        if not self._incremental:
            gone = set(self._positions)
        known = [each for each in self.assignment() if each in gone]
        self._unannounced = [each for each in self._unannounced if each not in gone]
        try:
            if known and self._revoked is not None and self._open:
                self._revoked(known)
        finally:
            # In place: the records of this very poll are yet to be filtered by it.
            for each in gone:
                self._positions.pop(each, None)
            self._paused -= gone
            self._ended -= gone
            self._awake -= gone
            if self._incremental:
                client.incremental_unassign(partitions)
            else:
                client.unassign()

    # --- calls to the client -------------------------------------------------------------------------

    def _run(self, partitions: Sequence[TopicPartition]) -> None:
        """Let librdkafka fetch these.

        Its broker thread sleeps up to 1 s when nothing was fetched before, and a resume does not wake it
        (seen: the first record after 2 ms or after 1,003 ms); any request does.
        """
        if not partitions:
            return
        self._request("resume", self._client.resume, [Partition(*partition) for partition in partitions])
        for partition in set(partitions) - self._awake:
            # Whether it answers in time, or at all, says nothing: fetching goes its own way.
            with contextlib.suppress(KafkaException):
                self._client.get_watermark_offsets(Partition(*partition), _WAKE_TIMEOUT_S)
        self._awake.update(partitions)

    def _restart(self, partition: TopicPartition, offset: int) -> None:
        """librdkafka stops a partition at an offset that is gone; only an assignment starts it again."""
        LOGGER.info("group %s: starting %s[%d] again at %d", self._group, *partition, offset)
        self._positions[partition] = offset
        if self._incremental:
            again = {partition}
            self._client.incremental_unassign([Partition(*partition)])
            self._client.incremental_assign([Partition(*partition, offset)])
        else:
            again = set(self._positions)
            places = {each: OFFSET_BEGINNING if at is None else at for each, at in self._positions.items()}
            self._client.assign([Partition(*each, at) for each, at in places.items()])
        # An assignment forgets pauses.
        self._awake -= again
        running = again & self._running()
        still = [Partition(*each) for each in again - running]
        if still:
            self._client.pause(still)
        self._run(sorted(running))

    def _running(self) -> set[TopicPartition]:
        return {partition for partition, at in self._positions.items() if at is not None} - self._paused

    def _check_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            if partition not in self._positions:
                raise BusError(f"{partition.topic}[{partition.partition}] is not assigned to this consumer")

    def _request(self, doing: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except KafkaException as error:
            if doing == "commit":
                raise self._commit_failure(error.args[0]) from error
            raise translate(error.args[0], f"{doing}, group {self._group!r}", self._bootstrap) from error

    def _commit_failure(self, error: KafkaError) -> BusError:
        if error.code() in _NO_LONGER_MEMBER:
            return Fenced(f"group {self._group!r}: {describe(error)}")
        return translate(error, f"committing offsets of group {self._group!r}", self._bootstrap)

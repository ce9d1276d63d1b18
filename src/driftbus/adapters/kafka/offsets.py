"""A group's committed offsets, asked for by clients that never join it.

By a consumer, although an AdminClient has a request for it: librdkafka hands the answer of both to one
function, which sends a "find the coordinator again" to the client's own group, and an AdminClient has none.
A coordinator that has moved, is moving or just starts (NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE) ends the
process that way with a segmentation fault (librdkafka#5315, open in 2.16.0).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition

from driftbus.adapters.kafka.failures import is_unreachable, translate
from driftbus.adapters.kafka.kept import KeptConsumers
from driftbus.adapters.kafka.properties import KafkaProperties
from driftbus.ports import TopicPartition

# A pending transaction holds offsets back until it ends, by the broker's timeout when its producer was
# killed: 15 s here, a minute by Kafka's own default.
_PENDING_LIMIT_S = 60.0
_PAUSE_S = 0.05

# librdkafka tells of a group that may not be read in the stream of messages only, and waits on: after this
# long that stream is looked at, then ever less often: a slow answer must not be given up again and again.
_FIRST_WAIT_S = 0.5


class GroupOffsets:
    """Committed offsets of any group. Thread-safe."""

    def __init__(self, properties: KafkaProperties, timeout_s: float) -> None:
        self._properties = properties
        self._bootstrap = properties.bootstrap
        self._timeout_s = timeout_s
        # By group, and whether only stable offsets count: those that no pending transaction may change.
        self._clients: KeptConsumers[tuple[str, bool]] = KeptConsumers(self._opened)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `driftbus.ports.Bus.committed`."""
        doing = f"asking for the offsets of group {group!r}"
        limit_s = time.monotonic() + _PENDING_LIMIT_S
        with self._clients.lent((group, True)) as client:
            while True:
                answers = self._answers(client, group, partitions, doing, limit_s)
                errors = [answer.error for answer in answers if answer.error is not None]
                if not errors:
                    break
                if errors[0].code() != KafkaError.UNSTABLE_OFFSET_COMMIT or time.monotonic() > limit_s:
                    raise translate(errors[0], doing, self._bootstrap)
                time.sleep(_PAUSE_S)
        return {
            TopicPartition(answer.topic, answer.partition): answer.offset
            for answer in answers
            if answer.offset >= 0
        }

    def close(self) -> None:
        """Close all clients."""
        self._clients.close()

    def _opened(self, kind: tuple[str, bool]) -> Consumer:
        group, is_stable = kind
        properties = self._properties.group_consumer(group, reset="error")
        # What librdkafka goes by.
        properties["isolation.level"] = "read_committed" if is_stable else "read_uncommitted"
        return self._properties.build(Consumer, properties)

    def _answers(
        self, client: Consumer, group: str, partitions: Sequence[TopicPartition], doing: str, limit_s: float
    ) -> list[Partition]:
        wait_s = min(_FIRST_WAIT_S, self._timeout_s)
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            try:
                return client.committed(_wanted(partitions), wait_s)
            except KafkaException as error:
                refused = _refusal(client)
                if refused is not None or not is_unreachable(error.args[0]):
                    raise translate(refused or error.args[0], doing, self._bootstrap) from error
                now_s = time.monotonic()
                if now_s > deadline_s:
                    # While a transaction is pending librdkafka asks again by itself, and does not tell.
                    if now_s > limit_s or not self._is_pending(group, partitions):
                        raise translate(error.args[0], doing, self._bootstrap) from error
                    deadline_s = time.monotonic() + self._timeout_s
            wait_s = min(2 * wait_s, max(_PAUSE_S, deadline_s - time.monotonic()))
            time.sleep(_PAUSE_S)

    def _is_pending(self, group: str, partitions: Sequence[TopicPartition]) -> bool:
        """Whether the coordinator answers as soon as a pending transaction does not matter."""
        with self._clients.lent((group, False)) as client:
            try:
                client.committed(_wanted(partitions), self._timeout_s)
            except KafkaException:
                return False
        return True


def _wanted(partitions: Sequence[TopicPartition]) -> list[Partition]:
    return [Partition(*partition) for partition in partitions]


def _refusal(client: Consumer) -> KafkaError | None:
    """What the broker said to this client that no patience will mend."""
    while True:
        message = client.poll(0)
        if message is None:
            return None
        error = message.error()
        if error is not None and not is_unreachable(error):
            return error

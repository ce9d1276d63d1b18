"""Apache Kafka (brokers ≥ 3.7) as driftbus's event bus, through confluent-kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from driftbus.adapters.kafka.consumer import KafkaConsumer
from driftbus.adapters.kafka.failures import is_turned_away, translate
from driftbus.adapters.kafka.offsets import GroupOffsets
from driftbus.adapters.kafka.producer import KafkaProducer
from driftbus.adapters.kafka.properties import KafkaProperties
from driftbus.adapters.kafka.reader import Readers, retried
from driftbus.adapters.kafka.transaction import KafkaTransaction
from driftbus.adapters.partitioner import Partitioner, partition_of
from driftbus.errors import BusError, MissingTopic
from driftbus.ports import PartitionsChanged, Record, TopicPartition, TopicSpec

Opened = TypeVar("Opened", KafkaConsumer, KafkaProducer, KafkaTransaction)
Answer = TypeVar("Answer")

# Python waits this much longer than librdkafka, whose error says more.
_ANSWER_GRACE_S = 2.0

# How soon a wrong password is told.
_ANSWER_SLICE_S = 0.25

# A created topic is known to its controller at once, to every broker a moment later.
_PROPAGATION_PAUSE_S = 0.05

# Closing a bus whose producers were not closed gives them this long to deliver.
_CLOSE_TIMEOUT_S = 5.0


class KafkaBus:
    """See `driftbus.ports.Bus`. Thread-safe; what it opens is used by one thread at a time.

    `config`: the user's `kafka:` section, consumer's and producer's properties mixed, handed to librdkafka.
    `partitioner`: how keys become partitions. `timeout_s`: how long a request may go without an answer
    before it is `Unavailable`. Raises `ConfigError` for properties that librdkafka refuses.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        partitioner: Partitioner = "murmur2_random",
        timeout_s: float = 10.0,
    ) -> None:
        self._properties = KafkaProperties(config, partitioner=partitioner)
        self._partitioner: Partitioner = partitioner
        self._timeout_s = timeout_s
        self._properties.check()
        # What librdkafka says of connections as a whole: a request that waits for one only times out.
        self._turned_away: KafkaError | None = None
        self._admin: AdminClient | None = self._properties.build(
            AdminClient, self._properties.admin() | {"error_cb": self._on_error}
        )
        self._readers = Readers(self._properties, timeout_s, self.partitions)
        self._offsets = GroupOffsets(self._properties, timeout_s)
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._opened: set[KafkaConsumer | KafkaProducer | KafkaTransaction] = set()
        self._open = True

    def __repr__(self) -> str:
        return f"KafkaBus({self._properties.bootstrap!r})"

    def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create what is missing and change nothing that exists; the names created.

        Replicas as the broker's `default.replication.factor` says.
        """
        if not specs:
            return []
        wanted = [NewTopic(spec.name, spec.partitions, -1, config=dict(spec.config)) for spec in specs]
        futures = self._client().create_topics(wanted, request_timeout=self._timeout_s)
        created = []
        for name, future in futures.items():
            try:
                self._result(future)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                raise translate(
                    error.args[0], f"creating topic {name!r}", self._properties.bootstrap
                ) from error
            created.append(name)
        deadline_s = time.monotonic() + self._timeout_s
        for name in created:
            self._wait_known(name, deadline_s)
        return created

    def partitions(self, topic: str) -> int:
        count = len(self._describe(topic).partitions)
        self._counts[topic] = count
        return count

    def topic_id(self, topic: str) -> str:
        return str(self._describe(topic).topic_id)

    def partition_for(self, topic: str, key: bytes) -> int:
        """Where any partition would do (see `partitioner`), the first. The topic is looked at once."""
        count = self._counts.get(topic) or self.partitions(topic)
        return partition_of(self._partitioner, key, count) or 0

    def producer(self) -> KafkaProducer:
        return self._keep(KafkaProducer(self._properties, closed=self._forget))

    def transaction(self, transactional_id: str) -> KafkaTransaction:
        return self._keep(
            KafkaTransaction(
                self._properties, transactional_id, timeout_s=self._timeout_s, closed=self._forget
            )
        )

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None = None,
        revoked: PartitionsChanged | None = None,
    ) -> KafkaConsumer:
        """Raises `MissingTopic`. The group is joined in `poll`."""
        for topic in topics:
            self.partitions(topic)
        return self._keep(
            KafkaConsumer(
                self._properties,
                group,
                topics,
                assigned=assigned,
                revoked=revoked,
                closed=self._forget,
            )
        )

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Raises `Unavailable` too when a pending transaction does not end within a minute."""
        if not partitions:
            return {}
        return self._offsets.committed(group, partitions)

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

        An `end` past the last stable offset is waited for while a transaction is open, at most 60 s; one past
        the high watermark counts as the high watermark.
        """
        return self._readers.read(TopicPartition(topic, partition), offset, end, committed=committed)

    def begin_offset(self, topic: str, partition: int) -> int:
        return self._readers.bounds(TopicPartition(topic, partition), committed=False)[0]

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        return self._readers.bounds(TopicPartition(topic, partition), committed=committed)[1]

    def close(self) -> None:
        """Close everything opened from this bus: consumers leave, transactions abort, producers deliver."""
        if not self._open:
            return
        self._open = False
        with self._lock:
            opened = list(self._opened)
        for each in opened:
            if isinstance(each, KafkaProducer):
                each.close(_CLOSE_TIMEOUT_S)
            else:
                each.close()
        self._readers.close()
        self._offsets.close()
        # Letting go of it is the only way to close it.
        self._admin = None

    def _describe(self, topic: str) -> TopicDescription:
        def ask() -> TopicDescription:
            futures = self._client().describe_topics(
                TopicCollection([topic]), request_timeout=self._timeout_s
            )
            answer: TopicDescription = self._result(futures[topic])
            return answer

        return self._retried(ask, f"looking for topic {topic!r}", self._timeout_s, topic)

    def _wait_known(self, topic: str, deadline_s: float) -> None:
        while True:
            try:
                self._describe(topic)
            except MissingTopic:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_PROPAGATION_PAUSE_S)
            else:
                return

    def _retried(
        self, ask: Callable[[], Answer], doing: str, timeout_s: float, topic: str | None = None
    ) -> Answer:
        return retried(ask, doing, self._properties.bootstrap, timeout_s, topic)

    def _client(self) -> AdminClient:
        if self._admin is None:
            raise BusError("this bus is closed")
        return self._admin

    def _result(self, future: Future[Any]) -> Any:
        deadline_s = time.monotonic() + self._timeout_s + _ANSWER_GRACE_S
        while True:
            try:
                return future.result(min(_ANSWER_SLICE_S, max(0.0, deadline_s - time.monotonic())))
            except TimeoutError as late:
                if time.monotonic() > deadline_s:
                    # Seen on a loaded machine while its broker started: librdkafka's own limit was late.
                    text = f"no answer within {self._timeout_s:g} s"
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text)) from late
            finally:
                # Its log lines and errors wait to be served.
                self._client().poll(0)
            error, self._turned_away = self._turned_away, None
            if error is not None:
                raise KafkaException(error)

    def _on_error(self, error: KafkaError) -> None:
        if is_turned_away(error):
            self._turned_away = error

    def _keep(self, opened: Opened) -> Opened:
        with self._lock:
            self._opened.add(opened)
        return opened

    def _forget(self, closed: KafkaConsumer | KafkaProducer | KafkaTransaction) -> None:
        with self._lock:
            self._opened.discard(closed)

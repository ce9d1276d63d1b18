"""What is Kafka's own: properties, seeking, ends behind markers, fencing, brokers that are away.

What every bus promises is in tests/contracts.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient

from driftbus.adapters.kafka import KafkaBus
from driftbus.adapters.kafka.messages import Positions, to_records
from driftbus.adapters.kafka.properties import KafkaProperties
from driftbus.adapters.kafka.property_names import ALIASES, CONSUMER_ONLY, PRODUCER_ONLY
from driftbus.errors import BusError, ConfigError, Fenced, MissingTopic, OffsetOutOfRange, Unavailable
from driftbus.ports import Bus, Consumer, Record, TopicPartition, TopicSpec
from tests.integration.broker import Broker
from tests.ports import free_port

# A limit for a test that hangs, never part of a result.
LIMIT_S = 60.0

Make = Callable[..., str]


@pytest.fixture
def bus(kafka_bootstrap: str) -> Iterator[KafkaBus]:
    bus = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    yield bus
    bus.close()


@pytest.fixture
def make_topic(bus: KafkaBus) -> Make:
    def make(partitions: int = 1, **config: str) -> str:
        name = f"topic-{uuid.uuid4().hex[:12]}"
        bus.create_topics([TopicSpec(name, partitions, config)])
        return name

    return make


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


def unused_address() -> str:
    return f"127.0.0.1:{free_port()}"


def fill(bus: Bus, topic: str, values: list[bytes], partition: int = 0, *, commit: bool = True) -> None:
    """One transaction of its own; returns when readers can see that it ended."""
    transaction = bus.transaction(f"fill-{uuid.uuid4().hex}")
    transaction.begin()
    for value in values:
        transaction.produce(topic, key=None, value=value, partition=partition)
    transaction.flush()
    if commit:
        transaction.commit()
    else:
        transaction.abort()
    transaction.close()
    until(
        lambda: (
            bus.end_offset(topic, partition, committed=True)
            == bus.end_offset(topic, partition, committed=False)
        )
    )


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.01)


def poll_until(consumer: Consumer, true: Callable[[], bool], max_records: int = 100) -> list[Record]:
    records: list[Record] = []
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came true"
        records += consumer.poll(max_records, 0.1)
    return records


def managed(bus: Bus, group: str, topics: list[str]) -> tuple[Consumer, set[TopicPartition]]:
    """A consumer with callbacks that has its assignment, and the live set of what it holds."""
    held: set[TopicPartition] = set()
    consumer = bus.consumer(group, topics, assigned=held.update, revoked=held.difference_update)
    poll_until(consumer, lambda: bool(held))
    return consumer, held


# --- properties ----------------------------------------------------------------------------------------

# Something librdkafka takes for each property of one kind of client.
_VALUES = {
    "auto.offset.reset": "latest",
    "compression.codec": "zstd",
    "compression.type": "zstd",
    "group.id": "theirs",
    "group.instance.id": "me",
    "group.protocol": "classic",
    "group.protocol.type": "consumer",
    "group.remote.assignor": "uniform",
    "isolation.level": "read_uncommitted",
    "offset.store.method": "broker",
    "offset.store.path": ".",
    "partition.assignment.strategy": "cooperative-sticky",
    "partitioner": "random",
    "queuing.strategy": "fifo",
    "transactional.id": "theirs",
    "msg_order_cmp": None,
    "acks": "all",
    "request.required.acks": "all",
}
_BOOLEANS = {
    "auto.commit.enable",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "produce.offset.report",
}


def a_value(name: str) -> Any:
    if name == "delivery.report.only.error":
        return True
    if name in _BOOLEANS:
        return "false" if name == "enable.idempotence" else "true"
    if name.endswith("level"):
        return _VALUES.get(name, 1)
    return _VALUES.get(name, 6000 if name.endswith(".ms") else 1000)


def warnings_of(client: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a client complained about at creation; the complaints are served by `poll`."""
    client.poll(0)
    found = [record.getMessage() for record in caplog.records if "CONFWARN" in record.getMessage()]
    caplog.clear()
    client.close()
    return found


@pytest.mark.parametrize("name", sorted((PRODUCER_ONLY | CONSUMER_ONLY) - {"msg_order_cmp"}))
def test_the_lists_of_properties_are_librdkafkas(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is librdkafka that says which kind of client a property is for."""
    common: dict[str, Any] = {
        "bootstrap.servers": "127.0.0.1:1",
        "logger": logging.getLogger("driftbus.kafka"),
    }
    common[name] = a_value(name)
    if name in PRODUCER_ONLY:
        if name == "delivery.report.only.error":
            common[name] = "true"
        wrong = warnings_of(Client(common | {"group.id": "g"}), caplog)
    else:
        wrong = warnings_of(Producer(common), caplog)
    assert [line for line in wrong if ALIASES.get(name, name) in line]


def test_no_client_gets_what_is_for_the_other_kind(caplog: pytest.LogCaptureFixture) -> None:
    names = (PRODUCER_ONLY | CONSUMER_ONLY) - {"msg_order_cmp", "offset.store.path", "auto.commit.enable"}
    names -= {"offset.store.sync.interval.ms", "consume.callback.max.messages", "queuing.strategy"}
    section = {name: a_value(name) for name in names} | {"bootstrap.servers": "127.0.0.1:1"}
    section |= {"max.poll.interval.ms": 60_000, "fetch.max.bytes": 20_000_000}
    # What must fit together.
    section |= {"queue.buffering.backpressure.threshold": 1, "linger.ms": 5, "queue.buffering.max.ms": 5}
    properties = KafkaProperties(section, partitioner="murmur2_random")
    for kind, settings in (
        (Client, properties.group_consumer("ours", reset="error")),
        (Client, properties.reader(committed=True)),
        (Producer, properties.emitter()),
        (Producer, properties.transaction("ours")),
        (Producer, properties.admin()),
    ):
        complaints = warnings_of(properties.build(kind, settings), caplog)
        assert [line for line in complaints if "is a " in line] == []


def test_driftbus_decides_what_its_promises_need() -> None:
    section = {name: a_value(name) for name in (PRODUCER_ONLY | CONSUMER_ONLY) - {"msg_order_cmp"}}
    section |= {"bootstrap.servers": "127.0.0.1:1", "metadata.recovery.strategy": "rebootstrap"}
    properties = KafkaProperties(section, partitioner="murmur2_random")
    consumer = properties.group_consumer("ours", reset="error")
    assert consumer["group.id"] == "ours"
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["enable.auto.commit"] == "false"
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["partition.assignment.strategy"] == "range"
    assert consumer["enable.partition.eof"] == "true"
    for producer in (properties.emitter(), properties.transaction("ours")):
        assert producer["enable.idempotence"] == "true"
        assert producer["metadata.recovery.strategy"] == "none"
        assert producer["partitioner"] == "murmur2_random"
    assert "transactional.id" not in properties.emitter()
    assert properties.transaction("ours")["transactional.id"] == "ours"
    assert properties.transaction("ours")["transaction.timeout.ms"] == "6000"
    assert consumer["session.timeout.ms"] == "6000"
    plain = KafkaProperties({"bootstrap.servers": "127.0.0.1:1"}, partitioner="murmur2_random")
    assert plain.group_consumer("ours", reset="error")["session.timeout.ms"] == "45000"
    assert plain.transaction("ours")["transaction.timeout.ms"] == "15000"


def test_a_wrong_property_is_named_with_the_right_spelling() -> None:
    with pytest.raises(ConfigError) as caught:
        KafkaBus({"bootstrap.servers": "127.0.0.1:1", "sasl.usernam": "me"})
    assert (caught.value.key, caught.value.nearest) == ("kafka.sasl.usernam", "sasl.username")
    with pytest.raises(ConfigError) as caught:
        KafkaBus({"bootstrap.servers": "127.0.0.1:1", "security.protocol": "tls"})
    assert (caught.value.key, caught.value.value) == ("kafka.security.protocol", "tls")
    with pytest.raises(ConfigError) as caught:
        KafkaBus({"client.id": "me"})
    assert caught.value.key == "kafka.bootstrap.servers"
    with pytest.raises(ConfigError) as caught:
        KafkaBus({"bootstrap.servers": "127.0.0.1:1", "group.protocol": "next"})
    assert caught.value.key == "kafka.group.protocol"
    # Each kind of client is tried, and a name that is an alias is told as it was given.
    for key, value in (
        ("linger.ms", "soon"),
        ("session.timeout.ms", -5),
        ("transaction.timeout.ms", 17),
        ("acks", 1),
        ("batch.size", "large"),
    ):
        with pytest.raises(ConfigError) as caught:
            KafkaBus({"bootstrap.servers": "127.0.0.1:1", key: value})
        assert (caught.value.key, caught.value.value) == (f"kafka.{key}", str(value))


class KafkaBusOpened:
    def __init__(self, config: dict[str, Any], **more: Any) -> None:
        self._bus = KafkaBus(config, **more)

    def __enter__(self) -> KafkaBus:
        return self._bus

    def __exit__(self, *_: object) -> None:
        self._bus.close()


def test_secrets_are_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {
        "sasl.username": "me",
        "sasl.password": "hunter2",
        "ssl.key.password": "hunter2",
        "ssl.key.pem": "hunter2",
        "sasl.oauthbearer.client.secret": "hunter2",
    }
    section = {"bootstrap.servers": unused_address(), "security.protocol": "sasl_plaintext"} | secrets
    properties = KafkaProperties(section, partitioner="murmur2_random")
    assert "hunter2" not in repr(properties)
    assert "127.0.0.1" in repr(properties)
    # Not even when librdkafka refuses one.
    with pytest.raises(ConfigError) as refused:
        KafkaBus(section | {"security.protocol": "ssl"})
    assert "hunter2" not in str(refused.value)
    usable = {key: value for key, value in section.items() if not key.startswith(("ssl.", "sasl.oauth"))}
    with KafkaBusOpened(usable | {"sasl.mechanism": "PLAIN"}, timeout_s=0.3) as bus:
        with pytest.raises(Unavailable) as away:
            bus.partitions("any")
        assert "hunter2" not in f"{away.value} {bus!r} {caplog.text}"


# --- messages -------------------------------------------------------------------------------------------


def test_records_without_a_place_or_from_before_it_are_dropped() -> None:
    held, sought, lost = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
    positions: Positions = {held: 5, sought: None}

    def message(partition: TopicPartition, offset: int, error: KafkaError | None = None) -> Message:
        return Message(*partition, offset=offset, value=b"%d" % offset, error=error, timestamp=(1, 17))

    end = KafkaError(KafkaError._PARTITION_EOF)
    events: list[tuple[TopicPartition, int, int | None]] = []
    ended = {held}
    records = to_records(
        [
            message(held, 4),
            message(lost, 7),
            message(held, 5),
            message(sought, 5),
            message(held, 9),
            message(held, 9),
            message(held, 11, end),
            message(held, 8),
            message(held, 12),
        ],
        positions,
        ended,
        lambda partition, offset, error: events.append((partition, offset, positions[partition])),
    )
    assert [(r.topic, r.partition, r.offset, r.value) for r in records] == [
        ("a", 0, 5, b"5"),
        ("a", 0, 9, b"9"),
        ("a", 0, 12, b"12"),
    ]
    assert records[0] == Record("a", 0, 5, None, b"5", (), 17)
    # The event sees the position as of its place in the stream.
    assert events == [(held, 11, 10)]
    assert positions == {held: 13, sought: None}
    assert ended == set()


# --- seeking --------------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_seeking_right_after_assignment_loses_and_repeats_nothing(
    kafka_bootstrap: str, bus: KafkaBus, make_topic: Make
) -> None:
    """Within the callback or later, before or after resume, with pauses in between; offset 0 is gone."""
    topic = make_topic(4)
    for partition in range(4):
        fill(bus, topic, [b"%d" % i for i in range(300)], partition)
    delete_before(kafka_bootstrap, [(topic, partition) for partition in range(4)], 50)
    dice = random.Random(7)
    consumers: list[Consumer] = []
    for round_ in range(12):
        starts: dict[TopicPartition, int] = {}

        def start(partitions: list[TopicPartition], starts: dict[TopicPartition, int] = starts) -> None:
            for partition in partitions:
                starts[partition] = dice.randrange(50, 301)
                seek_first = dice.random() < 0.7
                if seek_first:
                    consumers[-1].seek(partition, starts[partition])
                consumers[-1].resume([partition])
                if not seek_first:
                    consumers[-1].seek(partition, starts[partition])

        late: list[TopicPartition] = []
        consumer = bus.consumer(f"{topic}-{round_}", [topic], assigned=start if round_ % 2 else late.extend)
        consumers.append(consumer)
        records = poll_until(consumer, lambda: bool(starts or late))  # noqa: B023 - called at once
        if late:
            start(late)
        held = consumer.assignment()
        deadline_s = time.monotonic() + LIMIT_S
        while not all(consumer.at_end(partition) for partition in held):
            assert time.monotonic() < deadline_s
            records += consumer.poll(dice.choice([1, 50, 1000]), 1.0)
            if dice.random() < 0.2:
                some = dice.sample(held, 2)
                consumer.pause(some)
                records += consumer.poll(100, 0.01)
                consumer.resume(some)
        for partition in held:
            mine = [r.offset for r in records if r.partition == partition.partition]
            assert mine == list(range(starts[partition], 300))
            # The commit marker is passed too.
            assert consumer.position(partition) == 301
        consumer.close()


def delete_before(bootstrap: str, partitions: list[tuple[str, int]], offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [Partition(topic, partition, offset) for topic, partition in partitions]
    for done in admin.delete_records(wanted).values():
        done.result(LIMIT_S)


@pytest.mark.kafka
def test_a_partition_goes_on_after_an_offset_that_is_gone(
    kafka_bootstrap: str, bus: KafkaBus, make_topic: Make, group: str
) -> None:
    topic = make_topic(2)
    gone, fine = TopicPartition(topic, 0), TopicPartition(topic, 1)
    for partition in (0, 1):
        fill(bus, topic, [b"%d" % i for i in range(20)], partition)
    delete_before(kafka_bootstrap, [gone], 10)
    consumer, _ = managed(bus, group, [topic])
    consumer.seek(gone, 3)
    consumer.resume([gone])
    with pytest.raises(OffsetOutOfRange) as caught:
        poll_until(consumer, lambda: False)
    assert caught.value.offset == 3
    consumer.seek(fine, 15)
    consumer.resume([fine])
    consumer.seek(gone, 18)
    records = poll_until(consumer, lambda: consumer.at_end(gone) and consumer.at_end(fine))
    assert sorted((r.partition, r.offset) for r in records) == [
        (0, 18),
        (0, 19),
        *((1, i) for i in range(15, 20)),
    ]


@pytest.mark.kafka
def test_a_paused_partition_is_not_at_its_end(bus: KafkaBus, make_topic: Make, group: str) -> None:
    """Nobody looks there; resumed, it is at its end again although nothing came."""
    topic = make_topic()
    here = TopicPartition(topic, 0)
    fill(bus, topic, [b"1"])
    consumer, _ = managed(bus, group, [topic])
    consumer.resume([here])
    consumer.seek(here, 0)
    assert len(poll_until(consumer, lambda: consumer.at_end(here))) == 1
    consumer.pause([here])
    assert not consumer.at_end(here)
    assert consumer.poll(10, 0.3) == []
    assert not consumer.at_end(here)
    consumer.resume([here])
    assert poll_until(consumer, lambda: consumer.at_end(here)) == []
    with pytest.raises(BusError):
        consumer.seek(TopicPartition(topic, 1), 0)


# --- ends and markers -----------------------------------------------------------------------------------


@pytest.mark.kafka
def test_offsets_have_gaps_and_ends_lie_behind_them(bus: KafkaBus, make_topic: Make, group: str) -> None:
    topic = make_topic()
    here = TopicPartition(topic, 0)
    fill(bus, topic, [b"a", b"b"])  # 0 1, marker 2
    fill(bus, topic, [b"x"], commit=False)  # 3, marker 4
    fill(bus, topic, [b"c"])  # 5, marker 6
    fill(bus, topic, [b"y", b"z"], commit=False)  # 7 8, marker 9
    assert bus.end_offset(topic, 0, committed=True) == bus.end_offset(topic, 0, committed=False) == 10
    assert [(r.offset, r.value) for r in bus.read_from(topic, 0, 0)] == [(0, b"a"), (1, b"b"), (5, b"c")]
    assert [r.offset for r in bus.read_from(topic, 0, 0, committed=False)] == [0, 1, 3, 5, 7, 8]
    for end, wanted in ((1, [0]), (3, [0, 1]), (5, [0, 1]), (6, [0, 1, 5]), (8, [0, 1, 5]), (99, [0, 1, 5])):
        assert [r.offset for r in bus.read_from(topic, 0, 0, end)] == wanted
    assert list(bus.read_from(topic, 0, 6)) == []
    consumer = bus.consumer(group, [topic])
    records = poll_until(consumer, lambda: consumer.at_end(here))
    assert [r.offset for r in records] == [0, 1, 5]
    assert consumer.position(here) == 10


@pytest.mark.kafka
def test_an_open_transaction_is_waited_for_when_the_end_lies_behind_it(
    bus: KafkaBus, make_topic: Make, group: str
) -> None:
    """Restore reads committed state up to the uncommitted end: stopping before it would lose a snapshot."""
    topic = make_topic()
    here = TopicPartition(topic, 0)
    fill(bus, topic, [b"before"])
    source = bus.consumer(group, [topic])
    poll_until(source, lambda: source.at_end(here))
    frozen = bus.transaction(f"frozen-{topic}")
    frozen.begin()
    frozen.produce(topic, key=None, value=b"snapshot")
    frozen.flush()
    end = bus.end_offset(topic, 0, committed=False)
    assert bus.end_offset(topic, 0, committed=True) == 2
    assert source.poll(10, 0.3) == []
    frozen.send_offsets(source, {here: 1})
    # Both wait for this.
    ending = threading.Timer(0.5, frozen.commit)
    ending.start()
    assert bus.committed(group, [here]) == {here: 1}
    assert [r.value for r in bus.read_from(topic, 0, 0, end)] == [b"before", b"snapshot"]
    ending.join()


@pytest.mark.kafka
def test_short_ranges_reuse_a_client(bus: KafkaBus, make_topic: Make) -> None:
    """Bisecting reads one record here and there; a reader given up half-way leaves nothing behind."""
    topic = make_topic(2)
    for partition in (0, 1):
        fill(bus, topic, [b"%d/%d" % (partition, i) for i in range(500)], partition)
    readers = [bus.read_from(topic, i % 2, i * 7) for i in range(60)]
    for i, reader in enumerate(readers):
        found = next(reader)
        assert (found.partition, found.offset, found.value) == (i % 2, i * 7, b"%d/%d" % (i % 2, i * 7))
        reader.close()  # type: ignore[attr-defined]
    # Several at once, in turns.
    pairs = zip(bus.read_from(topic, 0, 490), bus.read_from(topic, 1, 490), strict=True)
    assert [(a.value, b.value) for a, b in pairs] == [(b"0/%d" % i, b"1/%d" % i) for i in range(490, 500)]
    with pytest.raises(MissingTopic):
        bus.read_from("no-such-topic", 0, 0)
    with pytest.raises(BusError, match="2 partitions"):
        bus.read_from(topic, 2, 0)


# --- transactions ---------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_a_zombie_is_fenced_at_every_call(bus: KafkaBus, make_topic: Make) -> None:
    topic = make_topic()
    name = f"worker-{topic}"

    def flush(transaction: Any) -> None:
        transaction.produce(topic, key=None, value=b"of a zombie")
        transaction.flush()

    for call in (flush, lambda transaction: transaction.commit(), lambda transaction: transaction.abort()):
        zombie = bus.transaction(name)
        zombie.begin()
        zombie.produce(topic, key=None, value=b"of a zombie", want_offset=True)
        zombie.flush()
        heir = bus.transaction(name)
        with pytest.raises(Fenced):
            call(zombie)
        # Nothing helps any more.
        for again in (zombie.begin, zombie.commit, zombie.flush):
            with pytest.raises(Fenced):
                again()
        zombie.close()
        heir.begin()
        heir.produce(topic, key=None, value=b"of the heir")
        heir.commit()
        heir.close()
    until(lambda: bus.end_offset(topic, 0, committed=True) == bus.end_offset(topic, 0, committed=False))
    assert [r.value for r in bus.read_from(topic, 0, 0)] == [b"of the heir"] * 3


@pytest.mark.kafka
def test_a_transaction_that_took_too_long_is_fenced(kafka_bootstrap: str, make_topic: Make) -> None:
    topic = make_topic()
    section = {"bootstrap.servers": kafka_bootstrap, "transaction.timeout.ms": 4000}
    with KafkaBusOpened(section) as bus:
        slow = bus.transaction(f"slow-{topic}")
        slow.begin()
        slow.produce(topic, key=None, value=b"too slow")
        slow.flush()
        # The broker ends it, and readers pass.
        until(lambda: bus.end_offset(topic, 0, committed=True) == bus.end_offset(topic, 0, committed=False))
        with pytest.raises(Fenced):
            slow.commit()
        assert list(bus.read_from(topic, 0, 0)) == []


@pytest.mark.kafka
def test_records_near_a_megabyte_pass_and_larger_ones_break_the_step(bus: KafkaBus, make_topic: Make) -> None:
    topic = make_topic()
    transaction = bus.transaction(f"large-{topic}")
    dice = random.Random(1)
    # What does not compress counts in full; the broker's default limit is 1,048,588 bytes a batch.
    large = dice.randbytes(1_048_000)
    transaction.begin()
    for value in (b"small", large, b"small"):
        transaction.produce(
            topic, key=b"k", value=value, headers=(("why", b"dead letter"),), want_offset=True
        )
    assert transaction.flush() == [0, 1, 2]
    transaction.commit()
    until(lambda: bus.end_offset(topic, 0, committed=True) == 4)
    assert [r.value for r in bus.read_from(topic, 0, 0)] == [b"small", large, b"small"]
    transaction.begin()
    transaction.produce(topic, key=None, value=dice.randbytes(2_000_000), want_offset=True)
    with pytest.raises(Fenced, match="MSG_SIZE_TOO_LARGE"):
        transaction.flush()


@pytest.mark.kafka
def test_a_queue_smaller_than_a_step_only_slows_it(kafka_bootstrap: str, make_topic: Make) -> None:
    topic = make_topic()
    section = {"bootstrap.servers": kafka_bootstrap, "queue.buffering.max.messages": 50}
    with KafkaBusOpened(section) as bus:
        transaction = bus.transaction(f"narrow-{topic}")
        transaction.begin()
        for i in range(1000):
            transaction.produce(topic, key=None, value=b"%d" % i, want_offset=True)
        assert transaction.flush() == list(range(1000))
        transaction.commit()


# --- brokers that are away ------------------------------------------------------------------------------


def test_an_unreachable_broker_is_unavailable_and_named() -> None:
    address = unused_address()
    with KafkaBusOpened({"bootstrap.servers": address}, timeout_s=0.3) as bus:
        here = TopicPartition("topic", 0)
        for call in (
            lambda: bus.partitions("topic"),
            lambda: bus.topic_id("topic"),
            lambda: bus.create_topics([TopicSpec("topic", 1)]),
            lambda: bus.committed("group", [here]),
            lambda: bus.begin_offset("topic", 0),
            lambda: bus.end_offset("topic", 0, committed=True),
            lambda: bus.read_from("topic", 0, 0),
            lambda: bus.transaction("worker"),
            lambda: bus.consumer("group", ["topic"]),
        ):
            with pytest.raises(Unavailable, match=address):
                call()
        assert bus.producer().produce("topic", key=None, value=b"x") is True


@pytest.mark.kafka
def test_a_broker_that_dies_and_comes_back() -> None:
    """kill -9 in a transaction: it is fenced, nothing hangs, and a new start finds what was committed."""
    with Broker() as broker:
        # Only what is fenced has so short a limit: a busy machine takes that long for a first transaction.
        patient = {"bootstrap.servers": broker.bootstrap}
        section = patient | {"transaction.timeout.ms": 3000}
        with KafkaBusOpened(section) as bus, KafkaBusOpened(section, timeout_s=0.5) as impatient:
            bus.create_topics([TopicSpec("topic", 1)])
            here = TopicPartition("topic", 0)
            with KafkaBusOpened(patient) as filling:
                fill(filling, "topic", [b"kept"])
            consumer = bus.consumer("group", ["topic"])
            poll_until(consumer, lambda: consumer.at_end(here))
            transaction = bus.transaction("worker")
            transaction.begin()
            transaction.produce("topic", key=None, value=b"lost", want_offset=True)
            transaction.flush()
            broker.kill()
            with pytest.raises(Unavailable):
                impatient.end_offset("topic", 0, committed=True)
            assert consumer.poll(10, 0.2) == []
            with pytest.raises(Fenced):  # noqa: PT012 - whichever notices first
                transaction.send_offsets(consumer, {here: 1})
                transaction.commit()
            with pytest.raises(Fenced):
                transaction.begin()
            emitter = bus.producer()
            assert emitter.produce("topic", key=None, value=b"never sent") is True
            emitter.close(0.1)
            assert emitter.lost() == 1
            transaction.close()
            consumer.close()
        broker.start()
        with KafkaBusOpened(patient) as bus:
            heir = bus.transaction("worker")
            heir.begin()
            heir.produce("topic", key=None, value=b"after")
            heir.commit()
            until(
                lambda: (
                    bus.end_offset("topic", 0, committed=True) == bus.end_offset("topic", 0, committed=False)
                )
            )
            assert [r.value for r in bus.read_from("topic", 0, 0)] == [b"kept", b"after"]
            assert bus.committed("group", [here]) == {}


@pytest.mark.kafka
def test_a_broker_that_answers_no_more() -> None:
    """SIGSTOP: connections stay open; every call ends by its own limit."""
    with Broker() as broker:
        section = {"bootstrap.servers": broker.bootstrap, "transaction.timeout.ms": 1000}
        with KafkaBusOpened(section) as bus, KafkaBusOpened(section, timeout_s=0.5) as impatient:
            bus.create_topics([TopicSpec("topic", 1)])
            transaction = bus.transaction("worker")
            transaction.begin()
            transaction.produce("topic", key=None, value=b"x")
            broker.freeze()
            try:
                with pytest.raises(Fenced):  # noqa: PT012 - whichever notices first
                    transaction.flush()
                    transaction.commit()
                with pytest.raises(Unavailable):
                    impatient.partitions("topic")
                transaction.close()
            finally:
                broker.thaw()


@pytest.mark.kafka
def test_offsets_of_another_buss_consumer_are_refused(bus: KafkaBus, make_topic: Make) -> None:
    transaction = bus.transaction(f"worker-{make_topic()}")
    transaction.begin()
    with pytest.raises(BusError):
        transaction.send_offsets(object(), {})  # type: ignore[arg-type]
    transaction.abort()


@pytest.mark.kafka
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_let_go_of_half_read_after_its_bus_was_closed_says_nothing(
    kafka_bootstrap: str, make_topic: Make
) -> None:
    topic = make_topic()
    other = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    producer = other.producer()
    for _ in range(3):
        assert producer.produce(topic, key=b"k", value=b"v")
    assert producer.flush(30.0) == 0
    reader = iter(other.read_from(topic, 0, 0))
    next(reader)
    other.close()
    reader.close()  # type: ignore[attr-defined]

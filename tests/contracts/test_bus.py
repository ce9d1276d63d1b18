"""What every bus promises (`driftbus.ports`), over the real parts: SQLite, and a real Kafka."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from driftbus.adapters.partitioner import murmur2
from driftbus.errors import BusError, Fenced, MissingTopic, OffsetOutOfRange
from driftbus.ports import Bus, Consumer, Headers, Producer, Record, TopicPartition, TopicSpec

from .buses import LIMIT_S, Cluster, drain, everything, pump, settled, unique, visible
from .conftest import MakeTopic


def send(producer: Producer, topic: str, *values: bytes, key: bytes | None = b"k") -> None:
    for value in values:
        assert producer.produce(topic, key=key, value=value)
    assert producer.flush(LIMIT_S) == 0


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % i for i in range(start, start + count)]


class Assignments:
    """Callbacks as the worker has them: what is held, and what happened."""

    def __init__(self) -> None:
        self.held: set[TopicPartition] = set()
        self.log: list[tuple[str, tuple[TopicPartition, ...]]] = []

    def assigned(self, partitions: list[TopicPartition]) -> None:
        assert not self.held.intersection(partitions)
        self.held.update(partitions)
        self.log.append(("assigned", tuple(partitions)))

    def revoked(self, partitions: list[TopicPartition]) -> None:
        assert self.held.issuperset(partitions)
        self.held.difference_update(partitions)
        self.log.append(("revoked", tuple(partitions)))

    def join(self, bus: Bus, group: str, topics: list[str]) -> Consumer:
        return bus.consumer(group, topics, assigned=self.assigned, revoked=self.revoked)


# --- topics --------------------------------------------------------------------------------------------


def test_topics_are_created_once_and_never_changed(cluster: Cluster, bus: Bus) -> None:
    first, second = unique("topic"), unique("topic")
    assert bus.create_topics([TopicSpec(first, 3)]) == [first]
    identity = bus.topic_id(first)
    assert bus.create_topics([TopicSpec(first, 5), TopicSpec(second, 2)]) == [second]
    assert bus.create_topics([TopicSpec(first, 5), TopicSpec(second, 2)]) == []
    other = cluster.open()
    assert (other.partitions(first), other.partitions(second)) == (3, 2)
    assert other.topic_id(first) == identity != other.topic_id(second)


def test_a_missing_topic_is_named(bus: Bus) -> None:
    name = unique("nowhere")
    with pytest.raises(MissingTopic) as caught:
        bus.partitions(name)
    assert caught.value.topic == name
    with pytest.raises(MissingTopic):
        bus.topic_id(name)


# --- producing and consuming ---------------------------------------------------------------------------


def test_records_come_in_order_and_whole(bus: Bus, make_topic: MakeTopic, group: str) -> None:
    topic = make_topic()
    producer = bus.producer()
    headers: Headers = (("a", b"1"), ("ü", b""), ("null", None), ("a", b"\x00\xff"))
    sent: list[tuple[bytes | None, bytes | None, Headers, int]] = [
        (b"key", b"value", headers, 1_767_225_600_000),
        (None, b"no key", (), 1_767_225_600_001),
        (b"tombstone", None, (), 1_767_225_600_002),
        (b"", b"", (("empty", b""),), 1_767_225_600_003),
        (b"\x00\xff", bytes(range(256)) * 1000, (), 1_767_225_600_004),
    ]
    for key, value, some, timestamp_ms in sent:
        assert producer.produce(topic, key=key, value=value, headers=some, timestamp_ms=timestamp_ms)
    assert producer.flush(LIMIT_S) == 0
    assert producer.lost() == 0
    records = drain(bus.consumer(group, [topic]), len(sent))
    assert [(r.key, r.value, r.headers, r.timestamp_ms) for r in records] == sent
    assert {(r.topic, r.partition) for r in records} == {(topic, 0)}
    assert list(bus.read_from(topic, 0, 0)) == records


def test_a_record_without_a_timestamp_gets_the_time_it_was_produced(bus: Bus, make_topic: MakeTopic) -> None:
    topic = make_topic()
    before_ms = time.time_ns() // 1_000_000
    send(bus.producer(), topic, b"x")
    after_ms = time.time_ns() // 1_000_000
    (record,) = everything(bus, topic)
    assert before_ms <= record.timestamp_ms <= after_ms


def test_keys_go_where_java_puts_them(bus: Bus, make_topic: MakeTopic) -> None:
    topic = make_topic(7)
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    producer = bus.producer()
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    for key, hashed in known.items():
        assert murmur2(key) == hashed
        assert bus.partition_for(topic, key) == (hashed & 0x7FFFFFFF) % 7
        assert producer.produce(topic, key=key, value=b"produced")
        transaction.produce(topic, key=key, value=b"in a transaction")
    transaction.commit()
    assert producer.flush(LIMIT_S) == 0
    records = everything(bus, topic)
    assert len(records) == 2 * len(known)
    assert {(r.key, r.partition) for r in records} == {(key, bus.partition_for(topic, key)) for key in known}


def test_a_poll_returns_no_more_than_asked_and_loses_nothing(
    bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topics = [make_topic(), make_topic()]
    producer = bus.producer()
    for topic in topics:
        send(producer, topic, *numbers(50))
    consumer = bus.consumer(group, topics)
    records: list[Record] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(records) < 100 and time.monotonic() < deadline_s:
        some = consumer.poll(7, 1.0)
        assert len(some) <= 7
        records += some
    for topic in topics:
        assert values([r for r in records if r.topic == topic]) == numbers(50)
        assert consumer.position(TopicPartition(topic, 0)) == 50


def test_a_group_goes_on_where_it_committed(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic()
    here = TopicPartition(topic, 0)
    send(bus.producer(), topic, *numbers(10))
    assert bus.committed(group, [here]) == {}
    consumer = bus.consumer(group, [topic])
    drain(consumer, 10)
    consumer.commit({here: 4})
    assert bus.committed(group, [here]) == {here: 4}
    consumer.close()
    again = cluster.open().consumer(group, [topic])
    assert values(drain(again, 6)) == numbers(6, 4)
    assert bus.committed(unique("stranger"), [here]) == {}


def test_with_callbacks_partitions_wait_for_seek_and_resume(
    bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic(2)
    producer = bus.producer()
    keys = {bus.partition_for(topic, key): key for key in numbers(50)}
    for key in keys.values():
        send(producer, topic, *numbers(10), key=key)
    watch = Assignments()
    consumer = watch.join(bus, group, [topic])
    assert pump([consumer], lambda: len(watch.held) == 2) == []
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert consumer.assignment() == [zero, one]
    assert consumer.position(zero) is None
    assert consumer.poll(100, 0.2) == []
    consumer.seek(zero, 3)
    assert consumer.position(zero) == 3
    consumer.resume([zero])
    records = drain(consumer, 7)
    assert {r.partition for r in records} == {0}
    assert values(records) == numbers(7, 3)
    consumer.seek(one, 9)
    consumer.resume([one])
    assert [(r.partition, r.value) for r in drain(consumer, 1)] == [(1, b"9")]
    consumer.pause([zero])
    send(producer, topic, b"later", key=keys[0])
    send(producer, topic, b"later", key=keys[1])
    assert [r.partition for r in drain(consumer, 1)] == [1]
    consumer.resume([zero])
    assert [(r.partition, r.value) for r in drain(consumer, 1)] == [(0, b"later")]
    consumer.seek(zero, 0)
    assert values(drain(consumer, 11))[:10] == numbers(10)


def test_the_end_is_known_and_forgotten(bus: Bus, make_topic: MakeTopic, group: str) -> None:
    topic = make_topic()
    here = TopicPartition(topic, 0)
    watch = Assignments()
    consumer = watch.join(bus, group, [topic])
    pump([consumer], lambda: here in watch.held)
    assert not consumer.at_end(here)
    consumer.seek(here, 0)
    consumer.resume([here])
    assert pump([consumer], lambda: consumer.at_end(here)) == []
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    for value in numbers(3):
        transaction.produce(topic, key=b"k", value=value)
    transaction.commit()
    assert values(drain(consumer, 1, max_records=1)) == [b"0"]
    assert not consumer.at_end(here)
    assert values(pump([consumer], lambda: consumer.at_end(here))) == [b"1", b"2"]
    position = consumer.position(here)
    assert position is not None
    assert position >= 3
    consumer.pause([here])
    assert not consumer.at_end(here)
    consumer.resume([here])
    pump([consumer], lambda: consumer.at_end(here))
    consumer.seek(here, 0)
    assert not consumer.at_end(here)


def test_what_an_open_transaction_hides_is_not_the_end(bus: Bus, make_topic: MakeTopic, group: str) -> None:
    """Else a topic would count as idle while its records wait, and time would pass them by."""
    topic = make_topic()
    here = TopicPartition(topic, 0)
    watch = Assignments()
    consumer = watch.join(bus, group, [topic])
    pump([consumer], lambda: here in watch.held)
    consumer.seek(here, 0)
    consumer.resume([here])
    pump([consumer], lambda: consumer.at_end(here))
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"hidden", want_offset=True)
    transaction.flush()
    assert pump([consumer], lambda: not consumer.at_end(here)) == []
    assert drain(consumer, 0) == []
    assert not consumer.at_end(here)
    transaction.commit()
    assert values(pump([consumer], lambda: consumer.at_end(here))) == [b"hidden"]
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"given up", want_offset=True)
    transaction.flush()
    pump([consumer], lambda: not consumer.at_end(here))
    transaction.abort()
    assert pump([consumer], lambda: consumer.at_end(here)) == []


# --- groups --------------------------------------------------------------------------------------------


def test_members_share_copartitioned_topics(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topics = [make_topic(4), make_topic(4)]
    all_partitions = [TopicPartition(topic, p) for topic in topics for p in range(4)]
    first_watch, second_watch = Assignments(), Assignments()
    first = first_watch.join(bus, group, topics)
    pump([first], lambda: first_watch.held == set(all_partitions))
    second = second_watch.join(cluster.open(), group, topics)
    pump([first, second], settled([first, second], all_partitions))
    for member, watch in ((first, first_watch), (second, second_watch)):
        assert set(member.assignment()) == watch.held
        # The same partitions of both topics.
        by_topic = [{p for topic, p in member.assignment() if topic == name} for name in topics]
        assert by_topic[0] == by_topic[1]
        assert len(by_topic[0]) == 2
    assert [kind for kind, _ in first_watch.log] == ["assigned", "revoked", "assigned"]
    second.close()
    pump([first], lambda: first_watch.held == set(all_partitions))
    # After a rebalance nothing runs before it is told to.
    assert first.position(all_partitions[0]) is None


def test_a_silent_member_loses_its_partitions_and_may_not_commit(
    cluster: Cluster, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic(2)
    both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    impatient = cluster.open_impatient()
    watch = Assignments()
    zombie = watch.join(impatient, group, [topic])
    pump([zombie], lambda: watch.held == set(both))
    transaction = impatient.transaction(unique("tx"))
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"of the zombie")

    heir_bus = cluster.open_impatient()
    heir = heir_bus.consumer(group, [topic])
    pump([heir], lambda: heir.assignment() == both)
    heir.commit({both[0]: 7})
    with pytest.raises(Fenced):
        zombie.commit({both[0]: 1})
    with pytest.raises(Fenced):  # noqa: PT012 - Kafka says so in the first or in the second call
        transaction.send_offsets(zombie, {both[0]: 1, both[1]: 1})
        transaction.commit()
    assert heir_bus.committed(group, both) == {both[0]: 7}
    assert visible(heir_bus, topic) == []
    heir.close()
    # Not dead after all: it hears that it lost everything, and may join again.
    pump([zombie], lambda: len(watch.log) == 3)
    assert [kind for kind, _ in watch.log] == ["assigned", "revoked", "assigned"]


def test_what_is_held_may_be_committed_while_giving_it_back(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic(2)
    both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    transaction = bus.transaction(unique("tx"))
    held: list[TopicPartition] = []

    def revoked(partitions: list[TopicPartition]) -> None:
        transaction.begin()
        transaction.produce(topic, key=b"k", value=b"last step")
        transaction.send_offsets(first, dict.fromkeys(partitions, 5))
        transaction.commit()

    first = bus.consumer(group, [topic], assigned=held.extend, revoked=revoked)
    pump([first], lambda: held == both)
    second = cluster.open().consumer(group, [topic])
    pump([first, second], settled([first, second], both))
    assert bus.committed(group, both) == dict.fromkeys(both, 5)
    assert values(everything(bus, topic)) == [b"last step"]


# --- transactions --------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing_over_topics_and_positions(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    source, one, two = make_topic(), make_topic(2), make_topic()
    here = TopicPartition(source, 0)
    send(bus.producer(), source, *numbers(5))
    consumer = bus.consumer(group, [source])
    drain(consumer, 5)
    other = cluster.open()
    transaction = bus.transaction(unique("tx"))

    transaction.begin()
    for value in numbers(20):
        transaction.produce(one, key=value, value=value)
    transaction.produce(one, key=b"anywhere", value=b"told where", partition=1)
    transaction.produce(two, key=None, value=b"x", headers=(("h", b"1"),), timestamp_ms=17)
    transaction.send_offsets(consumer, {here: 3})
    assert visible(other, one) == visible(other, two) == []
    transaction.commit()
    assert sorted(value for value in values(everything(other, one)) if value) == sorted(
        [*numbers(20), b"told where"]
    )
    assert [r.partition for r in everything(other, one) if r.value == b"told where"] == [1]
    assert [(r.key, r.value, r.headers, r.timestamp_ms) for r in everything(other, two)] == [
        (None, b"x", (("h", b"1"),), 17)
    ]
    assert other.committed(group, [here]) == {here: 3}

    transaction.begin()
    transaction.produce(two, key=b"k", value=b"given up")
    transaction.send_offsets(consumer, {here: 5})
    transaction.abort()
    assert values(everything(other, two)) == [b"x"]
    assert other.committed(group, [here]) == {here: 3}

    transaction.begin()
    transaction.produce(two, key=b"k", value=b"y")
    transaction.commit()
    assert values(everything(other, two)) == [b"x", b"y"]
    reader = other.consumer(unique("group"), [two])
    assert values(drain(reader, 2)) == [b"x", b"y"]


def test_offsets_are_known_before_the_commit(cluster: Cluster, bus: Bus, make_topic: MakeTopic) -> None:
    topic, events = make_topic(2), make_topic()
    transaction = bus.transaction(unique("tx"))
    send(bus.producer(), topic, *numbers(3))
    wanted: dict[int, bytes | None] = {}
    for step in range(3):
        transaction.begin()
        for i in range(10):
            transaction.produce(
                topic, key=b"k", value=b"%d/%d" % (step, i), partition=i % 2, want_offset=i % 3 != 0
            )
        offsets = transaction.flush()
        names = [b"%d/%d" % (step, i) for i in range(10) if i % 3]
        assert len(offsets) == len(names)
        transaction.produce(events, key=b"k", value=b"cites %d" % offsets[0])
        transaction.produce(topic, key=b"k", value=b"%d/more" % step, partition=0, want_offset=True)
        # Only those since the last flush.
        offsets += transaction.flush()
        assert transaction.flush() == []
        if step == 1:
            transaction.abort()
            continue
        transaction.commit()
        partitions = [i % 2 for i in range(10) if i % 3] + [0]
        for name, partition, offset in zip([*names, b"%d/more" % step], partitions, offsets, strict=True):
            found = next(iter(bus.read_from(topic, partition, offset, offset + 1)))
            assert (found.offset, found.value) == (offset, name)
            wanted[len(wanted)] = name
    assert len(wanted) == 14
    for partition in range(2):
        mine = list(cluster.open().read_from(topic, partition, 0))
        steps = [r.value for r in mine if r.value and b"/" in r.value]
        assert not [value for value in steps if value.startswith(b"1/")]
        assert [r.offset for r in mine] == sorted({r.offset for r in mine})


def test_readers_do_not_pass_an_open_transaction(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    """Offsets are given out before the commit: what others write behind them is not read before them."""
    topic = make_topic()
    here = TopicPartition(topic, 0)
    consumer = bus.consumer(group, [topic])
    pump([consumer], lambda: consumer.assignment() == [here])
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"first", want_offset=True)
    (offset,) = transaction.flush()
    other = cluster.open()
    send(other.producer(), topic, b"second")
    assert other.end_offset(topic, 0, committed=True) == offset
    assert other.end_offset(topic, 0, committed=False) > offset + 1
    assert list(other.read_from(topic, 0, 0)) == []
    assert consumer.poll(10, 0.3) == []
    transaction.commit()
    assert values(drain(consumer, 2)) == [b"first", b"second"]
    assert values(list(other.read_from(topic, 0, 0))) == [b"first", b"second"]


def test_an_aborted_transaction_does_not_hold_readers_back(
    bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic()
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"given up", want_offset=True)
    transaction.flush()
    send(bus.producer(), topic, b"stays")
    transaction.abort()
    assert values(drain(bus.consumer(group, [topic]), 1)) == [b"stays"]
    assert values(everything(bus, topic)) == [b"stays"]
    assert bus.end_offset(topic, 0, committed=True) == bus.end_offset(topic, 0, committed=False)


def test_a_newer_producer_fences_the_older(cluster: Cluster, bus: Bus, make_topic: MakeTopic) -> None:
    topic = make_topic()
    name = unique("tx")
    older = bus.transaction(name)
    older.begin()
    older.produce(topic, key=b"k", value=b"of the older", want_offset=True)
    older.flush()
    newer = cluster.open().transaction(name)
    newer.begin()
    newer.produce(topic, key=b"k", value=b"of the newer")
    newer.commit()
    with pytest.raises(Fenced):
        older.commit()
    with pytest.raises(BusError):
        older.begin()
    assert values(everything(bus, topic)) == [b"of the newer"]
    newer.begin()
    newer.produce(topic, key=b"k", value=b"and again")
    newer.commit()
    assert values(everything(bus, topic)) == [b"of the newer", b"and again"]


def test_positions_of_partitions_that_another_member_holds_are_refused(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    topic = make_topic(2)
    both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    first, second = bus.consumer(group, [topic]), cluster.open().consumer(group, [topic])
    pump([first, second], settled([first, second], both))
    transaction = bus.transaction(unique("tx"))
    transaction.begin()
    transaction.produce(topic, key=b"k", value=b"x")
    with pytest.raises(Fenced):
        transaction.send_offsets(first, dict.fromkeys(both, 1))
    transaction.close()
    assert bus.committed(group, both) == {}
    assert everything(bus, topic) == []


# --- reading a range -----------------------------------------------------------------------------------


def test_a_range_is_read_and_ends_by_itself(bus: Bus, make_topic: MakeTopic) -> None:
    topic = make_topic()
    assert list(bus.read_from(topic, 0, 0)) == []
    assert (bus.begin_offset(topic, 0), bus.end_offset(topic, 0, committed=True)) == (0, 0)
    producer = bus.producer()
    send(producer, topic, *numbers(20))
    assert (bus.begin_offset(topic, 0), bus.end_offset(topic, 0, committed=True)) == (0, 20)
    assert [r.offset for r in bus.read_from(topic, 0, 5, 9)] == [5, 6, 7, 8]
    assert [r.offset for r in bus.read_from(topic, 0, 17)] == [17, 18, 19]
    assert [r.offset for r in bus.read_from(topic, 0, 17, committed=False)] == [17, 18, 19]
    assert list(bus.read_from(topic, 0, 20)) == []
    assert list(bus.read_from(topic, 0, 9, 9)) == []
    # The end is that of the call: what comes while reading is not read.
    reading = bus.read_from(topic, 0, 18)
    seen = [next(reading)]
    send(producer, topic, b"too late")
    seen += reading
    assert [r.offset for r in seen] == [18, 19]


def test_a_range_behind_an_aborted_transaction_ends(bus: Bus, make_topic: MakeTopic) -> None:
    """The last offset of a partition need not hold a record."""
    topic = make_topic()
    transaction = bus.transaction(unique("tx"))
    for value, keep in ((b"0", True), (b"1", False), (b"2", True), (b"3", False)):
        transaction.begin()
        transaction.produce(topic, key=b"k", value=value, want_offset=True)
        transaction.flush()
        if keep:
            transaction.commit()
        else:
            transaction.abort()
    for committed_end in (True, False):
        end = bus.end_offset(topic, 0, committed=committed_end)
        assert values(list(bus.read_from(topic, 0, 0, end))) == [b"0", b"2"]


# --- cleaning ------------------------------------------------------------------------------------------


def test_compaction_keeps_the_newest_of_each_key(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    # All but the policy is for the broker: small segments, cleaned as soon as it looks.
    topic = make_topic(
        1,
        {
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.01",
            "max.compaction.lag.ms": "100",
        },
    )
    producer = bus.producer()
    newest: dict[bytes, tuple[int, bytes]] = {}
    filler = itertools.count()
    for i in range(100):
        key, value = b"key-%d" % (i % 7), b"%d" % i
        send(producer, topic, value, key=key)
        newest[key] = (i, value)
    end = bus.end_offset(topic, 0, committed=True)
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        held = list(bus.read_from(topic, 0, 0, end))
        # Whatever has gone so far: the newest of each key is there, where it was.
        found = {r.key: (r.offset, r.value) for r in held}
        assert {key: at for key, at in found.items() if key in newest} == newest
        assert [r.offset for r in held] == sorted(r.offset for r in held)
        if len(held) == len(newest):
            break
        assert time.monotonic() < deadline_s, f"{len(held)} records left"
        # On Kafka only segments that nobody writes to any more are cleaned.
        send(producer, topic, b"x", key=b"filler-%d" % next(filler))
        cluster.clean(topic)
        time.sleep(0.5)
    assert bus.begin_offset(topic, 0) == 0
    consumer = bus.consumer(group, [topic])
    assert [(r.key, (r.offset, r.value)) for r in drain(consumer, 7)][:7] == sorted(
        newest.items(), key=lambda each: each[1]
    )


# --- a producer that never blocks ----------------------------------------------------------------------


def test_a_full_buffer_says_no_and_what_was_never_delivered_is_counted(
    cluster: Cluster, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    producer = cluster.open_blocked(10).producer()
    taken = [producer.produce(topic, key=b"k", value=b"x") for _ in range(12)]
    assert taken == [True] * 10 + [False] * 2
    assert producer.flush(0.1) == 10
    assert producer.lost() == 0
    producer.close(0.1)
    assert producer.lost() == 10
    assert producer.produce(topic, key=b"k", value=b"x") is False


def test_many_threads_may_produce(bus: Bus, make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    producer = bus.producer()

    def produce(thread: int) -> bool:
        return all(producer.produce(topic, key=b"%d" % thread, value=value) for value in numbers(5000))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(produce, range(4)))
    producer.close(LIMIT_S)
    assert producer.lost() == 0
    records = everything(bus, topic)
    for thread in range(4):
        assert values([r for r in records if r.key == b"%d" % thread]) == numbers(5000)


def test_an_offset_that_is_not_held_is_refused(
    cluster: Cluster, bus: Bus, make_topic: MakeTopic, group: str
) -> None:
    """Retention removed the beginning: reading from there is loud, for ranges and for consumers."""
    topic = make_topic(1, {"retention.ms": "3600000"})
    here = TopicPartition(topic, 0)
    producer = bus.producer()
    long_ago_ms = time.time_ns() // 1_000_000 - 86_400_000
    for value in numbers(5):
        assert producer.produce(topic, key=b"k", value=value, timestamp_ms=long_ago_ms)
    assert producer.flush(LIMIT_S) == 0
    send(producer, topic, b"fresh")
    cluster.forget(topic, 5)
    assert bus.begin_offset(topic, 0) == 5
    assert [(r.offset, r.value) for r in bus.read_from(topic, 0, 5)] == [(5, b"fresh")]
    with pytest.raises(OffsetOutOfRange) as caught:
        list(bus.read_from(topic, 0, 2, 5))
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (topic, 0, 2)
    watch = Assignments()
    consumer = watch.join(bus, group, [topic])
    pump([consumer], lambda: here in watch.held)
    consumer.seek(here, 2)
    consumer.resume([here])
    with pytest.raises(OffsetOutOfRange):
        pump([consumer], lambda: False)
    # Who does not handle assignments has no state to contradict, and goes on with what is there.
    trainers = unique("group")
    trainer = bus.consumer(trainers, [topic])
    pump([trainer], lambda: trainer.assignment() == [here])
    trainer.commit({here: 2})
    trainer.close()
    assert values(drain(bus.consumer(trainers, [topic]), 1)) == [b"fresh"]

"""What the embedded bus promises beyond the contract suite: its file, its limits, its fences."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.adapters.embedded import BufferPolicy, EmbeddedBus, groups, log
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.headers import pack, unpack
from driftbus.errors import BusError, Fenced, MissingTopic, Unavailable
from driftbus.ports import Headers, Record, TopicPartition, TopicSpec

HERE = TopicPartition("topic", 0)
# A limit for a hanging test, never part of a result.
LIMIT_S = 60.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmbeddedBus]:
    bus = EmbeddedBus(tmp_path, lock_timeout_s=0.2)
    bus.create_topics([TopicSpec("topic", 2)])
    yield bus
    bus.close()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection, to hold the file's write lock with."""
    connection = sqlite3.connect(tmp_path / "bus.sqlite3", isolation_level=None)
    yield connection
    connection.close()


def values(records: Iterator[Record]) -> list[bytes | None]:
    return [record.value for record in records]


# --- the file ------------------------------------------------------------------------------------------


def test_a_log_survives_its_bus(tmp_path: Path) -> None:
    first = EmbeddedBus(tmp_path)
    first.create_topics([TopicSpec("topic", 2, {"cleanup.policy": "delete"})])
    identity = first.topic_id("topic")
    producer = first.producer()
    assert producer.produce("topic", key=b"k", value=b"v")
    # Closing the bus delivers, and leaves one file behind: nothing that only a running process could read.
    first.close()
    first.close()
    assert [path.name for path in tmp_path.iterdir()] == ["bus.sqlite3"]
    second = EmbeddedBus(tmp_path)
    assert second.topic_id("topic") == identity
    assert values(second.read_from("topic", second.partition_for("topic", b"k"), 0)) == [b"v"]
    second.close()


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bus.sqlite3") as other:
        other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(BusError, match="something else"):
        EmbeddedBus(tmp_path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    EmbeddedBus(tmp_path).close()
    with sqlite3.connect(tmp_path / "bus.sqlite3") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(BusError, match="format 99"):
        EmbeddedBus(tmp_path)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bus.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(BusError, match="not a database"):
        EmbeddedBus(tmp_path)


def test_a_path_that_cannot_be_a_directory_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        EmbeddedBus(tmp_path / "file" / "bus")


def test_a_forked_child_may_not_use_its_parents_bus(bus: EmbeddedBus) -> None:
    producer = bus.producer()
    child = os.fork()
    if child == 0:
        try:
            bus.topic_id("nowhere")
        except BusError as error:
            os._exit(0 if "fork" in str(error) and not producer.produce("topic", key=b"k", value=b"v") else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert producer.produce("topic", key=b"k", value=b"v")
    assert producer.flush(LIMIT_S) == 0


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.none() | st.binary())))
def test_headers_survive(headers: list[tuple[str, bytes | None]]) -> None:
    some: Headers = tuple(headers)
    assert unpack(pack(some)) == some


@pytest.mark.parametrize(
    ("partitions", "config"),
    [
        (0, {}),
        (1, {"retention.ms": "a week"}),
        (1, {"delete.retention.ms": ""}),
        (1, {"cleanup.policy": "none"}),
    ],
)
def test_a_topic_that_could_not_be_kept_is_refused(
    bus: EmbeddedBus, partitions: int, config: dict[str, str]
) -> None:
    with pytest.raises(BusError, match="'new'"):
        bus.create_topics([TopicSpec("fine", 1), TopicSpec("new", partitions, config)])
    with pytest.raises(MissingTopic):
        bus.partitions("fine")


def test_what_no_log_can_hold_is_not_taken(bus: EmbeddedBus) -> None:
    producer = bus.producer()
    assert not producer.produce("topic", key=b"k", value=b"v", headers=(("\ud800", b""),))
    assert not producer.produce("topic", key=b"k", value=b"v", timestamp_ms=1 << 63)
    assert producer.produce("topic", key=b"k", value=b"v")
    assert producer.flush(LIMIT_S) == 0
    assert [values(bus.read_from("topic", p, 0)) for p in (0, 1)].count([b"v"]) == 1


# --- locked, full --------------------------------------------------------------------------------------


def test_a_locked_file_is_unavailable_before_and_fenced_within_a_transaction(
    bus: EmbeddedBus, lock: sqlite3.Connection
) -> None:
    consumer = bus.consumer("group", ["topic"])
    while not consumer.assignment():
        consumer.poll(1, 0.1)
    transaction = bus.transaction("tx")
    lock.execute("BEGIN IMMEDIATE")
    # Reading and computing go on while somebody else writes.
    transaction.begin()
    transaction.produce("topic", key=b"k", value=b"v")
    assert values(bus.read_from("topic", 0, 0)) == []
    with pytest.raises(Unavailable):
        consumer.commit({HERE: 1})
    with pytest.raises(Unavailable):
        bus.transaction("other")
    with pytest.raises(Unavailable):
        bus.create_topics([TopicSpec("new", 1)])
    with pytest.raises(Fenced):
        transaction.commit()
    with pytest.raises(Fenced):
        transaction.begin()
    lock.execute("ROLLBACK")
    consumer.commit({HERE: 1})
    assert [values(bus.read_from("topic", p, 0)) for p in (0, 1)] == [[], []]


def test_an_unreadable_file_is_unavailable(bus: EmbeddedBus, tmp_path: Path) -> None:
    transaction = bus.transaction("tx")
    bus.close()
    # SQLite's recovery takes the file for itself; so does this.
    alone = sqlite3.connect(tmp_path / "bus.sqlite3", isolation_level=None)
    alone.execute("PRAGMA locking_mode = EXCLUSIVE")
    alone.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable):
        EmbeddedBus(tmp_path, lock_timeout_s=0.2)
    alone.close()
    with pytest.raises(Fenced):
        transaction.begin()


def test_a_nearly_full_disk_is_unavailable_before_anything_is_begun(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path, min_free_bytes=1 << 60)
    bus.create_topics([TopicSpec("topic", 1)])
    transaction = bus.transaction("tx")
    with pytest.raises(Unavailable, match="bytes free"):
        transaction.begin()
    bus.close()


def test_a_producer_waits_out_a_lock_and_a_missing_topic(bus: EmbeddedBus, lock: sqlite3.Connection) -> None:
    producer = bus.producer()
    lock.execute("BEGIN IMMEDIATE")
    # More than a batch.
    for number in range(5000):
        assert producer.produce("later", key=b"k", value=b"%d" % number)
    assert producer.produce("topic", key=b"k", value=b"1")
    assert producer.flush(0.5) == 5001
    lock.execute("ROLLBACK")
    # The missing topic holds nobody else up.
    partition = bus.partition_for("topic", b"k")
    deadline_s = time.monotonic() + LIMIT_S
    while not list(bus.read_from("topic", partition, 0)):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert producer.flush(0) == 5000
    bus.create_topics([TopicSpec("later", 1)])
    assert producer.flush(LIMIT_S) == 0
    assert values(bus.read_from("later", 0, 0)) == [b"%d" % number for number in range(5000)]
    assert producer.lost() == 0


def test_what_cannot_be_delivered_in_time_is_lost_and_counted(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path, buffer=BufferPolicy(max_records=5, max_bytes=100, delivery_timeout_s=0.05))
    bus.create_topics([TopicSpec("topic", 1)])
    producer = bus.producer()
    assert not producer.produce("nowhere", key=b"k", value=bytes(100))
    assert producer.produce("nowhere", key=b"k", value=bytes(99))
    assert not producer.produce("nowhere", key=b"k", value=b"")
    assert producer.flush(LIMIT_S) == 0
    assert producer.lost() == 1
    # Its room is free again.
    assert producer.produce("topic", key=b"k", value=bytes(99))
    assert producer.flush(LIMIT_S) == 0
    assert (producer.lost(), len(list(bus.read_from("topic", 0, 0)))) == (1, 1)
    bus.close()


# --- fences --------------------------------------------------------------------------------------------


def test_a_transaction_does_not_outlive_its_generation(bus: EmbeddedBus, tmp_path: Path) -> None:
    """Also where the member still holds the partition: another may have held it in between."""
    first = bus.consumer("group", ["topic"])
    while not first.assignment():
        first.poll(1, 0.0)
    both = first.assignment()
    transaction = bus.transaction("tx")
    transaction.begin()
    transaction.send_offsets(first, dict.fromkeys(both, 1))
    other = EmbeddedBus(tmp_path)
    second = other.consumer("group", ["topic"])
    while not (first.assignment() and second.assignment()):
        first.poll(1, 0.0)
        second.poll(1, 0.0)
    second.close()
    while first.assignment() != both:
        first.poll(1, 0.0)
    with pytest.raises(Fenced, match="generation"):
        transaction.commit()
    assert bus.committed("group", both) == {}
    other.close()


def test_the_commit_itself_checks_ownership(tmp_path: Path) -> None:
    """Whatever a consumer believes, what counts is in the file when the commit writes."""
    database = Database(tmp_path, 1.0)
    handle = database.connect()
    with handle.write() as connection:
        log.create_topic(connection, TopicSpec("topic", 2))
        topic = log.find_topic(connection, "topic")
        assert topic is not None
        zero, one = topic.first_pid, topic.first_pid + 1
        for member in ("a", "b"):
            groups.join(connection, "group", member, ["topic"], 10.0, "here", time.time())
        # Both have joined before the first generation was made by the second of them: a comes again.
        groups.join(connection, "group", "a", ["topic"], 10.0, "here", time.time())
        generation = groups.view(connection, "group", "a").generation
        membership = groups.Membership("group", "a", generation)
        assert groups.owned(connection, "group", "a") == [zero]
        groups.check(connection, membership, [zero])
        with pytest.raises(Fenced, match="another member"):
            groups.check(connection, membership, [zero, one])
        with pytest.raises(Fenced, match="generation"):
            groups.check(connection, membership._replace(generation=generation - 1), [zero])
        with pytest.raises(Fenced, match="generation"):
            groups.check(connection, membership._replace(member="c"), [])
    handle.close()


def test_a_promise_that_is_not_kept_expires(tmp_path: Path) -> None:
    """Whoever died between flush and commit holds readers back for `transaction_timeout_s`, no longer."""
    bus = EmbeddedBus(tmp_path, transaction_timeout_s=0.3)
    bus.create_topics([TopicSpec("topic", 1)])
    dead = bus.transaction("dead")
    dead.begin()
    dead.produce("topic", key=b"k", value=b"never", want_offset=True)
    (offset,) = dead.flush()
    alive = bus.transaction("alive")
    alive.begin()
    alive.produce("topic", key=b"k", value=b"behind it")
    alive.commit()
    end = bus.end_offset("topic", 0, committed=False)
    # Waits for the promise to expire, then goes past the gap.
    assert [(r.offset, r.value) for r in bus.read_from("topic", 0, 0, end)] == [(offset + 1, b"behind it")]
    with pytest.raises(Fenced):
        dead.commit()
    # Who reads along need not do anything for it: housekeeping does.
    late = bus.transaction("dead")
    late.begin()
    late.produce("topic", key=b"k", value=b"never", want_offset=True)
    late.flush()
    alive.begin()
    alive.produce("topic", key=b"k", value=b"behind that")
    alive.commit()
    reader = bus.consumer("group", ["topic"])
    seen: list[Record] = []
    deadline_s = time.monotonic() + LIMIT_S
    while len(seen) < 2:
        assert time.monotonic() < deadline_s
        seen += reader.poll(10, 1.0)
    assert [r.value for r in seen] == [b"behind it", b"behind that"]
    bus.close()


def test_only_the_latest_generation_beats(bus: EmbeddedBus) -> None:
    """Signs of life come from a thread, but not for a loop that does not poll any more."""
    consumer = bus.consumer("group", ["topic"])
    assert consumer.due_beat(time.monotonic() + 5.0) is None
    while not consumer.assignment():
        consumer.poll(1, 0.0)
    now_s = time.monotonic()
    assert consumer.due_beat(now_s) is None
    due = consumer.due_beat(now_s + 5.0)
    assert due is not None
    assert due[0] == "group"
    assert consumer.due_beat(now_s + 5.1) is None
    assert consumer.due_beat(now_s + 301.0) is None


def test_a_poll_is_bounded_in_bytes_too(bus: EmbeddedBus) -> None:
    transaction = bus.transaction("tx")
    transaction.begin()
    for _ in range(6):
        transaction.produce("topic", key=b"k", value=bytes(6 * 1024 * 1024), partition=0)
    transaction.commit()
    consumer = bus.consumer("group", ["topic"])
    # 16 MiB are exceeded by the third.
    assert [len(consumer.poll(1000, LIMIT_S)) for _ in range(2)] == [3, 3]
    assert len(list(bus.read_from("topic", 0, 0))) == 6


def test_the_wal_does_not_grow_without_bound(tmp_path: Path) -> None:
    """A steady writer and a reader that never rests, for three times what the log may hold."""
    bus = EmbeddedBus(tmp_path)
    bus.create_topics([TopicSpec("topic", 1)])
    consumer = bus.consumer("group", ["topic"])
    transaction = bus.transaction("tx")
    largest = read = written = 0
    for _ in range(100):
        transaction.begin()
        for _ in range(20):
            transaction.produce("topic", key=b"k", value=bytes(100_000))
            written += 1
        transaction.commit()
        read += len(consumer.poll(100, 0.0))
        largest = max(largest, (tmp_path / "bus.sqlite3-wal").stat().st_size)
        time.sleep(0.01)
    while read < written:
        read += len(consumer.poll(100, 1.0))
    assert read == written
    assert largest < 160 * 1024 * 1024
    bus.close()

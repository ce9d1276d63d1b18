"""Topics, partitions and records: what is written into and read from one open SQLite transaction.

Every function takes the connection of a transaction that its caller opened, so that a caller can put
several of them together and have all or nothing.

**Offsets before commit.** A transaction that must know its offsets early *reserves* them: a short write of
its own moves `partitions.next` on and notes the range in `reservations`. No lock is held while the client
computes. Until the transaction commits, aborts, is replaced or expires, readers stop before the first
reserved offset (the *last stable offset*), so nobody can pass a record that is still to come. An aborted
reservation leaves a gap, as an aborted transaction does on Kafka. A process killed in between holds readers
of that partition back until somebody notices its death (see `presence`), its successor takes over the
transactional id, or the reservation expires.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from driftbus.adapters.embedded.database import OFFSET_BITS, OFFSET_MASK
from driftbus.adapters.embedded.headers import unpack
from driftbus.errors import BusError, OffsetOutOfRange
from driftbus.ports import Record, TopicPartition, TopicSpec

# key, value, packed headers, timestamp in ms
Row = tuple[bytes | None, bytes | None, bytes | None, int]

# A page is handed over whole: 16 MiB of values stay small beside a worker, and hold 16 records of 1 MB.
PAGE_BYTES = 16 * 1024 * 1024


class Topic(NamedTuple):
    """A topic as it was created; it never changes afterwards, so it can be remembered."""

    name: str
    id: str
    first_pid: int
    partitions: int
    config: Mapping[str, str]


class Bounds(NamedTuple):
    """Offsets of a partition: first held, last stable (nobody reads further), one past the last given."""

    first: int
    stable: int
    next: int


def create_topic(connection: sqlite3.Connection, spec: TopicSpec) -> bool:
    """Whether it was missing. Raises `BusError` for a configuration that could not be followed later."""
    if find_topic(connection, spec.name) is not None:
        return False
    _check_spec(spec)
    first_pid = connection.execute("SELECT coalesce(max(pid), 0) + 1 FROM partitions").fetchone()[0]
    connection.execute(
        "INSERT INTO topics VALUES (?, ?, ?, ?, ?)",
        (spec.name, str(uuid.uuid4()), first_pid, spec.partitions, orjson.dumps(dict(spec.config)).decode()),
    )
    connection.executemany(
        "INSERT INTO partitions VALUES (?, 0, 0, 0)",
        [(pid,) for pid in range(first_pid, first_pid + spec.partitions)],
    )
    return True


def _check_spec(spec: TopicSpec) -> None:
    if spec.partitions < 1:
        raise BusError(f"topic {spec.name!r}: {spec.partitions} partitions; at least one is needed")
    policies = spec.config.get("cleanup.policy", "delete")
    if not set(policies.split(",")) <= {"compact", "delete"}:
        raise BusError(f"topic {spec.name!r}: cleanup.policy {policies!r}; allowed: compact, delete, or both")
    for key in ("retention.ms", "delete.retention.ms"):
        value = spec.config.get(key, "0")
        try:
            int(value)
        except ValueError:
            raise BusError(f"topic {spec.name!r}: {key} {value!r} is not a number of milliseconds") from None


_TOPIC_COLUMNS = "SELECT name, id, first_pid, partitions, config FROM topics"


def find_topic(connection: sqlite3.Connection, name: str) -> Topic | None:
    row = connection.execute(f"{_TOPIC_COLUMNS} WHERE name = ?", (name,)).fetchone()
    return None if row is None else _topic(row)


def _topic(row: tuple[str, str, int, int, str]) -> Topic:
    name, topic_id, first_pid, partitions, config = row
    return Topic(name, topic_id, first_pid, partitions, orjson.loads(config))


def all_topics(connection: sqlite3.Connection) -> list[Topic]:
    return [_topic(row) for row in connection.execute(_TOPIC_COLUMNS)]


def bounds(connection: sqlite3.Connection, pids: Iterable[int]) -> dict[int, Bounds]:
    reserved = dict(connection.execute("SELECT pid, min(first) FROM reservations GROUP BY pid"))
    found = {}
    for pid in pids:
        first, following = connection.execute(
            "SELECT first, next FROM partitions WHERE pid = ?", (pid,)
        ).fetchone()
        found[pid] = Bounds(first, reserved.get(pid, following), following)
    return found


def append(connection: sqlite3.Connection, pid: int, rows: Sequence[Row]) -> None:
    """Put rows at the end of a partition."""
    if rows:
        write(connection, pid, take_offsets(connection, pid, len(rows)), rows)


def take_offsets(connection: sqlite3.Connection, pid: int, count: int) -> int:
    """Give away the next `count` offsets of a partition; the first of them."""
    following: int = connection.execute("SELECT next FROM partitions WHERE pid = ?", (pid,)).fetchone()[0]
    connection.execute("UPDATE partitions SET next = ? WHERE pid = ?", (following + count, pid))
    return following


def write(connection: sqlite3.Connection, pid: int, first: int, rows: Iterable[Row]) -> None:
    """Put rows at offsets that `take_offsets` gave."""
    start = pid << OFFSET_BITS | first
    connection.executemany(
        "INSERT INTO records (id, key, value, headers, timestamp_ms) VALUES (?, ?, ?, ?, ?)",
        ((rowid, *row) for rowid, row in enumerate(rows, start)),
    )


def page(
    connection: sqlite3.Connection, partition: TopicPartition, pid: int, start: int, end: int, limit: int
) -> tuple[list[Record], int]:
    """At most `limit` records (about `PAGE_BYTES`) with `start` ≤ offset < `end`, and where to go on."""
    base = pid << OFFSET_BITS
    cursor = connection.execute(
        "SELECT id, timestamp_ms, key, value, headers FROM records"
        " WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base + start, base + end, limit),
    )
    topic, number = partition
    records = []
    size = 0
    for rowid, timestamp_ms, key, value, headers in cursor:
        records.append(
            Record(
                topic,
                number,
                rowid & OFFSET_MASK,
                key,
                value,
                unpack(headers) if headers else (),
                timestamp_ms,
            )
        )
        if value is not None:
            size += len(value)
            if size > PAGE_BYTES:
                break
    else:
        if len(records) < limit:
            return records, end
    cursor.close()
    return records, records[-1].offset + 1


def check_held(partition: TopicPartition, offset: int, held: Bounds) -> None:
    """Raises `OffsetOutOfRange` for an offset that retention removed, or that was never given away."""
    if not held.first <= offset <= held.next:
        raise OffsetOutOfRange(partition.topic, partition.partition, offset)


class Promise(NamedTuple):
    """Whose offsets are reserved, since when and for how long, and the process that must stay alive."""

    producer: str
    made_at_s: float
    timeout_s: float
    presence: str


def reserve(connection: sqlite3.Connection, promise: Promise, pid: int, count: int) -> int:
    """Promise the next `count` offsets to an open transaction; the first of them."""
    first = take_offsets(connection, pid, count)
    producer, made_at_s, timeout_s, presence = promise
    connection.execute(
        "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?)",
        (producer, pid, first, made_at_s, timeout_s, presence),
    )
    return first


def release(connection: sqlite3.Connection, producer: str) -> None:
    connection.execute("DELETE FROM reservations WHERE producer = ?", (producer,))


def overdue_reservations(connection: sqlite3.Connection, now_s: float) -> list[str]:
    """Producers whose promise has expired, or was made in the future: the clock was set back."""
    return [
        producer
        for (producer,) in connection.execute(
            "SELECT DISTINCT producer FROM reservations WHERE ? NOT BETWEEN made_at AND made_at + timeout_s",
            (now_s,),
        )
    ]


def fence_presence(connection: sqlite3.Connection, presence: str) -> None:
    """End the transactions to which a process that died had offsets promised."""
    producers = connection.execute(
        "SELECT DISTINCT producer FROM reservations WHERE presence = ?", (presence,)
    ).fetchall()
    for (producer,) in producers:
        fence(connection, producer)


def fence(connection: sqlite3.Connection, producer: str) -> int:
    """Shut out every transaction of this id that was opened so far; the epoch of the next one."""
    release(connection, producer)
    connection.execute(
        "INSERT INTO producers VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1", (producer,)
    )
    return current_epoch(connection, producer)


def current_epoch(connection: sqlite3.Connection, producer: str) -> int:
    row = connection.execute("SELECT epoch FROM producers WHERE id = ?", (producer,)).fetchone()
    return 0 if row is None else int(row[0])

"""Retention and compaction, in steps small enough that no writer waits noticeably for one.

* `retention.ms` (cleanup.policy `delete`, the default policy; without the key records stay for ever): records
  at the beginning of a partition whose own timestamp is older are removed, and the beginning moves up.
  As on Kafka a younger record protects the older ones behind it.
* cleanup.policy `compact`: of each key only the newest record stays; one with a null value goes too once it
  is `delete.retention.ms` old (Kafka's default: a day). Offsets never change, so a compacted partition has
  holes. `latest` remembers the newest offset of each key, so each record is looked at once, not once per
  pass.

Nothing beyond the last stable offset is touched: records may still come in there.
The file's space is used again by later records; the file itself does not shrink.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import takewhile

from driftbus.adapters.embedded import log
from driftbus.adapters.embedded.database import OFFSET_BITS, OFFSET_MASK, Handle
from driftbus.adapters.embedded.log import Topic

# Rows per write transaction: 2 to 5 ms of the file's write lock, measured with rows of 300 bytes.
STEP_ROWS = 500
# Kafka's default for delete.retention.ms.
_TOMBSTONE_MS = 86_400_000


_Step = Callable[[sqlite3.Connection, Topic, int, float], int]


def clean(handle: Handle, now_s: float) -> Iterator[int]:
    """Do everything that is due, one small write transaction per value yielded: the rows it looked at."""
    with handle.read() as connection:
        topics = log.all_topics(connection)
    for topic in topics:
        policies = topic.config.get("cleanup.policy", "delete").split(",")
        for pid in range(topic.first_pid, topic.first_pid + topic.partitions):
            if "compact" in policies:
                yield from _steps(handle, _compact, topic, pid, now_s)
                yield from _steps(handle, _drop_tombstones, topic, pid, now_s)
            if "delete" in policies and int(topic.config.get("retention.ms", -1)) >= 0:
                yield from _steps(handle, _retain, topic, pid, now_s)


def take_turn(handle: Handle, now_s: float, interval_s: float) -> bool:
    """Whether it is this process's turn: one of all that have the file open cleans per interval."""
    with handle.read() as connection:
        (next_at,) = connection.execute("SELECT next_at FROM cleaning").fetchone()
    # Further ahead than an interval: the clock was set back.
    if now_s < next_at <= now_s + interval_s:
        return False
    with handle.write() as connection:
        claimed = connection.execute(
            "UPDATE cleaning SET next_at = ? WHERE next_at = ?", (now_s + interval_s, next_at)
        )
        return claimed.rowcount == 1


def _steps(handle: Handle, step: _Step, topic: Topic, pid: int, now_s: float) -> Iterator[int]:
    looked_at = STEP_ROWS
    while looked_at == STEP_ROWS:
        with handle.write() as connection:
            looked_at = step(connection, topic, pid, now_s)
        if looked_at:
            yield looked_at


def _compact(connection: sqlite3.Connection, topic: Topic, pid: int, now_s: float) -> int:
    base = pid << OFFSET_BITS
    (cleaned,) = connection.execute("SELECT cleaned FROM partitions WHERE pid = ?", (pid,)).fetchone()
    stable = log.bounds(connection, [pid])[pid].stable
    rows = connection.execute(
        "SELECT id, key, value IS NULL FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base + cleaned, base + stable, STEP_ROWS),
    ).fetchall()
    for rowid, key, tombstone in rows:
        # A record without a key replaces none and is replaced by none.
        if key is None:
            continue
        older = connection.execute(
            "SELECT offset FROM latest WHERE pid = ? AND key = ?", (pid, key)
        ).fetchone()
        if older is not None:
            connection.execute("DELETE FROM records WHERE id = ?", (base + older[0],))
        connection.execute(
            "INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?)",
            (pid, key, rowid & OFFSET_MASK, now_s if tombstone else None),
        )
    upto = (rows[-1][0] & OFFSET_MASK) + 1 if len(rows) == STEP_ROWS else stable
    if upto != cleaned:
        connection.execute("UPDATE partitions SET cleaned = ? WHERE pid = ?", (upto, pid))
    return len(rows)


def _drop_tombstones(connection: sqlite3.Connection, topic: Topic, pid: int, now_s: float) -> int:
    kept_s = int(topic.config.get("delete.retention.ms", _TOMBSTONE_MS)) / 1000
    rows = connection.execute(
        "SELECT key, offset FROM latest WHERE pid = ? AND tombstone_at <= ? LIMIT ?",
        (pid, now_s - kept_s, STEP_ROWS),
    ).fetchall()
    base = pid << OFFSET_BITS
    connection.executemany("DELETE FROM records WHERE id = ?", [(base + offset,) for _, offset in rows])
    connection.executemany("DELETE FROM latest WHERE pid = ? AND key = ?", [(pid, key) for key, _ in rows])
    return len(rows)


def _retain(connection: sqlite3.Connection, topic: Topic, pid: int, now_s: float) -> int:
    oldest_ms = int(now_s * 1000) - int(topic.config["retention.ms"])
    base = pid << OFFSET_BITS
    stable = log.bounds(connection, [pid])[pid].stable
    rows = connection.execute(
        "SELECT id, timestamp_ms FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base, base + stable, STEP_ROWS),
    )
    expired = list(takewhile(lambda row: row[1] < oldest_ms, rows))
    rows.close()
    if expired:
        first = (expired[-1][0] & OFFSET_MASK) + 1
        connection.execute("DELETE FROM records WHERE id >= ? AND id < ?", (base, base + first))
        connection.execute("DELETE FROM latest WHERE pid = ? AND offset < ?", (pid, first))
        connection.execute("UPDATE partitions SET first = ? WHERE pid = ?", (first, pid))
    return len(expired)

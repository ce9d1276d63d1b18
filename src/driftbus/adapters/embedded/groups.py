"""Consumer groups: who is a member, who owns which partition, and who may still commit.

A group lives in generations. Within one, each partition of the subscribed topics has one owner. When a member
comes, goes or dies, the group is *rebalancing*: every member gives back what it holds (and may still commit
while it does), then joins again; the last one to join makes the next generation and shares the partitions
out. Nobody gets a partition that another member still holds, unless that member's session expired.

    member row    rebalancing   joined   means
    absent        -             -        never came, left, or was thrown out: join
    present       no            0        owns what `owners` says, in this generation
    present       yes           0        must give back, then join
    present       yes           1        waits for the others

Fencing: a commit states the member and the generation it was made in; `check` compares both, and the
ownership of every partition, in the SQLite transaction that writes. This is stricter than Kafka, which looks
at the generation only. Every function takes the connection of a write transaction that its caller opened
(`view`: of any). Times are epoch seconds: all processes of one machine read the same clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from driftbus.adapters.embedded import log
from driftbus.errors import Fenced


class Membership(NamedTuple):
    """Under what name and in which generation a consumer holds its partitions."""

    group: str
    member: str
    generation: int


class View(NamedTuple):
    """What a member sees of its group. `joined` is None when it is not a member."""

    generation: int
    rebalancing: bool
    joined: bool | None


def view(connection: sqlite3.Connection, group: str, member: str) -> View:
    row = connection.execute(
        "SELECT g.generation, g.rebalancing, m.joined FROM consumer_groups g LEFT JOIN members m"
        " ON m.consumer_group = g.name AND m.member = ? WHERE g.name = ?",
        (member, group),
    ).fetchone()
    if row is None:
        return View(0, False, None)
    return View(row[0], bool(row[1]), None if row[2] is None else bool(row[2]))


def join(
    connection: sqlite3.Connection,
    group: str,
    member: str,
    topics: Sequence[str],
    session_timeout_s: float,
    presence: str,
    now_s: float,
) -> None:
    """Come, or come back after having given up everything: the group rebalances."""
    connection.execute("INSERT OR IGNORE INTO consumer_groups VALUES (?, 0, 0)", (group,))
    connection.execute(
        "INSERT OR REPLACE INTO members VALUES (?, ?, ?, 1, ?, ?, ?)",
        (group, member, orjson.dumps(list(topics)).decode(), now_s, session_timeout_s, presence),
    )
    _expire(connection, group, now_s)
    _rebalance(connection, group)


def leave(connection: sqlite3.Connection, group: str, member: str) -> None:
    gone = connection.execute("DELETE FROM members WHERE consumer_group = ? AND member = ?", (group, member))
    if gone.rowcount:
        _rebalance(connection, group)


def remove_presence(connection: sqlite3.Connection, presence: str, now_s: float) -> None:
    """Throw out all members of a process that died."""
    rows = connection.execute("SELECT DISTINCT consumer_group FROM members WHERE presence = ?", (presence,))
    for (group,) in rows.fetchall():
        connection.execute("DELETE FROM members WHERE consumer_group = ? AND presence = ?", (group, presence))
        _expire(connection, group, now_s)
        _rebalance(connection, group)


def beat(connection: sqlite3.Connection, group: str, member: str, now_s: float) -> None:
    """A sign of life, and a look at the others'. A member that was thrown out stays out."""
    connection.execute(
        "UPDATE members SET seen_at = ? WHERE consumer_group = ? AND member = ?", (now_s, group, member)
    )
    if _expire(connection, group, now_s):
        _rebalance(connection, group)


def owned(connection: sqlite3.Connection, group: str, member: str) -> list[int]:
    rows = connection.execute(
        "SELECT pid FROM owners WHERE consumer_group = ? AND member = ? ORDER BY pid", (group, member)
    )
    return [pid for (pid,) in rows]


def check(connection: sqlite3.Connection, membership: Membership, pids: Iterable[int]) -> None:
    """Raises `Fenced` unless this member still owns all of `pids`, in the same generation."""
    group, member, generation = membership
    now = view(connection, group, member)
    if now.joined is None or now.generation != generation:
        raise Fenced(
            f"group {group!r}: generation {generation} of this member is over (now {now.generation})"
        )
    foreign = set(pids).difference(owned(connection, group, member))
    if foreign:
        raise Fenced(f"group {group!r}: another member owns {len(foreign)} of the partitions committed")


def store_positions(connection: sqlite3.Connection, group: str, offsets: Mapping[int, int]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
        [(group, pid, offset) for pid, offset in offsets.items()],
    )


def position(connection: sqlite3.Connection, group: str, pid: int) -> int | None:
    row = connection.execute(
        "SELECT offset FROM positions WHERE consumer_group = ? AND pid = ?", (group, pid)
    ).fetchone()
    return None if row is None else int(row[0])


def _expire(connection: sqlite3.Connection, group: str, now_s: float) -> bool:
    """Throw out members that gave no sign of life in time; one seen in the future had its clock set back."""
    gone = connection.execute(
        "DELETE FROM members WHERE consumer_group = ?"
        " AND (seen_at < ? - session_timeout_s OR seen_at > ? + session_timeout_s)",
        (group, now_s, now_s),
    )
    return gone.rowcount > 0


def _rebalance(connection: sqlite3.Connection, group: str) -> None:
    """Ask all members to join again; when all have, make the next generation."""
    connection.execute("UPDATE consumer_groups SET rebalancing = 1 WHERE name = ?", (group,))
    members = connection.execute(
        "SELECT member, topics, joined FROM members WHERE consumer_group = ? ORDER BY member", (group,)
    ).fetchall()
    if not all(joined for _, _, joined in members):
        return
    subscriptions = {member: orjson.loads(topics) for member, topics, _ in members}
    connection.execute("DELETE FROM owners WHERE consumer_group = ?", (group,))
    connection.executemany(
        "INSERT INTO owners VALUES (?, ?, ?)",
        [(group, pid, member) for pid, member in _shares(connection, subscriptions).items()],
    )
    connection.execute("UPDATE members SET joined = 0 WHERE consumer_group = ?", (group,))
    connection.execute(
        "UPDATE consumer_groups SET rebalancing = 0, generation = generation + 1 WHERE name = ?", (group,)
    )


def _shares(connection: sqlite3.Connection, subscriptions: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """Kafka's range assignor: per topic, each member gets a run of partitions, the first ones one more.

    Topics with as many partitions as each other and the same subscribers are split alike, so partition p of
    all of them has one owner: that is what makes joining them possible.
    """
    shares: dict[int, str] = {}
    for name in sorted({name for topics in subscriptions.values() for name in topics}):
        topic = log.find_topic(connection, name)
        if topic is None:
            continue
        members = sorted(member for member, topics in subscriptions.items() if name in topics)
        size, larger = divmod(topic.partitions, len(members))
        pid = topic.first_pid
        for i, member in enumerate(members):
            for _ in range(size + (i < larger)):
                shares[pid] = member
                pid += 1
    return shares

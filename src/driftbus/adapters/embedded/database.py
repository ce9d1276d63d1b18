"""The file: its schema, its connections, and what SQLite's errors mean here.

One file in WAL mode, many processes of one machine. A record is one row whose rowid is
`partition id << 40 | offset`, so that a partition is a range of the table's own B-tree and needs no index.

Durability: `synchronous=NORMAL`. What was committed survives `kill -9` of any process, because it is in the
operating system's page cache; a power failure may lose the last commits (those since the last checkpoint),
never part of one. The file must lie on a local disk: WAL needs shared memory, network file systems have none.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftbus.errors import BusError, Unavailable

FILE_NAME = "bus.sqlite3"

# "dbus" in ASCII: `file` and our own check tell this database from any other.
APPLICATION_ID = 0x64627573
# Raised when the tables change; an older driftbus then refuses the file instead of misreading it.
SCHEMA_VERSION = 1

# 2^40 offsets a partition (30 years at 1,000 records/s) leave 2^23 partitions in SQLite's 63-bit rowids.
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1

# Interior pages and the hot ends of all partitions; measured no faster with more.
_CACHE_KIB = 8192
# What a checkpoint leaves of the WAL file when it could be emptied: enough for steady writing, returned after
# a burst.
_WAL_KEPT_BYTES = 64 * 1024 * 1024

_SCHEMA = """
CREATE TABLE topics (
  name TEXT PRIMARY KEY, id TEXT NOT NULL, first_pid INTEGER NOT NULL, partitions INTEGER NOT NULL,
  config TEXT NOT NULL
) WITHOUT ROWID;
-- first offset held, one past the last offset given away, compacted up to here
CREATE TABLE partitions (
  pid INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL, cleaned INTEGER NOT NULL
);
CREATE TABLE records (
  id INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB
);
-- the newest offset of each key in compacted partitions, and when its null value was seen, epoch s
CREATE TABLE latest (
  pid INTEGER NOT NULL, key BLOB NOT NULL, offset INTEGER NOT NULL, tombstone_at REAL, PRIMARY KEY (pid, key)
) WITHOUT ROWID;
CREATE INDEX tombstones ON latest (pid, tombstone_at) WHERE tombstone_at IS NOT NULL;
CREATE TABLE producers (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
-- offsets promised to an open transaction, which nobody reads past
CREATE TABLE reservations (
  producer TEXT NOT NULL, pid INTEGER NOT NULL, first INTEGER NOT NULL, made_at REAL NOT NULL,
  timeout_s REAL NOT NULL, presence TEXT NOT NULL, PRIMARY KEY (producer, pid, first)
) WITHOUT ROWID;
CREATE TABLE consumer_groups (
  name TEXT PRIMARY KEY, generation INTEGER NOT NULL, rebalancing INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE members (
  consumer_group TEXT NOT NULL, member TEXT NOT NULL, topics TEXT NOT NULL, joined INTEGER NOT NULL,
  seen_at REAL NOT NULL, session_timeout_s REAL NOT NULL, presence TEXT NOT NULL,
  PRIMARY KEY (consumer_group, member)
) WITHOUT ROWID;
CREATE TABLE owners (
  consumer_group TEXT NOT NULL, pid INTEGER NOT NULL, member TEXT NOT NULL, PRIMARY KEY (consumer_group, pid)
) WITHOUT ROWID;
CREATE TABLE positions (
  consumer_group TEXT NOT NULL, pid INTEGER NOT NULL, offset INTEGER NOT NULL,
  PRIMARY KEY (consumer_group, pid) ) WITHOUT ROWID;
CREATE TABLE cleaning (id INTEGER PRIMARY KEY CHECK (id = 1), next_at REAL NOT NULL);
INSERT INTO cleaning VALUES (1, 0);
"""


def _translated(error: sqlite3.Error, path: Path) -> BusError:
    """Locked, full, read-only, unreadable: all may pass. Anything else (a damaged file) will not."""
    if isinstance(error, sqlite3.OperationalError):
        return Unavailable(f"{path}: {error}")
    return BusError(f"{path}: {error}")


class Handle:
    """One connection. Its calls may come from any thread, one at a time, but not from a forked child."""

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self._path = path
        self._pid = os.getpid()
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=lock_timeout_s, isolation_level=None, check_same_thread=False
            )
            # Checkpoints fsync: never inside somebody's commit, housekeeping does them.
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        except sqlite3.Error as error:
            raise _translated(error, path) from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file. Keep it short: a long reader makes the WAL grow."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; holds the file's one write lock. Raises `Unavailable` when locked or full."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._check_process()
            connection = self._connection
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def data_version(self) -> int:
        """A number that differs once somebody else has committed since the last call; costs microseconds."""
        with self._lock:
            self._check_process()
            try:
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

    def journal_mode(self, mode: str) -> str:
        with self._lock:
            try:
                return str(self._connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0])
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

    def checkpoint(self, mode: str) -> int:
        """Move the WAL into the file (`PASSIVE` waits for nobody, `TRUNCATE` does); pages now in the WAL."""
        with self._lock:
            self._check_process()
            try:
                return int(self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[1])
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

    def close(self) -> None:
        # In a forked child the connection is the parent's, and SQLite forbids touching it there.
        with self._lock:
            if os.getpid() == self._pid:
                self._connection.close()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise BusError("the embedded bus was opened before a fork; open it anew in each process")


class Database:
    """Opens the file, making it where there is none, and hands out connections to it."""

    def __init__(self, directory: Path, lock_timeout_s: float) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        self._lock_timeout_s = lock_timeout_s
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror}") from error
        handle = self.connect()
        try:
            self._prepare(handle)
        finally:
            handle.close()

    def connect(self, lock_timeout_s: float | None = None) -> Handle:
        """A connection that waits `lock_timeout_s` for others' writes (default: the bus's own)."""
        return Handle(self.path, self._lock_timeout_s if lock_timeout_s is None else lock_timeout_s)

    def free_bytes(self) -> int:
        """What the file system still has for us."""
        try:
            status = os.statvfs(self.directory)
        except OSError as error:
            raise Unavailable(f"{self.directory}: {error.strerror}") from error
        return status.f_bavail * status.f_frsize

    def _prepare(self, handle: Handle) -> None:
        self._switch_to_wal(handle)
        with handle.write() as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if (application, version) == (APPLICATION_ID, SCHEMA_VERSION):
                return
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != APPLICATION_ID:
                raise BusError(f"{self.path} is a database of something else")
            if tables:
                raise BusError(
                    f"{self.path} has format {version}, this driftbus reads and writes {SCHEMA_VERSION}"
                )
            # Not executescript: it would commit our transaction first.
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _switch_to_wal(self, handle: Handle) -> None:
        """Needs the file to itself for a moment, and does not wait by itself while others open it too."""
        deadline = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                mode = handle.journal_mode("WAL")
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise BusError(
                    f"{self.path}: this file system cannot hold a shared log (journal mode {mode})"
                )
            return

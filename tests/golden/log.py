"""A recorded log, read as a bus is read: what a restore asks for, and nothing else."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from driftbus.ports import Record, TopicPartition


@dataclass
class Log:
    """The records of one partition by topic, in offset order, each list from some offset on.

    `facts` is what the recording says of itself; nothing was committed by the group, as after a long absence.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)

    def add(self, topic: str, key: bytes | None, value: bytes | None, ts: int = 0) -> Record:
        """Append a record; its offset is the next one."""
        known = self.records.setdefault(topic, [])
        record = Record(topic, 0, known[-1].offset + 1 if known else 0, key, value, (), ts)
        known.append(record)
        return record

    # -- what a restore reads ------------------------------------------------------------------------

    def partitions(self, topic: str) -> int:
        return 1

    def topic_id(self, topic: str) -> str:
        return f"golden-{topic}"

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {}

    def begin_offset(self, topic: str, partition: int) -> int:
        known = self.records.get(topic)
        return known[0].offset if known else 0

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        known = self.records.get(topic)
        return known[-1].offset + 1 if known else 0

    def read_from(
        self, topic: str, partition: int, offset: int, end: int | None = None, *, committed: bool = True
    ) -> Iterator[Record]:
        for record in self.records.get(topic, []):
            if record.offset >= offset and (end is None or record.offset < end):
                yield record

    # -- as a file -----------------------------------------------------------------------------------

    def write(self, path: Path) -> None:
        """One line of facts, then one a record; the same log gives the same bytes."""
        lines = [orjson.dumps(self.facts)]
        for records in self.records.values():
            lines += [
                orjson.dumps([r.topic, r.offset, _text(r.key), _text(r.value), r.timestamp_ms])
                for r in records
            ]
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
            out.write(b"\n".join(lines) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Log:
        with gzip.open(path, "rb") as lines:
            log = cls(orjson.loads(next(lines)))
            for line in lines:
                topic, offset, key, value, ts = orjson.loads(line)
                record = Record(topic, 0, offset, _bytes(key), _bytes(value), (), ts)
                log.records.setdefault(topic, []).append(record)
        return log


def _text(value: bytes | None) -> Any:
    """Text as it is; packed bytes in a list, as base 85."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [base64.b85encode(value).decode()]


def _bytes(value: Any) -> bytes | None:
    return (
        base64.b85decode(value[0]) if isinstance(value, list) else None if value is None else value.encode()
    )

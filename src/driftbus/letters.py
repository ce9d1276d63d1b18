"""Dead letters read back: what a record was, why it is there, and what of it can be sent again.

A letter is known by where it stands, `TOPIC-PARTITION-OFFSET` of the dead-letter topic. What driftbus added
to a record's own headers begins with the last `__connect.errors.topic`; what stands before is the record's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from driftbus.errors import DriftbusError, OffsetOutOfRange
from driftbus.ports import Bus, Headers, Record

# On what is sent again: how often it has been, so that a record that is poison a second time is seen as such.
RESUBMITTED = "driftbus.resubmitted"
_FIRST = "__connect.errors.topic"
# Partitions and offsets, up to 10^18: what a log can hold.
_NUMBER = re.compile("[0-9]{1,18}")
# How much of a value is looked into for its stream: as much as an input record may hold by default.
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `topic`: the input's name on the bus; `partition`, `offset`: where it stood there
    (None for a late or orphan label, which is written anew). `own`: the record's headers as its producer
    wrote them, less the mark that `resubmitted` holds: how often it was sent again before."""

    record: Record
    topic: str | None
    partition: int | None
    offset: int | None
    reason: str
    message: str
    own: Headers
    resubmitted: int
    cut: tuple[str, ...]  # what of it was too large for a letter: key, value, headers

    @property
    def id(self) -> str:
        return f"{self.record.topic}-{self.record.partition}-{self.record.offset}"

    @property
    def stream(self) -> str | None:
        """The stream that the event names, else its key; None where neither is text."""
        value = self.record.value
        if value is not None and len(value) <= _MOST_BYTES:
            try:
                event = orjson.loads(value)
            except ValueError:
                event = None
            for found in (event, event.get("data") if isinstance(event, dict) else None):
                if isinstance(found, dict) and isinstance(found.get("stream"), str):
                    return str(found["stream"])
        return text_of(self.record.key)

    def again(self) -> tuple[bytes | None, bytes | None, Headers]:
        """Key, value and headers to send to `topic`."""
        mark = (RESUBMITTED, b"%d" % (self.resubmitted + 1))
        return self.record.key, self.record.value, (*self.own, mark)


def read_letter(record: Record) -> Letter:
    """A record of the dead-letter topic, whoever wrote it; what it lacks is None or empty."""
    names = [name for name, _ in record.headers]
    begins = len(names) - 1 - names[::-1].index(_FIRST) if _FIRST in names else len(names)
    ours = dict(record.headers[begins:])
    marks = [value for name, value in record.headers[:begins] if name == RESUBMITTED]

    def text(name: str) -> str:
        return (ours.get(name) or b"").decode(errors="replace")

    cut = [part for part in ("key", "value") if f"driftbus.{part}.cut" in ours]
    cut += ["headers"] if "driftbus.headers.left_out" in ours else []
    return Letter(
        record,
        text(_FIRST) or None,
        _whole(ours.get("__connect.errors.partition")),
        _whole(ours.get("__connect.errors.offset")),
        text("__connect.errors.exception.class.name").removeprefix("driftbus."),
        text("__connect.errors.exception.message"),
        tuple(header for header in record.headers[:begins] if header[0] != RESUBMITTED),
        _whole(marks[-1]) or 0 if marks else 0,
        tuple(cut),
    )


def _whole(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: all that are set must fit. `topic` is a name on the bus."""

    topic: str | None = None
    reason: str | None = None
    stream: str | None = None
    since_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        return (
            (self.since_ms is None or letter.record.timestamp_ms >= self.since_ms)
            and (self.topic is None or letter.topic == self.topic)
            and (self.reason is None or letter.reason == self.reason)
            and (self.stream is None or self.stream in (letter.stream, text_of(letter.record.key)))
        )


def letters(bus: Bus, topic: str, wanted: Wanted) -> Iterator[Letter]:
    """Those wanted of all that stand in `topic` now, by partition, oldest first.

    What is added meanwhile is not among them, so what is sent again and is poison again comes once.
    """
    ends = {n: bus.end_offset(topic, n, committed=True) for n in range(bus.partitions(topic))}
    for number, end in ends.items():
        begin = bus.begin_offset(topic, number)
        for record in bus.read_from(topic, number, begin, end) if begin < end else ():
            letter = read_letter(record)
            if wanted.takes(letter):
                yield letter


def find(bus: Bus, topic: str, known: str) -> Letter:
    """The letter of an id, whole or without the topic. Raises `DriftbusError` where there is none."""
    parts = known.rsplit("-", 2)
    if len(parts) == 2:
        parts = [topic, *parts]
    if len(parts) != 3 or parts[0] != topic or not all(map(_NUMBER.fullmatch, parts[1:])):
        raise DriftbusError(f"{known!r:.200} is no letter of {topic}: ids are TOPIC-PARTITION-OFFSET")
    number, offset = int(parts[1]), int(parts[2])
    if number < bus.partitions(topic):
        try:
            for record in bus.read_from(topic, number, offset, offset + 1):
                if record.offset == offset:
                    return read_letter(record)
        except OffsetOutOfRange as error:
            raise DriftbusError(f"{known} is gone: retention has removed it") from error
    raise DriftbusError(f"there is no letter {known}")


def refusal(letter: Letter, inputs: Mapping[str, str]) -> str | None:
    """Why a letter cannot be sent again, None where it can. `inputs`: name on the bus → short name."""
    if letter.topic is None:
        return "no header says which topic it came from"
    if letter.topic not in inputs:
        return f"it came from {letter.topic}, which is no input of this configuration"
    if letter.cut:
        return f"only a part of its {' and '.join(letter.cut)} is here; it was too large for a letter"
    return None


def letter_json(letter: Letter, short: str | None) -> dict[str, Any]:
    """All of a letter as JSON values. Bytes that are no text are hexadecimal, under `…_hex`."""
    record = letter.record
    shown: dict[str, Any] = {
        "id": letter.id,
        "ts": record.timestamp_ms,
        "topic": short or letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "message": letter.message,
        "stream": letter.stream,
        "resubmitted": letter.resubmitted,
        "cut": list(letter.cut),
        **_bytes_json("key", record.key),
        **_bytes_json("value", record.value),
    }
    shown["headers"] = [{"name": name, **_bytes_json("value", value)} for name, value in letter.own]
    return shown


def _bytes_json(name: str, value: bytes | None) -> dict[str, str | None]:
    text = text_of(value)
    return {name: text} if value is None or text is not None else {f"{name}_hex": value.hex()}


def text_of(value: bytes | None) -> str | None:
    """As text; None where it is none."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None

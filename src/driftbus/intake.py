"""Records of one partition → one step's input: decoded runs, poison set aside, offset ranges noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from operator import itemgetter
from typing import Any

from driftbus.core.alike import TOGETHER, decode_alike
from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.validity import SURELY_FITS_BYTES
from driftbus.errors import InvalidRecord
from driftbus.ports import Headers, Record

# Of a decoded prediction or label, by place: their own properties take twice as long.
_stream_of = itemgetter(1)

# The order in which a step takes its inputs (DESIGN: predictions, labels, model events).
INPUTS = ("predictions", "labels", "model-events")
# Key, value and headers of a dead letter: Kafka's topics take 1,048,588 bytes, framing and what each header
# costs beside its text included.
MAX_LETTER_BYTES = 1_030_000
# What is added to a record's own headers, at most: see `DeadLetter.headers`.
OUR_HEADERS_BYTES = 3_000
# Per header, its lengths in the record's format.
HEADER_BYTES = 10


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A poison record with the reason it is counted under."""

    record: Record
    topic: str
    reason: str
    message: str

    def headers(self) -> Headers:
        """The record's own headers, then why it is here, under Kafka Connect's names."""
        record = self.record
        ours: list[tuple[str, bytes | None]] = [
            ("__connect.errors.topic", record.topic.encode()),
            ("__connect.errors.partition", b"%d" % record.partition),
            ("__connect.errors.offset", b"%d" % record.offset),
            ("__connect.errors.exception.class.name", f"driftbus.{self.reason}".encode()),
            ("__connect.errors.exception.message", self.message.encode(errors="replace")[:1000]),
            ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ]
        for name, whole, kept in (("value", record.value, self.value), ("key", record.key, self.key)):
            if whole is not None and kept is not None and len(kept) < len(whole):
                ours.append((f"driftbus.{name}.bytes", b"%d" % len(whole)))
                ours.append((f"driftbus.{name}.sha256", sha256(whole).hexdigest().encode()))
                ours.append((f"driftbus.{name}.cut", b"%d" % len(kept)))
        if self._room < 0:
            ours.append(("driftbus.headers.left_out", b"%d" % len(record.headers)))
            return tuple(ours)
        return (*record.headers, *ours)

    @property
    def _room(self) -> int:
        """Bytes for the value beside what is kept as it is; negative where headers leave none for the key."""
        record = self.record
        theirs = sum(HEADER_BYTES + len(name.encode()) + len(text or b"") for name, text in record.headers)
        return MAX_LETTER_BYTES - OUR_HEADERS_BYTES - theirs - len(record.key or b"")

    @property
    def key(self) -> bytes | None:
        """The record's key: cut only where key alone would not fit."""
        key = self.record.key
        return key if key is None else key[: MAX_LETTER_BYTES - OUR_HEADERS_BYTES]

    @property
    def value(self) -> bytes | None:
        """The record's value, cut where it would not fit beside key and headers."""
        value, room = self.record.value, self._room
        if room < 0:
            room = max(0, MAX_LETTER_BYTES - OUR_HEADERS_BYTES - len(self.record.key or b""))
        return value if value is None else value[:room]


@dataclass(slots=True)
class Intake:
    """What a partition's records give. `ends` are the offsets after the last record, per topic read;
    `refused` the offsets of good records of streams for which there was no room."""

    runs: list[Run] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[int]] = field(default_factory=dict)


def take_in(records: Mapping[str, Sequence[Record]], admits: Callable[[str], bool], max_bytes: int) -> Intake:
    """Decode the records of one partition, per input topic (short name) in offset order."""
    found = Intake()
    admitted: set[str] = set()
    plain_bytes = min(max_bytes, SURELY_FITS_BYTES)
    for topic in INPUTS:
        rows = records.get(topic)
        if not rows:
            continue
        run = Run(topic, [], [], [])
        for start in range(0, len(rows), TOGETHER):
            some = rows[start : start + TOGETHER]
            _, _, offsets, _, values, headers, times = zip(*some, strict=True)
            events = None if any(headers) else decode_alike(topic, values, plain_bytes)
            if events is not None and all(events):
                # In record order: where there is no room for all, the first to come are admitted.
                streams = [one for one in dict.fromkeys(map(_stream_of, events)) if one not in admitted]
                if all(map(admits, streams)):
                    admitted.update(streams)
                    run.events.extend(events)
                    run.offsets.extend(offsets)
                    run.times.extend(times)
                    continue
            _one_by_one(topic, some, events or repeat(None), run, found, admits, max_bytes)
        found.ends[topic] = rows[-1].offset + 1
        if run.events:
            found.runs.append(run)
    return found


def _one_by_one(
    topic: str,
    records: Iterable[Record],
    decoded: Iterable[Any],
    run: Run,
    found: Intake,
    admits: Callable[[str], bool],
    max_bytes: int,
) -> None:
    """Take in records of which some may be poison; `decoded`: the events of those that are not, else None."""
    for record, known in zip(records, decoded, strict=False):
        event = known
        try:
            if event is None:
                event = decode(
                    topic, record.key, record.value, record.headers, record.timestamp_ms, max_bytes
                )
            if not admits(event.stream):
                found.refused.setdefault(topic, []).append(record.offset)
                raise InvalidRecord("stream_limit", "more streams than limits.max_streams")
        except InvalidRecord as poison:
            found.dead.append(DeadLetter(record, topic, poison.reason, str(poison)))
            continue
        run.events.append(event)
        run.offsets.append(record.offset)
        run.times.append(record.timestamp_ms)

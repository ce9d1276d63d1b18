"""Records of one partition → one step's input: decoded runs, poison set aside, offset ranges noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from driftbus.core.block import Run
from driftbus.core.codec import BUILDERS, object_of
from driftbus.core.validity import SURELY_FITS_BYTES, check_outcome_size
from driftbus.errors import InvalidRecord
from driftbus.ports import Headers, Record

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


def take_in(records: Mapping[str, Iterable[Record]], admits: Callable[[str], bool], max_bytes: int) -> Intake:
    """Decode the records of one partition, per input topic (short name) in offset order."""
    found = Intake()
    admitted: set[str] = set()
    for topic in INPUTS:
        build = BUILDERS[topic]
        run = Run(topic, [], [], [])
        add_event, add_offset, add_time = run.events.append, run.offsets.append, run.times.append
        record: Record | None = None
        for record in records.get(topic, ()):
            _, _, offset, key, value, headers, time_ms = record
            try:
                raw, text = object_of(value, headers, max_bytes)
                event = build(raw, key, time_ms, value, text)
                if value is not None and len(value) > SURELY_FITS_BYTES:
                    check_outcome_size(event, max_bytes)
                if event.stream not in admitted:
                    if not admits(event.stream):
                        found.refused.setdefault(topic, []).append(offset)
                        raise InvalidRecord("stream_limit", "more streams than limits.max_streams")
                    admitted.add(event.stream)
            except InvalidRecord as poison:
                found.dead.append(DeadLetter(record, topic, poison.reason, str(poison)))
                continue
            add_event(event)
            add_offset(offset)
            add_time(time_ms)
        if record is not None:
            found.ends[topic] = record.offset + 1
        if run.events:
            found.runs.append(run)
    return found

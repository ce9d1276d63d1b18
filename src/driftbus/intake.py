"""Records of one partition → one step's input: decoded runs, poison set aside, offset ranges noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from driftbus.core.block import Run
from driftbus.core.codec import BUILDERS, object_of
from driftbus.errors import InvalidRecord
from driftbus.ports import Headers, Record

# The order in which a step takes its inputs (DESIGN: predictions, labels, model events).
INPUTS = ("predictions", "labels", "model-events")
# A dead letter's value is cut beyond this: with its headers it must fit a Kafka message.
MAX_LETTER_BYTES = 900_000


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
        value = record.value
        if value is not None and len(value) > MAX_LETTER_BYTES:
            ours.append(("driftbus.value.bytes", b"%d" % len(value)))
            ours.append(("driftbus.value.sha256", sha256(value).hexdigest().encode()))
            ours.append(("driftbus.value.cut", b"%d" % MAX_LETTER_BYTES))
        return (*record.headers, *ours)

    @property
    def value(self) -> bytes | None:
        """The record's value, cut where it would not fit."""
        value = self.record.value
        return value if value is None else value[:MAX_LETTER_BYTES]


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
                event = build(object_of(value, headers, max_bytes), key, time_ms, value)
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

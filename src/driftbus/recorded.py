"""What a bus has recorded of a partition's inputs between two moments, in the order it was written.

Topics are merged by the time of their records, as a worker that was always up to date took them. A record's
place in its topic counts more than its time, so that one that is dated back is not passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import merge

from driftbus.intake import INPUTS
from driftbus.locate import SCAN_OFFSETS
from driftbus.ports import Bus, Record


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets start ≤ offset < end of one partition of an input topic (`name`: its short name)."""

    name: str
    topic: str
    partition: int
    start: int
    end: int


def spans(
    bus: Bus, topics: Mapping[str, str], partition: int, begin_ms: int | None, end_ms: int | None
) -> list[Span]:
    """What each input holds of the time begin ≤ t < end (None: from the first record, to the last)."""
    found = []
    for name in INPUTS:
        topic = topics[name]
        low = bus.begin_offset(topic, partition)
        high = bus.end_offset(topic, partition, committed=True)
        start = low if begin_ms is None else first_since(bus, topic, partition, low, high, begin_ms)
        end = high if end_ms is None else first_since(bus, topic, partition, start, high, end_ms)
        found.append(Span(name, topic, partition, start, end))
    return found


def first_since(bus: Bus, topic: str, partition: int, low: int, high: int, ms: int) -> int:
    """The offset of the first record written at `ms` or later among low ≤ offset < high; else `high`."""
    end = high
    while high - low > SCAN_OFFSETS:
        middle = (low + high) // 2
        first = next(iter(bus.read_from(topic, partition, middle, high)), None)
        if first is None or first.timestamp_ms >= ms:
            high = middle
        else:
            low = first.offset + 1
    for record in bus.read_from(topic, partition, low, end):
        if record.timestamp_ms >= ms:
            return record.offset
    return end


def recorded(bus: Bus, some: list[Span]) -> Iterator[tuple[str, Record]]:
    """The spans' records with their topics' short names, by time; at one time, in the inputs' order."""
    return merge(*(_read(bus, span) for span in some), key=lambda row: row[1].timestamp_ms)


def _read(bus: Bus, span: Span) -> Iterator[tuple[str, Record]]:
    if span.start < span.end:
        for record in bus.read_from(span.topic, span.partition, span.start, span.end):
            yield span.name, record

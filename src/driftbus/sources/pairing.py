"""Halves that wait for the other half of their inference: bounded, and as records of a topic of their own.

A half that does not find its other half in the same step is written to the halves topic, under a key of its
own (source, side, id), in the partition of its inference: so both halves meet in one place, whatever the
partitions of their own topics. When they have met, or given up, a tombstone under each key takes them back.
What waits is then what stands in that (compacted) topic: nothing else needs to be kept, and a restart finds
all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from driftbus.ports import Headers, Record
from driftbus.sources.formats.form import Half, Side

# Our headers on a record of the halves topic, after the record's own: where it came from.
_TOPIC, _PARTITION, _OFFSET, _TIMESTAMP, _KEY = (
    "driftbus.half.topic",
    "driftbus.half.partition",
    "driftbus.half.offset",
    "driftbus.half.timestamp",
    "driftbus.half.key",
)
_OURS = 5
_SEPARATOR = "\0"
# What a waiting half takes beside its bytes: tuples and a dictionary entry (0.7 kB, by `tracemalloc`), and
# what each of its headers is beside its text.
_OVERHEAD_BYTES = 1_200


class Place(NamedTuple):
    """Whose half: what its key on the halves topic says."""

    source: str
    half: Half

    @property
    def other(self) -> Place:
        """That of the other half."""
        side: Side = "response" if self.half.side == "request" else "request"
        return Place(self.source, self.half._replace(side=side))

    @property
    def pair(self) -> tuple[str, str, str]:
        return self.source, self.half.scope, self.half.id

    @property
    def pair_key(self) -> bytes:
        """What chooses the partition: the same for both halves."""
        return _SEPARATOR.join(self.pair).encode()

    @property
    def key(self) -> bytes:
        return _SEPARATOR.join((self.half.side, *self.pair)).encode()


def place_of(key: bytes | None) -> Place | None:
    """Out of a key of the halves topic; None where somebody else wrote it."""
    try:
        side, source, scope, known = (key or b"").decode().split(_SEPARATOR, 3)
    except ValueError:
        return None
    if side not in ("request", "response"):
        return None
    return Place(source, Half(known, "request" if side == "request" else "response", scope))


def to_half(record: Record) -> Headers:
    """The headers under which a foreign record is written to the halves topic."""
    return (
        *record.headers,
        (_TOPIC, record.topic.encode()),
        (_PARTITION, b"%d" % record.partition),
        (_OFFSET, b"%d" % record.offset),
        (_TIMESTAMP, b"%d" % record.timestamp_ms),
        (_KEY, record.key),
    )


def from_half(record: Record) -> Record:
    """The foreign record again, as it was. One that somebody else wrote is its own foreign record."""
    ours = dict(record.headers[-_OURS:])
    try:
        return Record(
            (ours[_TOPIC] or b"").decode(),
            int(ours[_PARTITION] or b""),
            int(ours[_OFFSET] or b""),
            ours[_KEY],
            record.value,
            record.headers[:-_OURS],
            int(ours[_TIMESTAMP] or b""),
        )
    except (KeyError, ValueError):
        return record


def size_bytes(record: Record) -> int:
    """Of key, value and headers."""
    headers = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


class WaitingHalf(NamedTuple):
    """`record`: the foreign one; `partition`: of the halves topic; `since_s`: when it was read, monotonic."""

    place: Place
    record: Record
    partition: int
    since_s: float

    @property
    def size_bytes(self) -> int:
        return _OVERHEAD_BYTES + size_bytes(self.record)


class Waiting:
    """What waits in the partitions that this worker holds, in the order in which it was read."""

    def __init__(self, max_halves: int, max_bytes: int, wait_s: float) -> None:
        self._max_halves, self._max_bytes, self._wait_s = max_halves, max_bytes, wait_s
        self._halves: dict[bytes, WaitingHalf] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._halves)

    def put(self, half: WaitingHalf) -> None:
        """A half, in place of an earlier one of the same key."""
        self.remove(half.place)
        self._halves[half.place.key] = half
        self.size_bytes += half.size_bytes

    def remove(self, place: Place) -> WaitingHalf | None:
        found = self._halves.pop(place.key, None)
        if found is not None:
            self.size_bytes -= found.size_bytes
        return found

    def other(self, place: Place) -> WaitingHalf | None:
        """The half that this one has been waited for by, taken out."""
        return self.remove(place.other)

    def given_up(self, now_s: float) -> Iterator[tuple[WaitingHalf, str]]:
        """Take out what has waited for too long (`expired`), and what there is no room for (`evicted`)."""
        while self._halves:
            oldest = next(iter(self._halves.values()))
            if now_s - oldest.since_s >= self._wait_s:
                why = "expired"
            elif len(self._halves) > self._max_halves or self.size_bytes > self._max_bytes:
                why = "evicted"
            else:
                return
            self.remove(oldest.place)
            yield oldest, why

    def has_given_up(self, now_s: float) -> bool:
        """Whether `given_up` would give anything."""
        oldest = next(iter(self._halves.values()), None)
        return oldest is not None and (
            now_s - oldest.since_s >= self._wait_s
            or len(self._halves) > self._max_halves
            or self.size_bytes > self._max_bytes
        )

    def drop(self, partition: int) -> None:
        """Forget what another worker holds from now on."""
        for half in [half for half in self._halves.values() if half.partition == partition]:
            self.remove(half.place)

"""Outcomes in their topic by their `seq`: where one stands, and those of a range.

State knows `seq`, never offsets: Kafka's offsets have gaps (transaction markers, aborted records), and `seq`
has none, so the log is bisected by what its records say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

from driftbus.core.codec import decode_outcome
from driftbus.core.read_back import Recalled, recalled
from driftbus.core.records import Outcome
from driftbus.errors import Fenced, StateError
from driftbus.ports import Bus

# Bisecting stops when so few offsets are left: reading them through costs one fetch, as a probe does.
SCAN_OFFSETS = 500
# How long a transaction that another worker left open may hide what was committed after it began: twice the
# 15 s after which the broker ends ours.
HIDDEN_LIMIT_S = 30.0
# Outcomes read together: they become one batch of remembered ids, and take some megabytes until then.
READ_ROWS = 4096


class OutcomeLog:
    """The committed outcomes of one partition, by ranges first ≤ seq < stop. Raises `StateError` where one is
    missing, `InvalidRecord` where one is none."""

    def __init__(self, bus: Bus, topic: str, partition: int) -> None:
        self._bus = bus
        self._topic = topic
        self._partition = partition

    def read(self, first: int, stop: int) -> Iterator[Outcome]:
        """Each in turn."""
        for expected, values in self._values(first, stop):
            for seq, outcome in enumerate(map(decode_outcome, values), expected):
                self._check(seq, outcome.seq)
                yield outcome

    def recalled(self, first: int, stop: int) -> Iterator[Recalled]:
        """What ids are remembered by, many together."""
        for expected, values in self._values(first, stop):
            rows = recalled(values)
            for seq, found in enumerate(rows.seqs, expected):
                self._check(seq, found)
            yield rows

    def _values(self, first: int, stop: int) -> Iterator[tuple[int, list[bytes]]]:
        """As they stand in the log, each list with the `seq` that its first one should have."""
        if first >= stop:
            return
        start = offset_of(self._bus, self._topic, self._partition, first)
        records = self._bus.read_from(self._topic, self._partition, start)
        while first < stop:
            values = [r.value or b"null" for r in islice(records, min(stop - first, READ_ROWS))]
            if not values:
                raise StateError(f"{self._topic}[{self._partition}] ends at seq {first}, the state at {stop}")
            yield first, values
            first += len(values)

    def _check(self, expected: int, seq: int) -> None:
        if seq != expected:
            raise StateError(f"{self._topic}[{self._partition}]: seq {expected} is missing, {seq} follows")


def offset_of(bus: Bus, topic: str, partition: int, seq: int) -> int:
    """The offset of the first outcome with at least this `seq`, which has been committed.

    Waits where a transaction that is still open hides it. Raises `StateError` when retention has removed it,
    `Fenced` when it stays hidden.
    """
    deadline_s = time.monotonic() + HIDDEN_LIMIT_S
    is_all = False
    while True:
        found = _visible(bus, topic, partition, seq)
        if found is not None:
            return found
        if is_all:
            raise StateError(f"{topic}[{partition}] ends before seq {seq}")
        is_all = bus.end_offset(topic, partition, committed=True) == bus.end_offset(
            topic, partition, committed=False
        )
        if not is_all:
            if time.monotonic() > deadline_s:
                raise Fenced(f"{topic}[{partition}]: seq {seq} stays behind an open transaction")
            time.sleep(0.05)


def _visible(bus: Bus, topic: str, partition: int, seq: int) -> int | None:
    """The offset of the first outcome with at least this `seq` among those that can be read now."""
    low = bus.begin_offset(topic, partition)
    high = bus.end_offset(topic, partition, committed=True)
    first = _first(bus, topic, partition, low, high)
    if first is None:
        return None
    if first[1] > seq:
        raise StateError(
            f"{topic}[{partition}] begins with seq {first[1]}, seq {seq} was removed by retention"
        )
    while high - low > SCAN_OFFSETS:
        middle = (low + high) // 2
        found = _first(bus, topic, partition, middle, high)
        if found is None or found[1] > seq:
            high = middle
        else:
            low = found[0]
    for record in bus.read_from(topic, partition, low):
        if record.value is not None and decode_outcome(record.value).seq >= seq:
            return record.offset
    return None


def first_seq(bus: Bus, topic: str, partition: int) -> int | None:
    """The lowest `seq` that the log still holds; None where it holds none."""
    low = bus.begin_offset(topic, partition)
    first = _first(bus, topic, partition, low, bus.end_offset(topic, partition, committed=True))
    return None if first is None else first[1]


def _first(bus: Bus, topic: str, partition: int, low: int, high: int) -> tuple[int, int] | None:
    """(offset, seq) of the first outcome in a range of offsets."""
    for record in bus.read_from(topic, partition, low, high):
        if record.value is not None:
            return record.offset, decode_outcome(record.value).seq
    return None

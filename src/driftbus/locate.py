"""Where things stand in a topic: the offset of an outcome by its `seq`.

State knows `seq`, never offsets: Kafka's offsets have gaps (transaction markers, aborted records), and `seq`
has none, so the log is bisected by what its records say.
"""

from __future__ import annotations

from driftbus.core.codec import decode_outcome
from driftbus.errors import StateError
from driftbus.ports import Bus

# Bisecting stops when so few offsets are left: reading them through costs one fetch, as a probe does.
SCAN_OFFSETS = 500


def offset_of(bus: Bus, topic: str, partition: int, seq: int) -> int:
    """The offset of the first outcome with at least this `seq`; the end where there is none.

    Raises `StateError` when retention has removed it.
    """
    low = bus.begin_offset(topic, partition)
    high = bus.end_offset(topic, partition, committed=True)
    first = _first(bus, topic, partition, low, high)
    if first is None:
        return high
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
    return bus.end_offset(topic, partition, committed=True)


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

"""Where things stand in a topic: the offset of an outcome by its `seq`.

State knows `seq`, never offsets: Kafka's offsets have gaps (transaction markers, aborted records), and `seq`
has none, so the log is bisected by what its records say.
"""

from __future__ import annotations

import time

from driftbus.core.codec import decode_outcome
from driftbus.errors import Fenced, StateError
from driftbus.ports import Bus

# Bisecting stops when so few offsets are left: reading them through costs one fetch, as a probe does.
SCAN_OFFSETS = 500
# How long a transaction that another worker left open may hide what was committed after it began: twice the
# 15 s after which the broker ends ours.
HIDDEN_LIMIT_S = 30.0


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

"""A bus around the real one that kills or freezes its own process at a named point of a worker's work.

The product knows nothing of it: every call of the port passes through here, and a point is a call's name
with `before`, `after`, or `during` (the call is under way when it happens).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from driftbus.ports import Bus, Consumer, PartitionsChanged, Record, TopicPartition, Transaction


class Fate(NamedTuple):
    """Where this process meets its end: at the `nth` time that `point` is reached.

    `freeze`: SIGSTOP instead of SIGKILL; somebody else thaws it. `delay_s`: how long after the beginning of
    the call, for `during`.
    """

    point: str
    nth: int = 1
    freeze: bool = False
    delay_s: float = 0.0

    def __str__(self) -> str:
        return f"{'freeze' if self.freeze else 'kill'} at {self.point} × {self.nth}"


# The life of a worker, in order, with the highest sensible `nth` of each: what a worker with little to do
# still reaches within seconds.
POINTS: Mapping[str, int] = {
    # start
    "transaction:during": 1,  # init_transactions, which ends what a predecessor left open
    "transaction:after": 1,
    "assigned:before": 1,
    "assigned:after": 1,
    # restore, for each partition
    "committed:before": 2,
    "committed:after": 2,
    "end_offset:after": 3,
    "read:before": 3,
    "read:after": 200,  # one record of state, outcomes or inputs
    "seek:before": 6,
    "resume:before": 3,
    "resume:after": 3,
    # a step
    "poll:before": 40,
    "poll:after": 40,
    "begin:before": 25,
    "begin:after": 25,
    "produce:before": 2000,
    "produce:after": 2000,
    "flush:before": 40,
    "flush:during": 40,
    "flush:after": 40,
    "send_offsets:before": 25,
    "send_offsets:during": 25,
    "send_offsets:after": 25,
    "commit:before": 25,
    "commit:during": 25,
    "commit:after": 25,
    # the group changes, the end
    "revoked:before": 2,
    "revoked:after": 2,
    "leave:before": 1,
    "leave:during": 1,
}


class Doom:
    """Counts what is reached, and ends the process when its time has come."""

    def __init__(self, fate: Fate | None) -> None:
        self._fate = fate
        self._left = fate.nth if fate else 0

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        self.reach(f"{name}:before")
        self._during(name)
        result = work()
        self.reach(f"{name}:after")
        return result

    def reach(self, point: str) -> None:
        fate = self._fate
        if fate is not None and fate.point == point and self._is_time():
            self._end(fate)

    def _during(self, name: str) -> None:
        fate = self._fate
        if fate is None or fate.point != f"{name}:during" or not self._is_time():
            return

        def end() -> None:
            time.sleep(fate.delay_s)
            self._end(fate)

        threading.Thread(target=end, daemon=True).start()

    def _is_time(self) -> bool:
        self._left -= 1
        return self._left == 0

    @staticmethod
    def _end(fate: Fate) -> None:
        sys.stderr.write(f"chaos: {fate}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSTOP if fate.freeze else signal.SIGKILL)


class DoomedTransaction:
    def __init__(self, inner: Transaction, doom: Doom) -> None:
        self._inner, self._doom = inner, doom

    def begin(self) -> None:
        self._doom.call("begin", self._inner.begin)

    def produce(self, topic: str, **record: Any) -> None:
        self._doom.reach("produce:before")
        self._inner.produce(topic, **record)
        self._doom.reach("produce:after")

    def flush(self) -> list[int]:
        offsets: list[int] = self._doom.call("flush", self._inner.flush)
        return offsets

    def send_offsets(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        assert isinstance(consumer, DoomedConsumer)
        self._doom.call("send_offsets", lambda: self._inner.send_offsets(consumer.inner, offsets))

    def commit(self) -> None:
        self._doom.call("commit", self._inner.commit)

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        self._inner.close()


class DoomedConsumer:
    def __init__(self, inner: Consumer, doom: Doom) -> None:
        self.inner, self._doom = inner, doom

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        records: list[Record] = self._doom.call("poll", lambda: self.inner.poll(max_records, timeout_s))
        return records

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._doom.call("seek", lambda: self.inner.seek(partition, offset))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._doom.call("resume", lambda: self.inner.resume(partitions))

    def close(self) -> None:
        self._doom.call("leave", self.inner.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class DoomedBus:
    """See `driftbus.ports.Bus`."""

    def __init__(self, inner: Bus, doom: Doom) -> None:
        self._inner, self._doom = inner, doom

    def transaction(self, transactional_id: str) -> DoomedTransaction:
        inner = self._doom.call("transaction", lambda: self._inner.transaction(transactional_id))
        return DoomedTransaction(inner, self._doom)

    def consumer(
        self,
        group: str,
        topics: Sequence[str],
        *,
        assigned: PartitionsChanged | None = None,
        revoked: PartitionsChanged | None = None,
    ) -> DoomedConsumer:
        def around(name: str, told: PartitionsChanged | None) -> PartitionsChanged | None:
            if told is None:
                return None
            return lambda partitions: self._doom.call(name, lambda: told(partitions))

        inner = self._inner.consumer(
            group, topics, assigned=around("assigned", assigned), revoked=around("revoked", revoked)
        )
        return DoomedConsumer(inner, self._doom)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = self._doom.call(
            "committed", lambda: self._inner.committed(group, partitions)
        )
        return found

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        end: int = self._doom.call(
            "end_offset", lambda: self._inner.end_offset(topic, partition, committed=committed)
        )
        return end

    def read_from(self, *place: Any, **which: Any) -> Iterator[Record]:
        self._doom.reach("read:before")
        for record in self._inner.read_from(*place, **which):
            yield record
            self._doom.reach("read:after")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

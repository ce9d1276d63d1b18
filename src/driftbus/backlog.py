"""Records that were read and are not yet folded: what a step takes of each topic.

A consumer that catches up is given long runs of one topic, then of another: a megabyte holds three times as
many labels as predictions. Folded as they come, labels would run far ahead of their predictions, beyond the
bound on early labels in the end. So a step takes of each topic what was written up to the same time, as it
would have come live; what is ahead waits here, undecoded.

    predictions ▇▇▇▇▇▇▇▇┊        (more to come)
    labels      ▇▇▇▇▇▇▇▇┊▇▇▇▇▇▇▇ (these wait)
    model-events ▇              (read to its end: holds nobody back)
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter

from driftbus.errors import Unavailable
from driftbus.intake import INPUTS
from driftbus.ports import Bus, Consumer, Record, TopicPartition

log = logging.getLogger("driftbus.backlog")

# Producers' clocks differ, and batches of different topics are written within each other's time.
SLACK_MS = 1_000
# A topic that is not known to be at its end, and of which nothing came for so long, holds nobody back: its
# part of the broker may be down. Ten steps at their longest: others may be served first.
STALLED_S = 10.0

# Asking the broker for ends costs a request per partition: often enough for an alert with `for: 1m`.
LAG_EVERY_S = 5.0

_written_ms = attrgetter("timestamp_ms")


class Backlog:
    """What is held of each partition, per short topic name in offset order. Times are the records' own."""

    def __init__(self, short: Mapping[str, str]) -> None:
        self._short = short  # topic name → short name
        self._held: dict[int, dict[str, list[Record]]] = {}
        self._came_at: dict[tuple[int, str], float] = {}

    def add(self, batch: Iterable[Record], now_s: float) -> None:
        """Put what a poll gave to the rest. `now_s`: any clock that runs evenly."""
        topic, partition, rows = "", -1, None
        for record in batch:
            if rows is None or record.topic != topic or record.partition != partition:
                topic, partition = record.topic, record.partition
                short = self._short[topic]
                rows = self._held.setdefault(partition, {}).setdefault(short, [])
                self._came_at[partition, short] = now_s
            rows.append(record)

    def start(self, partition: int, now_s: float) -> None:
        """A partition is read from here on."""
        self.drop(partition)
        for topic in INPUTS:
            self._came_at[partition, topic] = now_s

    def partitions(self) -> list[int]:
        """Partitions of which something is held."""
        return list(self._held)

    def count(self, partition: int, topic: str) -> int:
        """How many records of a topic wait."""
        return len(self._held.get(partition, {}).get(topic, ()))

    def drop(self, partition: int) -> None:
        """Forget a partition: it is another worker's, or read anew."""
        self._held.pop(partition, None)
        for topic in INPUTS:
            self._came_at.pop((partition, topic), None)

    def take(
        self, partition: int, at_end: Callable[[str], bool], now_s: float, wall_ms: int
    ) -> dict[str, list[Record]]:
        """What the next step folds of a partition; it is no longer held.

        `at_end`: whether a topic was read to its end. `wall_ms`: now; times in the future count as now, so
        that a clock that is ahead holds its records back from nobody.
        """
        held = self._held.get(partition, {})
        limit: int | None = None
        for topic in INPUTS:
            if at_end(topic) or now_s - self._came_at[partition, topic] > STALLED_S:
                continue
            rows = held.get(topic)
            newest = min(rows[-1].timestamp_ms, wall_ms) if rows else 0
            if rows and newest <= 0:
                continue  # written without a time
            limit = newest if limit is None else min(limit, newest)
        if limit is None or limit + SLACK_MS >= wall_ms:
            return self._held.pop(partition, {})
        taken: dict[str, list[Record]] = {}
        for topic in list(held):
            rows = held[topic]
            stop = bisect_right(rows, limit + SLACK_MS, key=_written_ms)
            if stop:
                taken[topic] = rows[:stop]
                if stop == len(rows):
                    del held[topic]
                else:
                    del rows[:stop]
        if not held:
            self._held.pop(partition, None)
        return taken


class LagMeter:
    """How far a loop is behind, measured every `LAG_EVERY_S` however often it is asked."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._at_s = 0.0

    def measure(
        self, consumer: Consumer, places: Iterable[tuple[TopicPartition, int, int]]
    ) -> Iterator[tuple[TopicPartition, int]]:
        """How many records of each place have not been taken. `places`: partition, how many records of it are
        held, position of the first that was not taken. Ends early while the broker is away."""
        now_s = time.monotonic()
        if now_s < self._at_s + LAG_EVERY_S:
            return
        self._at_s = now_s
        for tp, held, position in places:
            lag = held
            if not consumer.at_end(tp):
                try:
                    lag = max(0, self._bus.end_offset(*tp, committed=True) - position)
                except Unavailable as error:
                    # A number for people is no reason to begin anew; what works needs the broker too.
                    log.info("the lag is not known: %s", error)
                    return
            yield tp, lag

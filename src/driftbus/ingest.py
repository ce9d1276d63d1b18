"""Foreign topics → `predictions` and `labels`: poll → map → join halves → produce → commit; exactly once.

One transaction is one step. In it, in this order:

 1. records of foreign topics are mapped; halves of inferences find each other in the same step, or one that
    waits here, or are written to the halves topic, into the partition of their inference
 2. records of the halves topic find the half that waits, or wait from now on
 3. what has waited for too long, or has no room, is given up
 4. events, dead letters, halves, and a tombstone for each half that waits no more, are produced
 5. the positions of every partition that was read go along, with the group's generation
 6. commit

What waits is what stands in the halves topic below the committed position, less the tombstones: an assignment
reads that back, so nothing is lost by a kill at any moment, and nothing is written twice. Crash-only: any
error in a transaction discards everything and ends the run; the next one starts from what is committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping

from driftbus.backlog import LagMeter
from driftbus.config import Settings
from driftbus.counters import Counters
from driftbus.errors import ConfigError, MissingTopic, StateError
from driftbus.joining import Joining, Step
from driftbus.poison import PoisonTally
from driftbus.ports import Bus, Consumer, Record, TopicPartition, Transaction
from driftbus.sources.pairing import place_of, to_half
from driftbus.watchdog import Heartbeat

log = logging.getLogger("driftbus.ingest")

# How long an idle loop waits for a record; then it looks for what has waited for too long.
POLL_S = 0.5
# Foreign records may be a megabyte each, so fewer are held than of ours; a step of so many is as cheap.
MOST_HELD = 2_000
# A step ends with the record that brings it to so many events: records may hold thousands of rows each, and a
# transaction of more takes seconds to deliver.
EVENTS_PER_STEP = 20_000
# As in `restore.py`: longer than a transaction's timeout (15 s), by which the broker ends what a killed
# worker left open.
OPEN_TRANSACTION_LIMIT_S = 60.0


def check_sources(settings: Settings) -> None:
    """Raises `ConfigError` where there is nothing to ingest."""
    if not settings.ingest.sources:
        raise ConfigError("ingest.sources", None, "at least one source; docs/guides/sources.md shows some")


class Ingest:
    """One member of the group `{group}-ingest`. `run` returns after `stop`; any error it raises: anew."""

    def __init__(self, bus: Bus, settings: Settings, worker_id: str, heart: Heartbeat | None = None) -> None:
        check_sources(settings)
        self.settings, self.worker_id = settings, worker_id
        self.group = f"{settings.group}-ingest"
        self.heart = heart or Heartbeat()
        self.joining = Joining(settings.ingest, settings.limits.max_record_bytes)
        self.counters = Counters(records=dict.fromkeys(self.joining.topics, 0))
        self.published = dict.fromkeys(("predictions", "labels", "dead-letters", "ingest-halves"), 0)
        self.ignored: dict[str, int] = dict.fromkeys((each.name for each in settings.ingest.sources), 0)
        self.given_up: dict[tuple[str, str], int] = {}
        self.lag: dict[TopicPartition, int] = {}
        self.connected = False
        self._bus = bus
        self._halves = settings.halves_topic
        self._stopping = threading.Event()
        self._fresh: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._held: dict[TopicPartition, deque[Record]] = {}
        self._poison = PoisonTally()
        self._lag_meter = LagMeter(bus)

    def stop(self) -> None:
        """Ask the loop to finish its step, commit and leave the group. Any thread, any signal."""
        self._stopping.set()

    @property
    def ready(self) -> bool:
        """Whether it is in its group, and has read back what waits."""
        return self.connected and not self._fresh

    def run(self) -> None:
        """Work until `stop`. Raises `BusError`, `TooManyDeadLetters`; `ConfigError` for a foreign topic
        that is missing, or none."""
        self._check_topics()
        transaction = self._bus.transaction(f"{self.group}-{self.worker_id}")
        try:
            topics = [*self.joining.topics, *([self._halves] if self.joining.joins else [])]
            consumer = self._bus.consumer(
                self.group, topics, assigned=self._fresh.update, revoked=self._revoked
            )
            self.connected = True
            try:
                while not self._stopping.is_set():
                    self._turn(consumer, transaction)
                log.info("stopped: all committed, leaving the group")
            finally:
                self.connected = False
                self.heart.beat("leaving the group")
                consumer.close()
        finally:
            self.heart.beat("closing the transactional producer")
            transaction.close()

    def _check_topics(self) -> None:
        for short in ("predictions", "labels", "dead-letters"):
            self._bus.partitions(self.settings.topics[short])
        if self.joining.joins:
            self._bus.partitions(self._halves)
        own = {*self.settings.topics.values(), self._halves}
        for source in self.settings.ingest.sources:
            for topic in source.topics:
                key = f"ingest.sources.{source.name}.topics"
                if topic in own:
                    raise ConfigError(key, topic, "a topic of another service, not one of driftbus's own")
                try:
                    self._bus.partitions(topic)
                except MissingTopic:
                    raise ConfigError(key, topic, "topics that exist") from None

    # -- partitions come and go ----------------------------------------------------------------------

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        log.info("revoked: %d partitions", len(partitions))
        for tp in partitions:
            self._fresh.discard(tp)
            self._positions.pop(tp, None)
            self._held.pop(tp, None)
            self.lag.pop(tp, None)
            if tp.topic == self._halves:
                self.joining.waiting.drop(tp.partition)

    def _start(self, consumer: Consumer) -> None:
        """Seek newly assigned partitions to what is committed, and read back what waits in those of
        halves."""
        fresh = sorted(self._fresh)
        self.counters.rebalances += 1
        log.info("assigned: %d partitions", len(fresh))
        self.heart.beat("asking for committed offsets")
        committed = self._bus.committed(self.group, fresh)
        for tp in fresh:
            position = self._position(tp, committed.get(tp))
            if tp.topic == self._halves and not self._read_back(tp, position):
                return  # asked to end meanwhile: nothing of these was touched
            consumer.seek(tp, position)
            self._positions[tp] = position
        consumer.resume(fresh)
        self._fresh.clear()

    def _position(self, tp: TopicPartition, committed: int | None) -> int:
        """Where to go on. Foreign topics keep their records as long as their owners like, or are made
        anew."""
        begin = self._bus.begin_offset(*tp)
        if committed is None:
            return begin
        end = self._bus.end_offset(*tp, committed=False)
        if begin <= committed <= end:
            return committed
        if tp.topic != self._halves:
            what = "retention has removed records that were not read" if committed < begin else "made anew"
            log.error("%s[%d]: %s: going on at %d, not at %d", *tp, what, begin, committed)
        return begin

    def _read_back(self, tp: TopicPartition, position: int) -> bool:
        """What waits in a partition: halves before the committed position whose tombstone has not come.
        False when it was asked to end before that was certain."""
        end = self._bus.end_offset(*tp, committed=False)
        deadline_s = time.monotonic() + OPEN_TRANSACTION_LIMIT_S
        # What another's open transaction holds back may be a tombstone: the end has to be certain.
        while self._bus.end_offset(*tp, committed=True) < end:
            if self._stopping.is_set():
                return False
            if time.monotonic() > deadline_s:
                limit = f"{OPEN_TRANSACTION_LIMIT_S:g} s"
                raise StateError(f"{tp.topic}[{tp.partition}]: a transaction has been open for {limit}")
            self.heart.beat("waiting for open transactions")
            time.sleep(0.05)
        for record in self._bus.read_from(*tp, self._bus.begin_offset(*tp), end):
            self.heart.beat("reading back what waits")
            if record.value is None:
                place = place_of(record.key)
                if place is not None:
                    self.joining.waiting.remove(place)
            elif record.offset < position:
                self.joining.wait(record, time.monotonic())
        return True

    # -- one step ------------------------------------------------------------------------------------

    def _turn(self, consumer: Consumer, transaction: Transaction) -> None:
        self._gather(consumer)
        if self._fresh:
            self._start(consumer)
            if self._fresh:
                return
        places = ((tp, len(self._held.get(tp, ())), at) for tp, at in self._positions.items())
        self.lag.update(self._lag_meter.measure(consumer, places))
        if any(self._held.values()) or self.joining.waiting.has_given_up(time.monotonic()):
            self._step(consumer, transaction)

    def _gather(self, consumer: Consumer) -> None:
        """Poll until the step is full or, once there is something, its time is over: halves that come within
        that time meet without a detour."""
        rules = self.settings.worker
        most = min(rules.max_records, MOST_HELD)
        held = sum(map(len, self._held.values()))
        until = time.monotonic() + rules.commit_interval_ms / 1000
        wait_s = 0.0 if held else POLL_S
        while held < most and not self._stopping.is_set():
            self.heart.beat("polling")
            records = consumer.poll(most - held, wait_s)
            for record in records:
                tp = TopicPartition(record.topic, record.partition)
                self._held.setdefault(tp, deque()).append(record)
            if held == 0:
                until = time.monotonic() + rules.commit_interval_ms / 1000
            # Counted anew: a rebalance takes away what is held of its partitions.
            held = sum(map(len, self._held.values()))
            wait_s = min(POLL_S, until - time.monotonic())
            if not held or wait_s <= 0 or self._fresh:
                return

    def _step(self, consumer: Consumer, transaction: Transaction) -> None:
        """Steps 1 to 6 of the module's docstring."""
        started = time.perf_counter()
        self.heart.beat("beginning a transaction")
        transaction.begin()
        self.heart.beat("mapping records")
        step = Step()
        offsets, counts = self._take(step)
        self.joining.settle(step)
        self.joining.give_up(step, time.monotonic())
        # Whoever takes halves back has to hold their partition still: its position says so.
        for _, partition in step.taken_back:
            tp = TopicPartition(self._halves, partition)
            offsets.setdefault(tp, self._positions[tp])
        for topic, n in counts.items():
            self._poison.add(topic, n, step.poison(topic), self.settings.worker.max_dead_letter_ratio)
        self.heart.beat("producing")
        self._produce(transaction, step)
        self.heart.beat("waiting for delivery")
        transaction.flush()
        self.heart.beat("sending offsets to the transaction")
        transaction.send_offsets(consumer, offsets)
        self.heart.beat("committing")
        transaction.commit()
        self._positions |= offsets
        self._count(step, counts)
        self.counters.transaction(time.perf_counter() - started)

    def _take(self, step: Step) -> tuple[dict[TopicPartition, int], dict[str, int]]:
        """Steps 1 and 2: the offsets after what was taken, and how many records of each foreign topic."""
        offsets: dict[TopicPartition, int] = {}
        counts: dict[str, int] = {}
        for tp, records in self._held.items():
            while records and len(step.events) + len(step.letters) < EVENTS_PER_STEP:
                record = records.popleft()
                offsets[tp] = record.offset + 1
                if tp.topic == self._halves:
                    self.joining.arrived(record, step, time.monotonic())
                else:
                    counts[tp.topic] = counts.get(tp.topic, 0) + 1
                    self.joining.map(record, step)
        return offsets, counts

    def _produce(self, transaction: Transaction, step: Step) -> None:
        """Step 4."""
        topics = self.settings.topics
        for event in step.events:
            transaction.produce(topics[event.topic], key=event.stream.encode(), value=event.value)
        for letter in step.letters:
            transaction.produce(
                topics["dead-letters"], key=letter.key, value=letter.value, headers=letter.headers()
            )
        for place, record in step.fresh.values():
            transaction.produce(
                self._halves,
                key=place.key,
                value=record.value,
                headers=to_half(record),
                partition=self._bus.partition_for(self._halves, place.pair_key),
            )
        for place, partition in step.taken_back:
            transaction.produce(self._halves, key=place.key, value=None, partition=partition)

    def _count(self, step: Step, counts: Mapping[str, int]) -> None:
        self.counters.steps += 1
        for topic, n in counts.items():
            self.counters.records[topic] += n
        for event in step.events:
            self.published[event.topic] += 1
        self.published["dead-letters"] += len(step.letters)
        self.published["ingest-halves"] += len(step.fresh)
        for letter in step.letters:
            key = letter.topic, letter.reason
            self.counters.dead_letters[key] = self.counters.dead_letters.get(key, 0) + 1
        for name, n in step.ignored.items():
            self.ignored[name] += n
        for what, n in step.given_up.items():
            self.given_up[what] = self.given_up.get(what, 0) + n

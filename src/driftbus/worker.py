"""The service: poll → decode → fold → produce → commit; rebalances; shutdown.

One transaction is one step of each partition that has records. In it, in this order:

 1. the partitions' records are decoded and folded
 2. outcomes, corrections and dead letters are produced
 3. if anything was decided, what was produced is flushed, and the decisions follow with their offsets
 4. step records and snapshots are produced
 5. the positions of all three inputs are sent with the group's generation: no poll lies between the last
    record of the step and this
 6. commit

Crash-only: any error in a transaction discards everything and ends the run; the next one restores.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

from driftbus.backlog import Backlog, LagMeter
from driftbus.collecting import Collecting
from driftbus.config import Settings
from driftbus.core.partition import StepInput, StepResult
from driftbus.counters import Counters
from driftbus.errors import StateError
from driftbus.intake import INPUTS, Intake, take_in
from driftbus.journal import Ranges
from driftbus.ports import Bus, Consumer, Record, TopicPartition, Transaction
from driftbus.publish import Publisher
from driftbus.restore import Task, restore
from driftbus.setbacks import Setbacks
from driftbus.topics import check_topics
from driftbus.watchdog import Heartbeat

log = logging.getLogger("driftbus.worker")

# How long one round of restoring may take before the consumer is polled again to stay in its group.
RESTORE_SLICE_S = 0.25
# An idle partition whose deadlines are near is looked at this often.
IDLE_TICK_S = 1.0
# Streams whose partition is remembered; hashing a name again costs a few microseconds.
HOMES_KEPT = 100_000
# How far predictions and labels may be apart in event time while one is still being caught up with: an hour
# of a busy partition is what fits into memory many times over; live traffic is never so far apart.
MAX_LEAD_MS = 3_600_000
# Of each topic of a partition at least so many records may wait for the other topics, however many partitions
# a worker has: a few polls' worth.
LEAST_HELD = 1_000
# After so long without a record a partition is snapshotted as a whole. Otherwise one with a record an hour
# would need days of its inputs for a restore, and one with a record a day more than their retention holds.
QUIET_S = 60.0
# How long a member without partitions waits for some before it counts as one too many, and ready: Kafka gives
# them within its `group.initial.rebalance.delay.ms` (3 s) and a rebalance.
JOIN_LIMIT_S = 15.0
# However long a step gathers, the loop shows so often that it moves: far below any `stall_timeout`.
LONGEST_POLL_S = 1.0


class Worker:
    """One member of the group. `run` returns after `stop`; any error it raises means: start anew.

    `lock` is held while state changes; readers of the state (metrics, page) take it too. `heart` beats
    wherever the loop goes on to something that may take long.
    """

    def __init__(self, bus: Bus, settings: Settings, worker_id: str, heart: Heartbeat | None = None) -> None:
        self.settings = settings
        self.worker_id = worker_id
        self.lock = threading.Lock()
        self.tasks: dict[int, Task] = {}
        self.restoring: dict[int, tuple[Iterator[float | Task], float]] = {}
        self.counters = Counters()
        self.connected = False
        self.joined = False  # partitions were assigned, or there was time enough to assign some
        self.trouble: str | None = None
        self.heart = heart or Heartbeat()
        self.partitions = 0
        self.lag: dict[tuple[str, int], int] = {}
        self._bus = bus
        self._topics = settings.topics
        self._short = {self._topics[name]: name for name in INPUTS}
        self._stopping = threading.Event()
        self._publisher: Publisher | None = None
        self._home: dict[str, int] = {}
        self._idle_since: dict[int, float] = {}
        self._lag_meter = LagMeter(bus)
        self._paused: set[TopicPartition] = set()
        self._backlog = Backlog(self._short)
        self._setbacks = Setbacks()

    def stop(self) -> None:
        """Ask the loop to finish its step, commit and leave the group. Any thread, any signal."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def published(self) -> dict[str, int]:
        """Records published, by short topic name."""
        return self._publisher.published if self._publisher else {}

    def run(self) -> None:
        """Work until `stop`. Raises `BusError` and `StateError`: nothing is left half done."""
        self.partitions = check_topics(self._bus, self.settings)
        transaction = self._bus.transaction(f"{self.settings.group}-{self.worker_id}")
        try:
            self._publisher = Publisher(self._bus, transaction, self.settings)
            consumer = self._bus.consumer(
                self.settings.group,
                [self._topics[name] for name in INPUTS],
                assigned=self._assigned,
                revoked=self._revoked,
            )
            self.connected, self.trouble = True, None
            try:
                with Collecting() as collecting:
                    self._loop(consumer, transaction, collecting)
            finally:
                self.connected = False
                with self.lock:
                    self.tasks.clear()
                    self.restoring.clear()
                self.heart.beat("leaving the group")
                consumer.close()
        finally:
            self.heart.beat("closing the transactional producer")
            transaction.close()

    def _loop(self, consumer: Consumer, transaction: Transaction, collecting: Collecting) -> None:
        joins_until = time.monotonic() + JOIN_LIMIT_S
        while not self.stopping:
            records = self._gather(consumer)
            self.joined = self.joined or time.monotonic() > joins_until
            self.heart.beat("between two steps")
            if self.restoring:
                self._restore_some(consumer)
            due = {n: tick for n, tick in self._ticks(consumer).items() if n not in records}
            self._align(consumer)
            for tp, lag in self._lag_meter.measure(consumer, self._places()):
                self.lag[self._short[tp.topic], tp.partition] = lag
            if records or due:
                self._step(consumer, transaction, records, due)
                collecting.stepped()
            else:
                collecting.idle()
        if self.tasks:
            # A last step with every snapshot: the next start has nothing to fold.
            self._step(consumer, transaction, {}, dict.fromkeys(self.tasks), everything=True)
        log.info("stopped: all committed, leaving the group")

    # -- partitions come and go ----------------------------------------------------------------------

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        numbers = sorted({tp.partition for tp in partitions})
        self.counters.rebalances += 1
        log.info("assigned partitions %s", numbers)
        with self.lock:
            for number in numbers:
                self.restoring[number] = (restore(self._bus, self.settings, number), 0.0)
            self.joined = True

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        numbers = sorted({tp.partition for tp in partitions})
        log.info("revoked partitions %s", numbers)
        with self.lock:
            for number in numbers:
                self.tasks.pop(number, None)
                self.restoring.pop(number, None)
                self._idle_since.pop(number, None)
                self._backlog.drop(number)
        self._paused.difference_update(partitions)

    def _restore_some(self, consumer: Consumer) -> None:
        """Bring the next partition nearer to running, for a bounded time."""
        number, (work, _) = next(iter(self.restoring.items()))
        until = time.monotonic() + RESTORE_SLICE_S
        self.heart.beat(f"restoring partition {number}")
        for progress in work:
            self.heart.beat(f"restoring partition {number}")
            if isinstance(progress, Task):
                with self.lock:
                    del self.restoring[number]
                    self.tasks[number] = progress
                inputs = [TopicPartition(self._topics[name], number) for name in INPUTS]
                for name, tp in zip(INPUTS, inputs, strict=True):
                    consumer.seek(tp, progress.positions[name])
                self._backlog.start(number, time.monotonic())
                consumer.resume(inputs)
                log.info(
                    "partition %d runs from step %d, %d streams",
                    number,
                    progress.journal.next_step,
                    len(progress.partition.streams),
                )
                self._setbacks.tell(progress.partition, progress.partition.streams)
                return
            self.restoring[number] = (work, progress)
            if time.monotonic() > until:
                return

    def _align(self, consumer: Consumer) -> None:
        """Pause a topic that is far ahead in event time, until the other has caught up or is at its end; and
        one of which more is held back than some steps take.

        Without it a backlog of predictions would be read days ahead of its labels, all of it pending.
        """
        most = max(LEAST_HELD, self.settings.worker.max_records * 4 // max(1, len(self.tasks)))
        for number, task in self.tasks.items():
            join = task.partition.join
            ahead = join.highest("predictions") - join.highest("labels")
            leads = {"predictions": ahead, "labels": -ahead}
            for name in INPUTS:
                tp = TopicPartition(self._topics[name], number)
                held = self._backlog.count(number, name)
                wait = held > (most // 2 if tp in self._paused else most)
                lead = leads.get(name, 0)
                if lead > MAX_LEAD_MS and not wait:
                    other = "labels" if name == "predictions" else "predictions"
                    wait = join.highest(other) > 0 and not self._at_end(consumer, number, other)
                if wait and tp not in self._paused:
                    consumer.pause([tp])
                    self._paused.add(tp)
                elif not wait and tp in self._paused:
                    consumer.resume([tp])
                    self._paused.discard(tp)

    def _at_end(self, consumer: Consumer, number: int, name: str) -> bool:
        """Whether a topic was read to its end, and all of it taken."""
        at_end = consumer.at_end(TopicPartition(self._topics[name], number))
        return at_end and not self._backlog.count(number, name)

    def _places(self) -> Iterator[tuple[TopicPartition, int, int]]:
        """Of each input: how many records are held, and where the first one is that is not yet folded."""
        for number, task in self.tasks.items():
            for name in INPUTS:
                held = self._backlog.count(number, name)
                yield TopicPartition(self._topics[name], number), held, task.positions[name]

    # -- one step ------------------------------------------------------------------------------------

    def _gather(self, consumer: Consumer) -> dict[int, dict[str, list[Record]]]:
        """Poll until the step is full or its time is over: per partition and short topic, in offset order."""
        rules = self.settings.worker
        wait = 0.0 if self.restoring else rules.commit_interval_ms / 1000
        now = time.monotonic()
        until = now + wait
        taken = 0
        while True:
            self.heart.beat("polling")
            batch = consumer.poll(rules.max_records - taken, min(LONGEST_POLL_S, max(0.0, until - now)))
            now = time.monotonic()
            self._backlog.add(batch, now)
            taken += len(batch)
            if taken >= rules.max_records or now >= until or self.stopping:
                break
        found: dict[int, dict[str, list[Record]]] = {}
        wall_ms = time.time_ns() // 1_000_000
        for number in self._backlog.partitions():
            # A rebalance may have come between two polls: what it took away is not ours to fold.
            if number in self.tasks:
                # One that is paused for being ahead holds nobody back: it goes on once the others are folded.
                at_end = {
                    name: consumer.at_end(tp)
                    or (tp in self._paused and not self._backlog.count(number, name))
                    for name in INPUTS
                    for tp in [TopicPartition(self._topics[name], number)]
                }
                topics = self._backlog.take(number, at_end.__getitem__, now, wall_ms)
                if topics:
                    found[number] = topics
            else:
                self._backlog.drop(number)
        return found

    def _ticks(self, consumer: Consumer) -> dict[int, int | None]:
        """Partitions whose deadlines have come while nothing arrives, with the event time they have now."""
        now = time.monotonic()
        due: dict[int, int | None] = {}
        for number, task in self.tasks.items():
            if task.fresh or self._is_quiet(task, now):
                due[number] = None
                continue
            if not all(self._at_end(consumer, number, name) for name in INPUTS):
                self._idle_since.pop(number, None)
                continue
            since = self._idle_since.setdefault(number, now)
            passed_ms = int((now - since) * 1000)
            if passed_ms < IDLE_TICK_S * 1000 or not task.partition.clock:
                continue
            next_due = task.partition.next_due()
            if next_due is not None and next_due <= task.partition.clock + passed_ms:
                due[number] = task.partition.clock + passed_ms
                self._idle_since[number] = now
        return due

    @staticmethod
    def _is_quiet(task: Task, now: float) -> bool:
        """Whether nothing has come for long, and a restore would have something to fold."""
        return now > task.stepped_at + QUIET_S and task.journal.floor < task.journal.next_step

    def _step(
        self,
        consumer: Consumer,
        transaction: Transaction,
        records: dict[int, dict[str, list[Record]]],
        ticks: dict[int, int | None],
        everything: bool = False,
    ) -> None:
        """Steps 1 to 6 of the module's docstring."""
        started = time.perf_counter()
        publisher = self._publisher
        if publisher is None:
            raise StateError("a step before the transaction was opened")
        self.heart.beat("beginning a transaction")
        transaction.begin()
        results: dict[int, StepResult] = {}
        offsets: dict[TopicPartition, int] = {}
        with self.lock:
            for number in sorted({*records, *ticks}):
                task = self.tasks[number]
                topics = records.get(number, {})
                self.heart.beat(f"folding partition {number}")
                taken = take_in(topics, task.partition.admits, self.settings.limits.max_record_bytes)
                task.poison.weigh(topics, taken.dead, self.settings.worker.max_dead_letter_ratio)
                given = StepInput(taken.runs, self._idle(consumer, number, topics), ticks.get(number))
                clock = task.partition.clock
                result = results[number] = task.partition.step(given)
                ranges = self._advance(task, taken)
                publisher.outcomes(number, result)
                publisher.dead_letters(taken.dead)
                publisher.unmatched(result.unmatched)
                whole = everything or task.fresh or (not topics and self._is_quiet(task, time.monotonic()))
                lost = self._setbacks.tell(task.partition, result.touched)
                state = list(task.journal.step(task.partition, given, result, ranges, clock, whole, lost))
                publisher.state(number, state)
                task.fresh, task.stepped_at = False, time.monotonic()
                for name in INPUTS:
                    offsets[TopicPartition(self._topics[name], number)] = task.positions[name]
                self._count(number, topics, taken, result)
        self.heart.beat("producing decisions")
        publisher.decisions(results)
        self.heart.beat("waiting for delivery")
        transaction.flush()
        self.heart.beat("sending offsets to the transaction")
        transaction.send_offsets(consumer, offsets)
        self.heart.beat("committing")
        transaction.commit()
        self.counters.transaction(time.perf_counter() - started)

    def _idle(self, consumer: Consumer, number: int, topics: Mapping[str, object]) -> frozenset[str]:
        """The topics that were read to their end. Labels of this very step come after its predictions: until
        they are folded they hold event time back, or a backlog's predictions would expire before them."""
        return frozenset(
            name
            for name in ("predictions", "labels")
            if self._at_end(consumer, number, name) and (name == "predictions" or name not in topics)
        )

    def _advance(self, task: Task, taken: Intake) -> Ranges:
        """Move the task's positions past what was taken; the ranges that this step read."""
        ranges = {}
        for name in INPUTS:
            start = task.positions[name]
            end = task.positions[name] = taken.ends.get(name, start)
            ranges[name] = (start, end)
        return Ranges(ranges, taken.refused, task.poison.dump())

    def _count(self, number: int, topics: dict[str, list[Record]], taken: Intake, result: StepResult) -> None:
        counters = self.counters
        counters.steps += 1
        for name, records in topics.items():
            counters.records[name] += len(records)
        letters = [(letter.topic, letter.reason) for letter in taken.dead]
        letters += [("labels", reason) for _, reason in result.unmatched]
        for key in letters:
            counters.dead_letters[key] = counters.dead_letters.get(key, 0) + 1
        if topics:
            self._idle_since.pop(number, None)
        strangers = {stream for stream in result.touched if self.home_of(stream) != number}
        for run in taken.runs if strangers else ():
            counters.misrouted[run.topic] += sum(event.stream in strangers for event in run.events)

    def home_of(self, stream: str) -> int:
        """The partition that the bus's partitioner gives a stream."""
        where = self._home.get(stream)
        if where is None:
            if len(self._home) >= HOMES_KEPT:
                self._home.clear()
            where = self._bus.partition_for(self._topics["predictions"], stream.encode())
            self._home[stream] = where
        return where

"""State → a running partition: snapshots, then the steps after them folded again.

 1. `committed()` of the three inputs: the barrier behind which no transaction of ours is pending
 2. the read-uncommitted end of `state`
 3. `state` read committed up to there, waiting (with a limit) for transactions that are still open; the same
    wait for `outcomes`: each partition learns in its own time that a transaction was committed
 4. steps floor … n are all there, of this group, these topics and this number of partitions
 5. per step: the join if it is younger than its snapshot, each stream likewise, by the rules of then
 6. `seq` is gapless, and the same decisions come out as were published
 7. step n says where to go on; where the rules are others now, the first step snapshots all that changed, so
    that no tail is ever of two configurations

Nothing is published here. Every contradiction stops the start, loudly.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from driftbus.config import Settings
from driftbus.core import snapshot
from driftbus.core.block import Run, clock_rises
from driftbus.core.codec import decode
from driftbus.core.join import SHAPE
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition
from driftbus.core.read_back import Recalled
from driftbus.core.records import Outcome
from driftbus.core.shape import shaped
from driftbus.core.snapshot import joined, unseal
from driftbus.errors import Fenced, InvalidRecord, StateError
from driftbus.intake import INPUTS
from driftbus.journal import RING, Journal
from driftbus.locate import READ_ROWS, OutcomeLog, first_seq
from driftbus.poison import PoisonTally
from driftbus.ports import Bus, Record, TopicPartition
from driftbus.steps import Origin, StepRecord, recorded_blocks
from driftbus.upgrades import begins_anew, compare, readable, revive, take_over, tell

log = logging.getLogger("driftbus.restore")

# A transaction may stay open for its timeout (15 s by our own setting) before the broker aborts it; an
# upstream's or another's may take a minute by Kafka's default.
OPEN_TRANSACTION_LIMIT_S = 90.0

# Streams loaded at once: some 50 ms, in which nobody polls.
PIECE_STREAMS = 64

_JOIN = {"step": int, "corrections": int, "clock": int, "join": SHAPE}
_STREAM = {"step": int, "fingerprint": {str: str}, "state": {"left_open": [list]}}


@dataclass(slots=True)
class Task:
    """One partition at work: its fold, its journal, and where its inputs stand (short topic → offset).

    `stepped_at`: when its last step was, by the monotonic clock.
    """

    partition: Partition
    journal: Journal
    positions: dict[str, int]
    fresh: bool  # no step of this configuration has been written: the first one fixes the positions
    poison: PoisonTally = field(default_factory=PoisonTally)
    stepped_at: float = field(default_factory=time.monotonic)


def restore(bus: Bus, settings: Settings, number: int) -> Iterator[float | Task]:
    """Restore one partition. Yields how far it is (0 to 1) between pieces of work, at last the `Task`.

    Raises `StateError` for any contradiction, `BusError` when the bus fails.
    """
    topics = settings.topics
    inputs = {topic: TopicPartition(topics[topic], number) for topic in INPUTS}
    committed = bus.committed(settings.group, list(inputs.values()))
    yield 0.0
    records: dict[str, bytes] = {}
    state_end = yield from _read_state(bus, topics["state"], number, records)
    yield from _until_stable(bus, topics["outcomes"], number)
    origin = Origin(
        settings.group,
        bus.partitions(topics["predictions"]),
        {topic: bus.topic_id(topics[topic]) for topic in (*INPUTS, "outcomes")},
    )
    journal = Journal(settings.config_hash, settings.fingerprint, origin)
    journal.rules = orjson.dumps(settings.fold_document)
    steps = _steps(records)
    # Where nothing was written yet, the first partition tells of the others.
    known = steps or (_recorded(_committed_state(bus, topics["state"], 0)) if number else {})
    objection = known[max(known)].origin.objection(origin) if known else None
    if objection is not None:
        raise StateError(f"the state in {topics['state']!r} {objection}")
    if not steps:
        if committed:
            raise StateError(
                f"partition {number}: group {settings.group!r} has committed offsets but no state; "
                "use a new group, or bring the state topic back"
            )
        begins = {topic: bus.begin_offset(tp.topic, number) for topic, tp in inputs.items()}
        yield Task(Partition(number, settings.stream, settings.limits), journal, begins, fresh=True)
        return
    last = steps[max(steps)]
    positions = {topic: end for topic, (_, end) in last.inputs.items()}
    for topic, tp in inputs.items():
        if tp in committed and committed[tp] != positions[topic]:
            raise StateError(
                f"{tp.topic}[{number}]: the group's offset is {committed[tp]}, step {last.step} ended at "
                f"{positions[topic]}"
            )
        begin = bus.begin_offset(tp.topic, number)
        first = min((s.inputs[topic][0] for n, s in steps.items() if n >= last.floor), default=begin)
        lost = None
        if begin > positions[topic]:
            lost = f"offset {positions[topic]}, not yet read"
        elif begin > first and first < positions[topic]:
            lost = f"offset {first}, which a restore needs to fold again"
        if lost is not None:
            if bus.end_offset(topics["state"], number, committed=False) > state_end:
                # Whoever restores for long enough may be overtaken, and then need what nobody needs any more.
                raise Fenced(f"partition {number}: another member has gone on with it meanwhile")
            raise StateError(f"{tp.topic}[{number}]: retention removed {lost}")
    changed = last.config != settings.config_hash
    upgraded = last.fold != snapshot.FOLD_VERSION
    then = _rules_then(settings, records, last) if changed else settings
    partition = Partition(number, then.stream, then.limits)
    restoring = _Restoring(bus, then, partition, steps, records)
    for share in restoring.run():
        yield 0.3 + 0.7 * share
    if upgraded:
        log.info("partition %d: step %d was written by %s", number, last.step, last.libraries)
        revive(partition)
    if changed:
        log.info("partition %d: the rules have changed since step %d", number, last.step)
        take_over(partition, then, settings)
    else:
        journal.rules = None
    journal.next_step = last.step + 1
    journal.changed = restoring.changed()
    journal.join_snapshot_at = restoring.join_step
    journal.join_changed = restoring.join_step + 1 if last.step > restoring.join_step else None
    # The first step of other rules, or of another fold, snapshots all that changed: no tail is ever of two.
    yield Task(partition, journal, positions, changed or upgraded, poison=PoisonTally.load(last.poison))


def _rules_then(settings: Settings, records: Mapping[str, bytes], last: StepRecord) -> Settings:
    """The settings that the last steps were folded by. Raises `StateError`."""
    if "config" not in records:
        raise StateError(f"state lacks the configuration of step {last.step}")
    sealed = unseal(joined("config", records))
    if sealed.config != last.config:
        raise StateError(f"state holds another configuration than that of step {last.step}")
    with readable("the configuration of the last steps", sealed):
        return settings.with_fold_document(sealed.json())


def _until_stable(bus: Bus, topic: str, number: int) -> Generator[float, None, int]:
    """Wait until all that is in a partition now has been committed or aborted; its end."""
    end = bus.end_offset(topic, number, committed=False)
    deadline = time.monotonic() + OPEN_TRANSACTION_LIMIT_S
    while bus.end_offset(topic, number, committed=True) < end:
        if time.monotonic() > deadline:
            raise StateError(
                f"{topic}[{number}]: a transaction has been open for {OPEN_TRANSACTION_LIMIT_S} s"
            )
        time.sleep(0.05)
        yield 0.0
    return end


def _read_state(bus: Bus, topic: str, number: int, records: dict[str, bytes]) -> Generator[float, None, int]:
    """Fill `records` with the newest value of each key; yields progress, up to 0.3, and returns the end."""
    end = yield from _until_stable(bus, topic, number)
    begin = bus.begin_offset(topic, number)
    for count, record in enumerate(bus.read_from(topic, number, begin, end)):
        _keep(record, records)
        if count % 500 == 0:
            yield 0.3 * (record.offset - begin) / max(1, end - begin)
    return end


def _committed_state(bus: Bus, topic: str, number: int) -> dict[str, bytes]:
    """What is committed by now, whatever may follow."""
    records: dict[str, bytes] = {}
    for record in bus.read_from(topic, number, bus.begin_offset(topic, number)):
        _keep(record, records)
    return records


def _keep(record: Record, records: dict[str, bytes]) -> None:
    if record.key is not None:
        key = record.key.decode(errors="replace")
        if record.value is None:
            records.pop(key, None)
        else:
            records[key] = record.value


def _recorded(records: Mapping[str, bytes]) -> dict[int, StepRecord]:
    """The steps in the ring, by number."""
    found: dict[int, StepRecord] = {}
    for slot in range(RING):
        if f"step/{slot}" in records:
            sealed = unseal(joined(f"step/{slot}", records))
            step = StepRecord.of(sealed.json(), sealed.config, sealed.fold, sealed.libraries)
            found[step.step] = step
    return found


def _steps(records: Mapping[str, bytes]) -> dict[int, StepRecord]:
    """The steps that are still needed, by number; checked for gaps."""
    found = _recorded(records)
    if not found:
        if records:
            raise StateError("state holds snapshots but no steps")
        return {}
    last = found[max(found)]
    for n in range(last.floor, last.step + 1):
        if n not in found:
            raise StateError(f"state lacks step {n} (the last one is {last.step}, its floor {last.floor})")
    return {n: step for n, step in found.items() if n >= last.floor or n == last.step}


class _Restoring:
    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        partition: Partition,
        steps: dict[int, StepRecord],
        records: dict[str, bytes],
    ) -> None:
        self.bus = bus
        self.settings = settings
        self.partition = partition
        self.steps = steps
        self.records = records
        self.last = steps[max(steps)]
        self.outcomes = OutcomeLog(bus, settings.topics["outcomes"], partition.number)
        self.snapshot_of: dict[str, int] = {}
        self.changed_since: dict[str, int] = {}
        self.upgraded = self.last.fold != snapshot.FOLD_VERSION
        # Episodes left open by an upgrade: closed by the first step after it, not by one folded again.
        self.left_open: dict[str, list[list[Any]]] = {}
        self.join_step = -1

    def changed(self) -> dict[str, int]:
        """Streams that changed after their snapshot, by their first such step."""
        return dict(sorted(self.changed_since.items(), key=lambda item: item[1]))

    def run(self) -> Iterator[float]:
        yield from self._load_streams()
        yield from self._load_join()
        tail = [self.steps[n] for n in sorted(self.steps) if n >= self.last.floor]
        if tail:
            for done in self._fold(tail):
                yield 0.4 + 0.6 * done
        for name, left in self.left_open.items():
            self.partition.streams[name].left_open += left
        join = self.partition.join
        if join.next_seq != self.last.next_seq:
            raise StateError(
                f"the join ends at seq {join.next_seq}, step {self.last.step} at {self.last.next_seq}"
            )

    def _load_streams(self) -> Iterator[float]:
        settings = self.settings
        anew: dict[str, Collection[str]] = {}
        keys = [key for key in self.records if key.startswith("stream/")]
        for done, key in enumerate(keys):
            if done % PIECE_STREAMS == 0:
                yield 0.2 * done / len(keys)
            name = key.removeprefix("stream/")
            sealed = unseal(joined(key, self.records))
            raw = shaped(f"stream {name!r}", sealed, _STREAM)
            parts = anew[name] = begins_anew(raw, settings.fingerprint(name), sealed.fold, self.upgraded)
            why = "configuration" if sealed.fold == snapshot.FOLD_VERSION else "version"
            with readable(f"stream {name!r}", sealed):
                rules = settings.stream(name)
                monitor = StreamMonitor.load(raw["state"], name, rules, settings.limits, parts, why)
            if self.upgraded:
                known = len(raw["state"]["left_open"])
                self.left_open[name] = monitor.left_open[known:]
                del monitor.left_open[known:]
            self.partition.streams[name] = monitor
            self.partition.note_due(name, monitor)
            self.snapshot_of[name] = raw["step"]
        tell(self.partition.number, anew, "the configuration or driftbus's version changed")

    def _load_join(self) -> Iterator[float]:
        if "join" not in self.records:
            return
        sealed = unseal(joined("join", self.records))
        raw = shaped("the join", sealed, _JOIN)
        self.join_step = raw["step"]
        self.partition.corrections = raw["corrections"]
        self.partition.clock = raw["clock"]
        with readable("the join", sealed):
            blocks = {}
            for number, *_ in raw["join"]["pending"]:
                blocks[number] = unseal(joined(f"block/{number}", self.records)).body
            yield 0.2
            first, stop = raw["join"]["remembered_from"], raw["join"]["next_seq"]
            outcomes = self._remembered(first, stop)
            pieces = max(1, len(blocks) + (stop - first) // READ_ROWS)
            for done, _ in enumerate(self.partition.join.loading(raw["join"], blocks, outcomes)):
                yield 0.2 + 0.2 * min(1.0, done / pieces)
        yield 0.4

    def _remembered(self, first: int, stop: int) -> Iterator[Recalled]:
        """The outcomes by which ids are remembered, as far as retention has left them: event time may have
        stood still for longer than that."""
        if first >= stop:
            return
        topic, number = self.settings.topics["outcomes"], self.partition.number
        held = first_seq(self.bus, topic, number)
        if held is None or held > first:
            held = stop if held is None else min(held, stop)
            log.warning(
                "%s[%d]: retention removed %d outcomes whose ids were still remembered: replayed pairs of "
                "them would be new pairs",
                *(topic, number, held - first),
            )
            first = held
        yield from self.outcomes.recalled(first, stop)

    def _fold(self, tail: list[StepRecord]) -> Iterator[float]:
        readers = {topic: self._reader(topic, tail) for topic in INPUTS}
        outcomes = self.outcomes.read(tail[0].first_seq, tail[-1].next_seq)
        self.partition.clock = tail[0].clock
        for done, step in enumerate(tail, 1):
            runs = [run for topic in INPUTS if (run := readers[topic](step)).events]
            rows = [next(outcomes) for _ in range(step.next_seq - step.first_seq)]
            if step.step > self.join_step:
                self._fold_join(step, runs)
            self._fold_streams(step, runs, rows)
            yield done / len(tail)

    def _reader(self, topic: str, tail: list[StepRecord]) -> Callable[[StepRecord], Run]:
        """Reads one input forward, a step's range at a time, decoded as it was then."""
        start, end = tail[0].inputs[topic][0], tail[-1].inputs[topic][1]
        tp = TopicPartition(self.settings.topics[topic], self.partition.number)
        records = iter(()) if start == end else self.bus.read_from(tp.topic, tp.partition, start, end)
        ahead: list[Record] = []

        def read(step: StepRecord) -> Run:
            run = Run(topic, [], [], [])
            refused = set(step.refused.get(topic, ()))
            for record in chain(ahead.copy(), records):
                ahead.clear()
                if record.offset >= step.inputs[topic][1]:
                    ahead.append(record)
                    break
                if record.offset in refused:
                    continue
                try:
                    event = decode(
                        topic,
                        record.key,
                        record.value,
                        record.headers,
                        record.timestamp_ms,
                        self.settings.limits.max_record_bytes,
                    )
                except InvalidRecord:
                    continue
                run.events.append(event)
                run.offsets.append(record.offset)
                run.times.append(record.timestamp_ms)
            return run

        return read

    def _fold_join(self, step: StepRecord, runs: list[Run]) -> None:
        join = self.partition.join
        join.step(runs, step.idle, step.tick)
        if join.next_seq != step.next_seq:
            raise StateError(
                f"step {step.step} joined up to seq {step.next_seq}, folded again {join.next_seq}"
            )
        self.partition.corrections += len(step.corrections)

    def _fold_streams(self, step: StepRecord, runs: list[Run], rows: list[Outcome]) -> None:
        blocks = recorded_blocks(step, runs, rows)
        rises = clock_rises(step.clock, runs, step.tick)
        result = self.partition.refold(
            blocks, rises, lambda stream: step.step > self.snapshot_of.get(stream, -1)
        )
        for stream in result.touched:
            self.changed_since.setdefault(stream, step.step)
            compare(stream, step, result.digests.get(stream), self.settings.config_hash)

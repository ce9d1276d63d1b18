"""What a worker left on a bus, once, as lists in memory: a restore reads it as often as a fuzzer likes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from driftbus.config import Settings
from driftbus.core.encode import drift_event, retrain_request
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import Decision, DriftEvent
from driftbus.errors import OffsetOutOfRange
from driftbus.intake import INPUTS, take_in
from driftbus.journal import Journal, Ranges
from driftbus.poison import PoisonTally
from driftbus.ports import Record, TopicPartition
from driftbus.steps import Origin
from tests.core.streams import Shape, events
from tests.test_worker import settings_of


class RecordedBus:
    """The reading half of a bus with one partition a topic, over records that are there."""

    def __init__(
        self, logs: dict[str, list[Record]], committed: dict[TopicPartition, int], ids: dict[str, str]
    ) -> None:
        self.logs = logs
        self._committed = committed
        self._ids = ids

    def replaced(self, topic: str, records: list[Record]) -> RecordedBus:
        """The same with other records in one topic."""
        return RecordedBus({**self.logs, topic: records}, self._committed, self._ids)

    def partitions(self, topic: str) -> int:
        return 1

    def topic_id(self, topic: str) -> str:
        return self._ids[topic]

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._committed[tp] for tp in partitions if tp in self._committed}

    def begin_offset(self, topic: str, partition: int) -> int:
        return self.logs[topic][0].offset if self.logs[topic] else 0

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        return self.logs[topic][-1].offset + 1 if self.logs[topic] else 0

    def read_from(
        self, topic: str, partition: int, offset: int, end: int | None = None, *, committed: bool = True
    ) -> Iterator[Record]:
        if offset < self.begin_offset(topic, partition):
            raise OffsetOutOfRange(topic, partition, offset)
        return (r for r in self.logs[topic] if r.offset >= offset and (end is None or r.offset < end))


# Small steps, so that the tail to fold again has some of every kind.
STEP_RECORDS = 60
SHAPES = [Shape("moved", rows=900, change=500, after=0.6, versions=(100,)), Shape("steady", rows=90)]


@cache
def recorded() -> tuple[RecordedBus, Settings]:
    """A bus with streams that drift and deploy, an episode and a request, waiting and early labels, and a
    tail to fold again; and its settings."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(Path(folder), {"retrain": {"cooldown": "30m", "min_rows": 100}})
    topics = settings.topics
    logs: dict[str, list[Record]] = {topic: [] for topic in topics.values()}

    def add(short: str, key: str, value: bytes | None, ts: int) -> Record:
        log = logs[topics[short]]
        log.append(Record(topics[short], 0, len(log), key.encode(), value, (), ts))
        return log[-1]

    partition = Partition(0, settings.stream, settings.limits)
    ids = {topic: topic for topic in logs}
    origin = Origin(settings.group, 1, {name: topics[name] for name in (*INPUTS, "outcomes")})
    journal = Journal(settings.config_hash, settings.fingerprint, origin)
    journal.rules = orjson.dumps(settings.fold_document)
    positions = dict.fromkeys(INPUTS, 0)
    # The last labels do not come: their predictions wait. One comes without its prediction.
    rows = list(events(SHAPES, seed=3))
    rows = [*rows[:-40], ("labels", {"prediction_id": "alone", "stream": "steady", "label": 1}, rows[-1][2])]
    for start in range(0, len(rows), STEP_RECORDS):
        taken: dict[str, list[Record]] = {name: [] for name in INPUTS}
        for name, value, ts in rows[start : start + STEP_RECORDS]:
            taken[name].append(add(name, value["stream"], orjson.dumps(value), ts))
        intake = take_in(taken, partition.admits, settings.limits.max_record_bytes)
        clock = partition.clock
        given = StepInput(intake.runs, frozenset())
        result = partition.step(given)
        ranges = {name: (positions[name], intake.ends.get(name, positions[name])) for name in INPUTS}
        positions = {name: end for name, (_, end) in ranges.items()}
        for keyed in result.outcomes:
            add("outcomes", keyed.stream, keyed.value, 0)
        for _, decision in result.decisions:
            _publish(decision, settings, add)
        for key, data in journal.step(
            partition, given, result, Ranges(ranges, {}, PoisonTally().dump()), clock, everything=not start
        ):
            add("state", key, data, 0)
    committed = {TopicPartition(topics[name], 0): end for name, end in positions.items()}
    return RecordedBus(logs, committed, ids), settings


def _publish(decision: Decision, settings: Settings, add: Any) -> None:
    place = {"topic": settings.topics["outcomes"], "partition": 0}
    if isinstance(decision, DriftEvent):
        event = drift_event(decision, settings.source, {**place, "offset": decision.onset.seq})
        add("drift-events", decision.stream, orjson.dumps(event), decision.detected_at)
    else:
        window = decision.window
        cited = {"start_offset": window.start_seq, "end_offset": window.end_seq, "corrections_offset": 0}
        event = retrain_request(decision, settings.source, {**place, **cited})
        add("retrain-requests", decision.stream, orjson.dumps(event), decision.time)

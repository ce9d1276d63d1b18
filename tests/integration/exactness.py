"""Did killed workers leave what the fold over the committed log gives? Nothing twice, nothing missing.

Every step is folded again from its recorded inputs by a fresh core, join included, and all that was published
is compared with what comes out: outcomes and decisions byte for byte, dead letters one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson

from driftbus.config import Settings
from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.encode import drift_event, retrain_request
from driftbus.core.partition import Partition, StepInput, StepResult
from driftbus.core.records import DriftEvent
from driftbus.core.snapshot import unseal
from driftbus.errors import InvalidRecord
from driftbus.intake import INPUTS
from driftbus.ports import Bus, Record
from driftbus.steps import StepRecord
from driftbus.wiring import share


def read_all(bus: Bus, topic: str) -> dict[int, list[Record]]:
    """Every committed record of a topic, per partition."""
    return {
        p: list(bus.read_from(topic, p, bus.begin_offset(topic, p))) for p in range(bus.partitions(topic))
    }


def steps_of(records: list[Record]) -> list[StepRecord]:
    """All step records of one partition of `state` (which must not be compacted), checked for gaps."""
    steps = []
    for record in records:
        if record.key is not None and record.key.startswith(b"step/") and record.value is not None:
            sealed = unseal(record.value)
            steps.append(StepRecord.of(sealed.json(), sealed.config, sealed.fold))
    assert [step.step for step in steps] == list(range(len(steps)))
    for before, after in pairwise(steps):
        for topic in INPUTS:
            assert before.inputs[topic][1] == after.inputs[topic][0]
        assert before.next_seq == after.first_seq
    return steps


class Checked:
    """The result of a check: how much there was of each, and each partition as the fold leaves it."""

    def __init__(self) -> None:
        self.partitions: dict[int, Partition] = {}
        self.outcomes = self.drift_events = self.requests = self.steps = self.dead_letters = 0


def check(bus: Bus, settings: Settings) -> Checked:
    """Fold everything again and compare. Raises AssertionError with what differs."""
    topics = settings.topics
    inputs = {name: read_all(bus, topics[name]) for name in INPUTS}
    outcomes, state = read_all(bus, topics["outcomes"]), read_all(bus, topics["state"])
    corrections = read_all(bus, topics["label-corrections"])
    partitions = len(outcomes)
    rules = replace(settings, limits=share(settings.limits, partitions))
    found = Checked()
    expected: dict[str, tuple[dict[str, Any], int, int]] = {}
    letters: Counter[tuple[str, int, int]] = Counter()
    for number in range(partitions):
        partition = found.partitions[number] = Partition(number, rules.stream, rules.limits)
        offsets = {orjson.loads(r.value or b"{}")["seq"]: r.offset for r in outcomes[number]}
        assert sorted(offsets) == list(range(len(offsets))), "seq has gaps or repeats"
        published = [r.value for r in outcomes[number]]
        folded: list[bytes] = []
        corrected: list[bytes] = []
        for step in steps_of(state[number]):
            runs = [
                run
                for name in INPUTS
                if (
                    run := _run(name, inputs[name][number], step, letters, rules.limits.max_record_bytes)
                ).events
            ]
            before = len(corrected)
            result = partition.step(StepInput(runs, step.idle, step.tick))
            folded += [row.value for row in result.outcomes]
            corrected += [row.value for row in result.corrections]
            assert result.next_seq == step.next_seq
            places = [r.offset for r in corrections[number]]
            for event, low, high in _decisions(result, settings, number, offsets, places, before):
                assert event["id"] not in expected
                expected[event["id"]] = (event, low, high)
            found.steps += 1
        assert folded == published, f"outcomes of partition {number} are not the fold"
        assert corrected == [r.value for r in corrections[number]], "corrections are not the fold"
        found.outcomes += len(folded)
        for name in INPUTS:
            ends = steps_of(state[number])[-1].inputs[name][1]
            assert ends >= (inputs[name][number][-1].offset + 1 if inputs[name][number] else 0)
    events = [r.value or b"" for rs in read_all(bus, topics["drift-events"]).values() for r in rs]
    requests = [r.value or b"" for rs in read_all(bus, topics["retrain-requests"]).values() for r in rs]
    for raw in events + requests:
        event = orjson.loads(raw)
        again, low, high = expected.pop(event["id"])
        window = event["data"].get("training_window")
        if window is not None:
            # Any offset past the last known correction and before the next one says the same.
            assert low <= window["corrections_offset"] <= high
            window["corrections_offset"] = None
        assert orjson.dumps(event) == orjson.dumps(again), "a published event is not the fold's"
    assert not expected, "events of the fold were not published"
    dead = Counter(_origin(r) for rs in read_all(bus, topics["dead-letters"]).values() for r in rs)
    assert dead == letters, "dead letters: not each poison record once"
    found.drift_events, found.requests, found.dead_letters = len(events), len(requests), sum(dead.values())
    return found


def _run(
    name: str,
    records: list[Record],
    step: StepRecord,
    letters: Counter[tuple[str, int, int]],
    max_bytes: int,
) -> Run:
    start, end = step.inputs[name]
    run = Run(name, [], [], [])
    for record in records:
        if start <= record.offset < end:
            try:
                event = decode(name, record.key, record.value, record.headers, record.timestamp_ms, max_bytes)
            except InvalidRecord:
                letters[record.topic, record.partition, record.offset] += 1
                continue
            run.events.append(event)
            run.offsets.append(record.offset)
            run.times.append(record.timestamp_ms)
    return run


def _decisions(
    result: StepResult,
    settings: Settings,
    number: int,
    offsets: dict[int, int],
    corrections: list[int],
    before: int,
) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Each decision's event, with the bounds within which its `corrections_offset` must lie."""
    topics = settings.topics
    for pos, decision in result.decisions:
        known = before + bisect_right(result.correction_rows, pos, key=lambda row: row[0])
        low = corrections[known - 1] + 1 if known else 0
        high = corrections[known] if known < len(corrections) else 1 << 62
        if isinstance(decision, DriftEvent):
            onset = decision.onset
            topic = topics["outcomes" if onset.labelled else "predictions"]
            offset = offsets[onset.seq] if onset.labelled else onset.seq
            place: dict[str, Any] = {"topic": topic, "partition": number, "offset": offset}
            yield drift_event(decision, settings.source, place), low, high
        else:
            window = decision.window
            place = {
                "topic": topics["outcomes"],
                "partition": number,
                "start_offset": offsets[window.start_seq],
                "end_offset": offsets[window.end_seq - 1] + 1,
                "corrections_offset": None,
            }
            yield retrain_request(decision, settings.source, place), low, high


def _origin(record: Record) -> tuple[str, int, int]:
    headers = dict(record.headers)
    return (
        (headers["__connect.errors.topic"] or b"").decode(),
        int(headers["__connect.errors.partition"] or b"-1"),
        int(headers["__connect.errors.offset"] or b"-1"),
    )

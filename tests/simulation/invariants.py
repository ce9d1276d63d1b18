"""What must hold after every schedule, however it went.

1. steps: numbered without gap, each beginning where the one before ended, together all of the input
2. `seq` is gapless per partition; published is what a second fold over the committed log gives, byte for
   byte: outcomes, corrections, drift events, requests
3. dead letters: each poison record once, and each label whose stream wants it there
4. pairs: no id has two outcomes; where no bound and no horizon is reached every prediction that has a label
   has one, with the first label, and the last label stands in its last correction (from the records alone)
5. a restore from what is in `state` gives a partition's streams and join as the second fold has them
6. calls: no process polls within a transaction, or the positions that it sends would go with a generation
   that its records did not come in, while another member may have had their partitions
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import orjson

from driftbus.config import Settings
from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.encode import drift_event, label_bytes, retrain_request
from driftbus.core.partition import Partition, StepInput, StepResult
from driftbus.core.records import DriftEvent
from driftbus.core.snapshot import unseal
from driftbus.errors import InvalidRecord
from driftbus.intake import INPUTS
from driftbus.ports import Bus, Record, TopicPartition
from driftbus.steps import StepRecord

from .broker import Broker
from .restored import check_restored
from .seen import Seen, require
from .world import PATIENT, POISON, World

Events = dict[str, tuple[dict[str, Any], tuple[int, int]]]


def check(broker: Broker, world: World, bus: Bus) -> Counter[str]:
    """All of it; what there was of each. `bus`: one on which nothing goes wrong any more."""
    seen = Seen(broker, world.settings, world.partitions)
    counts: Counter[str] = Counter()
    events: Events = {}
    letters: Counter[bytes] = Counter()
    for number in range(world.partitions):
        steps = _steps(seen, number)
        folded = _fold_again(seen, number, steps, events, letters, counts)
        _pairs(seen, world, number)
        # One of them: a restore costs as much as a fold, and which one is as good as drawn.
        if number == len(world.events) % world.partitions:
            check_restored(bus, seen, number, folded)
    _published(seen, events, counts)
    dead = Counter(_letter(record) for record in seen.all("dead-letters"))
    require(
        dead == letters, "dead letters differ: published less due", dead - letters, "missing", letters - dead
    )
    origins = Counter(b" ".join(each.split(b" ", 3)[:3]) for each in dead.elements())
    for topic in INPUTS:
        for record in seen.all(topic):
            if record.value in POISON:
                where = b"%b %d %d" % (record.topic.encode(), record.partition, record.offset)
                require(origins[where] == 1, "poison not dead-lettered once", where, origins[where])
                counts["poison"] += 1
    counts["dead letters"] = sum(dead.values())
    return counts


def check_calls(calls: Iterable[tuple[int, str, str, tuple[object, ...]]]) -> None:
    """Rule 6, from all port calls: time, process, call, details. A worker that begins anew opens transactions
    anew."""
    opened: set[str] = set()
    for now_ms, process, call, _ in calls:
        if call == "begin":
            opened.add(process)
        elif call in ("commit", "abort", "close", "transaction"):
            opened.discard(process)
        require(call != "poll" or process not in opened, "a poll within a transaction", process, now_ms)


def _steps(seen: Seen, number: int) -> list[StepRecord]:
    steps = []
    for record in seen("state", number):
        if record.key is not None and record.key.startswith(b"step/") and record.value is not None:
            sealed = unseal(record.value)
            steps.append(StepRecord.of(sealed.json(), sealed.config, sealed.fold))
    require([step.step for step in steps] == list(range(len(steps))), "steps are missing or repeat", number)
    for before, after in pairwise(steps):
        for topic in INPUTS:
            require(before.inputs[topic][1] == after.inputs[topic][0], "a step is lost", number, after.step)
        require(before.next_seq == after.first_seq, "seq jumps between steps", number, after.step)
    for topic in INPUTS:
        records = seen(topic, number)
        if records:
            require(steps, "nothing was consumed", topic, number)
            require(
                steps[0].inputs[topic][0] == 0,
                "the first step does not begin at the beginning",
                topic,
                number,
            )
            end = steps[-1].inputs[topic][1]
            require(end > records[-1].offset, "not consumed", topic, number, end, records[-1].offset)
            committed = seen.broker.group(seen.settings.group).offsets
            where = TopicPartition(seen.settings.topics[topic], number)
            require(committed[where] == end, "committed is not where the last step ends", where, end)
    return steps


def _fold_again(
    seen: Seen,
    number: int,
    steps: list[StepRecord],
    events: Events,
    letters: Counter[bytes],
    counts: Counter[str],
) -> Partition:
    settings = seen.settings
    partition = Partition(number, settings.stream, settings.limits)
    inputs = {topic: seen(topic, number) for topic in INPUTS}
    published = seen("outcomes", number)
    seqs = [orjson.loads(record.value or b"")["seq"] for record in published]
    require(seqs == list(range(len(seqs))), "seq has gaps or repeats", number, seqs)
    offsets = [record.offset for record in published]
    places = [record.offset for record in seen("label-corrections", number)]
    outcomes: list[bytes] = []
    corrections: list[bytes] = []
    for step in steps:
        runs = [_run(topic, inputs[topic], step, partition, letters, settings) for topic in INPUTS]
        known = len(corrections)
        result = partition.step(StepInput([run for run in runs if run.events], step.idle, step.tick))
        outcomes += [row.value for row in result.outcomes]
        corrections += [row.value for row in result.corrections]
        for label, reason in result.unmatched:
            letters[b"JOIN %b %b %b" % (reason.encode(), label.stream.encode(), label_bytes(label))] += 1
        require(result.next_seq == step.next_seq, "another next_seq", number, step.step)
        require(not partition.defects, "a stream was set aside", partition.defects)
        for event, bounds in _decided(result, settings, number, offsets, places, known):
            require(event["id"] not in events, "decided twice", event["id"])
            events[event["id"]] = event, bounds
    require(outcomes == [record.value for record in published], "outcomes are not the fold", number)
    require(
        corrections == [record.value for record in seen("label-corrections", number)],
        "corrections are not the fold",
        number,
    )
    counts["steps"] += len(steps)
    counts["outcomes"] += len(outcomes)
    counts["corrections"] += len(corrections)
    return partition


def _run(
    topic: str,
    records: list[Record],
    step: StepRecord,
    partition: Partition,
    letters: Counter[bytes],
    settings: Settings,
) -> Run:
    start, end = step.inputs[topic]
    run = Run(topic, [], [], [])
    for record in records:
        if start <= record.offset < end:
            _, _, offset, key, value, headers, time_ms = record
            try:
                event = decode(topic, key, value, headers, time_ms, settings.limits.max_record_bytes)
                if not partition.admits(event.stream):
                    raise InvalidRecord("stream_limit", "")
            except InvalidRecord as error:
                where = b"%b %d %d" % (record.topic.encode(), record.partition, offset)
                letters[b"%b %b %a %b" % (where, error.reason.encode(), headers, value or b"")] += 1
                continue
            run.events.append(event)
            run.offsets.append(offset)
            run.times.append(time_ms)
    return run


def _letter(record: Record) -> bytes:
    """A dead letter as one value: where it came from, why, and what it is, its own headers included."""
    headers = dict(record.headers)
    reason = (headers["__connect.errors.exception.class.name"] or b"").removeprefix(b"driftbus.")
    if headers["__connect.errors.stage"] == b"JOIN":
        return b"JOIN %b %b %b" % (reason, record.key or b"", record.value or b"")
    origin = [headers[f"__connect.errors.{name}"] or b"" for name in ("topic", "partition", "offset")]
    own = tuple(header for header in record.headers if not header[0].startswith("__connect."))
    return b" ".join([*origin, reason, b"%a" % (own,), record.value or b""])


def _decided(
    result: StepResult,
    settings: Settings,
    number: int,
    offsets: list[int],
    corrections: list[int],
    before: int,
) -> Iterator[tuple[dict[str, Any], tuple[int, int]]]:
    """Each decision's event, with the bounds within which its `corrections_offset` must lie."""
    topics = settings.topics
    for pos, decision in result.decisions:
        if isinstance(decision, DriftEvent):
            onset = decision.onset
            topic = topics["outcomes" if onset.labelled else "predictions"]
            offset = offsets[onset.seq] if onset.labelled else onset.seq
            place: dict[str, Any] = {"topic": topic, "partition": number, "offset": offset}
            yield drift_event(decision, settings.source, place), (0, 0)
            continue
        known = before + bisect_right(result.correction_rows, pos, key=lambda row: row[0])
        low = corrections[known - 1] + 1 if known else 0
        high = corrections[known] if known < len(corrections) else 1 << 62
        window = decision.window
        place = {"topic": topics["outcomes"], "partition": number, "corrections_offset": None}
        if window.end_seq > window.start_seq:
            place["start_offset"] = offsets[window.start_seq]
            place["end_offset"] = offsets[window.end_seq - 1] + 1
        else:
            # Empty: anywhere between the rows before and after it.
            place["start_offset"] = place["end_offset"] = None
        yield retrain_request(decision, settings.source, place), (low, high)


def _published(seen: Seen, events: Events, counts: Counter[str]) -> None:
    for topic in ("drift-events", "retrain-requests"):
        for record in seen.all(topic):
            event = orjson.loads(record.value or b"")
            require(event["id"] in events, "published, but not decided", topic, event["id"])
            again, (low, high) = events.pop(event["id"])
            window = event["data"].get("training_window")
            if window is not None:
                require(low <= window["corrections_offset"] <= high, "corrections_offset", window, low, high)
                window["corrections_offset"] = None
                if again["data"]["training_window"]["start_offset"] is None:
                    require(
                        window["start_offset"] == window["end_offset"], "an empty window has rows", window
                    )
                    window["start_offset"] = window["end_offset"] = None
            require(
                orjson.dumps(event) == orjson.dumps(again),
                "not the fold's event:",
                event,
                "the fold's:",
                again,
            )
            counts[topic] += 1
    require(not events, "decided, but not published", list(events))


def _pairs(seen: Seen, world: World, number: int) -> None:
    """Rule 4, from the records alone."""
    rows = [orjson.loads(record.value or b"") for record in seen("outcomes", number)]
    if not world.roomy:
        return
    ids = Counter((row["stream"], row["prediction_id"]) for row in rows)
    # After horizon and grace an id is forgotten, and a pair sent again is a new pair.
    twice = [one for one, n in ids.items() if n > 1 and one[0].split("-")[0] in PATIENT]
    require(not twice, "joined twice", twice)
    first: dict[str, dict[str, Any]] = {"predictions": {}, "labels": {}}
    last: dict[str, Any] = {}
    for topic, known in first.items():
        for record in seen(topic, number):
            if record.value not in POISON:
                value = orjson.loads(record.value or b"")
                known.setdefault(value["prediction_id"], value)
                if topic == "labels":
                    last[value["prediction_id"]] = value["label"]
    due = first["predictions"].keys() & first["labels"].keys()
    due = {pid for pid in due if pid.split("-")[0] in PATIENT}
    joined = {row["prediction_id"]: row for row in rows if row["stream"].split("-")[0] in PATIENT}
    require(joined.keys() == due, "pairs missing or invented", number, joined.keys() ^ due)
    told = {pid: row["label"] for pid, row in joined.items()}
    for pid, row in joined.items():
        require(row["label"] == first["labels"][pid]["label"], "not the first label", row)
        require(row["prediction"] == first["predictions"][pid]["prediction"], "another prediction", row)
    for record in seen("label-corrections", number):
        correction = orjson.loads(record.value or b"")
        if correction["prediction_id"] in told:
            require(correction["previous_label"] == told[correction["prediction_id"]], "corrects", correction)
            told[correction["prediction_id"]] = correction["label"]
    for pid, label in told.items():
        require(label == last[pid], "the last label does not stand", pid)

"""Recording a world, and going on from a recording: the worker's step without its bus."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from driftbus.config import Settings, load
from driftbus.core import snapshot
from driftbus.core.encode import drift_event, retrain_request
from driftbus.core.partition import StepInput, StepResult
from driftbus.core.records import DriftEvent
from driftbus.intake import INPUTS, take_in
from driftbus.journal import Ranges
from driftbus.ports import Record
from driftbus.restore import Task, restore
from tests.golden import world
from tests.golden.log import Log

# Past every horizon, timeout and cooldown of the world: what waits is decided, requests count as failed at
# the first tick, and are repeated at the second.
TICKS_MS = (86_400_000, 2 * 86_400_000)
# Steps that a restore after the crash folds anew: streams are snapshotted every so many records, so more of
# these than the recording has room for would be needed.
KEPT_STEPS = 22


def settings_of(config: Mapping[str, Any]) -> Settings:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "driftbus.yaml"
        path.write_bytes(orjson.dumps(config))
        return load(path, {})


def restored(log: Log, settings: Settings) -> Task:
    *_, task = restore(log, settings, 0)  # type: ignore[arg-type]
    assert isinstance(task, Task)
    return task


def step(
    log: Log,
    settings: Settings,
    task: Task,
    counts: Sequence[int],
    *,
    whole: bool = False,
    tick: int | None = None,
) -> StepResult:
    """One step of so many records per input; outcomes and state go into the log, as a worker's would."""
    partition, topics = task.partition, settings.topics
    given: dict[str, list[Record]] = {}
    for name, count in zip(INPUTS, counts, strict=True):
        start = task.positions[name]
        found = list(log.read_from(topics[name], 0, start, start + count))
        assert len(found) == count
        if found:
            given[name] = found
    taken = take_in(given, partition.admits, settings.limits.max_record_bytes)
    task.poison.weigh(given, taken.dead, settings.worker.max_dead_letter_ratio)
    idle = frozenset() if tick is None else frozenset({"predictions", "labels"})
    inputs = StepInput(taken.runs, idle, tick)
    clock = partition.clock
    result = partition.step(inputs)
    ranges = {}
    for name in INPUTS:
        start = task.positions[name]
        task.positions[name] = taken.ends.get(name, start)
        ranges[name] = (start, task.positions[name])
    for row in result.outcomes:
        log.add(topics["outcomes"], row.stream.encode(), row.value)
    told = Ranges(ranges, taken.refused, task.poison.dump())
    for key, value in task.journal.step(partition, inputs, result, told, clock, whole or task.fresh):
        log.add(topics["state"], key.encode(), value)
    task.fresh = False
    return result


def published(results: Sequence[StepResult]) -> dict[str, Any]:
    """What steps published; places are told by `seq`, as the bus of a recording has no offsets of its own."""
    events: list[Any] = []
    outcomes, corrections, count = sha256(), sha256(), 0
    for result in results:
        for row in result.outcomes:
            outcomes.update(row.value)
        for row in result.corrections:
            corrections.update(row.value)
        count += len(result.outcomes)
        for _, decision in result.decisions:
            if isinstance(decision, DriftEvent):
                at = {"topic": "", "partition": 0, "offset": decision.onset.seq}
                events.append(drift_event(decision, "golden", at))
            else:
                window = decision.window
                rows = {"topic": "", "start_offset": window.start_seq, "end_offset": window.end_seq}
                place = {**rows, "partition": 0, "corrections_offset": None}
                events.append(retrain_request(decision, "golden", place))
    return {
        "events": orjson.loads(orjson.dumps(events)),
        "outcomes": [count, outcomes.hexdigest()],
        "corrections": corrections.hexdigest(),
    }


def go_on(log: Log, settings: Settings, task: Task) -> dict[str, Any]:
    """Fold what the recording has left, then let time pass; what was published."""
    results = [step(log, settings, task, counts) for counts in log.facts["steps"]]
    left_ms = task.partition.clock
    results += [step(log, settings, task, (0, 0, 0), tick=left_ms + passed) for passed in TICKS_MS]
    return published(results)


def in_flight(task: Task) -> dict[str, str]:
    """The request in flight of each stream that has one."""
    found = {name: monitor.policy.in_flight for name, monitor in task.partition.streams.items()}
    return {name: request for name, request in found.items() if request is not None}


def record() -> Log:
    """The world up to its last steps, as a crash and as a clean end leave it, and what follows."""
    settings = settings_of(world.CONFIG)
    topics = settings.topics
    log = Log()
    rows = world.inputs()
    steps: list[list[int]] = []
    for start in range(0, len(rows), world.STEP_ROWS):
        some = rows[start : start + world.STEP_ROWS]
        for name, key, value, ts in some:
            log.add(topics[name], key, value, ts)
        steps.append([sum(name == row[0] for row in some) for name in INPUTS])
    done = world.LEFT_AT // world.STEP_ROWS
    task = restored(log, settings)
    told = [
        step(log, settings, task, counts, whole=done - at == KEPT_STEPS)
        for at, counts in enumerate(steps[:done])
    ]
    log.facts = {
        "libraries": snapshot.LIBRARIES,
        "fold": snapshot.FOLD_VERSION,
        "config": world.CONFIG,
        "steps": steps[done:],
        "before": published(told)["events"],
        "in_flight": in_flight(task),
    }
    crashed = compacted(log, settings, task)
    step(log, settings, task, (0, 0, 0), whole=True)
    stopped = compacted(log, settings, task)
    facts = {**log.facts, "published": go_on(log, settings, task)}
    facts["crashed_at"] = len(crashed.records[topics["state"]])
    last = [
        r for r in stopped.records[topics["state"]] if r.offset > crashed.records[topics["state"]][-1].offset
    ]
    crashed.records[topics["state"]] += last
    crashed.facts = facts
    return crashed


def compacted(log: Log, settings: Settings, task: Task) -> Log:
    """The log as compaction and retention leave it, with all that a restore needs."""
    topics = settings.topics
    state: dict[bytes | None, Record] = {}
    for record in log.records[topics["state"]]:
        state.pop(record.key, None)
        if record.value is not None:
            state[record.key] = record
    kept = Log(log.facts, {topics["state"]: list(state.values())})
    floor, seq = needed(log, settings)
    for name in INPUTS:
        kept.records[topics[name]] = [r for r in log.records.get(topics[name], []) if r.offset >= floor[name]]
    kept.records[topics["outcomes"]] = log.records[topics["outcomes"]][seq:]
    return kept


def needed(log: Log, settings: Settings) -> tuple[dict[str, int], int]:
    """From which offset of each input, and from which `seq`, a restore reads."""
    steps: dict[int, dict[str, Any]] = {}
    remembered = 0
    for record in log.records[settings.topics["state"]]:
        key = (record.key or b"").decode()
        if record.value is None or not key.startswith(("step/", "join")):
            continue
        raw = snapshot.unseal(record.value).json()
        if key == "join":
            remembered = raw["join"]["remembered_from"]
        else:
            steps[raw["step"]] = raw
    last = steps[max(steps)]
    first = steps.get(last["floor"])
    if first is None:  # nothing has to be folded again
        return {name: last["inputs"][name][1] for name in INPUTS}, remembered
    return {name: first["inputs"][name][0] for name in INPUTS}, min(remembered, first["seq"][0])

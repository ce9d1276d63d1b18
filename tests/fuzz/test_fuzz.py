"""Every target of the fuzzer, a little, in every run; `make fuzz` goes on for longer. And what it found."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from driftbus.adapters.files.events import Unusable, read_events
from driftbus.core.codec import decode_outcome
from driftbus.core.packed_rows import GROUP_ROWS, MAX_GROUP_BYTES, block_of, groups_of, packed_groups, rows_of
from driftbus.core.snapshot import LIBRARIES, unseal
from driftbus.errors import DriftbusError, InvalidRecord, StateError
from driftbus.letters import find
from driftbus.restore import Task, restore
from driftbus.steps import StepRecord
from driftbus.told import stories
from tests.fuzz.recorded import RecordedBus, recorded
from tests.fuzz.targets import TARGETS, state_records

# Restores take 50 ms each, the others well under one.
SLOW = {"restored": 25, "log_behind_state": 10, "replay_lines": 40}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_our_own_errors_comes_out(name: str) -> None:
    @given(st.binary(max_size=80))
    @example(bytes(range(64)))
    @settings(max_examples=SLOW.get(name, 150), deadline=None, suppress_health_check=list(HealthCheck))
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


def test_the_recorded_bus_restores_and_has_something_of_everything() -> None:
    """Otherwise the targets would try less than they say."""
    bus, chosen = recorded()
    *_, task = restore(bus, chosen, 0)  # type: ignore[arg-type]
    assert isinstance(task, Task)
    assert task.journal.floor < task.journal.next_step
    assert min(task.partition.join.sizes().values()) > 0
    for topic in ("drift-events", "retrain-requests", "model-events"):
        assert bus.logs[chosen.topics[topic]]
    assert {key.split("/")[0] for key in state_records()} >= {"config", "stream", "join", "block", "step"}


def test_a_block_inflates_no_further_than_rows_can_reach() -> None:
    rows = [b"x" * (MAX_GROUP_BYTES // GROUP_ROWS - 1)] * GROUP_ROWS
    assert rows_of(groups_of(block_of(packed_groups(rows)))) == rows
    bomb = packed_groups([b"\0" * (MAX_GROUP_BYTES + 1)])
    assert len(bomb[0]) < MAX_GROUP_BYTES // 200
    with pytest.raises(StateError, match="too long"):
        rows_of(bomb)


def test_a_group_of_rows_in_a_block_is_full() -> None:
    """Rows are found by their number: nine in one group and seven in the next would be found elsewhere."""
    rows = [b"%d" % i for i in range(16)]
    uneven = [packed_groups(rows[:8])[0], *packed_groups(rows[8:15]), *packed_groups(rows[15:])]
    with pytest.raises(StateError, match="not full"):
        rows_of(uneven)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outcome_pos", [[0, 2**53]]),  # would be listed one by one
        ("seq", [0, 2**53]),
        ("inputs", {"predictions": [0, 1], "labels": [0, 1]}),
        ("inputs", {"predictions": [5, 1], "labels": [0, 1], "model-events": [0, 0]}),
        ("corrections", [[0, "p", "s"]]),
        ("origin", ["g", 1]),
        ("step", True),
        ("floor", 99),
        ("poison", {"predictions": [1]}),
    ],
)
def test_a_step_of_another_shape_is_refused(name: str, value: Any) -> None:
    sealed = unseal(state_records()["step/1"])
    raw = sealed.json()
    assert StepRecord.of(raw, sealed.config, sealed.fold).step == raw["step"]
    with pytest.raises(StateError):
        StepRecord.of({**raw, name: value}, sealed.config, sealed.fold)


def test_a_fold_version_of_thousands_of_digits_is_no_header() -> None:
    data = b"driftbus-state 3 00000000 %b x %b plain\n" % (b"9" * 5000, LIBRARIES.encode())
    with pytest.raises(StateError):
        unseal(data)


def test_a_key_of_state_that_is_no_text_is_not_ours() -> None:
    bus, chosen = recorded()
    topic = chosen.topics["state"]
    stranger = bus.logs[topic][-1]._replace(key=b"\xff", value=b"?", offset=len(bus.logs[topic]))
    *_, task = restore(bus.replaced(topic, [*bus.logs[topic], stranger]), chosen, 0)  # type: ignore[arg-type]
    assert isinstance(task, Task)


def test_an_outcome_with_a_name_that_is_no_text_is_refused() -> None:
    bus, chosen = recorded()
    raw = orjson.loads(bus.logs[chosen.topics["outcomes"]][0].value or b"")
    for name in ("stream", "prediction_id", "seq"):
        with pytest.raises(InvalidRecord):
            decode_outcome(orjson.dumps({**raw, name: [1]}))


def test_what_others_write_among_drift_events_is_passed_over() -> None:
    bus, chosen = recorded()
    topic = chosen.topics["drift-events"]
    record = bus.logs[topic][-1]
    event = orjson.loads(record.value or b"")
    known = len(stories(bus, chosen.topics))  # type: ignore[arg-type]
    for field, value in (("episode_id", ["x"]), ("signals", []), ("onset", None), ("confidence", "high")):
        odd = {**event, "data": {**event["data"], "episode_id": "odd", field: value}}
        odd_record = record._replace(value=orjson.dumps(odd), offset=record.offset + 1)
        other = bus.replaced(topic, [*bus.logs[topic], odd_record])
        assert len(stories(other, chosen.topics)) == known  # type: ignore[arg-type]


@pytest.mark.parametrize("known", [f"0-{'9' * 5000}", f"0-{2**70}", "٣-٣"])
def test_an_id_of_no_letter_is_said_to_be_none(known: str) -> None:
    with pytest.raises(DriftbusError, match="is no letter"):
        find(RecordedBus({"dead": []}, {}, {}), "dead", known)  # type: ignore[arg-type]


def test_a_line_whose_topic_is_no_text_is_unusable(tmp_path: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"topic": {}, "ts": 1}\n{"topic": [], "ts": 1}\n')
    assert all(isinstance(each, Unusable) for each in read_events(path, lambda done: None))

"""What is taken of an event for a tracker; strangers in the topics are passed over."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.schemas.examples import DRIFT_EVENT, RETRAIN_REQUEST
from driftbus.tracking.notes import Note, note


def of(event: Any) -> Note:
    found = note(orjson.dumps(event))
    assert found is not None
    return found


def drift(**changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = copy.deepcopy(DRIFT_EVENT)
    event["data"] |= changes
    return event


def request(**changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = copy.deepcopy(RETRAIN_REQUEST)
    event["data"] |= changes
    return event


def test_an_episode_and_its_request_are_one_run() -> None:
    opened = of(drift(episode_id="e-1", status="opened"))
    closed = of(drift(episode_id="e-1", status="closed", resolution="replaced"))
    asked = of(request(episode_id="e-1"))
    assert opened.run == closed.run == asked.run
    assert len({opened.name, closed.name, asked.name}) == 3
    assert (opened.over, closed.over, asked.over) == (False, True, False)
    assert closed.tags["driftbus.resolution"] == "replaced"


def test_a_request_without_an_episode_is_a_run_of_its_own() -> None:
    asked = of(request(episode_id=None, request_id="r-1", reason="manual"))
    assert asked.run != of(request(episode_id=None, request_id="r-2", reason="manual")).run
    assert asked.over
    assert asked.title == f"{RETRAIN_REQUEST['data']['stream']}: retrain, manual"


def test_numbers_stand_before_and_after_at_the_outcomes_seen() -> None:
    signals = [{"name": "error", "before": 0.08, "after": 0.21, "detector": "focus", "evidence": 14.2}]
    found = of(drift(signals=signals, outcomes_seen=5210, confidence=1))
    assert found.metrics == {"confidence": 1.0, "error.before": 0.08, "error.after": 0.21}
    assert found.step == 5210
    assert found.tags["driftbus.label.team"] == "risk"
    assert found.event == orjson.dumps(drift(signals=signals, outcomes_seen=5210, confidence=1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.binary() | JSON.map(orjson.dumps) | st.none())
def test_anything_is_a_note_or_passed_over(value: bytes | None) -> None:
    assert note(value) is None or isinstance(note(value), Note)


@given(st.sampled_from([DRIFT_EVENT, RETRAIN_REQUEST]), st.data())
def test_a_field_of_another_kind_is_passed_over_or_taken(event: dict[str, Any], data: st.DataObject) -> None:
    changed = copy.deepcopy(event)
    key = data.draw(st.sampled_from(sorted(changed["data"])))
    changed["data"][key] = data.draw(JSON)
    try:
        value = orjson.dumps(changed)
    except TypeError:  # integers beyond 64 bits are no JSON of ours
        return
    assert note(value) is None or isinstance(note(value), Note)

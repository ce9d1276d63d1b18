"""Predictions and labels without a common class: a fault of labelling, said once, at the 500th outcome."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.common_class import WINDOW, CommonClass
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.settings import Limits, StreamSettings
from tests.core.streams import START_MS, as_runs

CLASSES = st.sampled_from([0, 1, True, False, 1.0, "0", "1", "yes"])


def decided(labels: list[Any], said: list[Any], cuts: int) -> list[Any]:
    """What is decided over one stream of these, a step every `cuts` rows."""
    rows: list[tuple[str, Any, int]] = []
    for i, (label, prediction) in enumerate(zip(labels, said, strict=True)):
        ts = START_MS + i * 60_000
        event = {"prediction_id": f"p{i}", "stream": "s", "ts": ts, "prediction": prediction}
        rows.append(("predictions", event, ts))
        rows.append(("labels", {"prediction_id": f"p{i}", "stream": "s", "ts": ts, "label": label}, ts))
    partition = Partition(0, lambda stream: StreamSettings(), Limits())
    found = []
    for start in range(0, len(rows), cuts):
        result = partition.step(StepInput(as_runs(rows[start : start + cuts], start)))
        found += [decision for _, decision in result.decisions]
    return found


@pytest.mark.parametrize("cuts", [100_000, 37])
@pytest.mark.parametrize(("label", "said"), [("1", 1), ("cat", 3), (0, "no")])
def test_a_fault_of_labelling_is_one_episode_and_asks_for_nothing(label: Any, said: Any, cuts: int) -> None:
    found = decided([label] * 3000, [said] * 3000, cuts)
    events = [d for d in found if isinstance(d, DriftEvent)]
    assert [(e.status, e.category) for e in events] == [("opened", "labelling")]
    assert events[0].outcomes_seen == WINDOW
    assert not any(isinstance(d, RetrainRequest) for d in found)


@pytest.mark.parametrize(("label", "said"), [(1, True), (1.0, 1), ("a", "a")])
def test_classes_that_are_the_same_are_no_fault(label: Any, said: Any) -> None:
    assert decided([label] * 1200, [said] * 1200, 500) == []


def test_one_right_prediction_is_enough() -> None:
    assert decided(["a"] * 600, ["b"] * 499 + ["a"] + ["b"] * 100, 100) == []


@given(
    st.lists(st.tuples(CLASSES, CLASSES), max_size=20).flatmap(
        lambda last: st.sampled_from([0, 490, 1490]).map(lambda n: [("a", "b")] * n + last)
    ),
    st.lists(st.integers(0, 20) | st.integers(490, 510) | st.integers(0, 1600), max_size=5),
)
def test_cuts_and_restores_change_nothing(rows: list[tuple[Any, Any]], cuts: list[int]) -> None:
    def columns(part: list[tuple[Any, Any]]) -> tuple[list[float], list[Any], list[Any]]:
        labels, said = [row[0] for row in part], [row[1] for row in part]
        return [float(a != b) for a, b in part], labels, said

    whole = CommonClass()
    expected = whole.observe(*columns(rows))
    cut, found, at = CommonClass(), [], 0
    for stop in [*sorted(cuts), len(rows)]:
        part = rows[at : max(at, min(stop, len(rows)))]
        found += [at + row for row in cut.observe(*columns(part))]
        at += len(part)
        cut = CommonClass.load(orjson.loads(orjson.dumps(cut.dump())))
    assert found == expected
    assert orjson.dumps(cut.dump()) == orjson.dumps(whole.dump())

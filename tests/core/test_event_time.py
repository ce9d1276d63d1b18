"""Event time: the slower of both topics; never back, whatever a tick says; no broken clock ends durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.block import CLOCK_SKEW_MS, Run
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import Label, ModelEvent, Prediction, RetrainRequest
from driftbus.core.settings import JoinPolicy, Limits, RetrainPolicy, StreamSettings
from tests.core.test_join import SECOND, label, make, prediction, runs, step

IDLE = frozenset({"predictions", "labels"})
NOW = 1_767_225_600_000
YEAR_9999 = 253_000_000_000_000
MINUTE = 60 * SECOND


@pytest.mark.parametrize("tick", [0, 30 * SECOND, 60 * SECOND, 90 * SECOND])
def test_a_tick_never_turns_time_back(tick: int) -> None:
    rules = StreamSettings(join=JoinPolicy(horizon_ms=20 * SECOND))
    partition = Partition(0, lambda stream: rules, Limits())
    partition.step(StepInput(runs([prediction("a", 60 * SECOND), label("a", 60 * SECOND)])))
    assert (partition.clock, partition.join.watermark) == (60 * SECOND, 60 * SECOND)
    result = partition.step(StepInput([], IDLE, tick))
    reached = max(60 * SECOND, tick)
    assert (partition.clock, result.clock, partition.join.watermark) == (reached, reached, reached)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=30))
def test_the_watermark_is_the_slower_of_both_topics(drawn: list[tuple[bool, int]]) -> None:
    join = make(JoinPolicy(horizon_ms=20 * SECOND, grace_ms=20 * SECOND))
    newest = {True: 0, False: 0}
    for index, (is_prediction, ts) in enumerate(drawn):
        step(join, [prediction(f"p{index}", ts) if is_prediction else label(f"l{index}", ts)])
        newest[is_prediction] = max(newest[is_prediction], ts)
        assert join.watermark == min(newest.values())


def fold(partition: Partition, topic: str, events: list[Prediction | Label | ModelEvent], time: int) -> list:
    """A step with one topic's events, all written at `time`; what was decided."""
    times = [time] * len(events)
    return partition.step(StepInput([Run(topic, list(events), list(range(len(events))), times)])).decisions


@pytest.mark.parametrize("topic", ["predictions", "labels", "model-events"])
def test_a_stream_outlives_a_clock_in_the_year_9999(topic: str) -> None:
    """Its schedule neither fires at once nor never again."""
    rules = StreamSettings(challenger=None, retrain=RetrainPolicy(min_rows=1, every_ms=120 * MINUTE))
    partition = Partition(0, lambda stream: rules, Limits())
    fold(partition, "predictions", [prediction("a", NOW), prediction("w", NOW)], NOW)
    fold(partition, "labels", [label("a", NOW)], NOW)
    wild = {
        "predictions": prediction("x", YEAR_9999),
        "labels": label("w", YEAR_9999),
        "model-events": ModelEvent("s", YEAR_9999, "training-started", None, None, None, None),
    }
    said = fold(partition, topic, [wild[topic]], NOW)
    stream = partition.streams["s"]
    assert stream.clock == NOW + CLOCK_SKEW_MS
    assert said == []
    newest = {"predictions": stream.ledger.last_prediction, "labels": stream.ledger.last_label}
    assert newest.get(topic, NOW + CLOCK_SKEW_MS) == NOW + CLOCK_SKEW_MS  # alerts go by these
    times = [NOW + minutes * MINUTE for minutes in range(1, 300)]
    for index, ts in enumerate(times):
        said += fold(partition, "predictions", [prediction(f"p{index}", ts)], ts)
        said += fold(partition, "labels", [label(f"p{index}", ts)], ts)
    assert stream.clock == times[-1]
    assert (stream.ledger.last_prediction, stream.ledger.last_label) == (times[-1], times[-1])
    asked = [d.time for _, d in said if isinstance(d, RetrainRequest)]
    assert asked[0] == NOW + 120 * MINUTE


def test_of_a_block_each_record_is_believed_as_far_as_time_had_come() -> None:
    """However far the partition's clock rises behind a record whose own clock is ahead."""
    rules = StreamSettings(challenger=None)
    one, cut = (Partition(0, lambda stream: rules, Limits()) for _ in range(2))
    ahead = prediction("ahead", NOW + 5 * CLOCK_SKEW_MS)
    later = replace_stream(prediction("later", NOW + 8 * CLOCK_SKEW_MS), "other")
    last = prediction("last", NOW)
    run = Run("predictions", [ahead, later, last], [0, 1, 2], [NOW, NOW + 8 * CLOCK_SKEW_MS, NOW])
    one.step(StepInput([run]))
    for at in range(3):
        cut.step(StepInput([Run("predictions", *([column[at]] for column in run[1:]))]))
    assert one.streams["s"].clock == cut.streams["s"].clock == NOW + CLOCK_SKEW_MS
    assert one.streams["s"].dump() == cut.streams["s"].dump()


def replace_stream(event: Prediction, stream: str) -> Prediction:
    return event._replace(stream=stream)

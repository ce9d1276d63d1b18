"""A partition is a fold: cuts change nothing, restored streams go on, the same records, the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.core.block import clock_rises
from driftbus.core.encode import rfc3339
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput, digest
from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.settings import Limits, MetricWindow, RetrainPolicy, Rule, StreamSettings
from tests.core.streams import Shape, as_runs, events

MINUTE = 60_000
RULE = Rule("accuracy", True, 0.8, MetricWindow(outcomes=300, text="300"), "accuracy < 0.8 over 300")
SETTINGS = StreamSettings(
    retrain=RetrainPolicy(
        min_rows=200, cooldown_ms=30 * MINUTE, timeout_ms=120 * MINUTE, rules=(RULE,), every_ms=600 * MINUTE
    )
)
SHAPES = [
    Shape("sudden", change=700),
    Shape("steady", shift=0.0),
    Shape("moved", rows=1800, change=1100, after=0.05, shift=3.0),
    Shape("amounts", rows=2000, change=1200, regression=True),
    Shape("replaced", change=600, versions=(1000,)),
]


def fold(rows: list[Any], cuts: list[int], rules: StreamSettings = SETTINGS) -> tuple[Partition, list[Any]]:
    partition = Partition(0, lambda stream: rules, Limits())
    said: list[Any] = []
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        result = partition.step(StepInput(as_runs(rows[start:stop], start)))
        said += [("outcome", row.stream, row.value) for row in result.outcomes]
        said += [(start + pos, decision) for pos, decision in result.decisions]
        said += [("correction", row.stream, row.value) for row in result.corrections]
    return partition, said


def sorted_by_kind(said: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    decisions = [row for row in said if row[0] not in ("outcome", "correction")]
    return (
        [row for row in said if row[0] == "outcome"],
        [row for row in said if row[0] == "correction"],
        decisions,
    )


@pytest.fixture(scope="module")
def rows() -> list[Any]:
    return events(SHAPES, seed=7)


@pytest.fixture(scope="module")
def whole(rows: list[Any]) -> tuple[Partition, list[Any]]:
    return fold(rows, [])


def test_what_was_planted_is_found(whole: tuple[Partition, list[Any]]) -> None:
    decisions = [row[1] for row in sorted_by_kind(whole[1])[2]]
    opened = {(d.stream, d.category) for d in decisions if isinstance(d, DriftEvent) and d.status == "opened"}
    assert ("sudden", "concept") in opened
    assert ("amounts", "concept") in opened
    assert ("moved", "data") in opened
    assert not any(stream == "steady" for stream, _ in opened)
    asked = {d.stream: d.reason for d in decisions if isinstance(d, RetrainRequest) and d.attempt == 1}
    assert asked["amounts"] == "drift"
    assert {"sudden", "replaced"} <= set(asked)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_where_steps_are_cut_changes_nothing(
    data: st.DataObject, rows: list[Any], whole: tuple[Partition, list[Any]]
) -> None:
    some = st.lists(st.integers(1, len(rows) - 1), max_size=40, unique=True).map(sorted)
    cuts = data.draw(some | st.integers(1, 400).map(lambda n: list(range(n, len(rows), n))))
    partition, said = fold(rows, cuts)
    assert sorted_by_kind(said) == sorted_by_kind(whole[1])
    for name, monitor in partition.streams.items():
        assert monitor.dump() == whole[0].streams[name].dump()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_restored_stream_goes_on_bit_for_bit(data: st.DataObject, rows: list[Any]) -> None:
    at = data.draw(st.integers(1, len(rows) - 1))
    going, _ = fold(rows[:at], [])
    states = {name: orjson.dumps(monitor.dump()) for name, monitor in going.streams.items()}
    rest = as_runs(rows[at:], at)
    clock = going.clock
    blocks = going.join.step(rest, frozenset(), None)
    for name, block in blocks.items():
        rises = clock_rises(clock, rest, None)
        restored = (
            StreamMonitor.load(orjson.loads(states[name]), name, SETTINGS, Limits())
            if name in states
            else StreamMonitor(name, SETTINGS, Limits())
        )
        known = going.streams.get(name) or StreamMonitor(name, SETTINGS, Limits())
        ours, theirs = restored.fold(block, rises), known.fold(block, rises)
        assert ours == theirs
        assert digest([d for _, d in ours.decisions]) == digest([d for _, d in theirs.decisions])
        assert orjson.dumps(restored.dump()) == orjson.dumps(known.dump())


def test_windows_name_exactly_their_rows(whole: tuple[Partition, list[Any]]) -> None:
    """CONTRACT: reading the window and keeping the stream's rows gives its rows and class counts."""
    outcomes, _, decisions = sorted_by_kind(whole[1])
    log = [(stream, orjson.loads(value)) for _, stream, value in outcomes]
    log.sort(key=lambda row: row[1]["seq"])
    requests = [d for _, d in decisions if isinstance(d, RetrainRequest)]
    assert requests
    for request in requests:
        window = request.window
        mine = [row for stream, row in log[window.start_seq : window.end_seq] if stream == request.stream]
        assert len(mine) == window.rows
        if request.stream != "amounts":
            counts: dict[str, int] = {}
            for row in mine:
                counts[str(row["label"])] = counts.get(str(row["label"]), 0) + 1
            assert counts == dict(window.class_counts)
        if window.onset_ts is not None:
            onset = rfc3339(window.onset_ts)
            assert sum(row["ts"] >= onset for row in mine) == window.rows_since_onset


def test_every_episode_opens_once_and_closes_last(whole: tuple[Partition, list[Any]]) -> None:
    state: dict[str, str] = {}
    ids = set()
    for _, d in sorted_by_kind(whole[1])[2]:
        assert d.event_id not in ids
        ids.add(d.event_id)
        if isinstance(d, DriftEvent):
            assert d.signals
            assert d.onset.earliest <= d.onset.ts <= d.onset.latest <= d.detected_at
            assert (d.status == "opened") == (d.episode_id not in state)
            assert state.get(d.episode_id) != "closed"
            state[d.episode_id] = d.status


def test_a_decision_is_dated_by_the_outcome_that_decided_it(whole: tuple[Partition, list[Any]]) -> None:
    """However far the step had read ahead in predictions."""
    outcomes, _, decisions = sorted_by_kind(whole[1])
    newest: dict[str, list[str]] = {}
    for _, stream, value in outcomes:
        times = newest.setdefault(stream, [])
        times.append(max([orjson.loads(value)["label_ts"], *times[-1:]]))
    found = [
        d
        for _, d in decisions
        if isinstance(d, DriftEvent) and d.category == "concept" and d.resolution is None
    ]
    assert found
    for d in found:
        assert rfc3339(d.detected_at) == newest[d.stream][d.outcomes_seen - 1]


def test_time_alone_decides_at_the_same_place_whatever_the_cut() -> None:
    """A request times out while its stream is silent and another one's records move the clock."""
    silent = Shape("silent", rows=1200, change=500)
    busy = Shape("busy", rows=3000)
    rows = events([silent, busy], seed=3)
    rules = replace(SETTINGS, challenger=None)
    one = sorted_by_kind(fold(rows, [], rules)[1])
    other = sorted_by_kind(fold(rows, list(range(37, len(rows), 37)), rules)[1])
    assert one == other
    attempts = [d.attempt for _, d in one[2] if isinstance(d, RetrainRequest) and d.stream == "silent"]
    assert max(attempts) > 1


def test_a_rule_speaks_of_exactly_as_many_outcomes_as_it_names(rows: list[Any]) -> None:
    asking = RetrainPolicy(on_drift=False, min_rows=1, min_rows_per_class=0, rules=(RULE,))
    _, said = fold(rows, [], replace(SETTINGS, challenger=None, retrain=asking))
    outcomes, corrections, decisions = sorted_by_kind(said)
    requests = [d for _, d in decisions if isinstance(d, RetrainRequest)]
    first = {request.stream: request for request in reversed(requests)}  # later ones may have been held back
    assert {"sudden", "replaced"} <= set(first)
    for request in first.values():
        news = [orjson.loads(row[2]) for row in corrections]
        labels = {new["seq"]: new["label"] for new in news if new["ts"] <= rfc3339(request.time)}
        wrong = [
            row["prediction"] != labels.get(row["seq"], row["label"])
            for row in (orjson.loads(row[2]) for row in outcomes)
            if row["seq"] < request.window.end_seq
            and (row["stream"], row["model_version"]) == (request.stream, request.model_version)
        ]
        accuracy = 1 - sum(wrong[-300:]) / 300
        assert accuracy < RULE.threshold
        assert request.note == f"accuracy is {accuracy:.6g}"

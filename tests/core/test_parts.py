"""Only what was changed begins anew; the rest goes on bit for bit, and an episode that was told of ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.parts import differing, fingerprints
from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.settings import (
    ChallengerSpec,
    CustomSignal,
    DetectorSpec,
    FeaturePolicy,
    Limits,
    MetricWindow,
    RetrainPolicy,
    SignalPlan,
    StreamSettings,
)
from driftbus.core.stream_views import stream_detail
from tests.core.streams import Shape, as_runs, events

BASE = StreamSettings(retrain=RetrainPolicy(min_rows=100, timeout_ms=30 * 86_400_000))
ADWIN = (DetectorSpec("adwin", {"delta": 0.01}),)
# The error rises and x moves at 1,100, when its reference is known: at AT, some 1,300 predictions, episodes
# of both are open, and a request is in flight.
SHAPE = Shape("s", rows=1800, change=1100, shift=3.0, delay=5)
AT = 2600


def rows() -> list[Any]:
    found = events([SHAPE], seed=3)
    for topic, value, _ in found:
        if topic == "predictions":
            value["signals"] = {"ndcg": value["features"]["y"], "rank": value["score"]}
    return found


@pytest.fixture(scope="module")
def before() -> tuple[bytes, list[Any]]:
    """A stream's state in the midst of it, and what was decided until then."""
    partition = Partition(0, lambda stream: BASE, Limits())
    result = partition.step(StepInput(as_runs(rows()[:AT])))
    return partition.snapshot("s"), [decision for _, decision in result.decisions]


def taken_over(state: bytes, rules: StreamSettings) -> Partition:
    """The stream under other rules."""
    partition = Partition(0, lambda stream: BASE, Limits())
    partition.streams["s"] = StreamMonitor.load(orjson.loads(state), "s", BASE, Limits())
    anew = differing(fingerprints(BASE), fingerprints(rules))
    partition.take_over(lambda stream: rules, Limits(), lambda stream: anew)
    return partition


def parts_of(state: Any) -> dict[str, Any]:
    """A dumped stream, each part by a name."""
    [version] = state["versions"]
    found = {f"watch {name}": watch for name, watch in version["watches"].items()}
    for name, (_, shared, level, *unseen) in version["features"]["features"]:
        found[f"level {name}"], found[f"shares {name}"] = level, shared[4]
        found[f"unseen {name}"] = unseen
    found["metrics"] = [version["performance"], version["slices"], version["rule_values"]]
    found["challenger metrics"] = version["challenger_performance"]
    found["challenger"] = state["challenger"]
    found["history"] = version["outcome_history"]
    found["episodes"] = version["episodes"]
    for name in ("rows", "policy", "people", "course", "clock", "decision", "current"):
        found[name] = state[name]
    return found


def signals(**given: Any) -> StreamSettings:
    return replace(BASE, signals=SignalPlan(**given))


CHANGES: dict[str, tuple[StreamSettings, set[str]]] = {
    "error": (signals(error=ADWIN), {"watch error", "watch log_loss"}),
    "score": (signals(score=ADWIN), {"watch score"}),
    "one custom signal": (signals(custom={"ndcg": CustomSignal("lower")}), {"watch custom/ndcg"}),
    "gap": (signals(challenger_gap=()), {"watch challenger_gap"}),
    "features": (signals(features=ADWIN), {"level x", "level y", "level c", "episodes"}),
    "quality": (signals(quality=()), {"shares x"}),
    "one feature left out": (
        replace(BASE, features=FeaturePolicy(ignore=("y",))),
        {"level y", "shares y", "unseen y"},
    ),
    "as category": (
        replace(BASE, features=FeaturePolicy(categorical=("y", "c"))),
        {"level y", "shares y", "unseen y"},
    ),
    "challenger": (
        replace(BASE, challenger=ChallengerSpec("hoeffding_tree")),
        {"challenger", "challenger metrics", "watch challenger_gap"},
    ),
    "positive label": (
        replace(BASE, positive_label=0),
        {"challenger", "challenger metrics", "watch challenger_gap", "watch log_loss", "metrics"},
    ),
    "retrain": (replace(BASE, retrain=RetrainPolicy(mode="off")), set()),
    "window less": (replace(BASE, windows=(MetricWindow(outcomes=1000, text="1000"),)), {"metrics"}),
    "task as it was decided": (replace(BASE, task="classification"), {"decision"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_not_changed_goes_on_bit_for_bit(before: tuple[bytes, list[Any]], change: str) -> None:
    rules, touched = CHANGES[change]
    monitor = taken_over(before[0], rules).streams["s"]
    old, new = (parts_of(orjson.loads(text)) for text in (before[0], orjson.dumps(monitor.dump())))
    assert {name for name in old if new.get(name) != old[name]} == touched
    assert not new.keys() - old.keys()


def test_a_change_is_noted_for_people(before: tuple[bytes, list[Any]]) -> None:
    assert stream_detail(taken_over(before[0], CHANGES["retrain"][0]).streams["s"], 0).resets == ()
    detail = stream_detail(taken_over(before[0], CHANGES["challenger"][0]).streams["s"], 0)
    [reset] = detail.resets
    assert (reset.what, reset.why) == (("challenger", "challenger_gap"), "configuration")
    assert detail.view.resets_total == 1
    detail = stream_detail(taken_over(before[0], CHANGES["one feature left out"][0]).streams["s"], 0)
    assert detail.resets[0].what == ("feature/y",)


@pytest.mark.parametrize("change", CHANGES)
def test_no_request_is_repeated_and_every_episode_ends_once(
    before: tuple[bytes, list[Any]], change: str
) -> None:
    state, decided = before
    asked = [one for one in decided if isinstance(one, RetrainRequest)]
    assert [one.reason for one in asked] == ["drift"]
    partition = taken_over(state, CHANGES[change][0])
    assert partition.streams["s"].policy.in_flight == asked[0].request_id
    told = list(decided)
    rest = rows()[AT:]
    for start in range(0, len(rest), 200):
        result = partition.step(StepInput(as_runs(rest[start : start + 200], AT + start)))
        told += [decision for _, decision in result.decisions]
    assert [one for one in told if isinstance(one, RetrainRequest)] == asked
    drifts = [one for one in told if isinstance(one, DriftEvent)]
    assert len({one.event_id for one in drifts}) == len(drifts)
    still_open = {e.episode_id for v in partition.streams["s"].versions.values() for e in v.episodes.open}
    for episode in {one.episode_id for one in drifts}:
        ends = [one.resolution for one in drifts if one.episode_id == episode and one.status == "closed"]
        assert len(ends) == (episode not in still_open)
    [concept] = {
        one.episode_id for one in decided if isinstance(one, DriftEvent) and one.category == "concept"
    }
    assert not any(one.resolution == "replaced" for one in drifts if one.episode_id == concept)
    replaced = {one.category for one in drifts if one.resolution == "replaced"}
    assert replaced == ({"data"} if change == "features" else set())


def test_another_task_begins_all_that_outcomes_teach_anew(before: tuple[bytes, list[Any]]) -> None:
    monitor = taken_over(before[0], replace(BASE, task="regression")).streams["s"]
    old, new = (parts_of(orjson.loads(text)) for text in (before[0], orjson.dumps(monitor.dump())))
    assert {name for name in old if new.get(name) == old[name]} >= {
        "level x",
        "watch score",
        "rows",
        "policy",
    }
    assert "watch error" not in new
    assert [left["episodes"][0]["category"] for _, _, left in monitor.left_open] == ["concept"]

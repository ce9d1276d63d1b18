"""What people say to a stream is folded like all else: mutes, dismissals, approvals, retirement."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.settings import Limits, RetrainPolicy, StreamSettings
from driftbus.core.stream_views import stream_view
from tests.core.streams import START_MS, Shape, as_runs, events

SPACING = 30_000
RETRAIN = RetrainPolicy(min_rows=200, cooldown_ms=60_000, timeout_ms=10**9)
PROPOSE = RetrainPolicy(mode="propose", min_rows=200, cooldown_ms=60_000, timeout_ms=10**9)
# The change at row 700 opens an episode some 40 rows later, which asks from 200 rows on.
ROWS = 1500


class House:
    """One stream with a sudden change, a row every 30 s; what people say comes at a row."""

    def __init__(self, said: list[tuple[int, dict[str, Any]]], policy: RetrainPolicy = RETRAIN) -> None:
        rows = events([Shape("s", rows=ROWS, change=700)], seed=3)
        for at, event in said:
            ts = START_MS + at * SPACING
            rows.append(("model-events", {"stream": "s", "ts": ts, "by": "ann", **event}, ts))
        rows.sort(key=lambda row: row[2])
        self.rows, self.policy = rows, policy
        self.partition = self.fold([])
        self.decided: list[Any] = self._decided

    def fold(self, cuts: list[int]) -> Partition:
        rules = StreamSettings(retrain=self.policy)
        partition = Partition(0, lambda stream: rules, Limits())
        self._decided = []
        for start, stop in zip([0, *cuts], [*cuts, len(self.rows)], strict=True):
            result = partition.step(StepInput(as_runs(self.rows[start:stop], start)))
            self._decided += [(start + pos, decision) for pos, decision in result.decisions]
        return partition

    @property
    def drifts(self) -> list[DriftEvent]:
        return [d for _, d in self.decided if isinstance(d, DriftEvent)]

    @property
    def requests(self) -> list[RetrainRequest]:
        return [d for _, d in self.decided if isinstance(d, RetrainRequest)]


@pytest.fixture(scope="module")
def episode() -> str:
    """The episode that opens when nobody says anything: the same in every house until something is said."""
    house = House([])
    assert house.drifts[0].status == "opened"
    assert [r.status for r in house.requests] == ["requested"]
    return house.drifts[0].episode_id


def test_a_muted_episode_is_published_as_such_and_asks_for_nothing() -> None:
    house = House([(100, {"type": "muted"})])
    assert {d.muted for d in house.drifts} == {True}
    assert house.requests == []


def test_an_episode_that_opened_muted_stays_so_when_the_stream_is_heard_again() -> None:
    house = House([(100, {"type": "muted"}), (900, {"type": "unmuted"})])
    assert {d.muted for d in house.drifts} == {True}
    assert house.requests == []


def test_a_mute_ends_by_itself() -> None:
    until = START_MS + 500 * SPACING
    house = House([(100, {"type": "muted", "until": until})])
    assert {d.muted for d in house.drifts} == {False}
    assert len(house.requests) == 1


def test_muting_an_open_episode_holds_its_request_back() -> None:
    house = House([(770, {"type": "muted"})])
    assert house.drifts[0].muted is False
    assert {d.muted for d in house.drifts[1:]} <= {True}
    assert house.requests == []


@pytest.mark.parametrize("accept", [False, True])
def test_a_dismissed_episode_is_closed_and_not_found_again(episode: str, accept: bool) -> None:
    house = House([(800, {"type": "episode-dismissed", "episode_id": episode, "accept": accept})])
    closed = [d for d in house.drifts if d.status == "closed"]
    assert [d.resolution for d in closed] == ["dismissed"]
    assert {d.episode_id for d in house.drifts} == {episode}
    assert house.requests == []


def test_dismissing_ends_what_was_asked_because_of_it(episode: str) -> None:
    house = House([(1200, {"type": "episode-dismissed", "episode_id": episode})])
    assert len(house.requests) == 1
    monitor = house.partition.streams["s"]
    assert monitor.policy.in_flight is None
    assert monitor.ledger.requests[-1].ended == "dismissed"


def test_an_episode_nobody_knows_changes_nothing(episode: str) -> None:
    house = House([(800, {"type": "episode-dismissed", "episode_id": "another"})])
    assert house.drifts[0].episode_id == episode
    assert all(d.resolution != "dismissed" for d in house.drifts)
    assert len(house.requests) == 1


def test_who_looks_after_an_episode_is_shown(episode: str) -> None:
    house = House([(800, {"type": "episode-acknowledged", "episode_id": episode})])
    half = next(i for i, row in enumerate(house.rows) if row[0] == "model-events") + 1
    house.rows = house.rows[:half]
    view = stream_view(house.fold([]).streams["s"], 0)
    assert [(e.acknowledged, e.acknowledged_by) for e in view.open_episodes] == [(True, "ann")]


def test_an_approved_proposal_is_a_request_over_the_rows_of_then() -> None:
    house = House([(1400, {"type": "retrain-approved"}), (1450, {"type": "retrain-approved"})], PROPOSE)
    assert [r.status for r in house.requests] == ["proposed", "requested"]
    proposal, request = house.requests
    assert proposal.request_id == request.request_id
    assert proposal.event_id != request.event_id
    assert request.window.rows > proposal.window.rows


@pytest.mark.parametrize("policy", [RETRAIN, PROPOSE])
def test_a_declined_request_is_over_and_not_asked_again(policy: RetrainPolicy) -> None:
    house = House([(1200, {"type": "request-declined"})], policy)
    assert len(house.requests) == 1
    monitor = house.partition.streams["s"]
    assert monitor.policy.in_flight is None
    assert monitor.ledger.requests[-1].ended == "declined"


def test_a_retired_stream_is_watched_again_when_it_predicts_again(episode: str) -> None:
    house = House([(800, {"type": "stream-retired"})])
    closed = [d for d in house.drifts if d.status == "closed"]
    assert [d.resolution for d in closed][:1] == ["dismissed"]
    assert house.requests == []  # what comes after 800 is a world of its own, without a change
    monitor = house.partition.streams["s"]
    assert not monitor.people.retired
    assert monitor.ledger.predictions == ROWS
    last = max(i for i, row in enumerate(house.rows) if row[0] == "model-events") + 1
    house.rows = house.rows[:last]
    assert house.fold([]).streams["s"].people.retired


SAID = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "muted",
                "unmuted",
                "episode-dismissed",
                "episode-acknowledged",
                "retrain-approved",
                "request-declined",
                "stream-retired",
                "model-deployed",
            ]
        )
    },
    optional={
        "accept": st.booleans(),
        "until": st.integers(START_MS, START_MS + ROWS * SPACING),
        "model_version": st.sampled_from(["v1", "v2"]),
    },
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(600, ROWS - 1), SAID), max_size=6),
    st.lists(st.integers(1, 3000), max_size=12, unique=True),
    st.sampled_from([RETRAIN, PROPOSE]),
)
def test_whatever_is_said_cuts_and_restores_change_nothing(
    said: list[tuple[int, dict[str, Any]]], cuts: list[int], policy: RetrainPolicy
) -> None:
    house = House(said, policy)
    whole, dump = house.decided, house.partition.streams["s"].dump()
    monitor = house.fold(sorted(cut for cut in cuts if cut < len(house.rows))).streams["s"]
    assert house._decided == whole
    assert orjson.dumps(monitor.dump()) == orjson.dumps(dump)
    restored = StreamMonitor.load(
        orjson.loads(orjson.dumps(dump)), "s", StreamSettings(retrain=policy), Limits()
    )
    assert orjson.dumps(restored.dump()) == orjson.dumps(dump)
    ids = [d.event_id for _, d in whole]
    assert len(ids) == len(set(ids))

"""The four ways of asking, one in flight, attempts and cooldown: plain numbers against the pure policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.episode import Episode, Moment
from driftbus.core.history import Columns, History
from driftbus.core.policy import Policy
from driftbus.core.records import Benefit, DriftEvent, ModelEvent, Onset, RetrainRequest, SignalEvidence
from driftbus.core.requests import BACKOFF_MS, MOVES
from driftbus.core.settings import DAY_MS, HOUR_MS, MetricWindow, RetrainPolicy, Rule

MINUTE = 60_000
RULE = Rule("f1", True, 0.7, MetricWindow(outcomes=1000, text="1000"), "f1 < 0.7 over 1000")
ERROR = SignalEvidence("error", 0.05, 0.3, "adwin", 20.0)


@dataclass
class Version:
    """The production version as the monitor shows it: one row a minute, every fourth of class 1."""

    model_version: str | None = "v1"
    classification: bool = True
    outcomes: History = field(default_factory=History)
    reference_seq: int = 0
    open_episodes: Sequence[Episode] = ()
    value: float | None = None
    own: History = field(default_factory=lambda: History(windows=False))  # the newest version's errors
    found: Benefit | None = None

    def rows_of(self, which: Mapping[str, str], from_seq: int) -> int | None:
        return None  # slices: tests/core/test_slices.py

    def errors(self, from_seq: int) -> Columns:
        return self.own.columns(from_seq)

    def benefit(self, onset_ts: int | None, signals: Sequence[SignalEvidence]) -> Benefit | None:
        return self.found

    def metric(self, rule: Rule) -> float | None:
        return self.value

    def grow(self, until: int, ones_every: int = 4) -> None:
        at = range(self.outcomes.seen, until)
        self.outcomes.extend(
            at, [row * MINUTE for row in at], [0.0] * len(at), [int(row % ones_every == 0) for row in at]
        )


def moment(row: int) -> Moment:
    return Moment(row * MINUTE, row, row)


def drift(status: Any, row: int, at: int = 1_000, **changes: Any) -> DriftEvent:
    """A drift event of a concept episode with its onset at row `at`."""
    event = DriftEvent(
        event_id=f"{status}-{row}",
        episode_id="episode",
        stream="s",
        status=status,
        resolution="settled" if status == "closed" else None,
        category="concept",
        kind="sudden",
        confidence=0.95,
        onset=Onset(at * MINUTE, at * MINUTE, at * MINUTE, True, at),
        signals=(ERROR,),
        slice=None,
        detected_at=row * MINUTE,
        outcomes_seen=row,
        predictions_seen=row,
        model_version="v1",
        muted=False,
        labels={},
    )
    return replace(event, **changes)


def model(type_: str, request_id: str | None = None, **changes: Any) -> ModelEvent:
    return ModelEvent(
        "s", 0, type_, changes.get("version"), request_id, changes.get("by"), changes.get("reason")
    )


@dataclass
class Stream:
    """A policy over a version, stepped row by row in sixteens as the monitor does."""

    rule: RetrainPolicy = field(default_factory=RetrainPolicy)
    version: Version = field(default_factory=Version)
    asked: list[tuple[int, RetrainRequest]] = field(default_factory=list)
    ones_every: int = 4
    row: int = 0

    def __post_init__(self) -> None:
        self.policy = Policy("s", self.rule, {"team": "risk"})

    def take(self, requests: list[RetrainRequest]) -> None:
        self.asked += [(self.row, request) for request in requests]
        assert len(requests) <= 1

    def drift(self, event: DriftEvent) -> None:
        self.policy.on_drift_event(event)
        self.take(self.policy.consider(moment(self.row), self.version))

    def model(self, event: ModelEvent) -> None:
        self.take(self.policy.on_model_event(event, moment(self.row), self.version))

    def run(self, until: int) -> None:
        """Rows until then; the policy is asked only when it wants to be: for rows, or at its due time."""
        while self.row < until:
            self.row = min(self.row - self.row % 16 + 16, until)
            self.version.grow(self.row, self.ones_every)
            due = self.policy.next_due(self.version)
            if self.policy.wants_outcomes(self.version) or (due is not None and due <= self.row * MINUTE):
                self.take(self.policy.consider(moment(self.row), self.version))


def test_drift_asks_once_when_there_are_rows_enough() -> None:
    stream = Stream()
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    assert stream.asked == []
    stream.run(2_900)
    assert len(stream.asked) == 1
    row, request = stream.asked[0]
    assert 1_500 <= row <= 1_536
    assert (request.reason, request.status, request.attempt) == ("drift", "requested", 1)
    assert (request.episode_id, request.signals) == ("episode", (ERROR,))
    assert request.note is None
    assert request.labels == {"team": "risk"}
    window = request.window
    assert 1_000 <= window.start_seq <= 1_016
    assert window.end_seq == row
    assert window.rows == window.rows_since_onset == row - window.start_seq
    assert window.onset_ts == window.start_ts == window.start_seq * MINUTE
    assert window.class_counts == {"0": window.rows - window.rows // 4, "1": window.rows // 4}
    assert stream.policy.in_flight == request.request_id


def test_it_waits_for_rows_of_every_class_and_says_so_when_it_does_not() -> None:
    stream = Stream(RetrainPolicy(max_wait_ms=DAY_MS), ones_every=100)
    stream.run(1_040)
    stream.drift(drift("opened", 1_040))
    stream.run(2_470)
    assert stream.asked == []
    stream.run(2_500)
    row, request = stream.asked[0]
    assert row * MINUTE >= 1_040 * MINUTE + DAY_MS
    assert request.note is not None
    assert "class 1" in request.note


def test_a_change_that_goes_on_is_waited_for_up_to_four_times_min_rows() -> None:
    stream = Stream()
    moving = Episode(
        "episode", "concept", 0, Onset(0, 0, 0, True, 0), {}, True, 0, 0, kind="gradual", moving=True
    )
    stream.version.open_episodes = [moving]
    stream.run(1_100)
    stream.drift(drift("opened", 1_100, kind="gradual"))
    stream.run(2_980)
    assert stream.asked == []
    stream.run(3_100)
    assert 3_000 <= stream.asked[0][0] <= 3_072


def test_it_asks_when_the_change_has_come_to_its_end() -> None:
    stream = Stream()
    moving = Episode(
        "episode", "concept", 0, Onset(0, 0, 0, True, 0), {}, True, 0, 0, kind="gradual", moving=True
    )
    stream.version.open_episodes = [moving]
    stream.run(1_100)
    stream.drift(drift("opened", 1_100, kind="gradual"))
    stream.run(2_000)
    stream.version.open_episodes = [replace(moving, moving=False)]
    stream.run(2_020)
    assert len(stream.asked) == 1


@pytest.mark.parametrize(
    ("rule", "event", "asks"),
    [
        (RetrainPolicy(), {"category": "data"}, False),
        (RetrainPolicy(categories=("data",)), {"category": "data"}, True),
        (RetrainPolicy(kinds=("gradual",)), {"kind": "sudden"}, False),
        (RetrainPolicy(kinds=("gradual",)), {"kind": "undetermined"}, False),
        (RetrainPolicy(), {"kind": "undetermined"}, True),
        (RetrainPolicy(on_drift=False), {}, False),
        (RetrainPolicy(mode="off"), {}, False),
        (RetrainPolicy(mode="propose"), {}, True),
    ],
)
def test_categories_kinds_and_modes(rule: RetrainPolicy, event: dict[str, Any], asks: bool) -> None:
    stream = Stream(rule)
    stream.run(1_050)
    stream.drift(drift("opened", 1_050, **event))
    stream.run(2_000)
    assert bool(stream.asked) is asks
    if asks:
        assert stream.asked[0][1].status == ("proposed" if rule.mode == "propose" else "requested")


@pytest.mark.parametrize("without_labels", [True, False])
def test_data_drift_without_labels_asks_only_if_told_to(without_labels: bool) -> None:
    rule = RetrainPolicy(categories=("data",), without_labels=without_labels, max_wait_ms=HOUR_MS)
    stream = Stream(rule)
    stream.run(100)
    onset = Onset(5_000 * MINUTE, 5_000 * MINUTE, 5_000 * MINUTE, False, 77)
    stream.drift(drift("opened", 100, category="data", onset=onset))
    stream.row = 5_200  # no outcome comes any more, only time passes
    stream.take(stream.policy.consider(moment(5_200), stream.version))
    assert bool(stream.asked) is without_labels
    if without_labels:
        window = stream.asked[0][1].window
        assert (window.rows, window.start_seq) == (0, window.end_seq)


def test_an_episode_that_settled_in_the_cooldown_is_still_answered() -> None:
    stream = Stream(RetrainPolicy(cooldown_ms=DAY_MS))
    stream.run(900)
    stream.model(model("model-deployed", version="v2"))
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(2_300)
    stream.drift(drift("closed", 2_300))
    stream.run(2_320)
    assert stream.asked == []
    stream.run(2_400)
    row, request = stream.asked[0]
    assert row == pytest.approx(900 + 1_440, abs=16)
    assert 1_000 <= request.window.start_seq <= 1_032


@pytest.mark.parametrize("resolution", ["passed", "replaced"])
def test_an_episode_that_is_gone_asks_for_nothing(resolution: Any) -> None:
    stream = Stream()
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.drift(drift("closed", 1_300, resolution=resolution))
    stream.run(3_000)
    assert stream.asked == []
    assert not stream.policy.wants_outcomes(stream.version)


def test_one_in_flight_and_a_deployment_ends_it() -> None:
    stream = Stream()
    stream.run(600)
    stream.model(model("retrain-requested", by="ann", reason="new labels"))
    assert stream.asked[0][1].manual == "ann: new labels"
    stream.model(model("retrain-requested"))
    assert stream.policy.refused_manual == 1
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(1_900)
    assert len(stream.asked) == 1
    stream.model(model("training-started", stream.policy.in_flight))
    stream.model(model("model-deployed"))
    assert stream.policy.in_flight is None
    stream.run(4_000)
    assert len(stream.asked) == 1  # the deployment answered the episode too


def test_by_hand_goes_past_cooldown_rows_and_mode_even_without_a_row() -> None:
    stream = Stream(RetrainPolicy(mode="off"))
    stream.model(model("retrain-requested"))
    window = stream.asked[0][1].window
    assert (window.rows, window.start_seq, window.end_seq, window.class_counts) == (0, 0, 0, {})
    stream.model(model("model-deployed"))
    stream.run(40)
    stream.model(model("retrain-requested"))
    assert stream.asked[1][1].window.rows == 40
    before = Policy("s", RetrainPolicy(), {}).on_model_event(model("retrain-requested"), moment(3), None)
    assert before[0].model_version is None
    assert before[0].window.rows == 0


def test_by_hand_after_a_fresh_deployment_reaches_back_for_min_rows() -> None:
    stream = Stream()
    stream.run(5_000)
    stream.version.reference_seq = 4_990
    stream.model(model("retrain-requested"))
    window = stream.asked[0][1].window
    assert 500 <= window.rows <= 520
    assert window.onset_ts is None
    assert window.rows_since_onset == window.rows


def test_by_hand_in_the_middle_of_a_change_takes_the_rows_since_then() -> None:
    stream = Stream(RetrainPolicy(cooldown_ms=30 * DAY_MS))
    stream.model(model("model-deployed"))
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(2_000)
    stream.model(model("retrain-requested"))
    request = stream.asked[0][1]
    assert (request.reason, request.episode_id) == ("manual", "episode")
    assert 1_000 <= request.window.start_seq <= 1_032


def test_silence_and_failure_are_asked_again_with_backoff_then_given_up() -> None:
    stream = Stream(RetrainPolicy(timeout_ms=HOUR_MS, cooldown_ms=2 * HOUR_MS))
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(1_600)
    first_row, first = stream.asked[0]
    stream.run(first_row + 60 + 2 * 5 + 16)
    _, second = stream.asked[1]
    assert (second.request_id, second.attempt) == (first.request_id, 2)
    assert second.event_id != first.event_id
    assert second.window.rows > first.window.rows
    stream.model(model("training-failed", second.request_id))
    stream.run(stream.row + 4 * 5 + 16)
    assert stream.asked[2][1].attempt == 3
    stream.model(model("training-failed"))
    assert stream.policy.in_flight is None
    stream.run(stream.row + 400)
    assert len(stream.asked) == 3  # the episode has said all it can
    stream.drift(drift("opened", stream.row, episode_id="another"))
    stream.run(stream.row + 600)
    fourth = stream.asked[3][1]
    assert (fourth.attempt, fourth.episode_id) == (1, "another")
    assert fourth.request_id != first.request_id
    assert stream.policy.requests_total == {"drift": 2}


def test_a_trainer_at_work_is_waited_for() -> None:
    stream = Stream(RetrainPolicy(timeout_ms=HOUR_MS))
    stream.model(model("retrain-requested"))
    for _ in range(5):
        stream.run(stream.row + 50)
        stream.model(model("training-started"))
    assert len(stream.asked) == 1
    stream.model(model("training-finished"))
    stream.run(stream.row + 50)
    stream.model(model("model-deployed"))
    stream.run(stream.row + 500)
    assert len(stream.asked) == 1


def test_a_proposal_is_not_repeated() -> None:
    stream = Stream(RetrainPolicy(mode="propose", timeout_ms=HOUR_MS))
    stream.model(model("retrain-requested"))
    stream.run(500)
    assert len(stream.asked) == 1
    assert stream.policy.in_flight is None


def test_unknown_request_ids_are_counted_and_late_ones_are_not() -> None:
    stream = Stream()
    stream.model(model("retrain-requested"))
    first = stream.policy.in_flight
    stream.model(model("training-failed", "nobody's"))
    assert (stream.policy.unknown_requests, stream.policy.in_flight) == (1, first)
    stream.model(model("model-deployed", first))
    stream.model(model("training-finished", first))
    assert stream.policy.unknown_requests == 1
    stream.model(model("training-started"))
    assert stream.policy.in_flight is None


def test_a_rule_fires_once_and_is_armed_again_by_recovery_or_deployment() -> None:
    stream = Stream(RetrainPolicy(rules=(RULE,), cooldown_ms=0))
    stream.run(800)
    assert stream.asked == []  # the window is not complete: there is no value
    stream.version.value = 0.6
    stream.run(1_000)
    request = stream.asked[0][1]
    assert (request.reason, request.rule, request.note) == ("performance", RULE.text, "f1 is 0.6")
    assert request.window.rows == stream.asked[0][0]
    for _ in range(3):
        stream.model(model("training-failed"))
        stream.run(stream.row + 100)
    assert stream.policy.in_flight is None
    asked = len(stream.asked)
    stream.run(3_000)
    assert len(stream.asked) == asked  # given up; it has fired
    stream.version.value = 0.8
    stream.run(3_100)
    stream.version.value = 0.6
    stream.run(3_200)
    assert len(stream.asked) == asked + 1
    stream.model(model("model-deployed"))
    stream.run(3_300)
    assert len(stream.asked) == asked + 2


def test_rules_wait_for_the_cooldown_and_for_rows() -> None:
    stream = Stream(RetrainPolicy(rules=(RULE,)))
    stream.model(model("model-deployed"))
    stream.version.value = 0.1
    stream.run(350)
    assert stream.asked == []
    stream.run(520)
    assert stream.asked[0][0] == pytest.approx(500, abs=16)


def test_the_schedule_counts_from_the_first_outcome_then_from_deployments() -> None:
    stream = Stream(RetrainPolicy(every_ms=DAY_MS, cooldown_ms=0, timeout_ms=100 * DAY_MS))
    stream.run(1_600)
    row, request = stream.asked[0]
    assert row == 1_440
    assert (request.reason, request.schedule) == ("schedule", "1d")
    stream.model(model("model-deployed"))
    stream.run(1_600 + 1_440 + 10)
    assert [row for row, _ in stream.asked] == [1_440, 1_600 + 1_440]


def test_after_a_settled_change_windows_start_at_its_onset() -> None:
    stream = Stream(RetrainPolicy(on_drift=False))
    stream.run(1_050)
    stream.drift(drift("opened", 1_050))
    stream.run(3_100)
    stream.drift(drift("closed", 3_100))
    stream.run(4_000)
    stream.model(model("retrain-requested"))
    assert 1_000 <= stream.asked[0][1].window.start_seq <= 1_032


def test_moves_lead_only_to_states_that_exist() -> None:
    assert {state for moves in MOVES.values() for state in moves.values()} <= set(MOVES)
    assert BACKOFF_MS * 2 ** RetrainPolicy().max_attempts < RetrainPolicy().cooldown_ms


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "rows",
                "rows",
                "rows",
                "retrain-requested",
                "training-started",
                "training-finished",
                "training-failed",
                "model-deployed",
                "model-rolled-back",
                "opened",
                "settled",
                "passed",
                "value",
            ]
        ),
        st.integers(1, 900),
    ),
    max_size=30,
)


def act(stream: Stream, action: str, number: int) -> None:
    if action == "rows":
        stream.run(stream.row + number)
    elif action == "value":
        stream.version.value = number / 900
    elif action == "opened":
        stream.drift(drift("opened", stream.row, at=max(0, stream.row - number)))
    elif action in ("settled", "passed"):
        stream.drift(drift("closed", stream.row, at=max(0, stream.row - number), resolution=action))
    else:
        cited = [None, stream.policy.in_flight, "unknown"][number % 3]
        stream.model(model(action, cited))


@settings(max_examples=60, deadline=None)
@given(ACTIONS, st.integers(0, 30), st.sampled_from(["auto", "propose", "off"]))
def test_any_story_keeps_one_in_flight_and_survives_a_restore(
    actions: list[tuple[str, int]], restore_at: int, mode: Any
) -> None:
    rule = RetrainPolicy(
        mode=mode,
        rules=(RULE,),
        every_ms=5 * HOUR_MS,
        cooldown_ms=HOUR_MS,
        timeout_ms=2 * HOUR_MS,
        min_rows=100,
    )
    stream, twin = Stream(rule), Stream(rule)
    for number, (action, size) in enumerate(actions):
        if number == restore_at:
            state = orjson.loads(orjson.dumps([twin.policy.dump(), twin.version.outcomes.dump()]))
            twin.policy = Policy.load(state[0], "s", rule, {"team": "risk"})
            twin.version.outcomes = History.load(state[1])
        act(stream, action, size)
        act(twin, action, size)
    assert stream.asked == twin.asked
    assert stream.policy.dump() == twin.policy.dump()
    assert len({request.event_id for _, request in stream.asked}) == len(stream.asked)
    attempts: dict[str, list[int]] = {}
    order: list[str] = []
    for _, request in stream.asked:
        attempts.setdefault(request.request_id, []).append(request.attempt)
        if not order or order[-1] != request.request_id:
            order.append(request.request_id)
        window = request.window
        assert window.start_seq <= window.end_seq
        assert sum(window.class_counts.values()) == window.rows >= window.rows_since_onset
    assert len(order) == len(attempts)  # a request is over before the next one begins
    for numbers in attempts.values():
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= (rule.max_attempts if mode != "propose" else 1)
    if mode == "off":
        assert all(request.reason == "manual" for _, request in stream.asked)

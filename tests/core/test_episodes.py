"""Episodes over real detectors: one change, one episode; nothing where nothing changes; the same events
however the rows were cut into blocks, and after a restore at any point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.detectors.adwin import Adwin
from driftbus.core.detectors.page_hinkley import PageHinkley
from driftbus.core.episodes import Alarm, EpisodePolicy, Episodes, Moment, Rows
from driftbus.core.history import History
from driftbus.core.places import Places
from driftbus.core.records import DriftEvent

GAP_MS = 1_000


@dataclass
class Version:
    """One version's error, as the monitor would drive it; `extra_cuts` are further block ends."""

    policy: EpisodePolicy = field(default_factory=EpisodePolicy)
    rows: Rows = field(default_factory=lambda: Rows(History(), Places()))
    events: list[DriftEvent] = field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        self.episodes = Episodes("s", "v1", "production", {"team": "risk"}, self.policy)

    def moment(self) -> Moment:
        return Moment(self.seen * GAP_MS, self.seen, self.seen)

    def feed(self, values: Sequence[float], alarms: dict[int, list[Alarm]], cuts: Iterable[int] = ()) -> None:
        """`alarms` by the number of rows seen when they are raised."""
        start, end = self.seen, self.seen + len(values)
        ends = sorted({*(cut for cut in cuts if start < cut < end), *alarms, end})
        while self.seen < end:
            due = self.episodes.due_outcomes
            stop = min([one for one in ends if one > self.seen] + ([max(due, self.seen + 1)] if due else []))
            self.rows.outcomes.extend(
                range(self.seen, stop),
                range(self.seen * GAP_MS, stop * GAP_MS, GAP_MS),
                values[self.seen - start : stop - start],
            )
            self.seen = stop
            for alarm in alarms.get(stop, []):
                self.events += self.episodes.on_alarm(alarm, self.moment(), self.rows)
            self.events += self.episodes.checkpoint(self.moment(), self.rows)

    def restored(self) -> Version:
        state = orjson.loads(
            orjson.dumps([self.episodes.dump(), self.rows.outcomes.dump(), self.rows.predictions.dump()])
        )
        other = Version(self.policy, Rows(History.load(state[1]), Places.load(state[2])), list(self.events))
        other.seen = self.seen
        other.episodes = Episodes.load(state[0], "s", "v1", "production", {"team": "risk"}, self.policy)
        return other


def alarms_of(values: Sequence[float]) -> dict[int, list[Alarm]]:
    """What ADWIN and Page-Hinkley, the error's detectors, cry over these values."""
    found: dict[int, list[Alarm]] = {}
    for detector in (Adwin(), PageHinkley()):
        for hit in detector.update_block(values):
            alarm = Alarm(
                "error",
                detector.name,
                "concept",
                hit.direction,  # type: ignore[arg-type]
                hit.before,
                hit.after,
                hit.since,
                hit.evidence,
            )
            found.setdefault(hit.index + 1, []).append(alarm)
    return found


def bernoulli(seed: object, *parts: tuple[int, float]) -> list[float]:
    rng = np.random.default_rng(seed)  # type: ignore[arg-type]
    return np.concatenate([(rng.random(n) < p).astype(float) for n, p in parts]).tolist()  # type: ignore[no-any-return]


def ramp(seed: object, before: int, width: int, after: int, low: float, high: float) -> list[float]:
    rng = np.random.default_rng(seed)  # type: ignore[arg-type]
    p = low + (high - low) * np.clip((np.arange(before + width + after) - before) / width, 0, 1)
    return (rng.random(len(p)) < p).astype(float).tolist()  # type: ignore[no-any-return]


def run(values: Sequence[float], policy: EpisodePolicy | None = None, cuts: Iterable[int] = ()) -> Version:
    version = Version(policy or EpisodePolicy())
    version.feed(values, alarms_of(values), cuts)
    return version


def check_order(events: Sequence[DriftEvent]) -> None:
    """Opened first, then updates, closed last, once each; intervals in order; figures never absent."""
    by_id: dict[str, list[DriftEvent]] = {}
    for event in events:
        by_id.setdefault(event.episode_id, []).append(event)
        assert event.onset.earliest <= event.onset.ts <= event.onset.latest <= event.detected_at
        assert event.signals
        assert 0.0 <= event.confidence <= 1.0
    for told in by_id.values():
        status = [event.status for event in told]
        assert status[0] == "opened"
        assert status[1:].count("opened") == 0
        assert "closed" not in status[:-1]
        assert all((event.resolution is not None) == (event.status == "closed") for event in told)
    assert len({event.event_id for event in events}) == len(events)


@pytest.mark.parametrize("seed", range(8))
def test_a_step_is_one_episode_sudden_and_settled(seed: int) -> None:
    version = run(bernoulli([seed, 1], (8_000, 0.05), (6_000, 0.35)))
    events = version.events
    check_order(events)
    assert [event.status for event in events].count("opened") == 1
    opened, closed = events[0], events[-1]
    assert 8_000 < opened.outcomes_seen <= 8_200
    assert abs(opened.onset.seq - 8_000) <= 60
    assert opened.signals[0].name == "error"
    assert opened.signals[0].evidence >= 8
    assert (closed.resolution, closed.kind) == ("settled", "sudden")
    assert closed.outcomes_seen <= 8_000 + 4_500
    assert closed.signals[0].before == pytest.approx(0.05, abs=0.015)
    assert closed.signals[0].after == pytest.approx(0.35, abs=0.04)
    assert opened.model_version == "v1"
    assert opened.labels == {"team": "risk"}
    assert version.rows.outcomes.window().start_seq >= 7_900  # the old world is forgotten


@pytest.mark.parametrize("seed", range(6))
def test_a_slow_rise_is_one_gradual_episode(seed: int) -> None:
    events = run(ramp([seed, 2], 8_000, 8_000, 6_000, 0.05, 0.35)).events
    check_order(events)
    assert [event.status for event in events].count("opened") == 1
    assert len(events) <= 10
    assert events[-1].kind == "gradual"
    assert events[-1].resolution == "settled"
    assert events[-1].outcomes_seen > 8_000 + 8_000


@pytest.mark.parametrize("seed", range(4))
def test_two_changes_are_two_episodes(seed: int) -> None:
    events = run(bernoulli([seed, 3], (8_000, 0.05), (4_000, 0.2), (5_000, 0.45))).events
    check_order(events)
    onsets = [event.onset.seq for event in events if event.status == "opened"]
    assert len(onsets) == 2
    assert onsets[0] == pytest.approx(8_000, abs=150)
    assert onsets[1] == pytest.approx(12_000, abs=150)


@pytest.mark.parametrize("seed", range(4))
def test_a_short_trouble_passes_and_the_old_level_stays_the_reference(seed: int) -> None:
    version = run(bernoulli([seed, 4], (8_000, 0.05), (600, 0.4), (6_000, 0.05)))
    check_order(version.events)
    assert [event.status for event in version.events].count("opened") == 1
    assert version.events[-1].resolution == "passed"
    assert version.rows.outcomes.window().start_seq == 0


@pytest.mark.parametrize("level", [0.02, 0.05, 0.2])
def test_nothing_changes_nothing_opens(level: float) -> None:
    # Measured over 9.6 million such rows: none, so at most .03 false episodes per 100,000.
    assert run(bernoulli([17, int(level * 100)], (150_000, level))).events == []


def test_bursts_and_wandering_open_next_to_nothing_however_often_detectors_cry() -> None:
    rng = np.random.default_rng(11)
    state, bursty, level, wandering = 0.0, [], 0.0, []
    for draw, noise in zip(rng.random(60_000), rng.standard_normal(60_000), strict=True):
        state = float(draw < 0.1 + 0.5 * (state - 0.1))
        bursty.append(state)
        level = 0.9 * level + 0.436 * noise
        wandering.append(float(abs(level + 5.0)))
    assert len(alarms_of(wandering)) > 100
    for values in (bursty, wandering):
        # Measured: 1 in 1.2 million rows of each.
        assert [event.status for event in run(values).events].count("opened") <= 1


def test_an_improvement_is_no_episode_and_the_next_rise_is_found() -> None:
    events = run(bernoulli([5], (8_000, 0.3), (5_000, 0.05), (3_000, 0.2))).events
    check_order(events)
    opened = [event for event in events if event.status == "opened"]
    assert len(opened) == 1
    assert opened[0].onset.seq == pytest.approx(13_000, abs=100)
    assert opened[0].signals[0].before == pytest.approx(0.05, abs=0.02)


def test_an_alarm_nobody_can_confirm_is_dropped() -> None:
    version = Version()
    quiet = [0.0, 0.0, 0.0, 0.0, 1.0] * 400
    version.feed(quiet, {})
    version.feed(quiet, {2_500: [error_alarm()]})
    assert version.episodes.due_outcomes is not None
    version.feed(quiet, {})
    assert version.episodes.due_outcomes is None
    assert version.events == []


def error_alarm(direction: Any = 1) -> Alarm:
    return Alarm("error", "page_hinkley", "concept", direction, 0.1, 0.2, 50, 9.0)


@pytest.mark.parametrize("seed", range(3))
def test_regression_errors_are_judged_in_any_unit(seed: int) -> None:
    rng = np.random.default_rng([seed, 6])
    errors = 1e4 * np.abs(rng.standard_normal(10_500))
    errors[6_000:] *= 2.0
    version = Version()
    version.feed(errors.tolist(), {6_080: [error_alarm()]})
    check_order(version.events)
    opened = version.events[0]
    assert opened.status == "opened"
    assert abs(opened.onset.seq - 6_000) <= 60
    assert version.events[-1].resolution == "settled"


def feature_alarm(name: str, category: Any = "data", since: int | None = 30) -> Alarm:
    return Alarm(name, "adwin", category, 1, 0.1, 0.4, since, 12.0)


@dataclass
class LabelFree:
    """Predictions without labels, with alarms at given counts."""

    def __post_init__(self) -> None:
        self.rows = Rows(History(), Places())
        self.episodes = Episodes("s", None, "production", {})
        self.events: list[DriftEvent] = []

    def feed(self, until: int, alarms: dict[int, list[Alarm]]) -> None:
        seen = self.rows.predictions.seen
        while seen < until:
            due = self.episodes.due_predictions
            stop = min([one for one in (*alarms, until) if one > seen] + ([due] if due else []))
            self.rows.predictions.extend(range(seen * 3, stop * 3, 3), range(seen * 10, stop * 10, 10))
            seen = stop
            moment = Moment(seen * 10, 0, seen)
            for alarm in alarms.get(seen, []):
                self.events += self.episodes.on_alarm(alarm, moment, self.rows)
            self.events += self.episodes.checkpoint(moment, self.rows)


def test_features_that_move_together_are_one_data_episode() -> None:
    stream = LabelFree()
    alarms = {
        5_000: [feature_alarm("feature/a")],
        5_010: [feature_alarm("feature/b"), feature_alarm("score", "prediction")],
        5_030: [feature_alarm("feature/c"), feature_alarm("feature/a")],
    }
    stream.feed(20_000, alarms)
    check_order(stream.events)
    data = [event for event in stream.events if event.category == "data"]
    assert [event.status for event in data] == ["opened", "updated", "closed"]
    assert data[0].onset.labelled is False
    assert data[0].onset.seq == pytest.approx(3 * (5_000 - 30), abs=3 * 8)
    assert [signal.name for signal in data[1].signals] == ["feature/a", "feature/b", "feature/c"]
    assert data[1].predictions_seen == 5_010 + 64
    assert data[2].resolution == "settled"
    assert data[2].predictions_seen == 5_030 + 5_000
    other = [event for event in stream.events if event.category == "prediction"]
    assert [event.status for event in other] == ["opened", "closed"]
    assert stream.episodes.opened_total == {"data": 1, "prediction": 1}
    assert stream.episodes.closed_total == {("prediction", "undetermined"): 1, ("data", "undetermined"): 1}


def test_a_custom_signal_opens_a_concept_episode_by_itself() -> None:
    version = Version()
    alarm = replace(feature_alarm("custom/ndcg@10", "concept", None), direction=-1)
    version.feed([0.0] * 1_000, {900: [alarm]})
    assert [event.category for event in version.events] == ["concept"]
    assert version.events[0].onset.labelled is True


def test_the_time_limit_and_replacement_close() -> None:
    version = Version()
    values = bernoulli([9], (3_000, 0.05), (300, 0.5))
    version.feed(values, alarms_of(values))
    due = version.episodes.next_due()
    assert due == version.events[0].detected_at + EpisodePolicy().limit_ms
    other = version.restored()
    assert version.episodes.on_time(Moment(due - 1, 3_300, 0), version.rows) == []
    late = version.episodes.on_time(Moment(due, 3_300, 0), version.rows)
    assert [event.resolution for event in late] == ["timed_out"]
    assert version.episodes.next_due() is None
    replaced = other.episodes.close_all("replaced", other.moment(), other.rows)
    assert [event.resolution for event in replaced] == ["replaced"]
    assert not other.episodes.open
    check_order([*version.events, *late])


VALUES = ramp([21], 3_000, 1_200, 4_500, 0.05, 0.4) + bernoulli([22], (1_500, 0.05))
ALARMS = alarms_of(VALUES)
WHOLE = run(VALUES)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, len(VALUES)), max_size=40))
def test_events_do_not_depend_on_where_blocks_are_cut(cuts: list[int]) -> None:
    assert WHOLE.events
    assert run(VALUES, cuts=cuts).events == WHOLE.events


@settings(max_examples=25, deadline=None)
@given(st.integers(1, len(VALUES) - 1))
def test_restored_at_any_row_it_goes_on_alike(at: int) -> None:
    first = Version()
    first.feed(VALUES[:at], {seen: alarms for seen, alarms in ALARMS.items() if seen <= at})
    second = first.restored()
    second.feed(VALUES[at:], {seen: alarms for seen, alarms in ALARMS.items() if seen > at})
    assert second.events == WHOLE.events
    assert second.episodes.dump() == WHOLE.episodes.dump()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_alarms_give_ordered_events(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1_000))
    parts = data.draw(
        st.lists(
            st.tuples(st.integers(50, 2_500), st.sampled_from([0.02, 0.1, 0.4, 0.9])), min_size=1, max_size=6
        )
    )
    values = bernoulli(seed, *parts)
    crying = data.draw(
        st.lists(st.tuples(st.integers(1, len(values)), st.sampled_from([-1, 0, 1])), max_size=30)
    )
    alarms: dict[int, list[Alarm]] = {}
    for seen, direction in crying:
        alarms.setdefault(seen, []).append(error_alarm(direction))
    version = Version(EpisodePolicy(settle_rows=500, retry_rows=300))
    version.feed(values, alarms)
    version.events += version.episodes.close_all("replaced", version.moment(), version.rows)
    check_order(version.events)
    assert not version.episodes.open
    open_now = 0
    for event in version.events:
        open_now += {"opened": 1, "closed": -1}.get(event.status, 0)
        assert open_now in (0, 1)

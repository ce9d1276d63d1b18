"""Slices: a change in one is found there, dated, told as one episode; a change of everything names none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.monitor import StreamMonitor
from driftbus.core.records import DriftEvent, Json, RetrainRequest
from driftbus.core.settings import FeaturePolicy, Limits, RetrainPolicy, SignalPlan
from driftbus.core.slices import MOST_CATEGORIES, TURN
from tests.core.sliced import GAP_MS, QUIET, START_MS, Driven, Rate, World

REGIONS: dict[Json, float] = {"eu": 0.04, "us": 0.2, "asia": 0.76}
COUNTRIES: dict[Json, float] = {"DE": 0.2, "FR": 0.2, "IT": 0.2, "ES": 0.2, "UK": 0.2}
EVEN = {"region": {"eu": 0.5, "us": 0.5}, "country": COUNTRIES}
CHANGE = 16_000


def within(name: str, value: Json, after: float, at: int = CHANGE, rest: float = 0.1) -> Rate:
    """.1 until `at`; then `after` in one slice and `rest` elsewhere."""
    return lambda i, of: 0.1 if i < at else after if of[name] == value else rest


def everywhere(after: float) -> Rate:
    return lambda i, of: after if i >= CHANGE else 0.1


def told(driven: Driven) -> list[tuple[str, dict[str, str] | None]]:
    return [(one.status, None if one.slice is None else dict(one.slice)) for one in driven.events]


def row_of(ts: int) -> int:
    return (ts - START_MS) // GAP_MS


def levels(event: DriftEvent, name: str) -> tuple[float, float]:
    (found,) = (one for one in event.signals if one.name == name)
    return found.before, found.after


@pytest.mark.parametrize("seed", range(4))
def test_a_change_of_four_percent_of_the_traffic_is_found_there(seed: int) -> None:
    world = World(within("region", "eu", 0.5), {"region": REGIONS}, seed=seed)
    driven = Driven().feed(list(world.rows(CHANGE + 6_000)))
    assert {one.episode_id for one in driven.events} == {driven.events[0].episode_id}
    assert driven.events[0].status == "opened"
    assert all(which == {"region": "eu"} for _, which in told(driven))
    first, last = driven.events[0], driven.events[-1]
    assert first.outcomes_seen < CHANGE + 3_000  # 120 rows of the slice
    assert row_of(last.onset.earliest) <= CHANGE <= row_of(last.onset.latest)
    before, after = levels(last, "error/region=eu")
    assert before == pytest.approx(0.1, abs=0.04)
    assert after == pytest.approx(0.5, abs=0.1)
    assert levels(last, "error")[1] < 0.2  # the whole's, beside it


def test_a_feature_of_few_categories_is_a_slice() -> None:
    world = World(within("country", "DE", 0.4), EVEN)
    driven = Driven().feed(list(world.rows(CHANGE + 4_000)))
    assert len(driven.opened) == 1
    assert driven.events[-1].slice == {"country": "DE"}


@pytest.mark.parametrize("after", [0.15, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_everything_names_no_slice(after: float, seed: int) -> None:
    driven = Driven().feed(list(World(everywhere(after), EVEN, seed=seed).rows(CHANGE + 4_000)))
    assert len(driven.opened) == 1
    assert {None} == {which and which["region"] for _, which in told(driven)}
    assert all(one.name == "error" for event in driven.events for one in event.signals)


def test_the_whole_s_episode_names_the_slice_that_explains_it() -> None:
    """Half of the traffic: the whole's detector has warmed up when that of the slice has not."""
    world = World(within("region", "eu", 0.4, at=900), {"region": {"eu": 0.5, "us": 0.5}}, seed=1)
    driven = Driven().feed(list(world.rows(3_000)))
    assert len(driven.opened) == 1
    assert driven.opened[0].signals[0].name == "error"
    assert driven.events[-1].slice == {"region": "eu"}
    before, after = levels(driven.events[-1], "error/region=eu")
    assert before < 0.15 < 0.3 < after


def test_what_is_normal_in_a_slice_is_no_second_episode_of_the_whole() -> None:
    world = World(within("region", "eu", 0.6), {"region": {"eu": 0.08, "us": 0.92}}, seed=3)
    driven = Driven().feed(list(world.rows(CHANGE + 60_000)))
    assert len(driven.opened) == 1
    assert driven.events[-1].resolution == "settled"


def test_a_storm_in_a_slice_passes() -> None:
    def rate(i: int, of: dict[str, Json]) -> float:
        return 0.5 if CHANGE <= i < CHANGE + 6_000 and of["region"] == "eu" else 0.1

    driven = Driven().feed(list(World(rate, {"region": {"eu": 0.1, "us": 0.9}}).rows(CHANGE + 20_000)))
    assert [one.resolution for one in driven.events if one.status == "closed"] == ["passed"]


def test_two_slices_at_two_times_are_two_episodes() -> None:
    def rate(i: int, of: dict[str, Json]) -> float:
        late = i >= (CHANGE if of["region"] == "eu" else CHANGE + 9_000)
        return 0.5 if late and of["region"] != "asia" else 0.1

    driven = Driven().feed(list(World(rate, {"region": REGIONS}).rows(CHANGE + 12_000)))
    assert [one.slice for one in driven.opened] == [{"region": "eu"}, {"region": "us"}]


def test_what_spreads_from_a_slice_is_one_of_the_whole() -> None:
    """The rest follows while the slice's onset is still open: the same episode, which then names no slice."""

    def rate(i: int, of: dict[str, Json]) -> float:
        return 0.1 if i < CHANGE else 0.6 if of["region"] == "eu" else 0.12

    world = World(rate, {"region": {"eu": 0.3, "us": 0.7}}, seed=2)
    driven = Driven().feed(list(world.rows(CHANGE + 30_000)))
    assert len(driven.opened) == 1


NULLS = [
    {"region": {"eu": 0.5, "us": 0.5}},
    {"region": {f"r{n}": 0.1 for n in range(10)}, "country": COUNTRIES},
]


@pytest.mark.parametrize("shares", NULLS)
@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_changes_nothing_is_told(shares: dict[str, dict[Json, float]], seed: int) -> None:
    driven = Driven().feed(list(World(lambda i, of: 0.15, shares, seed=seed).rows(30_000)))
    assert driven.said == []


def mixed(seed: int, rows: int = 6_000) -> World:
    """Slices of both kinds, a change early enough that episodes open, are updated and settle."""
    at = rows // 3

    def rate(i: int, of: dict[str, Json]) -> float:
        if i >= at and of["region"] == "eu":
            return 0.6
        return 0.3 if i >= 2 * at and of["country"] == "DE" else 0.1

    shares = {"region": {"eu": 0.4, "us": 0.6}, "country": COUNTRIES, "beta": {True: 0.3, False: 0.7}}
    return World(rate, shares, seed=seed)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 3), cuts=st.lists(st.integers(1, 5_999), max_size=30, unique=True))
def test_where_blocks_are_cut_changes_nothing(seed: int, cuts: list[int]) -> None:
    rows = list(mixed(seed).rows(6_000))
    whole, cut = Driven().feed(rows), Driven().feed(rows, cuts)
    assert cut.said == whole.said
    assert orjson.dumps(cut.monitor.dump()) == orjson.dumps(whole.monitor.dump())


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 3), at=st.integers(1, 5_999))
def test_a_restored_stream_goes_on_bit_for_bit(seed: int, at: int) -> None:
    rows = list(mixed(seed).rows(6_000))
    going = Driven().feed(rows[:at])
    restored = Driven()
    state = orjson.loads(orjson.dumps(going.monitor.dump()))
    restored.monitor = StreamMonitor.load(state, "s", QUIET, Limits())
    assert orjson.dumps(restored.monitor.dump()) == orjson.dumps(going.monitor.dump())
    said = len(going.said)
    going.feed(rows[at:])
    restored.feed(rows[at:])
    assert restored.said == going.said[said:]
    assert orjson.dumps(restored.monitor.dump()) == orjson.dumps(going.monitor.dump())


def names(driven: Driven) -> set[str]:
    version = driven.monitor.production
    assert version is not None
    assert version.rows.slices is not None
    return {name for name, _ in version.rows.slices.keys.values()}


def fed(shares: dict[str, dict[Json, float]], **changes: object) -> Driven:
    world = World(lambda i, of: 0.1, shares)
    return Driven(replace(QUIET, **changes)).feed(list(world.rows(4 * TURN)))


def test_ids_constants_and_numbers_are_no_slices() -> None:
    of_many: dict[Json, float] = {f"c{n}": 1.0 for n in range(MOST_CATEGORIES * 3)}
    shares = {
        "id": of_many,
        "currency": {"EUR": 1.0},
        "age": {1: 0.5, 2.5: 0.5},
        "beta": {True: 0.5, False: 0.5},
    }
    assert names(fed(shares)) == {"beta"}
    policy = FeaturePolicy(categorical=("age",))
    assert names(fed(shares, features=policy)) == {"beta", "age"}


def test_what_is_redacted_or_ignored_is_never_told_by_value() -> None:
    shares = {"city": {"a": 0.5, "b": 0.5}, "name": {"x": 0.5, "y": 0.5}, "ok": {"x": 0.5, "y": 0.5}}
    policy = FeaturePolicy(redact=("ci*",), ignore=("name",))
    driven = fed(shares, features=policy)
    assert names(driven) == {"ok"}
    # Redacted from today on: what is remembered by value begins anew without it.
    state = orjson.loads(orjson.dumps(fed(shares).monitor.dump()))
    driven.monitor = StreamMonitor.load(state, "s", replace(QUIET, features=policy), Limits())
    assert b'"a"' not in orjson.dumps(driven.monitor.dump()["versions"][0]["slice_watch"])
    assert names(driven) == set()


def test_slices_are_bounded_and_can_be_off() -> None:
    many = {"region": {f"r{n}": 1.0 for n in range(200)}}
    driven = fed(many)
    version = driven.monitor.production
    assert version is not None
    assert version.rows.slices is not None
    assert len(version.rows.slices.keys) == Limits().max_slices
    off = Driven(QUIET, Limits(max_slices=0)).feed(list(World(lambda i, of: 0.1, many).rows(4 * TURN)))
    assert off.monitor.production is not None
    assert off.monitor.production.slice_watch is None
    assert fed(many, signals=SignalPlan(error=())).monitor.dump()["versions"][0]["slice_watch"] is None


def requests(
    rate: Rate, shares: dict[str, dict[Json, float]], rows: int, **rules: int
) -> Sequence[RetrainRequest]:
    asks = replace(QUIET, retrain=RetrainPolicy(min_rows=500, **rules))
    driven = Driven(asks).feed(list(World(rate, shares).rows(rows)))
    return [one for one in driven.said if isinstance(one, RetrainRequest)]


def test_a_slice_s_episode_asks_once_there_are_rows_enough_of_it() -> None:
    """`min_rows` of the slice: the rest has nothing new to teach."""
    shares: dict[str, dict[Json, float]] = {"region": {"eu": 0.2, "us": 0.8}}
    (asked,) = requests(within("region", "eu", 0.5), shares, CHANGE + 3_500)
    assert asked.reason == "drift"
    assert asked.signals[0].name == "error/region=eu"
    assert asked.note is None
    assert 2_000 < asked.window.rows_since_onset < 3_000
    # With too few of them, at `max_wait`, and it says so.
    rare = {"region": {"eu": 0.04, "us": 0.96}}
    (asked,) = requests(within("region", "eu", 0.5), rare, CHANGE + 3_500, max_wait_ms=2_000 * GAP_MS)
    assert asked.note is not None
    assert asked.note.endswith("rows of region = eu, fewer than min_rows = 500")

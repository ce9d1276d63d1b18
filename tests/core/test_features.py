"""The label-free watch over features: where blocks are cut changes nothing, and what moves is found."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.core.features import FeatureWatch
from driftbus.core.settings import DetectorSpec, FeaturePolicy, SignalPlan
from driftbus.core.signals import SignalHit

# Anything a feature may hold, the odd ones a reader of JSON meets included.
ODD: list[Any] = [
    *(None, True, False, 0, -0.0, 1, 1.0, -1, 1e308, -1e308, 5e-324, 2**63, -(2**63), "", "a", "é" * 70),
    *([], [1.0], {}, {"": "not finite"}, {"a": []}, math.nan, math.inf, -math.inf, "x" * 1000, 0.5),
]
NAMES = ["a", "b", "c", "ignored", "secret", "forced"]
POLICY = FeaturePolicy(ignore=("ign*",), categorical=("forced",), redact=("secret",), max=5)
PLANS = [
    SignalPlan(),
    SignalPlan(features=(DetectorSpec("adwin", {"delta": 0.2}),), quality=()),
    SignalPlan(features=(), quality=(DetectorSpec("page_hinkley", {"threshold": 0.2, "min_instances": 2}),)),
]

Rows = list[dict[str, Any] | None]


def watch_in_blocks(
    rows: Rows, cuts: list[int], policy: FeaturePolicy, plan: SignalPlan, *, reload: bool
) -> tuple[list[SignalHit], FeatureWatch]:
    """All hits with their position in `rows`, and the watch, for rows cut at `cuts`."""
    watch = FeatureWatch(policy, plan, max_categories=20)
    hits: list[SignalHit] = []
    places = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        hits += [replace(hit, index=hit.index + start) for hit in watch.observe(rows[start:end])]
        if reload:
            state = orjson.loads(orjson.dumps(watch.dump()))
            watch = FeatureWatch.load(state, policy, plan, max_categories=20)
    return hits, watch


def rows_of(seed: int, n: int, oddness: float) -> Rows:
    """Rows that change in the middle, with odd values and missing keys strewn in."""
    rng = random.Random(seed)
    rows: Rows = []
    for place in range(n):
        late = place > 0.6 * n
        row: dict[str, Any] = {
            "a": rng.gauss(2.0 if late else 0.0, 1.0),
            "b": "new" if late and rng.random() < 0.5 else rng.choice("uvw"),
            "secret": rng.lognormvariate(0.0, 1.0) * (100.0 if late else 1.0),
            "forced": rng.randrange(40 if late else 3),
            "ignored": rng.random(),
        }
        for name in NAMES:
            if rng.random() < oddness:
                row[name] = rng.choice(ODD)
            if rng.random() < oddness / 2:
                row.pop(name, None)
        rows.append(None if rng.random() < oddness / 10 else row)
    return rows


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([40, 900, 2000, 3000]),
    oddness=st.sampled_from([0.0, 0.0005, 0.05, 0.5]),
    cuts=st.lists(st.integers(0, 10**6), max_size=30),
    plan=st.sampled_from(PLANS),
    reload=st.booleans(),
)
def test_where_blocks_are_cut_and_where_state_is_reloaded_changes_nothing(
    seed: int, n: int, oddness: float, cuts: list[int], plan: SignalPlan, reload: bool
) -> None:
    rows = rows_of(seed, n, oddness)
    whole_hits, whole = watch_in_blocks(rows, [], POLICY, plan, reload=False)
    hits, watch = watch_in_blocks(rows, cuts, POLICY, plan, reload=reload)
    assert hits == whole_hits
    assert orjson.dumps(watch.dump()) == orjson.dumps(whole.dump())
    assert watch.summary() == whole.summary()
    for counter in ("seen", "dropped", "unwatched", "rejected"):
        assert getattr(watch, counter) == getattr(whole, counter)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.none() | st.dictionaries(st.text(max_size=2), JSON, max_size=8), max_size=70),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_any_json_is_taken_and_counted(rows: Rows, cuts: list[int]) -> None:
    hits, watch = watch_in_blocks(rows, cuts, POLICY, SignalPlan(), reload=True)
    _, whole = watch_in_blocks(rows, [], POLICY, SignalPlan(), reload=False)
    assert hits == []  # a reference is not complete after 70 rows
    assert watch.seen == len(rows)
    assert orjson.dumps(watch.dump()) == orjson.dumps(whole.dump())
    assert len(watch.summary()) <= POLICY.max


def numbers(rng: random.Random, n: int, mean: float = 0.0) -> Rows:
    return [{"x": rng.gauss(mean, 1.0), "y": rng.random(), "kind": rng.choice("abcde")} for _ in range(n)]


def test_a_steady_stream_is_silent() -> None:
    assert FeatureWatch(FeaturePolicy(), SignalPlan()).observe(numbers(random.Random(5), 20_000)) == []


def test_a_shift_of_one_standard_deviation_is_found_once_with_its_onset() -> None:
    rng = random.Random(1)
    rows = numbers(rng, 3_000) + numbers(rng, 3_000, mean=1.0)
    hits = FeatureWatch(FeaturePolicy(), SignalPlan()).observe(rows)
    assert [hit.signal for hit in hits] == ["feature/x"]
    hit = hits[0]
    assert 3_000 <= hit.index < 3_300
    assert hit.direction == 1
    assert hit.before == pytest.approx(0.0, abs=0.15)
    assert hit.after == pytest.approx(1.0, abs=0.4)  # of about 90 values
    assert hit.since is not None
    assert abs(hit.index - hit.since + 1 - 3_000) <= 64


@pytest.mark.parametrize("text", [True, False])
def test_ids_do_not_alarm_and_stay_bounded(text: bool) -> None:
    rng = random.Random(2)
    ids = [rng.randrange(10**9) for _ in range(20_000)]
    rows: Rows = [{"id": f"id-{number}" if text else number} for number in ids]
    watch = FeatureWatch(FeaturePolicy(), SignalPlan(), max_categories=100)
    assert watch.observe(rows) == []
    assert len(orjson.dumps(watch.dump())) < 100 * 40 + 3_000


def test_category_frequencies_are_one_signal() -> None:
    rng = random.Random(3)
    rows: Rows = [{"c": rng.choice("aabbcde")} for _ in range(3_000)]
    rows += [{"c": rng.choice("abcddee")} for _ in range(3_000)]  # a total variation of 2/7
    hits = FeatureWatch(FeaturePolicy(), SignalPlan()).observe(rows)
    assert [hit.signal for hit in hits] == ["feature/c"]
    assert 3_000 <= hits[0].index < 3_500
    assert hits[0].direction == 1


@pytest.mark.parametrize(
    ("signal", "odd"),
    [
        ("missing/x", {"x": None, "kind": "a"}),
        ("missing/x", {"kind": "a"}),
        ("missing/x", {"x": "n/a", "kind": "a"}),
        ("missing/kind", {"x": 0.0, "kind": None}),
        ("unseen/kind", {"x": 0.0, "kind": "new"}),
        ("range/x", {"x": 50.0, "kind": "a"}),
    ],
)
def test_bad_data_is_found_and_found_again_after_it_was_mended(signal: str, odd: dict[str, Any]) -> None:
    rng = random.Random(4)

    def rows(n: int, share: float) -> Rows:
        return [
            dict(odd) if rng.random() < share else {"x": rng.gauss(0.0, 1.0), "kind": rng.choice("abc")}
            for _ in range(n)
        ]

    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    assert watch.observe(rows(5_000, 0.0)) == []
    first = [hit for hit in watch.observe(rows(3_000, 0.2)) if hit.signal == signal]
    assert len(first) == 1
    assert first[0].index < 400
    assert first[0].before == pytest.approx(0.0, abs=0.01)
    assert first[0].after == pytest.approx(0.2, abs=0.1)
    assert [hit for hit in watch.observe(rows(6_000, 0.0)) if hit.signal == signal] == []
    again = [hit for hit in watch.observe(rows(3_000, 0.2)) if hit.signal == signal]
    assert len(again) == 1
    assert again[0].index < 400


def test_a_share_that_is_usual_is_normal() -> None:
    rng = random.Random(6)
    rows: Rows = [{"x": None if rng.random() < 0.3 else rng.gauss(0, 1)} for _ in range(20_000)]
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    assert watch.observe(rows) == []
    assert watch.summary()[0].missing_ratio == pytest.approx(0.3, abs=0.1)


def test_non_finite_numbers_are_counted_and_blind_nothing() -> None:
    rng = random.Random(7)
    rows = numbers(rng, 3_000) + numbers(rng, 1_000, mean=1.0)
    for place in range(0, 4_000, 100):
        row = rows[place]
        assert row is not None
        row["x"] = [math.nan, math.inf, -math.inf, 1e308][place // 100 % 4]
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    hits = watch.observe(rows)
    assert [hit.signal for hit in hits] == ["feature/x"]
    assert 3_000 <= hits[0].index < 3_400
    assert watch.rejected == 30


def test_at_most_max_features_are_watched_and_the_rest_is_counted() -> None:
    rows: Rows = [{f"f{i}": float(i) for i in range(7)} | {"list": [1], "skip": 1.0} for _ in range(64)]
    watch = FeatureWatch(FeaturePolicy(max=3, ignore=("skip",)), SignalPlan())
    watch.observe(rows)
    assert [view.name for view in watch.summary()] == ["f0", "f1", "f2"]
    assert watch.dropped == 4 * 64
    assert watch.unwatched == 64


def test_names_without_end_do_not_grow_the_state() -> None:
    watch = FeatureWatch(FeaturePolicy(max=10), SignalPlan())
    watch.observe([{f"name-{place}": 1.0} for place in range(5_000)])
    assert len(watch.summary()) == 10
    assert watch.dropped == 4_992 - 10


def test_only_what_the_globs_say_is_watched() -> None:
    policy = FeaturePolicy(watch=("a*", "b"), ignore=("a?",), categorical=("b",))
    watch = FeatureWatch(policy, SignalPlan())
    watch.observe([{"a": 1.0, "ab": 1.0, "abc": 1.0, "b": 1.0, "c": 1.0}] * 16)
    assert [(view.name, view.kind) for view in watch.summary()] == [
        ("a", "numeric"),
        ("abc", "numeric"),
        ("b", "categorical"),
    ]
    assert watch.dropped == 0


def test_a_redacted_feature_is_shown_in_standard_deviations_only() -> None:
    rng = random.Random(8)
    rows: Rows = [{"salary": rng.gauss(50_000.0 if i < 3_000 else 60_000.0, 5_000.0)} for i in range(4_000)]
    watch = FeatureWatch(FeaturePolicy(redact=("sal*",)), SignalPlan())
    hits = watch.observe(rows)
    assert len(hits) == 1
    assert hits[0].before == pytest.approx(0.0, abs=0.3)
    assert hits[0].after == pytest.approx(2.0, abs=0.6)
    view = watch.summary()[0]
    assert (view.redacted, view.moved, view.before, view.after) == (True, True, None, None)


def test_the_summary_says_what_moved() -> None:
    rng = random.Random(9)
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    watch.observe(numbers(rng, 2_000) + numbers(rng, 1_000, mean=3.0))
    views = {view.name: view for view in watch.summary()}
    assert [views[name].moved for name in ("x", "y", "kind")] == [True, False, False]
    assert views["x"].before == pytest.approx(0.0, abs=0.2)
    assert views["x"].after == pytest.approx(3.0, abs=0.3)
    assert views["kind"].before is None


def test_a_constant_feature_alarms_when_it_moves_and_only_then() -> None:
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    assert watch.observe([{"x": 0.1}] * 5_000) == []
    hits = watch.observe([{"x": 0.2}] * 500)
    assert [hit.signal for hit in hits] == ["feature/x"]
    assert hits[0].after > hits[0].before


def test_the_state_of_a_number_is_small_however_long_the_stream() -> None:
    rng = random.Random(10)
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    for _ in range(10):
        watch.observe([{f"f{i}": rng.gauss(0.0, 1.0) for i in range(8)} for _ in range(4_000)])
    assert len(orjson.dumps(watch.dump())) / 8 <= 600


def test_levels_far_from_the_reference_are_told_as_they_are() -> None:
    rng = random.Random(11)
    euros: Rows = [{"x": rng.gauss(50.0, 5.0)} for _ in range(3_000)]
    cents: Rows = [{"x": rng.gauss(5_000.0, 500.0)} for _ in range(3_000)]
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    more_cents: Rows = [{"x": rng.gauss(6_000.0, 500.0)} for _ in range(3_000)]
    hits = watch.observe(euros + cents + more_cents + euros)
    first, second, third = [hit for hit in hits if hit.signal == "feature/x"]
    assert [hit.direction for hit in (first, second, third)] == [1, 1, -1]
    assert (first.before, first.after) == (pytest.approx(50.0, rel=0.1), pytest.approx(5_000.0, rel=0.2))
    assert (second.before, second.after) == (pytest.approx(5_000.0, rel=0.1), pytest.approx(6_000.0, rel=0.1))
    assert (third.before, third.after) == (pytest.approx(6_000.0, rel=0.1), pytest.approx(50.0, abs=1_500.0))
    assert watch.summary()[0].before == pytest.approx(50.0, rel=0.1)
    assert watch.summary()[0].after == pytest.approx(50.0, rel=0.1)
    assert not watch.summary()[0].moved


def test_a_number_that_wanders_or_has_a_season_alarms_ever_less() -> None:
    rng = random.Random(12)
    rows: Rows = []
    wandering = 0.0
    for place in range(40_000):
        wandering = 0.99 * wandering + rng.gauss(0.0, math.sqrt(1 - 0.99**2))
        season = math.sin(place * 2 * math.pi / 5_000)
        rows.append({"wandering": wandering, "season": season + rng.gauss(0.0, 1.0)})
    hits = FeatureWatch(FeaturePolicy(), SignalPlan(quality=())).observe(rows)
    assert len([hit for hit in hits if hit.index < 20_000]) <= 16
    assert len([hit for hit in hits if hit.index >= 20_000]) <= 4

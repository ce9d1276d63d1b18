"""One watched number: where blocks are cut changes nothing, only harm alarms, levels in the own unit."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.scaling import BIN, LOG_LOSS, Clip, LevelScale
from driftbus.core.settings import CustomSignal, DetectorSpec, SignalPlan
from driftbus.core.signals import (
    SignalHit,
    SignalRule,
    SignalWatch,
    challenger_gap_rule,
    custom_rule,
    error_rule,
    log_loss_rule,
    regression_rule,
    score_rule,
)

PLAN = SignalPlan()
ADWIN = (DetectorSpec("adwin", {"delta": 0.01}),)
BOTH = (*ADWIN, DetectorSpec("page_hinkley", {"threshold": 5.0}))
NAMED = SignalPlan(error=BOTH, score=BOTH, custom={"n": CustomSignal("lower", ADWIN)}, challenger_gap=())
RULES = [
    rule
    for plan in (PLAN, NAMED)
    for rule in (
        error_rule(plan),
        log_loss_rule(plan),
        regression_rule(plan),
        regression_rule(plan, "squared_error"),
        challenger_gap_rule(plan),
        score_rule(plan),
        custom_rule(plan, "n"),
    )
]


def in_blocks(
    values: list[float], cuts: list[int], rule: SignalRule, *, reload: bool
) -> tuple[list[SignalHit], SignalWatch]:
    watch = SignalWatch(rule)
    hits: list[SignalHit] = []
    places = sorted({0, len(values), *(cut % (len(values) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        hits += [replace(hit, index=hit.index + start) for hit in watch.observe(values[start:end])]
        if reload:
            watch = SignalWatch.load(orjson.loads(orjson.dumps(watch.dump())), rule)
    return hits, watch


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    odd=st.lists(
        st.tuples(st.integers(0, 2_999), st.floats() | st.sampled_from([math.nan, math.inf, 1e308, -1e308])),
        max_size=40,
    ),
    cuts=st.lists(st.integers(0, 10**6), max_size=20),
    rule=st.sampled_from(RULES),
    reload=st.booleans(),
)
def test_where_blocks_are_cut_and_where_state_is_reloaded_changes_nothing(
    seed: int, odd: list[tuple[int, float]], cuts: list[int], rule: SignalRule, reload: bool
) -> None:
    rng = random.Random(seed)
    values = [float(rng.random() < (0.1 if i < 2_000 else 0.5)) * rng.uniform(0.5, 1.0) for i in range(3_000)]
    for place, value in odd:
        values[place] = value
    whole_hits, whole = in_blocks(values, [], rule, reload=False)
    hits, watch = in_blocks(values, cuts, rule, reload=reload)
    assert hits == whole_hits
    assert [hit.index for hit in hits] == sorted(hit.index for hit in hits)
    assert orjson.dumps(watch.dump()) == orjson.dumps(whole.dump())
    assert watch.level() == whole.level()
    assert watch.rejected == len({p for p, _ in odd if not math.isfinite(values[p])})
    assert watch.seen + watch.rejected == len(values)


def errors(rng: random.Random, n: int, rate: float) -> list[float]:
    return [float(rng.random() < rate) for _ in range(n)]


def test_a_rising_error_alarms_and_a_falling_one_does_not() -> None:
    rng = random.Random(1)
    watch = SignalWatch(error_rule(PLAN))
    assert watch.observe(errors(rng, 3_000, 0.3)) == []
    assert watch.observe(errors(rng, 3_000, 0.05)) == []
    hits = watch.observe(errors(rng, 3_000, 0.4))
    assert hits
    first = hits[0]
    assert (first.signal, first.direction) == ("error", 1)
    assert first.index < 300
    assert first.before == pytest.approx(0.05, abs=0.03)
    assert first.after > first.before
    assert watch.level()[0] == pytest.approx(0.3, abs=0.05)
    assert watch.level()[1] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(("better", "harm"), [("higher", -1.0), ("lower", 1.0)])
def test_a_custom_signal_alarms_in_the_harmful_direction_only(better: str, harm: float) -> None:
    plan = SignalPlan(custom={"ndcg@10": CustomSignal("higher" if better == "higher" else "lower")})
    rng = random.Random(2)
    watch = SignalWatch(custom_rule(plan, "ndcg@10"))
    assert watch.observe([rng.gauss(40.0, 2.0) for _ in range(3_000)]) == []
    assert watch.observe([rng.gauss(40.0 - 4 * harm, 2.0) for _ in range(2_000)]) == []  # it gets better
    hits = watch.observe([rng.gauss(40.0, 2.0) for _ in range(2_000)])  # and as bad as it was
    assert [(hit.signal, hit.direction) for hit in hits] == [("custom/ndcg@10", int(harm))]
    assert hits[0].after == pytest.approx(40.0, abs=1.0)


def test_an_unnamed_custom_signal_is_better_higher() -> None:
    assert custom_rule(PLAN, "x").side == "fall"


def test_a_regression_error_alarms_in_the_labels_unit() -> None:
    rng = random.Random(3)
    watch = SignalWatch(regression_rule(PLAN))
    assert watch.observe([abs(rng.gauss(0.0, 1e6)) for _ in range(4_000)]) == []
    hits = watch.observe([abs(rng.gauss(0.0, 3e6)) for _ in range(1_000)])
    assert hits
    assert hits[0].index < 200
    # Medians, as errors are watched by their ranks.
    assert hits[0].before == pytest.approx(6.7e5, rel=0.1)
    assert 1.2e6 < hits[0].after < 3e6


@pytest.mark.parametrize("seed", range(8))
def test_a_gap_that_is_mostly_zero_alarms_when_production_falls_behind(seed: int) -> None:
    rng = random.Random(seed)
    watch = SignalWatch(challenger_gap_rule(PLAN))
    assert watch.observe(rng.choices([-1.0, 0.0, 1.0], [1, 97, 2], k=3_000)) == []
    hits = watch.observe(rng.choices([-1.0, 0.0, 1.0], [1, 69, 30], k=1_000))
    assert hits
    assert hits[0].index < 300


def test_a_score_alarms_both_ways() -> None:
    rng = random.Random(4)
    watch = SignalWatch(score_rule(PLAN))
    assert watch.observe([rng.betavariate(2, 2) for _ in range(3_000)]) == []
    assert [hit.direction for hit in watch.observe([rng.betavariate(2, 5) for _ in range(2_000)])] == [-1]
    assert [hit.direction for hit in watch.observe([rng.betavariate(5, 2) for _ in range(2_000)])] == [1]


def test_named_detectors_read_every_value_and_all_they_find_is_reported() -> None:
    rng = random.Random(5)
    watch = SignalWatch(score_rule(SignalPlan(score=(DetectorSpec("adwin", {"clock": 1}),))))
    watch.observe([rng.uniform(0.4, 0.6) for _ in range(3_000)])
    hits = watch.observe([rng.uniform(0.41, 0.61) for _ in range(6_000)])
    assert [(hit.detector, hit.direction) for hit in hits] == [("adwin", 1)]
    assert hits[0].after - hits[0].before == pytest.approx(0.01, abs=0.008)


def test_off_is_off() -> None:
    watch = SignalWatch(error_rule(SignalPlan(error=())))
    assert watch.observe([0.0] * 500 + [1.0] * 500) == []
    assert watch.level()[0] == pytest.approx(460 / 960)


def test_levels_are_none_while_too_few() -> None:
    assert SignalWatch(error_rule(PLAN)).level() == (None, None)
    watch = SignalWatch(score_rule(PLAN))
    watch.observe([0.5] * 900)
    assert watch.level() == (None, None)


def test_a_log_loss_is_clipped_so_that_one_outcome_is_not_a_drift() -> None:
    assert LOG_LOSS.scale(500.0) == 1.0
    assert LOG_LOSS.scale(0.0) == 0.0
    watch = SignalWatch(log_loss_rule(PLAN))
    assert watch.observe([0.1] * 2_000 + [1e300] + [0.1] * 500) == []


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), x=st.floats(-1e9, 1e9))
def test_a_clip_maps_into_the_unit_interval_and_back(low: float, width: float, x: float) -> None:
    clip = Clip(low, low + width)
    y = clip.scale(x)
    assert 0.0 <= y <= 1.0
    inside = min(max(x, clip.low), clip.high)
    assert clip.unscale(y) == pytest.approx(inside, rel=1e-6, abs=1e-6 * max(width, abs(low)))


@settings(deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    later=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_learned_scale_stays_in_the_unit_interval_whatever_it_learned_from(
    values: list[float], later: float
) -> None:
    scale = LevelScale()
    bins = 0
    while not scale.live:
        taken = [values[(bins * BIN + place) % len(values)] for place in range(BIN)]
        scale.learn(taken, min(taken), max(taken))
        scale.freeze()
        bins += 1
    assert bins == 60  # 960 rows: detection begins before the 1,000th
    y = scale.scale(scale.mean([later] * BIN, later, later))
    assert 0.0 <= y <= 1.0
    assert math.isfinite(scale.unscale(y))
    assert math.isfinite(scale.recent)
    assert 0.0 <= scale.scale_value(later) <= 1.0

"""A budget of false alarms in time: what it comes to for each outcome, and what it does to detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.detectors.budget import MOST
from driftbus.core.detectors.focus_bernoulli import FocusBernoulli
from driftbus.core.detectors.focus_ranks import FocusRanks
from driftbus.core.monitor import StreamMonitor
from driftbus.core.pace import FIRST_ROWS, Pace
from driftbus.core.settings import DAY_MS, AlarmBudget, Limits, StreamSettings
from tests.core.streams import Shape, events
from tests.core.test_partition import fold, sorted_by_kind

BUDGET = AlarmBudget(1, 90 * DAY_MS)


def paced(gap_ms: int, rows: int, budget: AlarmBudget = BUDGET) -> Pace:
    pace = Pace(budget)
    at = 0
    while at < rows:
        step = min(pace.left, rows - at)
        pace.take(range(at * gap_ms, (at + step) * gap_ms, gap_ms) if gap_ms else [0] * step)
        at += step
    return pace


def test_a_slow_stream_keeps_to_the_most_and_a_fast_one_to_its_time() -> None:
    assert paced(60_000, 5_000).rate == MOST
    assert paced(1_000, 5_000).rate == pytest.approx(1_000 / (90 * DAY_MS), rel=0.01)
    assert paced(1_000, 5_000, AlarmBudget(3, 90 * DAY_MS)).rate == pytest.approx(
        3_000 / (90 * DAY_MS), rel=0.01
    )
    fleet = AlarmBudget(1, 7 * DAY_MS, among=200)
    assert paced(1_000, 5_000, fleet).rate == pytest.approx(1_000 / (1_400 * DAY_MS), rel=0.01)
    assert paced(0, 5_000).rate == MOST  # no pace can be told
    assert paced(1_000, FIRST_ROWS - 1).rate == MOST


def test_what_was_allowed_adds_up() -> None:
    pace = paced(1_000, 1_000_000)
    days = 1_000_000 * 1_000 / DAY_MS
    assert pace.expected == pytest.approx(days / 90 + FIRST_ROWS * MOST, rel=0.02)
    assert paced(60_000, 100_000).expected == pytest.approx(0.1)


@pytest.mark.parametrize("rows", [0, 1, FIRST_ROWS - 1, FIRST_ROWS, 3 * FIRST_ROWS, 8 * FIRST_ROWS + 1])
def test_what_was_allowed_so_far_does_not_depend_on_what_was_taken_since(rows: int) -> None:
    assert paced(2, 20 * FIRST_ROWS).expected_of(rows) == paced(2, rows).expected


def test_labels_that_come_all_at_once_or_late_change_no_pace() -> None:
    rows = [1_000 * i for i in range(4 * FIRST_ROWS)]
    late = rows[:]
    late[700:1000] = [0] * 300  # older predictions, labelled now
    paces = []
    for tss in (rows, late):
        pace = Pace(BUDGET)
        for at in range(0, len(tss), 8):
            pace.take(tss[at : at + 8])
        paces.append(pace.rate)
    assert paces[0] == paces[1]


@given(st.integers(1, 100_000), st.lists(st.integers(1, 900), max_size=12), st.integers(1, 12))
def test_restored_it_goes_on_alike(gap_ms: int, cuts: list[int], at: int) -> None:
    pace = kept = Pace(BUDGET)
    row = 0
    for index, cut in enumerate(cuts):
        if index == at:
            kept = Pace.load(orjson.loads(orjson.dumps(pace.dump())), BUDGET)
        step = min(cut, pace.left)
        tss = range(row * gap_ms, (row + step) * gap_ms, gap_ms)
        pace.take(tss)
        if kept is not pace:
            kept.take(tss)
        row += step
    assert (kept.dump(), kept.rate, kept.expected) == (pace.dump(), pace.rate, pace.expected)


def first(detector: Any, values: list[float]) -> int:
    return int(detector.update_block(values)[0].index)


@pytest.mark.parametrize("make", [FocusBernoulli, FocusRanks])
def test_a_smaller_budget_alarms_later_and_a_greater_one_again_earlier(make: Any) -> None:
    rng = np.random.default_rng(3)
    values = (rng.random(4_000) < np.where(np.arange(4_000) < 2_500, 0.1, 0.25)).astype(float)
    if make is FocusRanks:
        values = values + rng.random(4_000)
    rows = values.tolist()
    usual, strict, again = make(), make(), make()
    strict.keep_to(1e-11)
    again.keep_to(1e-11)
    for one in (usual, strict, again):
        assert not one.update_block(rows[:2_400])
    again.keep_to(MOST)
    assert first(usual, rows[2_400:]) == first(again, rows[2_400:]) < first(strict, rows[2_400:])


def test_a_fast_stream_s_budget_acts_wherever_blocks_are_cut_and_after_a_restore() -> None:
    shapes = [
        Shape("fast", rows=2_600, change=2_000, spacing_ms=20, versions=(1_300,)),
        Shape("slow", rows=40),
    ]
    rows = events(shapes, seed=11)
    settings = StreamSettings()
    whole, told = fold(rows, [], settings)
    parts, same = fold(rows, list(range(97, len(rows), 97)), settings)
    assert sorted_by_kind(told) == sorted_by_kind(same)
    fast = whole.streams["fast"]
    assert fast.dump() == parts.streams["fast"].dump()
    assert 0.0 < fast.false_alarms_allowed < MOST * 2_600
    restored = StreamMonitor.load(orjson.loads(orjson.dumps(fast.dump())), "fast", settings, Limits())
    assert orjson.dumps(restored.dump()) == orjson.dumps(fast.dump())
    assert restored.false_alarms_allowed == fast.false_alarms_allowed
    kept, version = restored.versions[restored.current], fast.versions[fast.current]  # type: ignore[index]
    assert kept.pace.rate == version.pace.rate < MOST
    assert kept.pace.caution == version.pace.caution > 0.0

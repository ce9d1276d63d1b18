"""The verdict against simulated truth: kind, onset, evidence. Seeds are fixed, thresholds are the promise."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import numpy as np
import pytest

from driftbus.core.history import Columns, History
from driftbus.core.steps import scan
from driftbus.core.verdict import Verdict, judge

BEFORE = 5_000


def errors(seed: int, shape: str, width: int, low: float, high: float, after: int) -> Any:
    """0/1 errors with a change after 5,000 rows (the middle of the transition for a sigmoid)."""
    at = np.arange(BEFORE + after)
    if shape == "step":
        share = (at >= BEFORE).astype(float)
    elif shape == "ramp":
        share = np.clip((at - BEFORE) / width, 0.0, 1.0)
    else:
        share = 1.0 / (1.0 + np.exp(-4.0 * (at - BEFORE) / width))
    rng = np.random.default_rng([seed, width, len(shape)])
    return (rng.random(len(at)) < low + (high - low) * share).astype(float).tolist()


def columns(values: list[float]) -> Columns:
    history = History()
    history.extend(range(len(values)), range(len(values)), values)
    return history.columns()


def verdicts(
    shape: str, width: int, low: float, high: float, after: int, seeds: int
) -> list[tuple[Verdict, Columns]]:
    found = []
    for seed in range(seeds):
        bins = columns(errors(seed, shape, width, low, high, after))
        verdict = judge(bins)
        assert verdict is not None
        found.append((verdict, bins))
    return found


@pytest.mark.parametrize(
    ("shape", "width", "after"),
    [
        ("step", 0, 500),
        ("step", 0, 2_000),
        ("ramp", 1_500, 2_000),
        ("ramp", 2_500, 3_000),
        ("ramp", 4_000, 4_000),
        ("sigmoid", 1_000, 1_000),
        ("sigmoid", 3_000, 2_000),
    ],
)
def test_the_kind_is_right_wherever_it_is_told(shape: str, width: int, after: int) -> None:
    kinds = Counter(verdict.kind for verdict, _ in verdicts(shape, width, 0.05, 0.35, after, 120))
    right = kinds["sudden" if shape == "step" else "gradual"]
    told = right + kinds["gradual" if shape == "step" else "sudden"]
    assert right >= 0.97 * told
    assert told >= 0.85 * 120  # and it is told for most


@pytest.mark.parametrize(("shape", "width"), [("step", 0), ("ramp", 2_000)])
def test_medium_changes_are_told_rarely_but_rightly(shape: str, width: int) -> None:
    kinds = Counter(verdict.kind for verdict, _ in verdicts(shape, width, 0.05, 0.15, 2_000, 120))
    right = kinds["sudden" if shape == "step" else "gradual"]
    wrong = kinds["gradual" if shape == "step" else "sudden"]
    assert right >= 0.97 * (right + wrong)
    assert kinds["undetermined"] > 0


def test_just_after_the_onset_nothing_is_told() -> None:
    kinds = Counter(verdict.kind for verdict, _ in verdicts("step", 0, 0.05, 0.35, 48, 60))
    assert set(kinds) == {"undetermined"}


def holds_truth(verdict: Verdict, bins: Columns) -> bool:
    """Whether the interval holds the true onset, to within a bin."""
    return bool(bins.first_seq[verdict.earliest] - 8 <= BEFORE <= bins.first_seq[verdict.latest] + 8)


@pytest.mark.parametrize("after", [60, 200, 1_000])
def test_onset_of_a_step(after: int) -> None:
    misses, covered = [], 0
    for verdict, bins in verdicts("step", 0, 0.05, 0.35, after, 100):
        misses.append(abs(int(bins.first_seq[verdict.onset]) - BEFORE))
        covered += holds_truth(verdict, bins)
        assert verdict.earliest <= verdict.onset <= verdict.latest
    assert median(misses) <= 10
    assert covered >= 90


def test_onset_of_a_ramp_is_its_start_and_its_end_is_seen() -> None:
    starts, covered, moving, ended = [], 0, 0, 0
    for verdict, bins in verdicts("ramp", 2_000, 0.05, 0.35, 4_500, 60):
        starts.append(int(bins.first_seq[verdict.onset]) - BEFORE)
        covered += holds_truth(verdict, bins)
        ended += verdict.end < len(bins.n) and not verdict.moving
    for verdict, _ in verdicts("ramp", 4_000, 0.05, 0.35, 2_000, 60):
        moving += verdict.moving
    assert abs(median(starts)) <= 150
    assert covered >= 50
    assert ended >= 54
    assert moving >= 54


def test_a_step_too_young_for_any_rise_is_judged_all_the_same() -> None:
    verdict = judge(columns([0.0] * 128 + [1.0] * 5))
    assert verdict is not None
    assert (verdict.kind, verdict.gradual, verdict.before, verdict.after) == ("undetermined", 0.0, 0.0, 1.0)


def test_levels_and_evidence_of_a_step() -> None:
    bins = columns(errors(1, "step", 0, 0.05, 0.35, 2_000))
    step = scan(bins)
    assert step is not None
    assert step.before == pytest.approx(0.05, abs=0.01)
    assert step.after == pytest.approx(0.35, abs=0.03)
    assert step.strength < step.llr
    assert scan(bins, -1) is None or scan(bins, -1).llr < 10  # type: ignore[union-attr]


def test_correlated_errors_need_more_evidence() -> None:
    rng = np.random.default_rng(5)
    state, values = 0.0, []
    for row, draw in enumerate(rng.random(12_000)):
        rate = 0.1 if row < 10_000 else 0.2
        state = float(draw < rate + 0.6 * (state - rate))
        values.append(state)
    parts = rng.permutation(values[:10_000]).tolist() + rng.permutation(values[10_000:]).tolist()
    one, other = scan(columns(values)), scan(columns(parts))
    assert one is not None
    assert other is not None
    assert one.dispersion > 2.5
    assert other.dispersion < 1.3
    assert one.llr < other.llr / 2


def test_one_outlier_is_no_change_and_a_shift_is() -> None:
    rng = np.random.default_rng(3)
    values = np.abs(rng.standard_normal(4_000))
    wild = values.copy()
    wild[3_900] = 1e6
    step = scan(columns(wild.tolist()))
    assert step is None or step.llr < 3
    values[3_500:] += 0.5
    moved = judge(columns(values.tolist()))
    assert moved is not None
    assert moved.llr > 20
    assert moved.kind == "sudden"


def test_too_few_rows_or_no_change_at_all() -> None:
    assert judge(columns([])) is None
    assert judge(columns([0.0] * 100)) is None
    assert judge(columns([0.0] * 5_000)) is None
    assert judge(columns([2.5] * 5_000)) is None
    constant = judge(columns([1.0] * 2_000 + [2.0] * 400))
    assert constant is not None
    assert np.isfinite(constant.llr)
    assert constant.kind == "sudden"


@pytest.mark.parametrize(
    "values", [[1e100, -1e100] * 400, [0.0] * 300 + [1.0] * 300, [1e-300] * 400 + [1e-290] * 400]
)
def test_extreme_values_give_finite_figures(values: list[float]) -> None:
    verdict = judge(columns(values))
    if verdict is not None:
        assert np.isfinite(
            [verdict.before, verdict.after, verdict.llr, verdict.strength, verdict.confidence]
        ).all()

"""Whether retraining would help, as the challenger shows it."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.benefit import ALPHA, LEARNING, Point, benefit, mean_of
from driftbus.core.course import Course
from driftbus.core.grounds import grounds
from driftbus.core.records import Benefit, SignalEvidence

ONSET = 3_000


def rise(before: float, after: float) -> tuple[SignalEvidence, ...]:
    return (SignalEvidence("error", before, after, "focus", 20.0),)


def points(random: Random, production: float, challenger: float, rows: int = ONSET + 1_000) -> list[Point]:
    """Errors at 8 % and 10 % until the onset, then at the levels given; ts is the row."""
    course = Course()
    for row in range(rows):
        levels = (0.08, 0.1) if row < ONSET else (production, challenger)
        ours, theirs = (float(random.random() < level) for level in levels)
        course.extend([row], [ours], [theirs])
    return course.points()


def judged(found: Benefit | None) -> Benefit:
    assert found is not None
    return found


def test_a_challenger_that_learns_what_production_cannot_says_so() -> None:
    missed = 0
    for seed in range(40):
        found = judged(benefit(points(Random(seed), 0.4, 0.12), 0, ONSET, rise(0.08, 0.4)))
        assert found.verdict == "likely"
        assert 1_000 - LEARNING - 64 <= found.rows <= 1_000 - LEARNING
        missed += not found.low <= 0.4 - 0.12 - (0.08 - 0.1) <= found.high
    assert missed <= 40 * ALPHA


def test_where_labels_have_become_noise_both_lose_alike_and_it_is_doubtful() -> None:
    """Their errors are drawn apart here, so they differ as much as they can: 2,000 rows tell."""
    told = Counter(
        judged(benefit(points(Random(seed), 0.45, 0.47, ONSET + 2_000), 0, ONSET, rise(0.08, 0.45))).verdict
        for seed in range(40)
    )
    assert told["doubtful"] >= 36
    assert told["likely"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_few_rows_say_nothing(seed: int) -> None:
    early = points(Random(seed), 0.45, 0.47, ONSET + LEARNING + 100)
    assert benefit(early, 0, ONSET, rise(0.08, 0.45)) is None
    soon = judged(benefit(points(Random(seed), 0.2, 0.2, ONSET + 400), 0, ONSET, rise(0.08, 0.2)))
    assert soon.verdict == "unknown"


def test_without_a_challenger_nothing_is_judged() -> None:
    course = Course()
    course.extend(range(4_000), [0.0] * 4_000, None)
    assert benefit(course.points(), 0, ONSET, rise(0.1, 0.2)) is None


def test_without_rows_before_or_a_change_nothing_is_doubted() -> None:
    alike = points(Random(1), 0.45, 0.45)
    assert judged(benefit(alike, ONSET, ONSET, rise(0.08, 0.45))).verdict == "unknown"
    assert judged(benefit(alike, 0, None, ())).verdict == "unknown"
    assert judged(benefit(points(Random(1), 0.5, 0.1), 0, None, ())).verdict == "likely"


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_the_interval_narrows_and_scales_with_the_errors(seed: int) -> None:
    random = Random(seed)
    means = [random.random() for _ in range(64)]
    few, many = mean_of([16.0] * 16, means[:16]), mean_of([16.0] * 64, means)
    ten = mean_of([16.0] * 64, [10.0 * mean for mean in means])
    assert few is not None
    assert many is not None
    assert ten is not None
    assert ten.half == pytest.approx(10.0 * many.half)
    assert ten.mean == pytest.approx(10.0 * many.mean)
    assert many.half < 2.0 * few.half
    assert mean_of([16.0] * 3, means[:3]) is None


def test_the_interval_holds_the_truth_at_all_times_at_once() -> None:
    missed = 0
    for seed in range(200):
        random = Random(seed)
        means = [sum(random.random() < 0.3 for _ in range(16)) / 16 for _ in range(250)]
        looks = (mean_of([16.0] * n, means[:n]) for n in range(12, 250, 4))
        missed += any(abs(look.mean - 0.3) > look.half for look in looks if look is not None)
    assert missed <= 200 * ALPHA


def test_grounds_are_told_in_words_and_odd_ones_passed_over() -> None:
    told = grounds(
        {
            "tried": {
                "request_id": "r",
                "model_version": "v2",
                "error": 0.3,
                "before": 0.08,
                "during": 0.33,
            },
            "earlier_state": {"model_version": "v1"},
            "retraining": {"verdict": "doubtful", "gain": 0.0, "low": -0.01, "high": 0.02, "rows": 400},
        }
    )
    assert [each.split(",")[0].split(":")[0] for each in told] == [
        "v2",
        "the world is again as it was for v1",
        "it is doubtful that retraining helps",
    ]
    assert grounds({"tried": 3, "earlier_state": {"model_version": None}, "retraining": {"verdict": 1}}) == []
    assert grounds({"retraining": {"verdict": "new word", "gain": 0, "low": 0, "high": 0, "rows": 1}}) == []

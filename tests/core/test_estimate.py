"""Performance before labels: near the truth where scores mean what they meant, doubted where they do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.estimate import TURN, TURNS, Estimate
from driftbus.core.views import Estimated

Row = tuple[float, int, int]  # score, said, true


def rows(rng: random.Random, n: int, center: float, truth: Callable[[float], float]) -> list[Row]:
    """A model that says positive from .5 on; `truth`: how often a score is positive."""
    found = []
    for _ in range(n):
        score = min(1.0, max(0.0, rng.gauss(center, 0.25)))
        found.append((score, int(score >= 0.5), int(rng.random() < truth(score))))
    return found


def fed(estimate: Estimate, some: list[Row], *, labelled: bool = True) -> Estimated:
    scores, said, true = zip(*some, strict=True)
    estimate.predicted(scores, said, None)
    if labelled:
        estimate.came(scores, said, true, None)
    found = estimate.read()
    assert found is not None
    return found


def realised(some: list[Row]) -> dict[str, float]:
    tp = sum(said and true for _, said, true in some)
    fp = sum(said and not true for _, said, true in some)
    fn = sum(true and not said for _, said, true in some)
    return {
        "error": sum(said != true for _, said, true in some) / len(some),
        "accuracy": sum(said == true for _, said, true in some) / len(some),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "truth",
    [lambda s: s, lambda s: s * s, lambda s: 0.1 + 0.8 * s],
    ids=["honest", "over-sure", "under-sure"],
)
def test_other_inputs_are_foretold_without_their_labels(seed: int, truth: Callable[[float], float]) -> None:
    """Harder cases come, no label of them has: what is expected is what will turn out."""
    rng = random.Random(seed)
    estimate = Estimate()
    assert fed(estimate, rows(rng, 24 * TURN, 0.35, truth)).doubt is None
    harder = rows(rng, TURNS * TURN, 0.5, truth)
    found = fed(estimate, harder, labelled=False)
    assert found.doubt is None
    assert found.rows == TURNS * TURN
    # Three to four standard deviations of what 500 rows (those said to be positive) are alone.
    for name, value in realised(harder).items():
        assert found.metrics[name] == pytest.approx(value, abs=0.06), name


@pytest.mark.parametrize("seed", range(5))
def test_a_concept_that_changes_is_doubted_once_labels_tell(seed: int) -> None:
    rng = random.Random(seed)
    estimate = Estimate()
    fed(estimate, rows(rng, 8 * TURN, 0.35, lambda s: s))
    found = fed(estimate, rows(rng, 2 * TURN, 0.35, lambda s: 1 - s))
    assert found.doubt is not None
    assert "were wrong" in found.doubt
    # It learns the new meaning, and is believed again.
    assert fed(estimate, rows(rng, 16 * TURN, 0.35, lambda s: 1 - s)).doubt is None


def test_it_is_not_doubted_by_chance() -> None:
    rng, doubts = random.Random(3), 0
    estimate = Estimate()
    fed(estimate, rows(rng, TURNS * TURN, 0.4, lambda s: s))
    for _ in range(400):
        doubts += fed(estimate, rows(rng, TURN, 0.4, lambda s: s)).doubt is not None
    assert doubts <= 2


def test_too_few_labels_and_unseen_scores_are_said() -> None:
    rng = random.Random(0)
    estimate = Estimate()
    few = fed(estimate, rows(rng, 2 * TURN, 0.1, lambda s: s)).doubt
    assert few == "512 outcomes learned, fewer than 1024"
    fed(estimate, rows(rng, 4 * TURN, 0.1, lambda s: s))
    unseen = fed(estimate, [(0.97, 1, 1)] * TURN, labelled=False).doubt
    assert unseen is not None
    assert "scores that had hardly been seen" in unseen


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(-0.1, 1.1), st.sampled_from([None, 0, 1, {"a": 1.0}, "x"])),
            st.sampled_from([0, 1, True, "1", None, 7, [1], {"a": 1}]),
            st.sampled_from([0, 1, False, "0", [], None]),
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 1400), max_size=4),
)
def test_cuts_and_restores_change_nothing(few: list[tuple[Any, Any, Any]], cuts: list[int]) -> None:
    some: list[tuple[Any, Any, Any]] = [*rows(random.Random(1), 1_300, 0.5, lambda s: s), *few]
    whole = Estimate()
    columns = [list(column) for column in zip(*some, strict=True)]
    whole.predicted(columns[0], columns[1], None)
    whole.came(*columns, None)
    parts, at = Estimate(), 0
    for stop in [*sorted(cuts), len(some)]:
        scores, said, true = (column[at:stop] for column in columns)
        parts.predicted(scores, said, None)
        parts.came(scores, said, true, None)
        parts, at = Estimate.load(orjson.loads(orjson.dumps(parts.dump()))), max(at, stop)
    assert orjson.dumps(parts.dump()) == orjson.dumps(whole.dump())
    assert parts.read() == whole.read()


@pytest.mark.parametrize("odd", [[1], {"a": 1}])
def test_classes_that_are_no_plain_values_are_left_alone(odd: Any) -> None:
    estimate = Estimate()
    estimate.predicted([0.5], [odd], None)
    estimate.came([0.5], [odd], [1], None)
    assert estimate.read() is None

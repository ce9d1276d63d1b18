"""A reference from a training set: what lies elsewhere from the first row on is found, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import comb, isclose
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.core.features import FeatureWatch
from driftbus.core.reference import Reference
from driftbus.core.reference_start import usual_distance
from driftbus.core.reference_summary import TrainingRows
from driftbus.core.settings import DetectorSpec, FeaturePolicy, SignalPlan
from driftbus.core.signals import SignalHit

Row = dict[str, Any]
PLANS = [SignalPlan(), SignalPlan(features=(DetectorSpec("adwin", {"delta": 0.002}),))]


def rows_of(seed: int, n: int, *, shift: float = 0.0, weights: Sequence[float] = (5, 3, 2)) -> list[Row]:
    """A number around `shift`, a skewed one, a category, and a number of which a twentieth is missing."""
    rng = random.Random(seed)
    return [
        {
            "x": rng.gauss(shift, 1.0),
            "amount": rng.lognormvariate(0.0, 1.0),
            "country": rng.choices("ABC", weights)[0],
            "age": None if rng.random() < 0.05 else rng.gauss(40.0, 10.0),
        }
        for _ in range(n)
    ]


def reference_from(
    rows: Sequence[Row], policy: FeaturePolicy | None = None, *, ordered: bool = False
) -> Reference:
    training = TrainingRows(policy or FeaturePolicy(), ordered=ordered)
    for row in rows:
        training.add(row)
    return training.reference()[0]


def hits_of(reference: Reference | None, rows: Sequence[Row], plan: SignalPlan = PLANS[0]) -> list[SignalHit]:
    watch = FeatureWatch(FeaturePolicy(), plan)
    if reference is not None:
        watch.refer(reference.features)
    return watch.observe(rows)


TRAINING = reference_from(rows_of(1, 5_000))


@pytest.mark.parametrize("seed", range(20))
def test_production_like_the_training_set_raises_no_alarm(seed: int) -> None:
    assert hits_of(TRAINING, rows_of(100 + seed, 3_000)) == []


@pytest.mark.parametrize("plan", PLANS, ids=["auto", "named"])
def test_what_lies_elsewhere_from_the_first_row_on_is_found_at_once(plan: SignalPlan) -> None:
    rows = rows_of(2, 2_000, shift=1.0)
    assert hits_of(None, rows, plan) == []
    first, *others = hits_of(TRAINING, rows, plan)
    assert first.signal == "feature/x"
    assert first.index < 480
    assert abs(first.before) < 0.1
    assert first.after == pytest.approx(1.0, abs=0.4) or plan is not PLANS[0]
    assert [hit for hit in others if hit.signal != "feature/x"] == []


def found_in(change: Callable[[Row, random.Random], Row], n: int = 1_500) -> dict[str, SignalHit]:
    """The first hit of each signal in changed rows."""
    rng = random.Random(5)
    found: dict[str, SignalHit] = {}
    for hit in hits_of(TRAINING, [change(row, rng) for row in rows_of(6, n)]):
        found.setdefault(hit.signal, hit)
    return found


def test_other_shares_of_categories_are_found() -> None:
    found = found_in(lambda row, rng: {**row, "country": rng.choices("ABC", (1, 1, 8))[0]})
    assert list(found) == ["feature/country"]
    assert found["feature/country"].index < 400


def test_a_category_that_was_not_in_training_is_found() -> None:
    found = found_in(lambda row, rng: {**row, "country": "D" if rng.random() < 0.3 else row["country"]})
    assert found["unseen/country"].index < 400


@pytest.mark.parametrize("name", ["x", "age"])
def test_more_missing_values_than_in_training_are_found(name: str) -> None:
    found = found_in(lambda row, rng: {**row, name: None if rng.random() < 0.4 else row[name]})
    assert list(found) == [f"missing/{name}"]
    assert found[f"missing/{name}"].index < 400


def test_a_feature_that_never_comes_is_missing() -> None:
    found = found_in(lambda row, _: {name: value for name, value in row.items() if name != "amount"})
    assert found["missing/amount"].index < 400


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_another_unit_is_found(factor: float) -> None:
    found = found_in(lambda row, _: {**row, "amount": factor * row["amount"]})
    assert found["feature/amount"].index < 200


def test_text_instead_of_a_number_is_watched_as_what_it_is() -> None:
    """A column of a CSV file may read as numbers what production sends as text."""
    assert found_in(lambda row, rng: {**row, "x": rng.choice("uv")}) == {}


def correlated(rng: random.Random, n: int, keep: float) -> list[float]:
    x, found = rng.gauss(0.0, 1.0), []
    for _ in range(n):
        found.append(x)
        x = keep * x + (1.0 - keep * keep) ** 0.5 * rng.gauss(0.0, 1.0)
    return found


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_like_their_neighbours_are_no_drift(seed: int, ordered: bool) -> None:
    """The training set was shuffled, or not: how alike neighbours are is learned from production."""
    rng = random.Random(seed)
    training = correlated(rng, 10_000, 0.9)
    if not ordered:
        rng.shuffle(training)
    reference = reference_from([{"x": x} for x in training], ordered=ordered)
    assert hits_of(reference, [{"x": x} for x in correlated(rng, 3_000, 0.9)]) == []
    moved = hits_of(reference, [{"x": x + 2.0} for x in correlated(rng, 1_000, 0.9)])
    assert moved[0].index < 500


def test_categories_that_come_in_runs_are_no_drift() -> None:
    rng = random.Random(3)
    reference = reference_from([{"c": rng.choice("abcde")} for _ in range(5_000)])
    rows, current = [], "a"
    for _ in range(5_000):
        current = current if rng.random() < 0.8 else rng.choice("abcde")
        rows.append({"c": current})
    assert hits_of(reference, rows) == []


def test_a_feature_of_nothing_but_new_values_is_known_as_one() -> None:
    rng = random.Random(4)
    reference = reference_from([{"id": f"{rng.getrandbits(60):x}"} for _ in range(3_000)])
    assert hits_of(reference, [{"id": f"{rng.getrandbits(60):x}"} for _ in range(3_000)]) == []


# Determinism


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10**6),
    at=st.sampled_from([0, 1, 50, 700, 1_500]),
    shift=st.sampled_from([0.0, 0.4, 1.0]),
    oddness=st.sampled_from([0.0, 0.1]),
    cuts=st.lists(st.integers(0, 10**6), max_size=20),
    plan=st.sampled_from(PLANS),
    ordered=st.booleans(),
    reload=st.booleans(),
)
def test_where_blocks_are_cut_and_state_is_read_back_changes_nothing(
    seed: int,
    at: int,
    shift: float,
    oddness: float,
    cuts: list[int],
    plan: SignalPlan,
    ordered: bool,
    reload: bool,
) -> None:
    """The reference comes before row `at`."""
    rng = random.Random(seed)
    odd: list[Any] = [None, "text", 1e300, -1e300, [], {}, True, 0]
    rows = rows_of(seed, 2_200, shift=shift, weights=(5, 3, 2 + 20 * shift))
    for row in rows:
        for name in row:
            if rng.random() < oddness:
                row[name] = rng.choice(odd)
    reference = reference_from(rows_of(seed + 1, 1_000), ordered=ordered)
    policy = FeaturePolicy()

    def run(places: list[int], reload: bool) -> tuple[list[SignalHit], Any]:
        watch, hits = FeatureWatch(policy, plan), []
        for start, end in pairwise(sorted({0, at, len(rows), *places})):
            if start == at:
                watch.refer(reference.features)
            hits += [replace(hit, index=hit.index + start) for hit in watch.observe(rows[start:end])]
            if reload:
                watch = FeatureWatch.load(orjson.loads(orjson.dumps(watch.dump())), policy, plan)
        return hits, orjson.loads(orjson.dumps(watch.dump()))

    whole = run([], reload=False)
    assert run([cut % len(rows) for cut in cuts], reload) == whole


def test_a_reference_that_comes_later_replaces_what_was_learned() -> None:
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    assert watch.observe(rows_of(7, 3_000, shift=1.0)) == []
    watch.refer(TRAINING.features)
    assert {hit.signal for hit in watch.observe(rows_of(8, 1_000, shift=1.0))} == {"feature/x"}
    assert watch.seen == 4_000


def test_what_the_policy_leaves_out_is_not_watched() -> None:
    policy = FeaturePolicy(ignore=("x",), categorical=("age",), max=2)
    watch = FeatureWatch(policy, SignalPlan())
    watch.refer(TRAINING.features)
    watch.observe([{} for _ in range(200)])
    assert watch.names == ("amount", "country")


# Summaries


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.97])
@pytest.mark.parametrize("n", [32, 64])
def test_the_usual_distance_is_that_of_a_binomial_law(p: float, n: int) -> None:
    chances = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    expected = sum(chance * abs(k / n - p) for k, chance in enumerate(chances))
    found = usual_distance({"a": p, "b": 1 - p}, n, 10**12, 0.0)
    assert isclose(found, expected, rel_tol=1e-6)


def test_redacted_features_and_what_has_few_values_are_left_out() -> None:
    training = TrainingRows(FeaturePolicy(redact=("age",), ignore=("amount",)))
    for place, row in enumerate(rows_of(9, 500)):
        training.add({**row, **({"seldom": 1.0} if place < 50 else {}), "many": [1, 2]})
    reference, left_out = training.reference()
    assert list(reference.features) == ["x", "country"]
    assert set(left_out) == {"age", "amount", "seldom", "many"}
    assert left_out["age"] == "redacted"


def test_a_hundred_features_of_long_categories_fit_into_a_message() -> None:
    training = TrainingRows(FeaturePolicy())
    rng = random.Random(0)
    for _ in range(1_500):
        training.add({f"f{i}": f"{rng.randrange(2_000)}{'é' * 80}" for i in range(100)})
    reference, _ = training.reference()
    assert len(reference.features) == 100
    assert len(orjson.dumps(reference.as_json())) <= 300_000
    assert all(0.0 < summary.other <= 1.0 for summary in reference.features.values())  # type: ignore[union-attr]


def test_a_long_training_set_is_sampled_and_counted() -> None:
    training = TrainingRows(FeaturePolicy())
    n = 40_000
    for place in range(n):
        training.add({"x": place, "c": "rare" if place == 12_345 else "usual"})
    reference, _ = training.reference()
    x, c = reference.features["x"].as_json(), reference.features["c"].as_json()
    assert (reference.rows, x["count"]) == (n, n)
    assert (x["quantiles"][0], x["quantiles"][-1]) == (0.0, n - 1.0)
    assert x["mean"] == pytest.approx(n / 2, rel=0.02)
    assert x["deviation"] == pytest.approx(n / 12**0.5, rel=0.02)
    assert dict(c["shares"]) == {"usual": 1 - 1 / n, "rare": 1 / n}

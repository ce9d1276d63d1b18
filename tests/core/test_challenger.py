"""Challengers: equal to River, cut and restored anywhere, finite and bounded whatever comes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, linear_model, preprocessing

from driftbus.core.challenger import Challenger, load, make, names
from driftbus.core.settings import ChallengerSpec, Limits

LIMITS = Limits()
AUTO = ChallengerSpec()

values = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.none(),
    st.sampled_from(["red", "green", "blue"]),
    st.lists(st.integers(), max_size=2),
)
features = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from("abcde"), values, max_size=5),
    st.fixed_dictionaries({name: st.floats(-10, 10) for name in "abc"}),
)
labels = {
    "classification": st.sampled_from([0, 1, 1, 0, True, "x", "y", None, [1]]),
    "regression": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([None, "x"])),
}


def built(name: str, task: str, positive: Any = None, limits: Limits = LIMITS) -> Challenger:
    challenger = make(ChallengerSpec(name), task, positive, limits)
    assert challenger is not None
    return challenger


@st.composite
def cut(draw: Callable[..., Any], block: list[Any]) -> list[list[Any]]:
    places = sorted(draw(st.lists(st.integers(0, len(block)), max_size=5)))
    return [block[a:b] for a, b in zip([0, *places], [*places, len(block)], strict=True)]


@pytest.mark.parametrize("task", ["classification", "regression"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_cuts_and_restarts_change_nothing(task: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(features, labels[task]), max_size=40))
    whole, parts = built("auto", task), built("auto", task)
    expected = whole.predict_then_learn([x for x, _ in rows], [y for _, y in rows])
    found: tuple[list[Any], list[Any]] = ([], [])
    for block in data.draw(cut(rows)):
        predictions, scores = parts.predict_then_learn([x for x, _ in block], [y for _, y in block])
        found[0].extend(predictions)
        found[1].extend(scores)
        state = orjson.loads(orjson.dumps(parts.dump()))
        again = load(AUTO, task, None, LIMITS, state)
        assert again is not None
        assert again.bytes() == parts.bytes()
        parts = again
    assert found == expected
    assert orjson.dumps(parts.dump()) == orjson.dumps(whole.dump())
    for value in [
        *(p for p in expected[0] if isinstance(p, float)),
        *(s for s in expected[1] if s is not None),
    ]:
        assert value - value == 0.0


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_numeric_features_give_rivers_pipeline(task: str) -> None:
    rng = random.Random(11)
    classifies = task == "classification"
    river = preprocessing.StandardScaler() | (
        linear_model.LogisticRegression() if classifies else linear_model.LinearRegression()
    )
    ours = built("auto", task)
    for step in range(600):
        row = {f"f{j}": rng.gauss(j, 1 + 10 * j) for j in range(6)}
        if step % 7 == 3:  # another order of the same features, and a feature left out
            row = dict(reversed(row.items()))
            row.pop("f2")
        target = row["f0"] + row["f1"] / 11 + rng.gauss(0, 1)
        label = int(target > 0.1) if classifies else target
        with compose.learn_during_predict():
            theirs = river.predict_proba_one(row)[True] if classifies else river.predict_one(row)
            river.learn_one(row, label)
        predictions, scores = ours.predict_then_learn([row], [label])
        mine = scores[0] if classifies else predictions[0]
        assert mine is None or abs(mine - theirs) < 1e-12
        assert mine is not None or step < 10


def test_it_learns_from_numbers_texts_and_booleans_and_bears_missing_values() -> None:
    rng = random.Random(3)
    rows, wanted = [], []
    for _ in range(6_000):
        colour, flag = rng.choice(["red", "green", "blue"]), rng.random() < 0.5
        row: dict[str, Any] = {"x": rng.gauss(0, 1), "colour": colour, "flag": flag, "junk": [1, 2]}
        wanted.append(int(2 * row["x"] + 3 * (colour == "red") - 2 * flag > 0))
        if rng.random() < 0.05:
            row["x"] = None
        rows.append(row)
    predictions, scores = built("auto", "classification").predict_then_learn(rows, wanted)
    right = sum(p == y for p, y in zip(predictions[3_000:], wanted[3_000:], strict=True)) / 3_000
    assert right > 0.9
    assert all(s is not None and 0.0 <= s <= 1.0 for s in scores[100:])


def test_more_classes_than_two_are_told_apart_and_beyond_ten_the_most_frequent_is_said() -> None:
    rng = random.Random(3)
    wanted = [rng.choice("abc") for _ in range(4_000)]
    rows = [{name: float(name == y) + rng.gauss(0, 0.3) for name in "abc"} for y in wanted]
    ours = built("auto", "classification")
    predictions, scores = ours.predict_then_learn(rows, wanted)
    assert sum(p == y for p, y in zip(predictions[2_000:], wanted[2_000:], strict=True)) / 2_000 > 0.9
    assert scores[-1] is None
    many = [*range(11), 7, 7, 7]
    predictions, _ = built("auto", "classification").predict_then_learn([{"a": 1.0}] * 14, many)
    assert predictions[-1] == 7


def test_the_first_prediction_is_none_and_rows_without_a_label_teach_nothing() -> None:
    ours = built("auto", "classification", "yes")
    assert ours.predict_then_learn([{"a": 1}, {"a": 1}], [None, "no"]) == ([None, None], [None, None])
    predictions, scores = ours.predict_then_learn([{"a": 1.0}], ["yes"])
    assert predictions == ["no"]
    assert scores[0] is not None


def test_extremes_and_hundreds_of_features_keep_a_regression_finite_and_useful() -> None:
    rng = random.Random(8)
    ours = built("auto", "regression", None, Limits(max_challenger_bytes=2_000_000))
    rows = [{f"f{j}": rng.gauss(0, 1) for j in range(300)} for _ in range(2_000)]
    rows[500]["f1"] = 1e300
    wanted = [row["f0"] * 3 for row in rows]
    predictions, _ = ours.predict_then_learn(rows, wanted)
    errors = [abs(p - y) for p, y in zip(predictions[1_500:], wanted[1_500:], strict=True)]
    assert sum(errors) / 500 < 2.0


@given(texts=st.lists(st.text(max_size=5), max_size=60))
def test_a_vocabulary_is_bounded_by_the_limit(texts: list[str]) -> None:
    limits = Limits(max_challenger_bytes=5_000, max_categories=10)
    ours = built("auto", "classification", None, limits)
    ours.predict_then_learn([{text: text, "number": 1} for text in texts], [0] * len(texts))
    assert ours.bytes() <= 5_000
    assert len(orjson.dumps(ours.dump())) < 20_000


def test_prose_and_endless_classes_take_no_memory() -> None:
    ours = built("auto", "classification")
    texts = [f"{i} " * 200 for i in range(300)]
    ours.predict_then_learn([{"comment": text} for text in texts], [f"class {i}" for i in range(300)])
    assert ours.bytes() == 0
    assert len(orjson.dumps(ours.dump())) < 3_000


@pytest.mark.parametrize("name", [n for n in names() if n not in ("auto", "linear")])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rivers_models_learn_under_a_bound(name: str, task: str) -> None:
    rng = random.Random(4)
    rows, wanted = [], []
    for _ in range(1_200):
        row: dict[str, Any] = {"x": rng.uniform(-1, 1), "y": rng.uniform(-1, 1), "c": rng.choice("ab")}
        level = float(row["x"] > 0) + float(row["c"] == "a")
        wanted.append(int(level > 0.5) if task == "classification" else level)
        rows.append({**row, "x": rng.choice([row["x"], row["x"], row["x"], None, "odd"]), "deep": {}})
    ours = built(name, task)
    predictions, scores = ours.predict_then_learn(rows, wanted)
    error = sum(abs(float(p) - y) for p, y in zip(predictions[800:], wanted[800:], strict=True)) / 400
    assert error < 0.5
    assert ours.resets == 0
    assert 0 < ours.bytes() <= LIMITS.max_challenger_bytes
    assert ours.dump() is None
    assert (scores[-1] is None) == (task == "regression")
    small = built(name, task, None, Limits(max_challenger_bytes=1_000))
    small.predict_then_learn(rows, wanted)
    assert small.resets == 2  # weighed at 500 rows, and 500 rows later


def test_what_cannot_be_used_is_named() -> None:
    for spec, said in [
        (ChallengerSpec("hoefding_tree"), "hoeffding_tree"),
        (ChallengerSpec("auto", {"lr": 1}), "lr"),
        (ChallengerSpec("arf", {"n_model": 3}), "n_models"),
        (ChallengerSpec("arf", {"n_models": "many"}), "whole number"),
        (ChallengerSpec("arf", {"splitter": 1}), "splitter"),
    ]:
        with pytest.raises(ValueError, match=said):
            make(spec, "classification", None, LIMITS)
    assert make(ChallengerSpec("arf", {"aggregation_method": "mean"}), "classification", None, LIMITS)


def test_no_task_no_challenger() -> None:
    assert make(AUTO, "none", None, LIMITS) is None
    assert make(AUTO, "auto", None, LIMITS) is None
    assert load(AUTO, "classification", None, LIMITS, {"model": "linear"}) is not None

"""Metrics against River's and against plain recounting; cuts, corrections and restarts change nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import isclose, log, sqrt
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import metrics as river_metrics

from driftbus.core.metrics import Performance
from driftbus.core.settings import MetricWindow

W50 = MetricWindow(outcomes=50, text="50")
W103 = MetricWindow(outcomes=103, text="103")
W7 = MetricWindow(outcomes=7, text="7")
MINUTE = MetricWindow(span_ms=60_000, text="1m")
WINDOWS = (W50, W103, W7, MINUTE)

Row = tuple[int, int, Any, Any, Any, float | None]  # seq, label_ts, label, prediction, score, weight

classes = st.sampled_from([0, 1, 1, 0, True, 1.0, "1", "other one", None, [1]])
scores = st.one_of(
    st.none(),
    st.floats(0, 1),
    st.floats(-2, 2),
    st.dictionaries(st.sampled_from(["0", "1", "true", "other one"]), st.floats(0, 1), max_size=3),
)
weights = st.sampled_from([None, None, 1.0, 0.0, 0.37, 12.5])


@st.composite
def rows(draw: Callable[..., Any], labels: st.SearchStrategy[Any], weighted: bool = True) -> list[Row]:
    """Outcomes in order: seqs with gaps (other streams share the partition), times that jump about."""
    seq, result = draw(st.integers(0, 10**9)), []
    for _ in range(draw(st.integers(1, 120))):
        seq += draw(st.integers(1, 5))
        time = draw(st.integers(0, 200_000))
        weight = draw(weights) if weighted else None
        result.append((seq, time, draw(labels), draw(labels), draw(scores), weight))
    return result


def feed(performance: Performance, block: list[Row]) -> None:
    if block:
        seqs, times, labels, predictions, scored, weighted = (list(c) for c in zip(*block, strict=True))
        scored_column = scored if any(s is not None for s in scored) else None
        weight_column = weighted if any(w is not None for w in weighted) else None
        performance.add(seqs, times, labels, predictions, scored_column, weight_column)


def everything(performance: Performance) -> Any:
    return [performance.read(w) for w in (None, *WINDOWS)] + [
        performance.confusion(),
        performance.next_boundary(),
        [performance.complete(w) for w in WINDOWS],
    ]


@st.composite
def cut(draw: Callable[..., Any], block: list[Row]) -> list[list[Row]]:
    places = sorted(draw(st.lists(st.integers(0, len(block)), max_size=6)))
    return [block[a:b] for a, b in zip([0, *places], [*places, len(block)], strict=True)]


numbers = st.one_of(st.floats(-1e3, 1e3), st.integers(-5, 5), st.sampled_from([1e300, -1e300, "x", True]))


@pytest.mark.parametrize("task", ["classification", "regression"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cuts_and_restarts_change_nothing(task: str, data: st.DataObject) -> None:
    block = data.draw(rows(classes if task == "classification" else numbers))
    whole = Performance(task, None, WINDOWS, max_classes=3)
    feed(whole, block)
    parts = Performance(task, None, WINDOWS, max_classes=3)
    for part in data.draw(cut(block)):
        feed(parts, part)
        if data.draw(st.booleans()):
            parts.read(data.draw(st.sampled_from([None, *WINDOWS])))
        if data.draw(st.booleans()):
            state = orjson.loads(orjson.dumps(parts.dump()))
            parts = Performance.load(state, task, None, WINDOWS, max_classes=3)
    assert everything(parts) == everything(whole)
    assert orjson.dumps(parts.dump()) == orjson.dumps(whole.dump())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_corrected_classifier_equals_one_that_was_told_the_truth(data: st.DataObject) -> None:
    known = st.sampled_from([0, 1, "1", True])
    block = data.draw(rows(known))
    told, corrected = (Performance("classification", 1, WINDOWS) for _ in range(2))
    index = data.draw(st.integers(0, len(block) - 1))
    seq, time, label, prediction, score, weight = block[index]
    new = data.draw(known)
    # Both have seen all classes, so that the order in which classes were first seen does not differ.
    opening: list[Row] = [(-4 + i, 0, c, c, None, None) for i, c in enumerate([0, 1, "1"])]
    truth = [*block[:index], (seq, time, new, prediction, score, weight), *block[index + 1 :]]
    feed(told, opening + truth)
    feed(corrected, opening + block)
    corrected.correct(seq, prediction, score, weight, label, new)
    assert [corrected.read(w) for w in (None, *WINDOWS)] == [told.read(w) for w in (None, *WINDOWS)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_corrections_and_outcomes_may_interleave_in_any_way(data: st.DataObject) -> None:
    block = data.draw(rows(st.floats(-100, 100), weighted=False))
    early, late = (Performance("regression", None, WINDOWS) for _ in range(2))
    seq, _, label, prediction, score, weight = block[0]
    middle = data.draw(st.integers(1, len(block)))
    feed(early, block[:middle])
    early.correct(seq, prediction, score, weight, label, 3.25)
    feed(early, block[middle:])
    feed(late, block)
    late.correct(seq, prediction, score, weight, label, 3.25)
    assert early.read() == late.read()
    held = [row for row in block[-50:] if row[0] == seq]
    if held:
        assert early.read(W50) == late.read(W50)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), weighted=st.booleans(), positive=st.sampled_from([None, 1, "a"]))
def test_binary_metrics_equal_rivers(seed: int, weighted: bool, positive: Any) -> None:
    rng = random.Random(seed)
    yes, no = ("a", "b") if positive == "a" else (1, 0)
    block: list[Row] = []
    for seq in range(400):
        label = yes if rng.random() < 0.3 else no
        score = min(
            max(rng.gauss(0.6 if label == yes else 0.4, 0.25), 0.001), 0.999
        )  # River clips otherwise at the ends
        prediction = yes if score > 0.5 else no
        block.append((seq, seq, label, prediction, score, rng.choice([0.5, 1.0, 2.0]) if weighted else None))
    performance = Performance("classification", positive, WINDOWS)
    for start in range(0, 400, 13):
        feed(performance, block[start : start + 13])
    for window, kept in ((None, block), (W50, block[-50:])):
        check_against_river(performance.read(window), kept, yes, 0.002 if window is None else 0.03)


def check_against_river(found: dict[str, float], block: list[Row], yes: Any, auc_tolerance: float) -> None:
    theirs = {
        "accuracy": river_metrics.Accuracy(),
        "balanced_accuracy": river_metrics.BalancedAccuracy(),
        "precision": river_metrics.Precision(),
        "recall": river_metrics.Recall(),
        "f1": river_metrics.F1(),
        "kappa": river_metrics.CohenKappa(),
        "log_loss": river_metrics.LogLoss(),
    }
    for _, _, label, prediction, score, weight in block:
        for name, metric in theirs.items():
            said = score if name == "log_loss" else prediction == yes
            metric.update(label == yes, said, 1.0 if weight is None else weight)
    for name, metric in theirs.items():
        # River says 0 where nothing was predicted or true; we say nothing.
        assert isclose(found.get(name, 0.0), metric.get(), rel_tol=1e-7, abs_tol=1e-7), name
    area = exact_auc(block, yes)
    if area is None:
        assert "roc_auc" not in found
    else:
        assert abs(found["roc_auc"] - area) < auc_tolerance


def exact_auc(block: list[Row], yes: Any) -> float | None:
    above, of_all = 0.0, 0.0
    positives = [(s, 1.0 if w is None else w) for _, _, y, _, s, w in block if y == yes]
    negatives = [(s, 1.0 if w is None else w) for _, _, y, _, s, w in block if y != yes]
    for s, w in positives:
        for t, v in negatives:
            above += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
            of_all += w * v
    return above / of_all if of_all else None


def test_multiclass_is_macro_averaged_as_in_river() -> None:
    rng = random.Random(5)
    performance = Performance("classification", None, (W50,))
    theirs = [river_metrics.MacroPrecision(), river_metrics.MacroRecall(), river_metrics.MacroF1()]
    for seq in range(300):
        label, prediction = rng.choice("abc"), rng.choice("abbc")
        performance.add([seq], [seq], [label], [prediction], None, None)
        for metric in theirs:
            metric.update(label, prediction)
    found = performance.read()
    for name, metric in zip(("precision", "recall", "f1"), theirs, strict=True):
        assert isclose(found[name], metric.get(), rel_tol=1e-12)


def test_scores_per_class_give_log_loss_and_a_number_needs_a_positive_class() -> None:
    performance = Performance("classification", None, ())
    performance.add([0, 1], [0, 0], ["a", "b"], ["a", "a"], [{"a": 0.8, "b": 0.2}, {"a": 0.9}], None)
    assert isclose(performance.read()["log_loss"], -(log(0.8) + log(1e-15)) / 2, rel_tol=1e-8)
    unclear = Performance("classification", None, ())
    unclear.add([0], [0], ["a"], ["b"], [0.3], None)
    assert "log_loss" not in unclear.read()
    assert "roc_auc" not in unclear.read()


def test_a_score_out_of_range_is_none_whatever_scores_come_with_it() -> None:
    for other in (None, {"1": 0.5}):
        said, unsaid = (Performance("classification", None, (W7,)) for _ in range(2))
        said.add([0, 1], [0, 0], [0, 1], [0, 1], [-1e-178, other], None)
        unsaid.add([0, 1], [0, 0], [0, 1], [0, 1], [None, other], None)
        assert said.read() == unsaid.read()
        assert said.read(W7) == unsaid.read(W7)


def test_classes_are_pythons_equality() -> None:
    performance = Performance("classification", None, ())
    performance.add([0, 1, 2], [0, 0, 0], [True, 1.0, "1"], [1, True, 1], None, None)
    assert performance.read()["accuracy"] == 2 / 3
    assert performance.confusion() == [(True, True, 2.0), ("1", True, 1.0)]


def test_classes_beyond_the_bound_fold_into_one_and_stay_right_or_wrong() -> None:
    performance = Performance("classification", None, (W50,), max_classes=2)
    labels = ["a", "b", *[f"new {i}" for i in range(100)]]
    predictions = ["a", "a", *[f"new {i + (i % 2)}" for i in range(100)]]
    performance.add(list(range(102)), [0] * 102, labels, predictions, None, None)
    assert performance.read()["accuracy"] == 51 / 102
    assert sum(count for _, _, count in performance.confusion()) == 102
    assert {label for label, _, _ in performance.confusion()} == {"a", "b", "other"}
    assert len(orjson.dumps(performance.dump())) < 2_000


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.sampled_from([0.0, 1e6]))
def test_regression_equals_plain_recounting(seed: int, offset: float) -> None:
    rng = random.Random(seed)
    block: list[Row] = []
    for seq in range(300):
        label = offset + rng.gauss(0, 3)
        block.append((seq, seq * 1_000, label, label + rng.gauss(0.2, 1), None, None))
    performance = Performance("regression", None, WINDOWS)
    for start in range(0, 300, 17):
        feed(performance, block[start : start + 17])
    for window, kept in ((None, block), (W50, block[-50:])):
        errors = [p - y for _, _, y, p, _, _ in kept]
        labels = [y for _, _, y, _, _, _ in kept]
        mean = sum(labels) / len(labels)
        found = performance.read(window)
        squares = sum(e * e for e in errors)
        expected = {
            "mae": sum(map(abs, errors)) / len(kept),
            "rmse": sqrt(squares / len(kept)),
            "bias": sum(errors) / len(kept),
            "r2": 1 - squares / sum((y - mean) ** 2 for y in labels),
            "error": sum(map(abs, errors)) / len(kept),
        }
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert isclose(found[name], value, rel_tol=1e-9, abs_tol=1e-9), name


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 160), size=st.integers(1, 130))
def test_a_window_is_exactly_the_last_n_at_every_boundary(n: int, size: int) -> None:
    window = MetricWindow(outcomes=size, text=str(size))
    performance = Performance("classification", None, (window,))
    rng = random.Random(n * 1_000 + size)
    wrong: list[int] = []
    boundary = performance.next_boundary()
    seen_complete = []
    for seq in range(n):
        wrong.append(rng.choice([0, 1]))
        performance.add([seq], [seq], [0], [wrong[-1]], None, None)
        assert performance.complete(window) == (len(wrong) >= size)
        assert boundary is not None
        assert performance.exact(window) == (boundary == 1 and len(wrong) >= size)
        if boundary == 1 and len(wrong) >= size:
            seen_complete.append(len(wrong))
            assert performance.read(window)["error"] == sum(wrong[-size:]) / size
        boundary = performance.next_boundary()
    if n >= size:
        assert seen_complete[0] == size


def test_a_time_window_forgets_what_is_older_and_goes_by_the_latest_label() -> None:
    performance = Performance("classification", None, (MINUTE,))
    performance.add([0], [1_000_000], [0], [1], None, None)
    assert not performance.complete(MINUTE)
    performance.add([1, 2], [1_056_000, 1_000], [0, 0], [0, 0], None, None)  # the second label is late
    assert performance.read(MINUTE)["error"] == 1 / 3
    performance.add([3], [1_062_000], [0], [0], None, None)
    assert performance.complete(MINUTE)
    assert performance.read(MINUTE)["error"] == 0.0
    assert performance.read()["error"] == 0.25


class Counting:
    """A metric of one's own that keeps its state."""

    def __init__(self) -> None:
        self.n = 0

    def update(self, y_true: Any, y_pred: Any) -> None:
        self.n += 1

    def get(self) -> float:
        return float(self.n)

    def dump(self) -> Any:
        return self.n

    def load(self, state: Any) -> None:
        self.n = state


class Failing(Counting):
    """A metric of one's own that breaks on its third row."""

    def update(self, y_true: Any, y_pred: Any) -> None:
        super().update(y_true, y_pred)
        if self.n > 2:
            raise RuntimeError("broken")


CUSTOM = (f"{__name__}.Counting", f"{__name__}.Failing")


@pytest.mark.parametrize("task", ["classification", "regression", "none"])
def test_a_broken_custom_metric_is_switched_off_and_the_others_go_on(task: str) -> None:
    performance = Performance(task, None, (W50,), CUSTOM)
    performance.add([0, 1], [0, 0], [1, 1], [1, 1], None, None)
    assert performance.read()["Failing"] == 2.0
    performance.add([2, 3], [0, 0], [1, 1], [1, 1], None, None)
    assert performance.failed == {"Failing"}
    again = Performance.load(orjson.loads(orjson.dumps(performance.dump())), task, None, (W50,), CUSTOM)
    assert again.failed == {"Failing"}
    assert again.read()["Counting"] == 4.0


def test_a_metric_that_cannot_be_loaded_says_so() -> None:
    for path in ("nowhere.Metric", "driftbus.core.metrics.Missing", "driftbus.errors.DriftbusError", "bare"):
        with pytest.raises(ValueError, match=path):
            Performance("none", None, (), (path,))


def test_a_new_window_starts_with_what_comes() -> None:
    performance = Performance("classification", None, (W7, MINUTE))
    performance.add([0, 1, 2], [0, 0, 0], [0, 0, 0], [1, 1, 1], None, None)
    more = Performance.load(performance.dump(), "classification", None, (W7, W50))
    more.add([3], [0], [0], [0], None, None)
    assert more.read(W7)["error"] == 0.75
    assert more.read(W50)["error"] == 0.0
    for seq in range(4, 53):
        assert not more.complete(W50)
        more.add([seq], [0], [0], [0], None, None)
    assert more.complete(W50)


@given(label=st.sampled_from([0, 1]), huge=st.sampled_from([1e300, -1e300, 10**18]))
def test_nothing_read_is_ever_infinite(label: int, huge: float) -> None:
    performance = Performance("regression", None, (W7,))
    for seq in range(20):
        performance.add([seq], [seq], [huge if seq % 2 else -huge], [label], None, [1e300])
    for value in [*performance.read().values(), *performance.read(W7).values()]:
        assert value - value == 0.0
    orjson.dumps(performance.dump())


def test_chunks_of_many_rows_are_condensed_and_count_the_same() -> None:
    rng = random.Random(12)
    long = MetricWindow(outcomes=20_000, text="20000")
    block: list[Row] = []
    for seq in range(20_800):
        label, score = rng.choice([0, 1]), rng.random()
        block.append((seq, seq, label, int(score > 0.5), score, None))
    whole, parts = (Performance("classification", 1, (long,)) for _ in range(2))
    feed(whole, block)
    start = 0
    while start < len(block):
        end = start + rng.randint(1, 900)
        feed(parts, block[start:end])
        start = end
        if rng.random() < 0.2:
            state = orjson.loads(orjson.dumps(parts.dump()))
            parts = Performance.load(state, "classification", 1, (long,))
    assert orjson.dumps(parts.dump()) == orjson.dumps(whole.dump())
    assert parts.read(long) == whole.read(long)
    wrong = [label != guess for _, _, label, guess, _, _ in block[-20_000:]]
    assert parts.read(long)["error"] == sum(wrong) / 20_000
    seq, _, label, guess, score, weight = block[20_000]
    parts.correct(seq, guess, score, weight, label, 1 - label)
    change = 1 if label == guess else -1
    assert parts.read(long)["error"] == (sum(wrong) + change) / 20_000
    assert len(orjson.dumps(parts.dump())) < 60_000

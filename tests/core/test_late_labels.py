"""Labels that come late, by class: no concept drift is told where only the mix of labels has changed.

A prediction a minute, one in ten positive; positives are missed more often than negatives are taken for one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from driftbus.core import episodes
from driftbus.core.block import Run
from driftbus.core.label_mix import Classes, marked
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import DriftEvent, Label, Prediction, RetrainRequest
from driftbus.core.settings import Limits, StreamSettings
from tests.core.streams import START_MS

MINUTE = 60_000
HOUR = 60 * MINUTE
ROWS = 8_000
# Labelling pauses for a day, after three: what was held back arrives within two minutes.
PAUSE = 72 * HOUR, 96 * HOUR
MISSED, FALSE = 0.4, 0.03
SEEDS = 1, 2


def opened(delays: str, held: tuple[int, ...], seed: int, drift: int = ROWS) -> Counter[str]:
    """Categories of the episodes that opened, and `asked`: retrains. `delays`: which class is labelled within
    hours, the other one within two days; `held`: classes whose labelling pauses; from row `drift` on the
    model errs more on either class."""
    rng = np.random.default_rng([seed, len(delays)])
    ts = np.arange(ROWS) * MINUTE
    label = (rng.random(ROWS) < 0.1).astype(int)
    worse = np.where(np.arange(ROWS) >= drift, 0.3, 0.0)
    wrong = rng.random(ROWS) < np.where(label == 1, MISSED, FALSE) + worse
    late = rng.exponential(12 * HOUR, ROWS) + 12 * HOUR
    soon = rng.exponential(HOUR, ROWS)
    slow = {"negatives sooner": label == 1, "positives sooner": label == 0, "alike": label < 0}[delays]
    due = ts + np.where(slow, late, soon)
    paused = (due >= PAUSE[0]) & (due < PAUSE[1]) & np.isin(label, held)
    due = np.where(paused, PAUSE[1] + (due - PAUSE[0]) / 1_000, due).astype(int)
    events: list[tuple[int, str, Any]] = []
    for i in range(ROWS):
        at, by, pid = START_MS + int(ts[i]), START_MS + int(due[i]), str(i)
        said, true = int(label[i]) ^ int(wrong[i]), int(label[i])
        prediction = Prediction(pid, "s", at, None, said, None, "v1", "production", None, None, None, b"")
        events.append((at, "predictions", prediction))
        if due[i] <= ts[-1]:
            events.append((by, "labels", Label(pid, "s", by, true, None)))
    events.sort(key=lambda row: (row[0] // HOUR, row[1] == "labels", row[0]))  # hour by hour, labels last
    partition = Partition(0, lambda stream: StreamSettings(challenger=None), Limits())
    found: Counter[str] = Counter()
    for start in range(0, len(events), 1_000):
        runs: list[Run] = []
        for offset, (at, topic, event) in enumerate(events[start : start + 1_000], start):
            if not runs or runs[-1].topic != topic:
                runs.append(Run(topic, [], [], []))
            runs[-1].events.append(event)
            runs[-1].offsets.append(offset)
            runs[-1].times.append(at)
        for _, decision in partition.step(StepInput(runs)).decisions:
            if isinstance(decision, DriftEvent) and decision.status == "opened":
                found[decision.category] += 1
            elif isinstance(decision, RetrainRequest):
                found["asked"] += 1
    return found


CASES = [
    ("negatives sooner", ()),
    ("positives sooner", ()),
    ("alike", (0,)),
    ("alike", (1,)),
    ("negatives sooner", (0, 1)),
]


@pytest.mark.parametrize(("delays", "held"), CASES)
def test_other_labels_are_no_concept_drift(delays: str, held: tuple[int, ...]) -> None:
    """One class sooner, while the version is young; a pause and its backlog, of one class and of both."""
    for seed in SEEDS:
        found = opened(delays, held, seed)
        assert not found["concept"], seed
        assert not found["asked"], seed


def test_without_looking_at_classes_they_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "is_of_the_mix", lambda *_: False)
    for delays, held in (CASES[0], CASES[2], CASES[3]):
        assert sum(opened(delays, held, seed)["concept"] for seed in SEEDS) > 0


@pytest.mark.parametrize("delays", ["negatives sooner", "positives sooner"])
def test_a_model_that_errs_more_is_found_all_the_same(delays: str) -> None:
    for seed in SEEDS:
        assert opened(delays, (), seed, drift=5_000)["concept"] == 1


def test_a_class_that_is_new_is_told_from_one_that_was_labelled_late() -> None:
    classes = Classes(10)
    classes.meet([0, 1], ["a", "a"], [0, 100], 0, 0)
    classes.meet([2, 3], ["late", "a"], [20, 200], 0, 100)
    classes.meet([4, 5], ["new", "new"], [190, 210], 0, 200)
    assert classes.new.keys() - {"a"} == {"new"}
    assert classes.new["new"] == 4
    again = Classes.load(classes.dump(), 10)
    assert again.dump() == classes.dump()
    classes.meet([6], [["no", "class"]], [300], 0, 210)
    assert again.dump() == classes.dump()


def test_wrong_rows_count_as_classes_of_their_own() -> None:
    assert marked([1, 0, "x", True], [0.0, 1.0, 1.0, 0.0]) == [1, "\x000", "\x00x", True]

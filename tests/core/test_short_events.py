"""A storm passes and asks for nothing; a change that stays asks as soon as there are rows enough."""

from __future__ import annotations

import random
from typing import Any

import pytest

from driftbus.core.block import Run
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import DriftEvent, Label, Prediction, RetrainRequest
from driftbus.core.settings import Limits, StreamSettings

START_MS, SPACING_MS, CHANGE = 1_767_225_600_000, 10_000, 4_000


def decided(seed: int, after: float, length: int, rows: int) -> list[Any]:
    """What is decided on a classifier whose error is .05, and `after` for `length` rows."""
    rng = random.Random(seed)
    partition = Partition(0, lambda stream: StreamSettings(challenger=None), Limits())
    found: list[Any] = []
    for start in range(0, rows, 500):
        said, true = Run("predictions", [], [], []), Run("labels", [], [], [])
        for i in range(start, start + 500):
            ts = START_MS + i * SPACING_MS
            label = rng.randrange(2)
            wrong = rng.random() < (after if CHANGE <= i < CHANGE + length else 0.05)
            guess = 1 - label if wrong else label
            said.events.append(
                Prediction(f"p{i}", "s", ts, None, guess, None, "v1", "production", None, None, None, b"{")
            )
            true.events.append(Label(f"p{i}", "s", ts, label, None))
            for run in (said, true):
                run.offsets.append(i)
                run.times.append(ts)
        found += [decision for _, decision in partition.step(StepInput([said, true])).decisions]
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("after", "length"), [(0.35, 200), (0.35, 400), (0.6, 400)])
def test_a_storm_passes_and_asks_for_nothing(seed: int, after: float, length: int) -> None:
    found = decided(seed, after, length, 7_000)
    closed = [d.resolution for d in found if isinstance(d, DriftEvent) and d.status == "closed"]
    assert closed == ["passed"]
    assert not any(isinstance(d, RetrainRequest) for d in found)


@pytest.mark.parametrize("seed", range(3))
def test_a_change_that_stays_is_not_held_back_for_it(seed: int) -> None:
    found = decided(seed, 0.35, 10_000, 5_500)
    (request,) = [d for d in found if isinstance(d, RetrainRequest)]
    assert request.window.rows_since_onset < 600

"""The interval told with an onset holds the true one, whatever the shape of the change, early and late."""

from __future__ import annotations

import pytest

from driftbus.core.outlook import fitted_onset
from driftbus.core.steps import scan
from driftbus.core.verdict import judge
from tests.core.test_verdict import BEFORE, columns, errors

SEEDS = 60


@pytest.mark.parametrize(
    ("shape", "width", "high", "after", "starts"),
    [
        ("step", 0, 0.35, 40, 0),
        ("step", 0, 0.35, 1_000, 0),
        ("ramp", 50, 0.8, 60, 0),  # sudden to whoever has to act
        ("ramp", 50, 0.8, 1_000, 0),
        ("ramp", 2_000, 0.5, 500, 0),
        ("ramp", 2_000, 0.5, 3_000, 0),
        ("sigmoid", 1_000, 0.5, 0, -500),
        ("sigmoid", 1_000, 0.5, 2_000, -500),
    ],
)
def test_the_interval_holds_the_onset(shape: str, width: int, high: float, after: int, starts: int) -> None:
    held = found = 0
    for seed in range(SEEDS):
        bins = columns(errors(seed, shape, width, 0.05, high, after))
        step, verdict = scan(bins), judge(bins)
        if verdict is None or step is None or step.strength < 8.0:  # nobody would be told
            continue
        onset = fitted_onset(verdict, bins)
        assert onset.earliest <= onset.ts <= onset.latest
        found += 1
        held += onset.earliest <= BEFORE + starts <= onset.latest
    assert found >= SEEDS // 2
    assert held >= 0.9 * found, (held, found)

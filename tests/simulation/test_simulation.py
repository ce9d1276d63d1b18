"""The simulation in the normal suite: some seeds, always the same; `make simulate` runs many more.

A schedule that breaks is shown by `make simulate ARGS="--seed S --schedules 1"`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from .pace import small_life
from .schedule import Schedule, run

CHUNK = 250
# Other seeds than `make simulate` begins with; 2,000 schedules are some 35 s of two idle cores.
CHUNKS = range(1_000_000_000, 1_000_002_000, CHUNK)


@pytest.mark.parametrize("first", CHUNKS)
def test_whatever_goes_wrong_nothing_is_lost_or_repeated(first: int) -> None:
    counts, failures = run(range(first, first + CHUNK))
    assert not failures, "\n".join(f"seed {seed}: {text}" for seed, text in failures)
    # Nor is it for want of trying.
    for what, least in {
        "outcomes": 5_000,
        "corrections": 200,
        "poison": 100,
        "drift-events": 50,
        "retrain-requests": 80,
        "kills": 150,
        "freezes": 30,
        "rebalances": 300,
    }.items():
        assert counts[what] >= least, what


def digest(seed: int) -> str:
    """All that happened in a schedule, as a hash."""
    with small_life() as clock:
        schedule = Schedule(seed)
        schedule.run(clock)
    return hashlib.sha256("\n".join(schedule.story()).encode()).hexdigest()


def test_a_seed_is_one_schedule_wherever_it_runs() -> None:
    seeds = range(40, 52)
    here = [digest(seed) for seed in seeds]
    assert len(set(here)) == len(here)
    assert [digest(seed) for seed in seeds] == here
    command = f"from {__name__} import digest\nfor seed in {seeds!r}: print(digest(seed))"
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        found = subprocess.run(
            [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.split() == here

"""Incremental and recurrent: what is told beside a step or a rise, and when it is taken back."""

from __future__ import annotations

from typing import Any

import numpy as np

from driftbus.core.episodes import Alarm
from driftbus.core.kinds import name_kind
from driftbus.core.records import EarlierState
from tests.core.test_episodes import Version, alarms_of


def errors(rate: Any, seed: int) -> list[float]:
    drawn: list[float] = (np.random.default_rng(seed).random(len(rate)) < rate).astype(float).tolist()
    return drawn


def kinds(version: Version) -> list[list[str]]:
    """Of each episode, what was told, one after the other."""
    told: dict[str, list[str]] = {}
    for event in version.events:
        told.setdefault(event.episode_id, []).append(event.kind)
    return list(told.values())


def test_an_error_that_rises_and_rises_is_incremental_in_the_end() -> None:
    at = np.arange(19_000) - 5_000
    values = errors(0.05 + 0.35 * np.clip(at / 14_000, 0.0, 1.0), 3)
    version = Version()
    version.feed(values, alarms_of(values))
    (told,) = kinds(version)
    assert told[-1] == "incremental"
    assert "gradual" in told  # as long as it could still settle


def test_a_rise_that_settles_stays_gradual() -> None:
    at = np.arange(20_000) - 5_000
    values = errors(0.05 + 0.35 * np.clip(at / 5_000, 0.0, 1.0), 3)
    version = Version()
    version.feed(values, alarms_of(values))
    (told,) = kinds(version)
    assert told[-1] == "gradual"
    assert "incremental" not in told


def test_the_third_of_three_steps_in_a_row_is_a_staircase_and_takes_up_all_further_ones() -> None:
    at = np.arange(15_000) - 5_000
    values = errors(0.02 + 0.15 * np.clip(at // 2_000 + 1, 0, 5), 5)
    cries = {
        5_000 + 2_000 * step + 80: [
            Alarm("error", "focus_bernoulli", "concept", 1, 0.1, 0.3, 80, 20.0, standing="decides")
        ]
        for step in range(5)
    }
    version = Version()
    version.feed(values, cries)
    first, *_, last = told = kinds(version)
    assert len(told) == 3
    assert "incremental" not in first
    assert last[0] == last[-1] == "incremental"


def test_a_state_that_has_returned_is_told_and_taken_back() -> None:
    values = errors(np.where(np.arange(5_400) < 5_000, 0.02, 0.4), 1)
    version = Version()
    version.feed(values, alarms_of(values))
    (episode,) = version.episodes.open
    earlier = EarlierState(1, "v0", 10, 900, 10_000, 900_000)
    version.episodes.returned = (earlier, 0.95)
    version.feed(errors(np.full(100, 0.4), 2), {})
    assert (version.events[-1].kind, version.events[-1].earlier) == ("recurrent", earlier)
    assert version.events[-1].confidence == 0.95
    restored = version.restored()
    assert restored.episodes.open[0] == episode
    name_kind(episode, None)
    assert (episode.kind, episode.earlier) == ("sudden", None)

"""A tick lets event time pass while nothing comes; time never goes back, whatever a tick says."""

from __future__ import annotations

import pytest

from driftbus.core.partition import Partition, StepInput
from driftbus.core.settings import JoinPolicy, Limits, StreamSettings
from tests.core.test_join import SECOND, label, prediction, runs

IDLE = frozenset({"predictions", "labels"})


@pytest.mark.parametrize("tick", [0, 30 * SECOND, 60 * SECOND, 90 * SECOND])
def test_a_tick_never_turns_time_back(tick: int) -> None:
    rules = StreamSettings(join=JoinPolicy(horizon_ms=20 * SECOND))
    partition = Partition(0, lambda stream: rules, Limits())
    partition.step(StepInput(runs([prediction("a", 60 * SECOND), label("a", 60 * SECOND)])))
    assert (partition.clock, partition.join.watermark) == (60 * SECOND, 60 * SECOND)
    result = partition.step(StepInput([], IDLE, tick))
    reached = max(60 * SECOND, tick)
    assert (partition.clock, result.clock, partition.join.watermark) == (reached, reached, reached)

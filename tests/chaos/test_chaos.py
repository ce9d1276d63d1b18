"""A short round of chaos in every run of the tests; `make chaos` makes many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.rounds import Plan, Round
from tests.integration.broker import Broker


@pytest.mark.kafka
def test_a_round(tmp_path: Path) -> None:
    plan = Plan(seed=12, seconds=20.0, rows=600, pause_s=(1.5, 5.0))
    with Broker() as broker:
        result = Round(broker, plan, tmp_path, print).run()
    print(result.ended)
    assert result.broker_kills == 1
    assert sum(result.ended.values()) >= 5
    assert result.checked.outcomes > 0.9 * 24 * plan.rows
    assert result.checked.drift_events >= 2
    assert result.checked.requests >= 2
    assert result.checked.dead_letters >= 50

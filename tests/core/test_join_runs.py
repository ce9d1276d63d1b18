"""Runs that are joined at once give what one record after another gives, restored joins too.

The cases are drawn dense: few ids, horizons of seconds, streams that share ids, small bounds, clocks that are
wrong, labels with signals, steps and snapshots anywhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core import join as join_module
from driftbus.core import pending as pending_module
from driftbus.core import waiting as waiting_module
from driftbus.core.encode import outcomes_bytes
from driftbus.core.join import Join
from driftbus.core.read_back import recalled
from driftbus.core.records import Label, Outcome, Prediction
from driftbus.core.settings import JoinPolicy, Limits, StreamSettings
from tests.core.test_join import SECOND, label, prediction, runs, told

ONE_BY_ONE, AT_ONCE = 1 << 30, 1


@dataclass
class Case:
    """Rules, records with their times, where steps end, and what else each step is told."""

    rules: dict[str, StreamSettings]
    limits: Limits
    events: list[Prediction | Label]
    times: list[int]
    bounds: list[int]
    idle: list[frozenset[str]]
    ticks: list[int | None]
    snapshots: list[bool]


def drawn(rng: random.Random) -> Case:
    rules = {
        name: StreamSettings(
            join=JoinPolicy(
                horizon_ms=rng.choice([0, 10, 50, 5000]) * SECOND,
                grace_ms=rng.choice([0, 10, 5000]) * SECOND,
                expired_label=rng.choice([None, None, 0]),
                dead_letter_unmatched=True,
            ),
            sample=rng.choice([1.0, 1.0, 1.0, 0.5]),
        )
        for name in "stu"
    }
    limits = replace(
        Limits(),
        max_pending=rng.choice([3, 20, 10**6]),
        max_early_labels=rng.choice([2, 10, 10**6]),
        max_remembered=rng.choice([2, 20, 10**6]),
    )
    events = [event for part in _parts(rng) for event in part]
    times = [max(0, e.ts + rng.choice([0, 0, 0, -7200, 1]) * SECOND) for e in events]
    cuts = sorted(rng.sample(range(1, len(events) + 1), min(len(events), rng.choice([0, 1, 3]))))
    steps = range(len(cuts) + 1)
    return Case(
        rules,
        limits,
        events,
        times,
        [0, *cuts, len(events)],
        [frozenset(rng.sample(["predictions", "labels"], rng.choice([0, 0, 0, 1, 2]))) for _ in steps],
        [rng.choice([None, None, events[-1].ts]) for _ in steps],
        [rng.random() < 0.4 for _ in steps],
    )


def _parts(rng: random.Random) -> list[list[Prediction | Label]]:
    """Records about in the order they happened; in a part mostly predictions first, as in a step."""
    ids = [f"p{i}" for i in range(rng.choice([3, 10, 60, 400]))]
    streams = "stu"[: rng.randrange(1, 4)]
    pace, share, size = rng.choice([0, 1, 5]), rng.choice([0.5, 0.5, 0.9]), rng.choice([1, 5, 20, 100])
    ts, found = 0, []
    for _ in range(rng.randrange(1, 200)):
        ts += rng.randrange(0, pace + 1) * SECOND
        at = max(0, ts + rng.choice([0, 0, 0, -30, -3000, 10]) * SECOND)
        pid, stream = rng.choice(ids), rng.choice(streams)
        if rng.random() < share:
            found.append(prediction(pid, at, stream))
            continue
        given_label = label(pid, at, rng.randrange(3), stream)
        if rng.random() < 0.05:
            given_label = given_label._replace(signals={"a": 1.0})
        elif rng.random() < 0.02:
            given_label = given_label._replace(label=None, signals={"b": 2.0})
        found.append(given_label)
    parts = [found[start : start + size] for start in range(0, len(found), size)]
    if rng.random() < 0.8:
        parts = [sorted(part, key=lambda e: isinstance(e, Label)) for part in parts]
    return parts


def joined(case: Case, *, restored: bool = False) -> list[Any]:
    """Everything each step said, and what is held after it."""
    going, said, written, outcomes = Join(case.rules.__getitem__, case.limits), [], {}, list[Outcome]()
    for k, (start, stop) in enumerate(zip(case.bounds, case.bounds[1:], strict=False)):
        found = runs(case.events[start:stop], start)
        found = [run._replace(times=[case.times[i] for i in run.offsets]) for run in found]
        blocks = going.step(found, case.idle[k], case.ticks[k])
        outcomes += [outcome for block in blocks.values() for outcome in block.outcomes]
        state = orjson.loads(orjson.dumps(going.dump()))
        del state["pending"]  # which segment a row is in depends on when snapshots were made, and on restores
        rest = [
            (
                *(name, block.prediction_pos, block.prediction_offsets, block.last_label_ts),
                *(block.corrections, [(o.label_ts, o.prediction.signals) for o in block.outcomes]),
            )
            for name, block in sorted(blocks.items())
        ]
        unmatched = sorted(map(repr, going.unmatched))
        said.append((told(blocks), rest, going.rejected, unmatched, going.sizes(), state))
        if case.snapshots[k]:
            new, dropped = going.compact()
            for number in dropped:
                del written[number]
            written.update(new)
            if restored:
                going = _restored(case, going, written, outcomes)
    return said


def _restored(case: Case, going: Join, written: dict[int, bytes], outcomes: list[Outcome]) -> Join:
    state = orjson.loads(orjson.dumps(going.dump()))
    assert {number for number, *_ in state["pending"]} == set(written)
    other = Join(case.rules.__getitem__, case.limits)
    held = [o for o in sorted(outcomes, key=lambda o: o.seq) if o.seq >= state["remembered_from"]]
    values = outcomes_bytes(held, [None] * len(held))
    list(other.loading(state, dict(written), [recalled(values)] if values else []))
    assert other.dump() == going.dump()
    return other


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_runs_at_once_say_what_single_records_say(seed: int) -> None:
    rng = random.Random(seed)
    case, few = drawn(rng), rng.choice([AT_ONCE, 2, 5, 10])
    with pytest.MonkeyPatch.context() as patch:
        # Rows are packed, and segments full, after so few that both happen here.
        young, rows = rng.choice([0, 3, waiting_module.YOUNG_ROWS]), rng.choice([4, 16])
        patch.setattr(waiting_module, "YOUNG_ROWS", young)
        patch.setattr(waiting_module, "SEGMENT_ROWS", rows)
        patch.setattr(pending_module, "SEGMENT_ROWS", rows)
        patch.setattr(join_module, "FEW_RECORDS", ONE_BY_ONE)
        expected = joined(case)
        patch.setattr(join_module, "FEW_RECORDS", AT_ONCE)
        assert joined(case) == expected
        patch.setattr(join_module, "FEW_RECORDS", few)
        assert joined(case, restored=True) == expected

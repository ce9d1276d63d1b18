"""Whatever decodes can be folded: no record stops a partition, wherever steps are cut or it restarts.

Values are drawn to be odd: huge, tiny, of changing types, nested, absent; times are zero or far apart.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.settings import (
    JoinPolicy,
    Limits,
    MetricWindow,
    RetrainPolicy,
    Rule,
    StreamSettings,
)
from driftbus.core.version import VersionMonitor
from driftbus.errors import InvalidRecord

MINUTE, DAY = 60_000, 24 * 3_600_000
START = 1_767_225_600_000
# Small bounds, so that they are reached.
LIMITS = replace(
    Limits(),
    max_versions=3,
    max_classes=5,
    max_slices=3,
    max_early_labels=40,
    max_remembered=200,
    max_pending=60,
)
RULES = tuple(
    Rule(metric, True, 0.6, MetricWindow(outcomes=50, text="50"), f"{metric} < 0.6 over 50")
    for metric in ("accuracy", "f1")
)
EAGER = RetrainPolicy(
    min_rows=20,
    min_rows_per_class=1,
    cooldown_ms=5 * MINUTE,
    timeout_ms=30 * MINUTE,
    every_ms=DAY,
    rules=RULES,
    categories=("concept", "data", "prediction", "quality"),
    without_labels=True,
)
KINDS = {
    "auto": StreamSettings(retrain=EAGER, join=JoinPolicy(horizon_ms=DAY, grace_ms=DAY, expired_label=0)),
    "none": StreamSettings(retrain=EAGER, task="none"),
    "amounts": StreamSettings(retrain=EAGER, task="regression"),
    "classes": StreamSettings(retrain=EAGER, task="classification", challenger=None),
    "brief": StreamSettings(retrain=EAGER, challenger=None, join=JoinPolicy(horizon_ms=0, grace_ms=0)),
}

ODD: list[Any] = [
    *(0, 1, -1, 2, True, False, "", "1", "a", "b", "x" * 300, 0.0, -0.0, 0.5, 1.5, 1e-320, 1e18, -1e18),
    *(
        2**63 - 1,
        -(2**63),
        2**53 + 1,
        1.7e308,
        -1.7e308,
        5e-324,
        [],
        {},
        [1, "a"],
        {"a": 1},
        {"a": {"b": []}},
    ),
]
NUMBERS: list[Any] = [v for v in ODD if type(v) in (int, float)]
NAMES = ["x", "y", "", "é", "a.b", "missing/x", "z" * 300]
EVENTS = [
    *("training-started", "training-finished", "training-failed", "model-deployed", "model-rolled-back"),
    *("retrain-requested", "muted", "stream-retired"),
]


def rows(seed: int, n: int, wildness: float) -> list[tuple[str, dict[str, Any], int]]:
    """(topic, value, record time): mostly sane events, the rest odd in some field."""
    rng = random.Random(seed)
    odd = lambda: rng.random() < wildness  # noqa: E731
    ts, found = START, []
    names = rng.sample(list(KINDS), 3)
    for i in range(n):
        stream = rng.choice(names)
        ts += (
            rng.choice([0, 1000, 1000, MINUTE, MINUTE]) if not odd() else rng.choice([0, DAY, 30 * DAY, -DAY])
        )
        pid = f"p{rng.randrange(max(1, i - 30), i + 2)}"
        value: dict[str, Any] = {"stream": stream, "prediction_id": pid, "ts": max(0, ts)}
        if odd():
            value["ts"] = rng.choice([0, 1, 253_402_300_799_999, START])
        kind = rng.random()
        if kind < 0.5:
            value["prediction"] = rng.choice(ODD) if odd() else rng.randrange(2)
            if rng.random() < 0.8:
                some = rng.sample(NAMES, rng.randrange(4)) if odd() else ["x", "y"]
                value["features"] = {k: rng.choice([None, *ODD]) if odd() else rng.gauss(0, 1) for k in some}
            if rng.random() < 0.6:
                value["score"] = rng.random()
                if odd():
                    value["score"] = rng.choice(
                        [*NUMBERS, {}, {"1": 0.5, "": 1e308}, {"a": 2**63 - 1, "True": 0}]
                    )
            if rng.random() < 0.7:
                value["model_version"] = f"v{rng.randrange(6)}" if odd() else "v1"
            if odd():
                value["role"] = rng.choice(["production", "canary", "shadow"])
            if rng.random() < 0.5:
                value["slices"] = {"r": f"{rng.randrange(9)}" if odd() else "eu"}
            if rng.random() < 0.5:
                value["weight"] = rng.choice([0, 0.0, 1e308, 5e-324, 2**62]) if odd() else 1.0
            if odd():
                value["signals"] = {rng.choice("stu"): rng.choice(NUMBERS)}
        elif kind < 0.97:
            value["label"] = rng.choice(ODD) if odd() else rng.randrange(2)
            if odd():
                value["signals"] = {rng.choice("stu"): rng.choice(NUMBERS)}
        else:
            value["type"] = rng.choice(EVENTS)
            value["model_version"] = rng.choice([None, "v1", "v2", "v9"])
        topic = "predictions" if kind < 0.5 else "labels" if kind < 0.97 else "model-events"
        found.append((topic, value, max(0, ts)))
    return found


def as_runs(some: list[tuple[str, dict[str, Any], int]], first: int) -> list[Run]:
    runs: list[Run] = []
    for index, (topic, value, time) in enumerate(some):
        try:
            event = decode(topic, None, orjson.dumps(value), (), time)
        except InvalidRecord:
            continue
        if not runs or runs[-1].topic != topic:
            runs.append(Run(topic, [], [], []))
        runs[-1].events.append(event)
        runs[-1].offsets.append(first + index)
        runs[-1].times.append(time)
    return runs


class Folded:
    """A partition over rows in steps of any size; what it said, and its state as bytes."""

    def __init__(self) -> None:
        self.partition = Partition(0, lambda stream: KINDS[stream], LIMITS)
        self.said: list[Any] = []
        self.errors: list[Any] = []

    def step(self, some: list[Any], first: int) -> None:
        result = self.partition.step(StepInput(as_runs(some, first), frozenset()))
        self.errors += [row.value for row in result.outcomes]
        self.said += [decision for _, decision in result.decisions]
        self.said += [row.value for row in result.corrections]

    def states(self) -> dict[str, bytes]:
        return {
            name: orjson.dumps(m.dump(), option=orjson.OPT_SORT_KEYS)
            for name, m in sorted(self.partition.streams.items())
        }

    def restart_streams(self) -> None:
        for name, monitor in list(self.partition.streams.items()):
            state = orjson.dumps(monitor.dump())
            fresh = StreamMonitor.load(orjson.loads(state), name, KINDS[name], LIMITS)
            fresh.folds = self.partition.streams[name].folds
            self.partition.streams[name] = fresh
            self.partition.note_due(name, fresh)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    wildness=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    size=st.sampled_from([1, 3, 17, 60]),
    restart=st.sampled_from([1, 5, 20]),
)
@example(seed=3_598_618_319, wildness=0.0, size=3, restart=1)  # a correction of a version forgotten before
@example(seed=4_294_967_295, wildness=0.1, size=1, restart=1)  # a prediction that is an array beside others
def test_odd_records_fold_alike_whatever_the_cuts_and_restarts(
    seed: int, wildness: float, size: int, restart: int
) -> None:
    given_rows = rows(seed, 300, wildness)
    whole, cut = Folded(), Folded()
    whole.step(given_rows, 0)
    for count, start in enumerate(range(0, len(given_rows), size)):
        cut.step(given_rows[start : start + size], start)
        if count % restart == 0:
            cut.restart_streams()
    assert not whole.partition.defects
    assert not cut.partition.defects
    assert cut.errors == whole.errors
    by = lambda d: (type(d).__name__, repr(d))  # noqa: E731
    assert sorted(map(by, cut.said)) == sorted(map(by, whole.said))
    assert cut.states() == whole.states()


def test_a_defect_in_one_stream_sets_it_aside_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted defect, since none is known: what raises in the fold of one stream."""
    given_rows = [row for row in rows(3, 600, 0.0) if row[0] != "model-events"]
    plain = Folded()
    for start in range(0, len(given_rows), 50):
        plain.step(given_rows[start : start + 50], start)
    name = max(plain.partition.streams, key=lambda stream: plain.partition.streams[stream].ledger.outcomes)
    watch = VersionMonitor.watch_outcomes

    def failing(self: VersionMonitor, *args: Any) -> Any:
        if self.setup.stream == name and self.predictions > 10:
            raise ArithmeticError("planted")
        return watch(self, *args)

    monkeypatch.setattr(VersionMonitor, "watch_outcomes", failing)
    hurt = Folded()
    for start in range(0, len(given_rows), 50):
        hurt.step(given_rows[start : start + 50], start)
        hurt.restart_streams()
    assert list(hurt.partition.defects) == [name]
    assert hurt.partition.streams[name].defect == "ArithmeticError: planted"
    whole = [orjson.loads(value) for value in plain.errors]
    left = [orjson.loads(value) for value in hurt.errors]
    assert left[-1]["stream"] != name or left[-1]["error"] is None
    assert any(row["stream"] == name and row["error"] is None for row in left)
    assert [{**row, "error": None} for row in left] == [{**row, "error": None} for row in whole]
    for stream, state in plain.states().items():
        ledger = plain.partition.streams[stream].ledger, hurt.partition.streams[stream].ledger
        assert ledger[0].predictions == ledger[1].predictions
        assert (hurt.states()[stream] == state) == (stream != name)


def test_a_state_that_cannot_be_written_sets_its_stream_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = Folded()
    folded.step(rows(3, 100, 0.0), 0)
    name = next(iter(folded.partition.streams))
    monkeypatch.setattr(VersionMonitor, "dump", lambda self: {"outgrown": 2**70})
    state = orjson.loads(folded.partition.snapshot(name))
    assert (
        StreamMonitor.load(state, name, KINDS[name], LIMITS).defect
        == "TypeError: Integer exceeds 64-bit range"
    )


@pytest.mark.parametrize("topic", ["predictions", "labels", "model-events"])
@pytest.mark.parametrize("time", [-1, 253_402_300_800_000, 2**62])
def test_a_record_time_out_of_bounds_stands_for_no_time(topic: str, time: int) -> None:
    value = {"stream": "s", "prediction_id": "p", "prediction": 1, "label": 1, "type": "model-deployed"}
    with pytest.raises(InvalidRecord):
        decode(topic, None, orjson.dumps(value), (), time)
    decode(topic, None, orjson.dumps({**value, "ts": START}), (), time)


def test_new_streams_of_one_step_keep_to_the_bound() -> None:
    partition = Partition(0, lambda stream: KINDS["none"], replace(Limits(), max_streams=3))
    assert [partition.admits(name) for name in "abcdabc"] == [True, True, True, False, True, True, True]

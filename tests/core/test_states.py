"""States of the world that return are known again, others are not; nothing depends on cuts or restores."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.columns import OutcomeColumns
from driftbus.core.records import DriftEvent, Onset, Outcome, Prediction, SignalEvidence
from driftbus.core.states import States

Row = tuple[dict[str, Any] | None, Any]
Concept = Callable[[dict[str, Any]], Any]


def features(rng: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {
        "x": rng.random(),
        "y": rng.gauss(50.0, 20.0),
        "c": rng.choice("abcd"),
        "b": rng.random() < 0.5,
    }
    if rng.random() < 0.02:
        row["y"] = None
    return row


def above(row: dict[str, Any]) -> int:
    return int(row["x"] > 0.6)


def below(row: dict[str, Any]) -> int:
    return int(row["x"] < 0.4)


def by_text(row: dict[str, Any]) -> int:
    return int(row["c"] in "ab") if row["b"] else int(row["x"] > 0.5)


def amount(row: dict[str, Any]) -> float:
    return 10.0 * row["x"] + 2.0 * row["b"]


def other_amount(row: dict[str, Any]) -> float:
    return 10.0 * (1.0 - row["x"]) ** 2


def rows_of(concept: Concept, count: int, seed: int, noise: float = 0.05) -> list[Row]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        row = features(rng)
        label = concept(row)
        if isinstance(label, int):
            label = 1 - label if rng.random() < noise else label
        else:
            label += rng.gauss(0.0, 0.5)
        found.append((row, label))
    return found


def columns(rows: list[Row], start: int, version: str) -> OutcomeColumns:
    outcomes = [
        Outcome(
            start + i,
            Prediction(
                str(start + i), "s", start + i, x, 0, None, version, "production", None, None, None, b""
            ),
            label,
            start + i,
            "event",
        )
        for i, (x, label) in enumerate(rows)
    ]
    return OutcomeColumns.of(outcomes, range(len(rows)))


def event(status: Any, onset: int, version: str, resolution: Any = None, kind: Any = "sudden") -> DriftEvent:
    at = Onset(onset, onset, onset, True, onset)
    signals = (SignalEvidence("error", 0.1, 0.4, "focus_bernoulli", 20.0),)
    told = (
        status,
        resolution,
        "concept",
        kind,
        0.9,
        at,
        signals,
        None,
        onset,
        onset,
        onset,
        version,
        False,
        {},
    )
    return DriftEvent("e", "e", "s", *told)


class World:
    """Feeds states, in blocks of random lengths, restored now and then."""

    def __init__(self, amounts: bool = False, seed: int | None = None) -> None:
        self.states, self.at = States(amounts), 0
        self.rng = None if seed is None else random.Random(seed)

    def take(self, rows: list[Row], version: str) -> None:
        while rows:
            count = len(rows) if self.rng is None else self.rng.randint(1, 300)
            if count:
                self.states.take(columns(rows[:count], self.at, version))
            self.at += len(rows[:count])
            rows = rows[count:]
            if self.rng is not None and self.rng.random() < 0.3:
                self.states = States.load(orjson.loads(orjson.dumps(self.states.dump())))

    def change(self, concept: Concept, version: str, seed: int, length: int = 4_000, **more: Any) -> Any:
        """The world changes, is found to after 30 rows, a new version comes after 1,000; what was found."""
        onset = self.at
        self.take(rows_of(concept, 30, seed, **more), version)
        self.states.hear(event("opened", onset, version))
        self.take(rows_of(concept, 1_000, seed + 1, **more), version)
        found = self.states.found()
        self.states.hear(event("closed", onset, version, "replaced"))
        self.take(rows_of(concept, length - 1_030, seed + 2, **more), f"{version}'")
        return found


@pytest.mark.parametrize(
    ("first", "second", "amounts"),
    [(above, below, False), (above, by_text, False), (by_text, below, False), (amount, other_amount, True)],
)
def test_what_returns_is_named_and_what_is_new_is_not(first: Any, second: Any, amounts: bool) -> None:
    world = World(amounts)
    world.take(rows_of(first, 4_000, 1), "v0")
    assert world.change(second, "v0", 2) is None
    found, confidence = world.change(first, "v0'", 5)
    assert (found.number, found.model_version, found.start_seq, found.end_seq) == (0, "v0", 0, 4_000)
    assert confidence > 0.9
    found, _ = world.change(second, "v0''", 8)
    assert (found.number, found.model_version, found.start_seq, found.end_seq) == (1, "v0'", 4_000, 8_000)
    found, _ = world.change(first, "v0'''", 11)  # once more: its newest rows
    assert (found.number, found.start_seq, found.end_seq) == (0, 8_000, 12_000)


def test_a_third_state_is_new() -> None:
    world = World()
    world.take(rows_of(above, 4_000, 1), "v0")
    for concept in (below, by_text):
        assert world.change(concept, "v0", 2) is None


def test_noise_alone_resembles_nothing() -> None:
    world = World()
    coin = random.Random(0)
    for _ in range(3):
        assert world.change(lambda _: coin.randrange(2), "v0", 4) is None


def test_what_has_passed_was_no_other_state() -> None:
    world = World()
    world.take(rows_of(above, 4_000, 1), "v0")
    world.states.hear(event("opened", world.at, "v0"))
    world.take(rows_of(below, 300, 2), "v0")
    world.states.hear(event("closed", world.at, "v0", "passed"))
    world.take(rows_of(above, 3_000, 3), "v0")
    assert world.change(below, "v0", 4) is None
    found, _ = world.change(above, "v1", 7)
    assert (found.number, found.start_seq, found.end_seq) == (0, 0, 7_300)


def test_odd_rows_harm_nothing() -> None:
    odd: list[Row] = [
        (None, 1), ({}, 0), ({"x": "text", "y": True, "c": 3.0}, 1), ({"x": [1], "y": {"a": 1}}, "other"),
        ({"x": 1e308, "y": -1e308, "c": "\udc00"}, 2.5), ({"x": 2**63}, None),
        ({"x": 1.0}, [1]), ({"new": 1}, True),
    ]  # fmt: skip
    for amounts in (False, True):
        world = World(amounts, seed=1)
        for turn in range(3):
            world.take(odd * 40 + rows_of(amount if amounts else above, 600, turn), "v0")
            world.states.hear(event("opened", world.at, "v0"))
            world.take(odd * 40 + rows_of(other_amount if amounts else below, 600, turn), "v0")
            world.states.hear(event("closed", world.at, "v0", "settled", "gradual"))


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**31))
def test_cuts_and_restores_change_nothing(seed: int) -> None:
    whole, cut = World(), World(seed=seed)
    for world in (whole, cut):
        world.take(rows_of(above, 1_500, 1), "v0")
        world.change(by_text, "v0", 2, 1_400)
        world.change(above, "v1", 5, 1_400)
        world.states.hear(event("opened", world.at, "v2"))
        world.take(rows_of(below, 300, 9), "v2")
    assert orjson.dumps(whole.states.dump()) == orjson.dumps(cut.states.dump())


def test_memory_is_bounded() -> None:
    world = World()
    rng = random.Random(3)
    for turn in range(12):
        column, edge = rng.choice("xy"), rng.random()
        world.change(
            lambda row, c=column, e=edge: int((row[c] or 0.0) > (e if c == "x" else 100.0 * e)),
            "v",
            turn,
            1_800,
        )
    assert len(orjson.dumps(world.states.dump())) < 4_500

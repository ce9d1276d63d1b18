"""Learning together: every stream as if it were alone, bit for bit, wherever its blocks are cut."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.abreast import NARROWEST
from driftbus.core.challenger import Challenger, make
from driftbus.core.records import Features, Json
from driftbus.core.settings import ChallengerSpec, Limits
from driftbus.core.together import Turn, learn_together

Row = tuple[Features | None, Json]
LIMITS = Limits()


def built(task: str, name: str = "auto") -> Challenger:
    challenger = make(ChallengerSpec(name), task, None, LIMITS)
    assert challenger is not None
    return challenger


def rows_of(rng: random.Random, task: str, count: int, width: int, odd: float) -> list[Row]:
    """Plain rows, and with chance `odd` each: values missing or no numbers, whole numbers, extremes, other
    features, no label, another class."""
    rows: list[Row] = []
    for _ in range(count):
        row: Any = {f"f{i}": rng.gauss(i, 1 + 3 * i) for i in range(width)}
        label: Json = rng.gauss(0, 5) if task == "regression" else int(row["f0"] + rng.gauss(0, 1) > 0)
        if rng.random() < odd:
            name = f"f{rng.randrange(width)}"
            row[name] = rng.choice([None, "red", True, 7, -1e300, 2**62, row[name] * 1e6])
        if rng.random() < odd / 4:
            row = rng.choice([None, {}, dict(reversed(row.items())), {**row, "more": 1.0}])
        if rng.random() < odd / 8:
            label = rng.choice([None, 3, 1e300 if task == "regression" else 2, [1]])
        rows.append((row, label))
    return rows


def alone(task: str, rows: list[Row]) -> tuple[Any, Any]:
    """What is said, and the state after, with the rows learnt in one block."""
    challenger = built(task)
    guesses, scores = challenger.predict_then_learn([x for x, _ in rows], [y for _, y in rows])
    return (guesses, scores), challenger.dump()


def together(task: str, streams: list[list[Row]], cuts: list[int]) -> list[tuple[Any, Any]]:
    """The same of every stream, all in one pass per block; blocks end at shares `cuts` (percent) of each."""
    challengers = [built(task) for _ in streams]
    said: list[tuple[list[Any], list[Any]]] = [([], []) for _ in streams]
    for start, stop in zip([0, *cuts], [*cuts, 100], strict=True):
        turns = []
        for challenger, rows in zip(challengers, streams, strict=True):
            block = rows[len(rows) * start // 100 : len(rows) * stop // 100]
            turns.append(Turn(challenger, [x for x, _ in block], [y for _, y in block]))
        learn_together(turns)
        for sofar, turn in zip(said, turns, strict=True):
            assert turn.defect is None
            sofar[0].extend(turn.said.guesses)
            sofar[1].extend(turn.said.scores)
    return [(one, c.dump()) for one, c in zip(said, challengers, strict=True)]


def exact(value: Any) -> bytes:
    """Distinguishes -0.0 from 0.0 and 1 from 1.0 and True."""
    return orjson.dumps(value)


@pytest.mark.parametrize("task", ["classification", "regression"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_learns_as_if_alone_wherever_blocks_are_cut(task: str, data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    widths = data.draw(st.lists(st.sampled_from([1, 3, 8, 9]), min_size=1, max_size=2, unique=True))
    most = data.draw(st.sampled_from([12, 90, 600]))
    odd = data.draw(st.sampled_from([0.0, 0.0, 0.01, 0.3]))
    streams = [
        rows_of(rng, task, rng.randint(0, most), rng.choice(widths), odd)
        for _ in range(data.draw(st.integers(1, 3 * NARROWEST)))
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, 100), max_size=3)))
    expected = [alone(task, rows) for rows in streams]
    assert exact(together(task, streams, cuts)) == exact(expected)


def test_many_streams_of_plain_rows_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a matter of speed: that the property above looks at the way it is about."""
    rng = random.Random(5)
    streams = [rows_of(rng, "classification", 100, 8, 0.0) for _ in range(2 * NARROWEST)]
    widths: list[int] = []
    monkeypatch.setattr(
        "driftbus.core.together.pass_over",
        lambda lanes, *given: widths.append(len(lanes.left)),
    )
    together("classification", streams, [])
    assert widths[0] == len(streams)


def test_a_defect_is_kept_for_its_own_stream_and_others_learn_on() -> None:
    rng = random.Random(6)
    streams = [rows_of(rng, "regression", 50, 3, 0.0) for _ in range(NARROWEST + 1)]
    broken = [({"f0": 1.0, "f1": 2.0, "f2": 10**400}, 1.0), *streams[0][1:]]  # too large for any number
    turns = [
        Turn(built("regression"), [x for x, _ in rows], [y for _, y in rows])
        for rows in [broken, *streams[1:]]
    ]
    learn_together(turns)
    assert isinstance(turns[0].defect, OverflowError)
    for turn, rows in zip(turns[1:], streams[1:], strict=True):
        assert exact([tuple(turn.said), turn.challenger.dump()]) == exact(alone("regression", rows))


def test_rivers_models_take_their_turn_too() -> None:
    rng = random.Random(7)
    rows = rows_of(rng, "classification", 60, 3, 0.0)
    turn = Turn(built("classification", "hoeffding_tree"), [x for x, _ in rows], [y for _, y in rows])
    learn_together([turn])
    own = built("classification", "hoeffding_tree")
    assert tuple(turn.said) == own.predict_then_learn([x for x, _ in rows], [y for _, y in rows])

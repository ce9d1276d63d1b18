"""The join against a model of ten lines, and its state across a restore."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.encode import outcomes_bytes
from driftbus.core.join import Join
from driftbus.core.read_back import recalled
from driftbus.core.records import Label, Outcome, Prediction
from driftbus.core.settings import JoinPolicy, Limits, StreamSettings

SECOND = 1000


def prediction(pid: str, ts: int, stream: str = "s", value: object = 1) -> Prediction:
    raw = {"prediction_id": pid, "stream": stream, "ts": ts, "prediction": value, "features": {"x": 0.5}}
    return decode("predictions", None, orjson.dumps(raw), (), ts)


def label(pid: str, ts: int, value: object = 0, stream: str = "s") -> Label:
    return Label(pid, stream, ts, value, None)


def runs(events: list[Prediction | Label], offset: int = 0) -> list[Run]:
    found: list[Run] = []
    for index, event in enumerate(events):
        topic = "predictions" if isinstance(event, Prediction) else "labels"
        if not found or found[-1].topic != topic:
            found.append(Run(topic, [], [], []))
        found[-1].events.append(event)
        found[-1].offsets.append(offset + index)
        found[-1].times.append(event.ts)
    return found


def make(policy: JoinPolicy | None = None, limits: Limits | None = None, sample: float = 1.0) -> Join:
    settings = StreamSettings(join=policy or JoinPolicy(), sample=sample)
    return Join(lambda stream: settings, limits or Limits())


def step(join: Join, events: list[Prediction | Label], idle: frozenset[str] = frozenset()) -> dict:
    return join.step(runs(events), idle, None)


def told(blocks: dict) -> list:
    """Everything a step said, without the bytes that only outcomes need."""
    return [
        (
            name,
            [(o.seq, o.prediction.prediction_id, o.label, o.label_source) for o in block.outcomes],
            block.outcome_pos,
            [p.prediction_id for p in block.predictions],
            [(c.seq, c.previous_label, c.label) for _, c in block.corrections],
            dict(sorted(block.counts.items())),
        )
        for name, block in sorted(blocks.items())
    ]


events = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from("abcdef"), st.sampled_from("st"), st.integers(0, 2), st.integers(0, 5)
    ),
    max_size=60,
)


def timed(drawn: list[tuple[bool, str, str, int, int]]) -> list[Prediction | Label]:
    ts, found = 0, []
    for is_prediction, pid, stream, value, gap in drawn:
        ts += gap * SECOND
        found.append(prediction(pid, ts, stream) if is_prediction else label(pid, ts, value, stream))
    return found


@given(events)
def test_agrees_with_the_ten_line_model(drawn: list[tuple[bool, str, str, int, int]]) -> None:
    predicted: set[tuple[str, str]] = set()
    first: dict[tuple[str, str], int] = {}
    current: dict[tuple[str, str], int] = {}
    outcomes, corrections = [], []
    given_events = timed(drawn)
    for e in given_events:
        key = (e.stream, e.prediction_id)
        fresh = key not in predicted if isinstance(e, Prediction) else key not in current
        if isinstance(e, Prediction):
            predicted.add(key)
        elif fresh:
            first[key] = current[key] = e.label
        if fresh and key in predicted and key in current:
            outcomes.append((key, first[key]))
            if current[key] != first[key]:  # corrected before it was predicted
                corrections.append((key, first[key], current[key]))
        if isinstance(e, Label) and not fresh and e.label != current[key]:
            if key in predicted:
                corrections.append((key, current[key], e.label))
            current[key] = e.label
    blocks = step(make(), given_events)
    found = sorted((o for b in blocks.values() for o in b.outcomes), key=lambda o: o.seq)
    assert [o.seq for o in found] == list(range(len(outcomes)))
    assert [((o.prediction.stream, o.prediction.prediction_id), o.label) for o in found] == outcomes
    after = [
        ((c.stream, c.prediction_id), c.previous_label, c.label)
        for b in blocks.values()
        for _, c in b.corrections
    ]
    assert sorted(after) == sorted(corrections)


@given(events, st.integers(1, 7))
def test_where_a_step_is_cut_changes_nothing(drawn: list[tuple[bool, str, str, int, int]], size: int) -> None:
    given_events = timed(drawn)
    whole, cut = make(), make()
    one = told(step(whole, given_events))
    merged: dict[str, list] = {}
    for start in range(0, len(given_events), size):
        for name, *rest in told(step(cut, given_events[start : start + size])):
            mine = merged.setdefault(name, [[], [], [], {}])
            mine[0] += rest[0]
            mine[1] += rest[2]
            mine[2] += rest[3]
            for reason, n in rest[4].items():
                mine[3][reason] = mine[3].get(reason, 0) + n
    assert {name: [o, p, c, counts] for name, o, _, p, c, counts in one} == {
        name: [o, p, c, dict(sorted(counts.items()))] for name, (o, p, c, counts) in merged.items()
    }
    assert whole.dump() == cut.dump()


@given(events, events, st.booleans())
def test_a_restored_join_goes_on_as_if_nothing_had_happened(
    before: list[tuple[bool, str, str, int, int]],
    after: list[tuple[bool, str, str, int, int]],
    twice: bool,
) -> None:
    policy = JoinPolicy(horizon_ms=20 * SECOND, grace_ms=20 * SECOND)
    all_events = timed(before + after)
    first, rest = all_events[: len(before)], all_events[len(before) :]
    going, written = make(policy), {}
    outcomes: list[Outcome] = []
    for part in (first[: len(first) // 2], first[len(first) // 2 :]):
        for block in step(going, part).values():
            outcomes += block.outcomes
        if twice or part is not first[: len(first) // 2]:
            blocks, dropped = going.compact()
            for number in dropped:
                written.pop(number)
            written.update(blocks)
    state = orjson.loads(orjson.dumps(going.dump()))
    outcomes = [o for o in sorted(outcomes, key=lambda o: o.seq) if o.seq >= state["remembered_from"]]
    values = outcomes_bytes(outcomes, [None] * len(outcomes))
    restored = make(policy)
    list(restored.loading(state, written, [recalled(values)] if values else []))
    assert restored.dump() == going.dump()
    assert told(step(restored, rest)) == told(step(going, rest))
    going.compact()
    restored.compact()
    assert restored.sizes() == going.sizes()


def test_label_first() -> None:
    join = make()
    assert told(step(join, [label("a", 10)])) == [("s", [], [], [], [], {})]
    assert told(step(join, [prediction("a", 20)])) == [("s", [(0, "a", 0, "event")], [0], ["a"], [], {})]


def test_a_later_different_label_is_a_correction_and_the_same_again_is_not() -> None:
    join = make()
    step(join, [prediction("a", 10), label("a", 20, 0)])
    assert told(step(join, [label("a", 30, 0)]))[0][5] == {"duplicate": 1}
    assert told(step(join, [label("a", 40, 1)]))[0][4] == [(0, 0, 1)]
    assert told(step(join, [label("a", 50, True)]))[0][5] == {"duplicate": 1}
    assert told(step(join, [label("a", 60, "1")]))[0][4] == [(0, 1, "1")]


def test_a_replayed_pair_counts_once() -> None:
    join = make()
    step(join, [prediction("a", 10), label("a", 20)])
    assert told(step(join, [prediction("a", 10), label("a", 20)])) == [
        ("s", [], [], [], [], {"duplicate": 1, "duplicate_prediction": 1})
    ]
    assert join.rejected == [0]


@pytest.mark.parametrize("expired_label", [None, 0])
def test_expiry_by_the_slower_of_both_topics(expired_label: int | None) -> None:
    policy = JoinPolicy(horizon_ms=10 * SECOND, grace_ms=10 * SECOND, expired_label=expired_label)
    join = make(policy)
    step(join, [prediction("a", 0), prediction("b", 1 * SECOND), label("b", 2 * SECOND)])
    assert step(join, [prediction("c", 15 * SECOND)])["s"].counts == {}  # labels are not that far yet
    blocks = step(join, [label("c", 12 * SECOND)])
    if expired_label is None:
        assert blocks["s"].counts == {"expired": 1}
        assert step(join, [label("a", 13 * SECOND)])["s"].counts == {"late": 1}
    else:
        found = [(o.prediction.prediction_id, o.label, o.label_source) for o in blocks["s"].outcomes]
        assert found == [("a", 0, "expired"), ("c", 0, "event")]
        assert step(join, [label("a", 13 * SECOND, 1)])["s"].corrections[0][1].label == 1


def test_an_idle_topic_does_not_hold_event_time_back() -> None:
    join = make(JoinPolicy(horizon_ms=10 * SECOND))
    step(join, [prediction("a", 0)])
    blocks = step(join, [prediction("b", 30 * SECOND)], frozenset({"labels"}))
    assert blocks["s"].counts == {"expired": 1}


def test_an_early_label_nobody_predicts_is_an_orphan() -> None:
    policy = JoinPolicy(horizon_ms=10 * SECOND, dead_letter_unmatched=True)
    join = make(policy)
    step(join, [label("x", 0), prediction("a", 0)])
    blocks = step(join, [prediction("b", 60 * SECOND), label("b", 60 * SECOND)])
    assert blocks["s"].counts["orphan"] == 1
    assert [(row.prediction_id, reason) for row, reason in join.unmatched] == [("x", "orphan")]


def test_a_clock_in_the_year_9999_expires_nobody() -> None:
    join = make(JoinPolicy(horizon_ms=24 * 3600 * SECOND))
    now = 1_767_225_600_000
    wild = prediction("w", 253_000_000_000_000)
    step(join, [prediction("a", now)])
    join.step([Run("predictions", [wild], [1], [now])], frozenset({"labels"}), None)
    assert len(join.pending) == 2
    assert join.watermark <= now + 3_600_000


def test_bounds_forget_the_oldest_and_count_it() -> None:
    limits = replace(Limits(), max_pending=2, max_early_labels=2, max_remembered=2)
    join = make(limits=limits)
    blocks = step(join, [prediction(pid, 1) for pid in "abc"])
    assert blocks["s"].counts == {"evicted": 1}
    assert step(join, [label(pid, 2) for pid in "xyz"])["s"].counts == {"orphan": 1}
    step(join, [label("b", 3), label("c", 3), prediction("d", 3), label("d", 3)])
    assert join.sizes()["max_remembered"] == 2
    # Beyond the bound a replayed pair is a new pair, as the documentation says.
    assert [o.seq for o in step(join, [prediction("b", 4), label("b", 4)])["s"].outcomes] == [3]


def test_both_events_of_a_pair_share_their_sample() -> None:
    join = make(sample=0.3)
    pairs: list[Prediction | Label] = []
    for index in range(1000):
        pairs += [prediction(f"p{index}", index), label(f"p{index}", index)]
    block = step(join, pairs)["s"]
    assert 200 < len(block.outcomes) < 400
    assert len(block.predictions) == len(block.outcomes) == 1000 - block.counts["sampled_out"]
    assert not join.pending
    assert join.sizes()["max_early_labels"] == 0


def test_thin_segments_merge_so_that_state_holds_what_is_pending() -> None:
    join = make()
    written: dict[int, bytes] = {}
    for round_ in range(30):
        ids = [f"{round_}-{i}" for i in range(500)]
        step(join, [prediction(pid, round_ * SECOND) for pid in ids])
        step(join, [label(pid, round_ * SECOND) for pid in ids[1:]])
        blocks, dropped = join.compact()
        for number in dropped:
            written.pop(number)
        written.update(blocks)
    assert len(join.pending) == 30
    held = join.pending.dump()
    assert {number for number, *_ in held} == set(written)
    assert sum(rows for _, rows, _ in held) <= 4 * 30


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.sets(st.integers(1, 39)))
def test_what_expires_together_does_so_in_one_order_wherever_snapshots_were_made(
    times: list[int], snapshots: set[int]
) -> None:
    policy = JoinPolicy(horizon_ms=SECOND, grace_ms=SECOND, expired_label=0)
    plain, snapped = make(policy), make(policy)
    for index, ts in enumerate(times):
        step(plain, [prediction(f"p{index}", ts)])
        step(snapped, [prediction(f"p{index}", ts)])
        if index in snapshots:
            snapped.compact()
    last = [prediction("z", 60 * SECOND), label("z", 60 * SECOND)]
    assert told(step(snapped, last)) == told(step(plain, last))

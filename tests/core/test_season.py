"""A day's season of the error: recognised, no drift, and no hiding place; alike wherever blocks are cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.config import load
from driftbus.core.block import Block, Rises
from driftbus.core.history import History
from driftbus.core.monitor import StreamMonitor
from driftbus.core.records import DriftEvent, Outcome, Prediction
from driftbus.core.season import DAY_MS, HOUR_MS, LEAST, UNIT, Season, is_seasonal
from driftbus.core.settings import SignalPlan
from driftbus.core.signals import SignalWatch, error_rule
from driftbus.core.warp import Warp

START_MS = 1_767_225_600_000  # midnight
MINUTE = 60_000
DAY = DAY_MS // MINUTE


def errors(seed: int, days: float, level: float, swing: float, rise: float = 1.0, since: float = 0.0) -> Any:
    """0/1 errors a minute apart: from 9 to 18 o'clock more by `swing`, else less; × `rise` from a day on."""
    at = np.arange(round(days * DAY)) / DAY
    hour = at % 1.0 * 24.0
    season = np.where((hour >= 9.0) & (hour < 18.0), 1.0 + swing, 1.0 - swing * 9.0 / 15.0)
    rate = level * season * np.where(at >= since, rise, 1.0)
    return (np.random.default_rng(seed).random(len(at)) < rate).astype(float).tolist()


def times(count: int, start: int = 0) -> list[int]:
    return [START_MS + (start + i) * MINUTE for i in range(count)]


def learn(season: Season, tss: Sequence[int], values: Sequence[float], cuts: Sequence[int]) -> list[Any]:
    """Rows, cut so; what each stands for, and where a season began or ended."""
    found: list[Any] = []
    edges = [0, *[cut for cut in cuts if 0 < cut < len(tss)], len(tss)]
    for start, stop in itertools.pairwise(sorted(set(edges))):
        while start < stop:
            count, turned = season.part(tss[start:stop], stop - start)
            if turned:
                found.append("turned")
            exposures = season.take(tss[start : start + count], values[start : start + count])
            found += [UNIT] * count if exposures is None else exposures
            start += count
    return found


def monitor() -> StreamMonitor:
    default = load(None, {})
    return StreamMonitor("s", default.stream("s"), default.limits)


def watch(values: Sequence[float], cuts: Sequence[int], restored_at: int = -1) -> tuple[StreamMonitor, Any]:
    """The whole fold over a classifier with these errors, its rows cut so; what was told."""
    stream, told = monitor(), []
    for start, stop in itertools.pairwise(sorted({0, *cuts, len(values)})):
        rows = range(start, stop)
        tss = times(len(rows), start)
        block = Block()
        block.predictions = [
            Prediction(str(i), "s", ts, None, i % 2, None, "v1", "production", None, None, None, b"")
            for i, ts in zip(rows, tss, strict=True)
        ]
        block.outcomes = [
            Outcome(i, said, said.prediction ^ int(values[i]), ts, "event")  # type: ignore[operator]
            for i, said, ts in zip(rows, block.predictions, tss, strict=True)
        ]
        block.prediction_pos = [2 * i for i in range(len(rows))]
        block.outcome_pos = [2 * i + 1 for i in range(len(rows))]
        block.prediction_offsets = list(rows)
        block.last_label_ts = tss[-1]
        last = START_MS + (start - 1) * MINUTE if start else 0
        told += [one for _, one in stream.fold(block, Rises(last, block.prediction_pos, tss)).decisions]
        if start <= restored_at < stop:
            state = orjson.loads(orjson.dumps(stream.dump()))
            stream = StreamMonitor.load(state, "s", stream.settings, stream.limits)
    assert stream.defect is None
    return stream, told


def opened(told: Sequence[Any]) -> list[float]:
    """The days on which episodes of the error opened."""
    return [
        (one.detected_at - START_MS) / DAY_MS
        for one in told
        if isinstance(one, DriftEvent) and one.status == "opened" and one.category == "concept"
    ]


def test_what_comes_again_at_the_same_hours_is_a_season() -> None:
    season = Season()
    values = errors(1, 8, 0.1, 0.9)
    stands_for = learn(season, times(len(values)), values, [])
    turned = stands_for.index("turned")
    assert turned in (2 * DAY, 3 * DAY)
    assert season.exposures is not None
    by_day, by_night = season.exposures[12] / UNIT, season.exposures[3] / UNIT
    assert by_day == pytest.approx(1.9, abs=0.3)
    assert by_night == pytest.approx(0.46, abs=0.15)
    assert sum(season.exposures) == pytest.approx(24 * UNIT, rel=0.02)


@pytest.mark.parametrize("level", [0.02, 0.3])
def test_independent_errors_have_none(level: float) -> None:
    season = Season()
    values = errors(2, 30, level, 0.0)
    assert "turned" not in learn(season, times(len(values)), values, [])


def test_storms_of_errors_have_none() -> None:
    """Hours of bad luck, at other hours every day."""
    rng = np.random.default_rng(3)
    season = Season()
    level = np.repeat(rng.choice([0.02, 0.3], 30 * 24, p=[0.8, 0.2]), 60)
    values = (rng.random(len(level)) < level).astype(float).tolist()
    assert "turned" not in learn(season, times(len(values)), values, [])


def test_a_season_that_ends_is_given_up() -> None:
    season = Season()
    values = errors(4, 10, 0.1, 0.9) + errors(5, 20, 0.1, 0.0)
    assert learn(season, times(len(values)), values, []).count("turned") == 2
    assert season.exposures is None


@given(
    st.integers(0, 1000),
    st.sampled_from([0, 3 * HOUR_MS]),
    st.lists(st.integers(1, 10 * DAY), max_size=20),
    st.integers(0, 10 * DAY),
)
def test_where_blocks_are_cut_and_a_restore_change_nothing(
    seed: int, jitter: int, cuts: list[int], at: int
) -> None:
    values = errors(seed, 10, 0.1, 0.9)
    rng = np.random.default_rng(seed)
    tss = [
        ts - int(late)
        for ts, late in zip(times(len(values)), rng.integers(0, jitter + 1, len(values)), strict=True)
    ]
    whole, parts = Season(), Season()
    expected = learn(whole, tss, values, [])
    found = learn(parts, tss[:at], values[:at], cuts)
    seen = parts.seen
    parts = Season.load(orjson.loads(orjson.dumps(parts.dump())))
    parts.seen = seen
    found += learn(parts, tss[at:], values[at:], [cut - at for cut in cuts])
    assert found == expected
    assert parts.dump() == whole.dump()
    rows = [one for one in expected if one != "turned"]
    assert rows == (whole.exposures_of(0, tss) or [UNIT] * len(rows))


def test_whole_days_that_have_become_worse_are_more_than_a_season() -> None:
    day = START_MS // DAY_MS
    same = [[day + i, DAY, 140 + i] for i in range(4)]
    worse = [[day + i, DAY, 140 if i < 2 else 220] for i in range(4)]
    assert is_seasonal(same, START_MS + 2 * DAY_MS + HOUR_MS)
    assert not is_seasonal(worse, START_MS + 2 * DAY_MS + HOUR_MS)
    assert is_seasonal(worse, START_MS)  # nothing before to hold it against
    assert is_seasonal([], START_MS)


blocks = st.lists(
    st.lists(st.tuples(st.booleans(), st.integers(LEAST, 8 * UNIT)), min_size=1, max_size=200), max_size=12
)


@given(blocks)
def test_equal_rows_keep_every_error_and_stand_for_as_much(data: list[list[tuple[bool, int]]]) -> None:
    whole, parts = Warp(), Warp()
    rows = [row for block in data for row in block]
    expected = whole.take([float(v) for v, _ in rows], [x for _, x in rows])
    values: list[float] = []
    for block in data:
        values += parts.take([float(v) for v, _ in block], [x for _, x in block])[0]
        parts = Warp.load(orjson.loads(orjson.dumps(parts.dump())))
    assert values == expected[0]
    assert parts.dump() == whole.dump()
    assert sum(values) == sum(v for v, _ in rows)
    # An error may take a place that none was due for: so much, and what is due or owed in the end, is all.
    surplus = UNIT * len(values) - sum(x for _, x in rows)
    assert -UNIT < surplus <= UNIT * sum(v for v, _ in rows) + UNIT
    assert [rows[at][0] for at, value in zip(expected[1], values, strict=True) if value] == [True] * int(
        sum(values)
    )


def test_a_rise_is_dated_in_rows() -> None:
    """Rows by night stand for a quarter each: an onset 400 rows ago is not said to be 100 rows ago."""
    rng = np.random.default_rng(6)
    watch = SignalWatch(error_rule(SignalPlan()))
    exposures = [UNIT] * 4_000 + [UNIT // 4] * 3_000
    rate = np.where(np.arange(7_000) < 5_000, 0.2, 0.6) * np.array(exposures) / UNIT
    values = (rng.random(7_000) < rate).astype(float).tolist()
    hits = [hit for hit in watch.observe(values, exposures) if hit.detector == "focus_bernoulli"]
    assert hits[0].direction == 1
    assert hits[0].since is not None
    assert hits[0].index - hits[0].since == pytest.approx(5_000, abs=100)
    again = SignalWatch(error_rule(SignalPlan()))
    parts = []
    for start in range(0, 7_000, 70):
        some = again.observe(values[start : start + 70], exposures[start : start + 70])
        parts += [(start + hit.index, hit.detector, hit.since) for hit in some]
        again = SignalWatch.load(orjson.loads(orjson.dumps(again.dump())), again.rule)
    fresh = SignalWatch(error_rule(SignalPlan()))
    assert parts == [(hit.index, hit.detector, hit.since) for hit in fresh.observe(values, exposures)]


@given(st.lists(st.integers(1, 400), max_size=8))
def test_a_history_counts_rows_by_what_they_stand_for(cuts: list[int]) -> None:
    rng = np.random.default_rng(7)
    values = (rng.random(400) < 0.3).astype(float).tolist()
    exposures = rng.integers(LEAST, 3 * UNIT, 400).tolist()
    whole, parts = History(windows=False), History(windows=False)
    whole.extend(range(400), times(400), values, None, exposures)
    for start, stop in itertools.pairwise(sorted({0, *cuts, 400})):
        parts.extend(
            range(start, stop), times(stop - start, start), values[start:stop], None, exposures[start:stop]
        )
    assert parts.dump() == whole.dump()
    again = History.load(orjson.loads(orjson.dumps(whole.dump())))
    assert again.dump() == whole.dump()
    columns = again.columns()
    assert columns.n.sum() == pytest.approx(sum(exposures) / UNIT, rel=0.05)
    assert (columns.n >= columns.total).all()
    assert again.rows_ago(400) == (0, START_MS)


@pytest.mark.parametrize("seed", range(2))
def test_days_alike_are_told_of_twice_at_most_and_a_rise_within_them_once(seed: int) -> None:
    _, told = watch(errors(10 + seed, 16, 0.15, 0.9, 1.6, 10.0), [])
    days = opened(told)
    assert len([day for day in days if day < 4.0]) <= 3
    assert not [day for day in days if 4.0 <= day < 10.0]
    assert len([day for day in days if day >= 10.0]) == 1
    assert days[-1] < 11.5


def test_what_is_open_when_a_season_is_recognised_was_one() -> None:
    """Errors from 14 to 24 o'clock: every midnight finds an episode open."""
    at = np.arange(8 * DAY) / DAY * 24.0 % 24.0
    rate = np.where(at >= 14.0, 0.45, 0.05)
    values = (np.random.default_rng(9).random(len(at)) < rate).astype(float).tolist()
    _, told = watch(values, [])
    closed = [one.resolution for one in told if isinstance(one, DriftEvent) and one.status == "closed"]
    assert "season" in closed
    assert max(opened(told)) < 3.0


def test_the_fold_is_alike_wherever_it_is_cut_and_restored() -> None:
    values = errors(20, 6, 0.2, 0.9, 1.8, 4.5)
    whole, told = watch(values, [])
    parts, same = watch(values, list(range(131, len(values), 131)), restored_at=3 * DAY + 70)
    assert opened(told)
    assert told == same
    assert orjson.dumps(parts.dump()) == orjson.dumps(whole.dump())

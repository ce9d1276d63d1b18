"""The chart's memory: cuts and reloads change nothing, nothing is lost by merging, bins stay few."""

from __future__ import annotations

import math
from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.course import BIN_ROWS, LEVEL_BINS, Course

amounts = st.floats(0, 1e90) | st.integers(0, 1)
rows = st.lists(st.tuples(st.integers(0, 2**45), amounts, st.none() | amounts), max_size=1500)


def fed(columns: list[tuple[int, float, float | None]], course: Course | None = None) -> Course:
    course = course or Course()
    if columns:
        tss, errors, challenger = zip(*columns, strict=True)
        course.extend(tss, errors, challenger)
    return course


@given(rows, st.lists(st.integers(0, 1500), max_size=8).map(sorted))
def test_cuts_and_reloads_change_nothing(
    columns: list[tuple[int, float, float | None]], at: list[int]
) -> None:
    whole, cut = fed(columns), Course()
    for start, stop in zip([0, *at], [*at, len(columns)], strict=True):
        cut = Course.load(orjson.loads(orjson.dumps(fed(columns[start:stop], cut).dump())))
    assert orjson.dumps(cut.dump()) == orjson.dumps(whole.dump())
    assert cut.points() == whole.points()


@given(rows)
def test_no_row_is_lost_and_means_are_means(columns: list[tuple[int, float, float | None]]) -> None:
    points = fed(columns).points()
    assert sum(n for _, n, _, _ in points) == len(columns)
    at = 0
    for ts, n, error, challenger in points:
        mine = columns[at : at + n]
        at += n
        assert ts in {row[0] for row in mine}
        assert error == pytest.approx(mean([row[1] for row in mine]), rel=1e-9)
        known = [row[2] for row in mine if row[2] is not None]
        assert challenger == (pytest.approx(mean(known), rel=1e-9) if known else None)


def mean(values: list[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


def test_bins_grow_with_the_logarithm_and_are_finest_at_the_end() -> None:
    course = Course()
    for start in range(0, 200_000, 1000):
        course.extend(range(start, start + 1000), [1] * 1000, None)
    points = course.points()
    assert len(points) <= LEVEL_BINS * math.log2(200_000 / BIN_ROWS)
    sizes = [n for _, n, _, _ in points]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == BIN_ROWS
    assert [ts for ts, *_ in points] == sorted(ts for ts, *_ in points)
    assert len(orjson.dumps(course.dump())) < 6_000


@given(st.lists(st.floats(0, 1.7e308), min_size=1, max_size=200), st.integers(0, 200))
def test_absurd_errors_stay_finite_wherever_cut(errors: list[float], at: int) -> None:
    whole, cut = Course(), Course()
    tss = list(range(len(errors)))
    whole.extend(tss, errors, errors)
    for some in (slice(0, at), slice(at, None)):
        cut.extend(tss[some], errors[some], errors[some])
    assert cut.dump() == whole.dump()
    assert all(math.isfinite(error) for _, _, error, _ in whole.points())

"""Bins of a report: nothing is lost or counted twice, whatever the steps; memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.course import Course
from driftbus.report.bins import LEAST_ROWS, Bins, regrouped

steps = st.lists(st.integers(0, 3_000), min_size=1, max_size=12)


@given(steps, st.integers(2, 40), st.integers(0, 7))
def test_every_outcome_is_in_one_bin(steps: list[int], most: int, period: int) -> None:
    course, bins = Course(), Bins(most)
    errors: list[float] = []
    for rows in steps:
        fresh = [float((len(errors) + i) % 8 <= period) for i in range(rows)]
        course.extend([1_000 * (len(errors) + i) for i in range(rows)], fresh, None)
        errors += fresh
        bins.take(course.points())
    found = bins.read()
    assert sum(bin_.rows for bin_ in found) == len(errors) == bins.rows
    assert sum(bin_.rows * bin_.error for bin_ in found) == pytest.approx(sum(errors))
    assert len(bins._bins) <= 2 * most
    assert [bin_.ts_ms for bin_ in found] == sorted(bin_.ts_ms for bin_ in found)
    assert len(found) <= most + 1
    if len(errors) >= LEAST_ROWS:
        assert all(bin_.rows >= LEAST_ROWS / 2 for bin_ in found)


def test_a_year_is_drawn_as_evenly_as_an_hour() -> None:
    course, bins = Course(), Bins(100)
    for step in range(300):
        course.extend(range(step * 2_000, (step + 1) * 2_000), [0.5] * 2_000, [0.25] * 2_000)
        bins.take(course.points())
    widths = [bin_.rows for bin_ in bins.read()][:-1]
    assert max(widths) <= 2 * min(widths)
    assert bins.read()[7].challenger == pytest.approx(0.25)
    assert bins.row_at(123_456) == pytest.approx(123_456, abs=6_000)
    bins.limit(20)
    assert sum(bin_.rows for bin_ in bins.read()) == 600_000


def test_bins_out_of_order_are_put_in_order() -> None:
    found = regrouped([(300, 100, 0.3, None), (100, 100, 0.1, None), (200, 100, 0.2, 0.5)], 3)
    assert [(bin_.ts_ms, bin_.error) for bin_ in found] == [(100, 0.1), (200, 0.2), (300, 0.3)]
    assert [bin_.challenger for bin_ in found] == [None, 0.5, None]

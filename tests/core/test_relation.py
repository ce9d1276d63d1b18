"""A probe's columns against the same for one row, written out in whole numbers."""

from bisect import bisect_right
from math import isnan
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.cutting import CUT_ROWS, GROUPS, PARTS, PLACES, QUARTERS, Cutting
from driftbus.core.relation import LEVELS, MARGINS, Counts, Probe

numbers = st.floats(-1e6, 1e6) | st.integers(-9, 9) | st.booleans()
values = numbers | st.sampled_from("abc") | st.none() | st.just([1])
places = st.lists(st.lists(st.integers(-1, PLACES - 1), min_size=3, max_size=3), min_size=1, max_size=20)


def a_cutting(rows: list[dict[str, object]]) -> Cutting:
    cutting = Cutting(amounts=False)
    for number in range(CUT_ROWS):
        cutting.learn(rows[number % len(rows)], number % 2)
    return cutting


@given(
    st.lists(st.fixed_dictionaries({"a": numbers, "b": st.floats(-9, 9)}), min_size=1, max_size=CUT_ROWS),
    st.lists(st.fixed_dictionaries({}, optional={"a": values, "b": values, "c": values}), max_size=20),
)
def test_rows_lie_where_each_of_their_values_lies(
    seen: list[dict[str, object]], rows: list[dict[str, object]]
) -> None:
    cutting = a_cutting(seen)
    found = cutting.places(cutting.measure(rows))
    for row, row_places in zip(rows, found.tolist(), strict=True):
        assert row_places == cutting.places(cutting.measure([row])).tolist()[0]
        for (name, between), place in zip(cutting.edges.items(), row_places, strict=True):
            value = row.get(name)
            number = isinstance(value, bool | int | float)
            assert (place < 0) == (not number)
            if number:
                assert place == bisect_right([edge for edge in between if not isnan(edge)], value)


@given(st.lists(st.sampled_from(["x", "y", "z", "u", "v", "w", "1", "2", "3", "4", None, 1.0]), max_size=40))
def test_a_text_keeps_its_place_and_the_last_place_is_of_all_that_are_left(texts: list[object]) -> None:
    cutting = a_cutting([{"a": "x"}])
    found = cutting.places(cutting.measure([{"a": text} for text in texts])).ravel().tolist()
    seen = ["x"]
    for text, place in zip(texts, found, strict=True):
        if isinstance(text, str):
            if text not in seen:
                seen.append(text)
            assert place == min(seen.index(text), PARTS - 1) * QUARTERS
        else:
            assert place == -1


@given(places, st.lists(st.integers(0, GROUPS - 1), min_size=20, max_size=20), st.integers(0, 20))
def test_counts_do_not_depend_on_where_rows_are_cut(
    rows: list[list[int]], labels: list[int], cut: int
) -> None:
    where, groups = np.array(rows), np.array(labels[: len(rows)])
    whole, parts = Counts(3), Counts(3)
    whole.add(where, groups)
    parts.add(where[:cut], groups[:cut])
    parts.add(where[cut:], groups[cut:])
    assert whole.rows == parts.rows == len(rows)
    assert whole.counts.tolist() == parts.counts.tolist()
    assert whole.counts.sum() == len(rows) + sum(place >= 0 for row in rows for place in row)


@given(places, st.lists(st.booleans(), min_size=3, max_size=3), st.randoms())
def test_a_cell_says_which_group_is_likeliest_and_how_far_ahead(
    rows: list[list[int]], smooth: list[bool], random: Random
) -> None:
    counts = Counts(3)
    drawn = np.array([[random.randrange(PLACES) for _ in range(3)] for _ in range(200)])
    counts.add(drawn, np.array([random.randrange(GROUPS) for _ in range(200)]))
    probe = Probe.of(counts.counts, smooth)
    for row, cell in zip(rows, probe.cells(np.array(rows)).tolist(), strict=True):
        scores = list(probe.weights[:GROUPS])
        for feature, place in enumerate(row):
            if place < 0:
                continue
            part, off = place // QUARTERS, 2 * (place % QUARTERS) + 1 - QUARTERS
            other = min(max(part + (1 if off > 0 else -1), 0), PARTS - 1)
            for group in range(GROUPS):
                here, there = (
                    probe.weights[GROUPS + (feature * PARTS + at) * GROUPS + group] for at in (part, other)
                )
                scores[group] += here + smooth[feature] * ((there - here) * abs(off) // (2 * QUARTERS))
        best = max(scores)
        likeliest = scores.index(best)
        second = max(scores[:likeliest] + scores[likeliest + 1 :])
        assert cell == likeliest * LEVELS + bisect_right(MARGINS, best - second)

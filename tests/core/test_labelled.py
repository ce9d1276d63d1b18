"""Losses per outcome: a block of plain rows takes a shorter way and comes to the same numbers."""

from math import inf, log, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.labelled import LEAST_PROBABILITY, log_losses

LABELS = st.sampled_from([0, 1, 2, 1.0, True, False, "1", "0", "fraud"])
SCORES = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0, 1, True, -3, 2.5, LEAST_PROBABILITY, nan, inf]))


@given(
    rows=st.lists(st.tuples(LABELS, SCORES), min_size=1, max_size=30),
    positive=st.sampled_from([None, 0, 1, True, "1", "fraud"]),
)
def test_losses_do_not_depend_on_what_else_is_in_the_block(
    rows: list[tuple[Any, float]], positive: Any
) -> None:
    labels, scores = [label for label, _ in rows], [score for _, score in rows]
    mixed = log_losses([*labels, 1], [*scores, None], positive)
    assert mixed.pop() is None
    assert log_losses(labels, scores, positive) == mixed
    assert [log_losses([label], [score], positive)[0] for label, score in rows] == mixed


def test_losses_are_minus_the_logarithm_of_what_the_label_was_given() -> None:
    assert log_losses([1, 0, 1, 1], [0.8, 0.8, 0.0, 1], 1) == pytest.approx(
        [-log(0.8), -log(0.2), -log(LEAST_PROBABILITY), 0.0]
    )
    assert log_losses([1, 0, 2], [0.8, 0.8, 0.8], None) == pytest.approx([-log(0.8), -log(0.2), None])
    assert log_losses(["1", "0", "b"], [0.8, 0.8, 0.8], None) == pytest.approx([-log(0.8), -log(0.2), None])
    assert log_losses(["b"], [{"a": 0.3, "b": 0.7}], None) == [-log(0.7)]

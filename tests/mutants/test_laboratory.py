"""The gate itself: only a test that fails on a bug kills a mutant, and afterwards the tree is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from .laboratory import Laboratory
from .mutant import Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
JOIN = "src/driftbus/core/join.py"
KILLER = "tests/core/test_join.py::test_label_first"
FIRST = "        self.rejected, self.unmatched = [], []\n"


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return Laboratory(ROOT, tmp_path_factory.mktemp("laboratory"))


@pytest.mark.parametrize(
    ("new", "killed", "told"),
    [
        (FIRST + "        self.next_seq += 1\n", True, "AssertionError"),
        (FIRST + "        # no bug at all\n", False, "all held"),
        ("not even Python", False, "exit 4"),
    ],
)
def test_what_kills(laboratory: Laboratory, new: str, killed: bool, told: str) -> None:
    outcome = laboratory.judge(Mutant("planted", (Edit(JOIN, FIRST, new),), (KILLER,)))
    assert (outcome.killer == KILLER) == killed
    assert told in outcome.told
    assert laboratory.false_alarms({KILLER}) == ""


def test_a_mutant_that_does_not_apply_is_not_killed(laboratory: Laboratory) -> None:
    outcome = laboratory.judge(Mutant("stale", (Edit(JOIN, "nothing of the kind", ""),), (KILLER,)))
    assert outcome.killer is None
    assert "does not apply any more" in outcome.told

"""Every mutant still says what it changes, and names tests that exist. `make mutants` lets them live."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .catalogue import MUTANTS
from .mutant import SIMULATION, Edit, Mutant, Stale, mutated

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_applies_and_its_killers_exist(mutant: Mutant) -> None:
    texts = mutated(mutant, ROOT)
    for path, text in texts.items():
        assert path.is_relative_to(ROOT / "src")
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(path.read_text()))
    assert mutant.killers
    for killer in mutant.killers:
        if killer != SIMULATION:
            file, _, test = killer.partition("::")
            body = ast.parse((ROOT / file).read_text()).body
            assert test.partition("[")[0] in {each.name for each in body if isinstance(each, ast.FunctionDef)}


def test_names_are_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("source", ["other text", "twice twice"])
def test_a_text_that_is_gone_or_stands_twice_is_loud(source: str) -> None:
    with pytest.raises(Stale, match="not once"):
        Edit("file", "twice", "").applied(source)

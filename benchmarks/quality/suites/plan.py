"""What a run is asked for, and what a suite answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.quality.contenders import SLOW, Contender
from benchmarks.quality.runs import Cell, Results


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: its contenders, seeds, how thorough, how many processes."""

    contenders: tuple[Contender, ...]
    zone: str
    quick: bool
    jobs: int
    nulls: int | None = None  # repetitions of streams without a change in a quick run

    def names(self, *, binary: bool = True, rates: bool = False) -> list[str]:
        """Contenders that can read such streams: `binary` 0/1 errors, `rates` whether an oracle may know."""
        return [
            one.name
            for one in self.contenders
            if (binary or not one.binary_only) and (rates or not one.knows)
        ]

    def reps(self, name: str, quick: int, whole: int) -> int:
        """Repetitions for a contender: a slow one gets few."""
        return max(1, (quick if self.quick else whole) // SLOW.get(name, 1))


@dataclass(frozen=True, slots=True)
class Suite:
    """`tasks`: who has to read what; `report`: the tables, in Markdown."""

    title: str
    tasks: Callable[[Plan], list[tuple[str, Cell]]]
    report: Callable[[Plan, Results], str]

"""S1b: two rises D events apart. Both must be found, once each."""

from __future__ import annotations

from benchmarks.quality import layout
from benchmarks.quality.runs import Cell, Results, Run, chunks, score
from benchmarks.quality.suites.plan import Plan, Suite

DISTANCES, QUICK_DISTANCES = (1_000, 2_000, 3_000, 5_000, 8_000), (1_000, 3_000, 8_000)
RATES, QUICK_RATES = (0.02, 0.05, 0.1), (0.05,)
# Of equal kind each: .05 → .125 → .31 or .05 → .35 → .65. Two small ones nothing can tell apart at once.
SIZES = ("medium", "large")
REPS, QUICK_REPS = 50, 5


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    return [
        (name, cell)
        for name in plan.names()
        for p0 in (QUICK_RATES if plan.quick else RATES)
        for size in SIZES
        for distance in (QUICK_DISTANCES if plan.quick else DISTANCES)
        for cell in chunks("s1b", (p0, size, distance), plan.reps(name, QUICK_REPS, REPS))
    ]


def of(results: Results, name: str, distance: int) -> list[Run]:
    """A contender's runs over changes so far apart."""
    return [
        run
        for (who, cell), runs in results.items()
        if who == name and cell.maker == "s1b" and cell.args[2] == distance
        for run in runs
    ]


def report(plan: Plan, results: Results) -> str:
    distances = QUICK_DISTANCES if plan.quick else DISTANCES
    rows = []
    for name in plan.names():
        by_distance = [score(of(results, name, distance)) for distance in distances]
        missed = sum(len(one.missed) for one in by_distance)
        early, twice = sum(one.early for one in by_distance), sum(one.duplicates for one in by_distance)
        row = [name, *(layout.share(one.f1) for one in by_distance), f"{missed} / {early} / {twice}"]
        rows.append(row)
    head = ["S1b, F1", *(f"D = {distance:,}" for distance in distances), "missed / early / duplicates"]
    return layout.table(head, rows)


SUITE = Suite("S1b: two changes", tasks, report)

"""S2: signals that are not independent 0/1 errors. Null rates, and one sudden change each."""

from __future__ import annotations

from benchmarks.quality import layout
from benchmarks.quality.runs import Cell, Results, Run, chunks, score
from benchmarks.quality.simulated import BINARY_KINDS, KINDS
from benchmarks.quality.suites.plan import Plan, Suite

REPS, QUICK_REPS = 50, 5
# 4 million events of nulls a kind: no alarm then bounds the rate at .09 per 100k.
NULL_ROWS, NULL_REPS, QUICK_NULL_REPS = 250_000, 16, 1


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    found: list[tuple[str, Cell]] = []
    for kind in KINDS:
        for name in plan.names(binary=kind in BINARY_KINDS):
            found += [(name, cell) for cell in chunks("s2", (kind,), plan.reps(name, QUICK_REPS, REPS))]
            nulls = range(plan.reps(name, plan.nulls or QUICK_NULL_REPS, NULL_REPS))
            found += [(name, Cell("s2", (kind,), (rep,), (NULL_ROWS,))) for rep in nulls]
    return found


def of(results: Results, name: str, kind: str, null: bool) -> list[Run]:
    """A contender's runs over nulls or changes of this kind."""
    return [
        run
        for (who, cell), runs in results.items()
        if who == name and cell.maker == "s2" and cell.args[0] == kind and bool(cell.tail) == null
        for run in runs
    ]


def report(plan: Plan, results: Results) -> str:
    nulls, changes = [], []
    for name in plan.names():
        rates, found = [], []
        for kind in KINDS:
            calm = of(results, name, kind, True)
            rates.append(layout.rate(sum(r.seen.alarms for r in calm), sum(r.seen.rows for r in calm)))
            runs = of(results, name, kind, False)
            whole = score(runs)
            delays = whole.delays(runs[0].max_delay) if runs else []
            found.append(f"{layout.share(whole.f1, 2)} / {layout.middle(delays)}" if runs else "–")
        nulls.append([name, *rates])
        changes.append([name, *found])
    return "\n\n".join(
        [
            "Real values are the absolute errors of a regressor. Bare detectors are given them scaled to "
            "[0, 1] by the mean and ± 4 standard deviations of the first 2,000. Of driftbus, nulls count "
            "episodes of any category. Changes: one standard deviation (gaussian, AR), × 1.6 (lognormal, "
            "t3, season), .1 → .25 (bursty).",
            layout.table(["S2, nulls per 100k [95 %]", *KINDS], nulls),
            layout.table(["S2, changes: F1 / median delay", *KINDS], changes),
        ]
    )


SUITE = Suite("S2: bursts, seasons, heavy tails, autocorrelation", tasks, report)

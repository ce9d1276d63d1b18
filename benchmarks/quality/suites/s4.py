"""S4: frozen regressors on series with seasons and without a lasting change: how often is an alarm raised?"""

from __future__ import annotations

from benchmarks.quality import layout
from benchmarks.quality.models import MODELS
from benchmarks.quality.recorded import SERIES
from benchmarks.quality.runs import Cell, Results
from benchmarks.quality.suites.plan import Plan, Suite


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    cells = [Cell("s4", (name, model)) for name in SERIES for model in MODELS]
    return [(name, cell) for name in plan.names(binary=False) for cell in cells]


def report(plan: Plan, results: Results) -> str:
    rows = []
    for name in plan.names(binary=False):
        row = [name]
        for series in SERIES:
            for model in MODELS:
                (run,) = results[name, Cell("s4", (series, model))]
                alarms = layout.rate(run.seen.alarms, run.seen.rows, 10_000)
                concept = sum(episode.category == "concept" for episode in run.seen.episodes)
                row.append(f"{alarms.split(' ')[0]} ({concept})")
        rows.append(row)
    head = [
        f"{series.split('_')[1] if series[:3] == 'nab' else series.split('_')[0]}, {m}"
        for series in SERIES
        for m in MODELS
    ]
    return "\n\n".join(
        [
            "Alarms per 10,000 rows, of driftbus episodes of any category; in brackets how many episodes (of "
            "driftbus: of the error).",
            layout.table(["S4", *head], rows),
        ]
    )


SUITE = Suite("S4: seasons without a change", tasks, report)

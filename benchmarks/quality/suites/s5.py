"""S5: accuracy gained by the retrains a contender asks for, over equally many periodic ones and over none."""

from __future__ import annotations

from statistics import fmean

from benchmarks.quality import layout
from benchmarks.quality.models import MODELS
from benchmarks.quality.recorded import GRADUAL, SUDDEN
from benchmarks.quality.runs import Cell, Results
from benchmarks.quality.suites import s3
from benchmarks.quality.suites.plan import Plan, Suite
from benchmarks.quality.utility import REAL, gains

QUICK_REAL = ("elec2", "noaa_weather")


def files(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Synthetic files and real ones."""
    return (s3.QUICK, QUICK_REAL) if plan.quick else (SUDDEN + GRADUAL, REAL)


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    synthetic, real = files(plan)
    return [
        (name, Cell("s5", (file, model)))
        for name in plan.names()
        for file in synthetic + real
        for model in MODELS
    ]


def report(plan: Plan, results: Results) -> str:
    rows = []
    for name in plan.names():
        row = [name]
        for group in files(plan):
            seens = [results[name, Cell("s5", (file, model))][0].seen for file in group for model in MODELS]
            periodic, none = gains(seens)
            row += [f"{fmean(periodic):+.3f}", f"{min(periodic):+.3f}", f"{fmean(none):+.3f}"]
            row.append(f"{fmean(seen.requests for seen in seens):.1f}")
        rows.append(row)
    head = ["S5: accuracy over"]
    for kind in ("synthetic", "real"):
        head += [f"{kind}: periodic", "worst", "none", "retrains"]
    return layout.table(head, rows)


SUITE = Suite("S5: do the retrains pay?", tasks, report)

"""Protocol 5: detectors tuned to one false alarm per 100k events, their delay over the oracle's."""

from __future__ import annotations

from benchmarks.quality import layout, tuning
from benchmarks.quality.runs import Cell, Results, chunks, score
from benchmarks.quality.simulated import SIZES
from benchmarks.quality.suites import s1
from benchmarks.quality.suites.plan import Plan, Suite


def names(plan: Plan) -> list[str]:
    """The tuned contenders, of those in the plan that have a knob."""
    rows = tuning.QUICK_ROWS if plan.quick else tuning.ROWS
    known = [name for name in plan.names() if name in tuning.KNOBS]
    return [found for name in known if (found := tuning.tuned(name, plan.zone, rows)) is not None]


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    return [
        (name, cell)
        for name in names(plan)
        for p0 in s1.rates(plan)
        for size in SIZES
        for cell in chunks("s1", (p0, size, "step", 0), s1.QUICK_STEPS if plan.quick else s1.REPS)
    ]


def report(plan: Plan, results: Results) -> str:
    rows = []
    for name in names(plan):
        steps = [score(s1.of(results, name, size, "step", 0)) for size in SIZES]
        onset = " / ".join(layout.middle(one.onset_errors()) for one in steps)
        rows.append([name, " / ".join(s1.ratio(results, name, size, 1e5) for size in SIZES), onset])
    if not rows:
        return "No contender here has a parameter to tune."
    head = ["tuned to 1 per 100k", "delay ÷ oracle's at 1/100k s/m/l", "onset error, median s/m/l"]
    return layout.table(head, rows)


SUITE = Suite("Detectors tuned to the same false alarms", tasks, report)

"""S1: independent 0/1 errors. Null rates, delay against the oracle, onset, F1 by shape and width."""

from __future__ import annotations

from statistics import fmean, pvariance

from benchmarks.quality import layout
from benchmarks.quality.contenders import ORACLES
from benchmarks.quality.cost import cost_us
from benchmarks.quality.oracle import mean_delay
from benchmarks.quality.runs import Cell, Results, Run, chunks, score
from benchmarks.quality.simulated import RATES, SIZES
from benchmarks.quality.suites.plan import Plan, Suite

SHAPES = (("step", 0), *((shape, width) for width in (500, 2_000, 8_000) for shape in ("linear", "sigmoid")))
QUICK_SHAPES = (("step", 0), ("linear", 2_000), ("linear", 8_000), ("sigmoid", 2_000))
QUICK_RATES = (0.05, 0.2)
REPS, QUICK_REPS = 50, 3
# Steps, from which delays come, in `--quick`.
QUICK_STEPS = 15
# 16 million events of nulls in all; `--quick` 1 million.
NULL_ROWS, NULL_REPS, QUICK_NULL_REPS = 250_000, 16, 1


def rates(plan: Plan) -> tuple[float, ...]:
    """Error rates before the change."""
    return QUICK_RATES if plan.quick else RATES


def shapes(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Shapes and widths of changes."""
    return QUICK_SHAPES if plan.quick else SHAPES


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    found = []
    for name in plan.names(rates=True):
        for p0 in rates(plan):
            for size in SIZES:
                for shape, width in shapes(plan):
                    reps = plan.reps(name, QUICK_REPS if width else QUICK_STEPS, REPS)
                    found += [(name, cell) for cell in chunks("s1", (p0, size, shape, width), reps)]
        found += [(name, cell) for cell in nulls(plan, name)]
    return found


def nulls(plan: Plan, name: str) -> list[Cell]:
    """Streams without a change; an oracle's rate is known by design."""
    if name in ORACLES:
        return []
    reps = plan.reps(name, plan.nulls or QUICK_NULL_REPS, NULL_REPS)
    return [Cell("s1 null", (p0, NULL_ROWS), (rep,)) for p0 in RATES for rep in range(reps)]


def of(results: Results, name: str, size: str | None, shape: str | None, width: int) -> list[Run]:
    """A contender's runs over changes of this size, shape and width (None: any)."""
    return [
        run
        for (who, cell), runs in results.items()
        if who == name
        and cell.maker == "s1"
        and size in (None, cell.args[1])
        and shape in (None, cell.args[2])
        and width == cell.args[3]
        for run in runs
    ]


def null_rate(results: Results, name: str) -> tuple[int, int]:
    """Alarms and rows of a contender's nulls."""
    runs = [
        run
        for (who, cell), some in results.items()
        if who == name and cell.maker == "s1 null"
        for run in some
    ]
    return sum(run.seen.alarms for run in runs), sum(run.seen.rows for run in runs)


def ratio(results: Results, name: str, size: str, rows_between: float) -> str:
    """Mean delay of the first alarm after a step (none: the most that is allowed) over the oracle's with
    false alarms so many rows apart, averaged over the error rates, with its standard error."""
    ours: list[float] = []
    theirs: list[float] = []
    variance = 0.0
    for p0 in RATES:
        delays = [
            float(run.max_delay if first is None else min(first, run.max_delay))
            for (who, cell), runs in results.items()
            if who == name and cell.maker == "s1" and cell.args[:3] == (p0, size, "step")
            for run in runs
            for first in run.seen.first
        ]
        if delays:
            ours.append(fmean(delays))
            theirs.append(mean_delay(p0, SIZES[size](p0), rows_between))
            variance += pvariance(delays) / len(delays)
    if not ours:
        return "–"
    return f"{sum(ours) / sum(theirs):.2f} ± {variance**0.5 / sum(theirs):.2f}"


def report(plan: Plan, results: Results) -> str:
    rows, by_shape, false = [], [], []
    for name in plan.names(rates=True):
        alarms, events = null_rate(results, name)
        steps = {size: score(of(results, name, size, "step", 0)) for size in SIZES}
        onset = " / ".join(layout.middle(one.onset_errors()) for one in steps.values())
        between = ORACLES.get(name) or (events / max(alarms, 1) if events else 1e5)
        rows.append(
            [
                name,
                f"{1e5 / ORACLES[name]:g} by design" if name in ORACLES else layout.rate(alarms, events),
                " / ".join(ratio(results, name, size, 1e5) for size in SIZES),
                " / ".join(ratio(results, name, size, between) for size in SIZES),
                onset,
                cost_us(name),
            ]
        )
        whole = {place: score(of(results, name, None, *place)) for place in shapes(plan)}
        by_shape.append([name, *(layout.share(one.f1) for one in whole.values())])
        streams = sum(len(of(results, name, None, *place)) for place in whole)
        missed = [
            sum(len(score(of(results, name, size, *place)).missed) for place in shapes(plan))
            for size in SIZES
        ]
        parts = [sum(s.early for s in whole.values()), sum(s.duplicates for s in whole.values())]
        false.append(
            [
                name,
                f"{streams:,}",
                " / ".join(layout.share(part * len(SIZES) / max(streams, 1)) for part in missed),
                *(layout.share(part / max(streams, 1)) for part in parts),
            ]
        )
    names = [shape if not width else f"{shape} {width:,}" for shape, width in shapes(plan)]
    alphas = ", ".join(f"{p:g}" for p in rates(plan))
    return "\n\n".join(
        [
            f"Error rates {alphas}; small × 1.6, medium × 2.5, large + .3. Delay: first alarm after a step, "
            "none counts as 5,000; mean ± standard error over that of an oracle (exact). *At its own rate*: "
            "over the oracle with as many false alarms as were measured (none: as if one). Of driftbus, "
            "nulls count episodes of any category. Onset: as first told.",
            layout.table(
                [
                    "S1",
                    "nulls per 100k [95 %]",
                    "delay ÷ oracle's at 1/100k s/m/l",
                    "at its own rate s/m/l",
                    "onset error, median s/m/l",
                    "µs per event, blocks of 25",
                ],
                rows,
            ),
            layout.table(["S1, F1 over all sizes", *names], by_shape),
            layout.table(["S1, per stream", "streams", "missed s/m/l", "early", "duplicates"], false),
        ]
    )


SUITE = Suite("S1: independent 0/1 errors", tasks, report)

"""What is to be reached with one default configuration, beside what driftbus was measured to reach."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, median

from benchmarks.quality import cost, layout
from benchmarks.quality.contenders import PRODUCT
from benchmarks.quality.models import MODELS
from benchmarks.quality.poisson import rate_interval
from benchmarks.quality.recorded import FAST, GRADUAL, SERIES, SUDDEN
from benchmarks.quality.runs import Cell, Results, score
from benchmarks.quality.simulated import KINDS, SIZES
from benchmarks.quality.suites import s1, s1b, s2, s3, s5, s6
from benchmarks.quality.suites.plan import Plan
from benchmarks.quality.utility import gains

# What is measured, and whether the goal is met.
Row = tuple[str, bool]


def nulls_alike(plan: Plan, results: Results) -> Row:
    found, _, most = rate_interval(*s1.null_rate(results, PRODUCT))
    return f"{found:.3f} per 100k, at most {most:.3f}", most <= 0.1


def nulls_others(plan: Plan, results: Results) -> Row:
    bounds = {}
    for kind in KINDS:
        runs = s2.of(results, PRODUCT, kind, True)
        bounds[kind] = rate_interval(sum(r.seen.alarms for r in runs), sum(r.seen.rows for r in runs))[2]
    told = ", ".join(f"{kind} {bound:.2f}" for kind, bound in bounds.items())
    return f"at most {told}", max(bounds.values()) <= 0.3


def delays(plan: Plan, results: Results) -> Row:
    alarms, events = s1.null_rate(results, PRODUCT)
    told = [s1.ratio(results, PRODUCT, size, events / max(alarms, 1)) for size in SIZES]
    return " / ".join(told), all(float(one.split(" ")[0]) <= 1.15 for one in told)


def widths(plan: Plan, results: Results) -> Row:
    found = [score(s1.of(results, PRODUCT, None, *place)).f1 or 0.0 for place in s1.shapes(plan)]
    return f"S1 from {layout.share(min(found))} to {layout.share(max(found))}", min(found) >= 0.98


def two_changes(plan: Plan, results: Results) -> Row:
    found = score(s1b.of(results, PRODUCT, 3_000)).f1 or 0.0
    return layout.share(found), found >= 0.98


def recorded(plan: Plan, results: Results) -> Row:
    sudden, gradual = (s3.of(results, PRODUCT, files) for files in (SUDDEN, GRADUAL))
    f1 = [score([*sudden, *gradual], opening).f1 or 0.0 for opening in (0.5, 0.65, 1.0)]
    if fast := s3.of(results, PRODUCT, FAST):
        f1.append(score(fast).f1 or 0.0)
    late = [median(score(runs).delays(runs[0].max_delay)) for runs in (sudden, gradual)]
    far = layout.high(score(sudden).onset_errors())
    told = f"F1 {' / '.join(map(layout.share, f1))}; delay {late[0]:.0f} / {late[1]:.0f}; onset p90 {far}"
    return told, min(f1) >= 0.99 and max(late) <= 35 and float(far) <= 100


def typing(plan: Plan, results: Results) -> Row:
    told = {
        size: s6.told(
            [p for place in s6.shapes(plan) for p in s6.pairs(s1.of(results, PRODUCT, size, *place))]
        )
        for size in ("large", "medium")
    }
    text = "; ".join(
        f"{size} {layout.share(determined)} determined, {layout.share(right)} right"
        for size, (determined, right) in told.items()
    )
    right = all((one[1] or 0.0) >= 0.97 for one in told.values())
    return text, right and (told["large"][0] or 0.0) >= 0.9 and (told["medium"][0] or 0.0) >= 0.55


def recurrence(plan: Plan, results: Results) -> Row:
    told, met = [], True
    for label, runs in (
        ("recorded", s3.of(results, PRODUCT, SUDDEN + GRADUAL)),
        ("River", s6.of_river(results)),
    ):
        found, again, false, new = s6.recurrence(runs)
        told.append(f"{label} {found} of {again} found, {false} of {new} false")
        met = met and found >= 0.95 * again and false <= 0.05 * new and again > 0
    return "; ".join(told), met


def seasons(plan: Plan, results: Results) -> Row:
    runs = {s: [results[PRODUCT, Cell("s4", (s, m))][0].seen for m in MODELS] for s in SERIES}
    rates = [max(1e4 * seen.alarms / seen.rows for seen in seens) for seens in runs.values()]
    return " / ".join(f"{rate:.1f}" for rate in rates), max(rates) <= 1.0


def retrains(plan: Plan, results: Results) -> Row:
    synthetic, real = (
        gains([results[PRODUCT, Cell("s5", (file, model))][0].seen for file in group for model in MODELS])[0]
        for group in s5.files(plan)
    )
    told = f"{fmean(synthetic):+.3f}; {fmean(real):+.3f}, worst {min(real):+.3f}"
    return told, fmean(synthetic) >= 0.15 and fmean(real) >= 0.01 and min(real) >= 0.0


def costs(plan: Plan, results: Results) -> Row:
    error, feature = cost.measured(PRODUCT) or 0.0, cost.feature_us()
    return f"{error:.2f} µs; {feature:.2f} µs", error <= 1.5 and feature <= 0.3


# Suite, goal, what measures it.
GOALS: tuple[tuple[str, str, Callable[[Plan, Results], Row]], ...] = (
    ("s1", "false alarms on independent errors: ≤ .1 per 100k (upper bound)", nulls_alike),
    ("s2", "false alarms on every other null: ≤ .3 per 100k (upper bound)", nulls_others),
    ("s1", "delay ≤ 1.15 × the oracle's at the same null rate, small / medium / large", delays),
    ("s1", "S1: F1 ≥ .98 at every width", widths),
    ("s1b", "S1b: F1 ≥ .98 at D = 3,000", two_changes),
    (
        "s3",
        "S3: F1 ≥ .99 for openings .5 to 1 (and fast); median delay ≤ 35; sudden onset p90 ≤ 100",
        recorded,
    ),
    ("s6", "typing ≥ .97 right where determined; determined ≥ .9 large, ≥ .55 medium", typing),
    ("s6", "recurrence: ≥ .95 found, ≤ .05 false", recurrence),
    ("s4", "S4: ≤ 1 alarm per 10k on each series (the worse model)", seasons),
    ("s5", "S5: ≥ +.15 synthetic; ≥ +.01 real, never below 0", retrains),
    ("s1", "cost: error ≤ 1.5 µs, a feature ≤ .3 µs, in blocks of 25", costs),
)


def report(plan: Plan, results: Results, suites: list[str]) -> str:
    """The goals that these suites measure."""
    rows = []
    for suite, goal, measure in GOALS:
        if suite in suites:
            told, met = measure(plan, results)
            rows.append([goal, told, "yes" if met else "**no**"])
    if plan.quick:
        rows.append(["*of a quick run: few repetitions, bounds of few events*", "", ""])
    return layout.table(["goal", "measured", "met"], rows)

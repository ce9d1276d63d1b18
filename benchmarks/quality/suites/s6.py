"""S6: of what kind a change is said to be, where it began, and whether a returning state is known again.

Of contenders that give verdicts. The streams are S1's and S3's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.quality import layout
from benchmarks.quality.contenders import PRODUCT
from benchmarks.quality.matching import Change, Episode, Score
from benchmarks.quality.models import MODELS
from benchmarks.quality.recorded import GRADUAL, SUDDEN
from benchmarks.quality.returning import FAMILIES, orders
from benchmarks.quality.runs import Cell, Results, Run, chunks
from benchmarks.quality.simulated import SIZES
from benchmarks.quality.suites import s1, s3
from benchmarks.quality.suites.plan import Plan, Suite

SHAPES = (("step", 0), ("linear", 2_000), ("sigmoid", 2_000), ("linear", 8_000), ("sigmoid", 8_000))
QUICK_SHAPES = (("step", 0), ("linear", 2_000), ("linear", 8_000))
REPS, QUICK_REPS = 50, 10
OTHERS = ("staircase", "event")
# Orders of states of each of River's families: that return, and as many that do not.
ORDERS, QUICK_ORDERS = 6, 1
# Kinds of the two questions that are asked of simulated changes: was it a step?
_STEP = {"sudden": "sudden", "gradual": "gradual", "incremental": "gradual"}


def shapes(plan: Plan) -> tuple[tuple[str, int], ...]:
    """Shapes and widths that are judged."""
    return QUICK_SHAPES if plan.quick else SHAPES


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    names = [name for name in plan.names() if name == PRODUCT]
    simulated = [
        cell
        for p0 in s1.rates(plan)
        for size in SIZES
        for shape, width in shapes(plan)
        for cell in chunks(
            "s1", (p0, size, shape, width), (QUICK_REPS if width else s1.QUICK_STEPS) if plan.quick else REPS
        )
    ]
    others = [
        cell
        for p0 in s1.rates(plan)
        for what in OTHERS
        for cell in chunks("s6", (p0, what), QUICK_REPS if plan.quick else REPS)
    ]
    again = [
        Cell("s6 returning", (family, *order, model))
        for family in FAMILIES
        for order in orders(plan.zone, family, QUICK_ORDERS if plan.quick else ORDERS)
        for model in MODELS
    ]
    return [(name, cell) for name in names for cell in [*simulated, *others, *again, *s3.cells(plan)]]


def pairs(runs: Sequence[Run]) -> list[tuple[Change, Episode]]:
    """Changes with the episodes that found them."""
    return [pair for run in runs for pair in run.score().pairs]


def told(some: Sequence[tuple[Change, Episode]], last: bool = False) -> tuple[float | None, float | None]:
    """Share determined, 2,000 rows after the alarm or (`last`) in the end, and right where determined."""
    judged = [
        (change, (e.last_kind if last else e.kind) or "undetermined") for change, e in some if change.kind
    ]
    named = [(change, _STEP[kind]) for change, kind in judged if kind in _STEP]
    right = sum(change.kind == kind for change, kind in named)
    return (len(named) / len(judged) if judged else None, right / len(named) if named else None)


def _shares(some: Sequence[tuple[Change, Episode]], last: bool) -> tuple[str, str]:
    determined, right = told(some, last)
    return layout.share(determined), layout.share(right)


def _errors(some: Sequence[tuple[Change, Episode]], last: bool) -> str:
    """|onset − start|: median and 90 % quantile."""
    errors = Score(list(some)).onset_errors(last)
    return f"{layout.middle(errors)}, {layout.high(errors)}"


def _holds(some: Sequence[tuple[Change, Episode]], last: bool) -> str:
    """How often the onset's interval holds the true start."""
    held = [
        low <= change.start <= high
        for change, e in some
        for low, high in [(e.last_earliest, e.last_latest) if last else (e.earliest, e.latest)]
        if low is not None and high is not None
    ]
    return layout.share(sum(held) / len(held) if held else None)


def _row(label: str, some: Sequence[tuple[Change, Episode]]) -> list[str]:
    return [
        label,
        str(len(some)),
        *_shares(some, False),
        *_shares(some, True),
        _errors(some, False),
        _errors(some, True),
        _holds(some, False),
        _holds(some, True),
    ]


def report(plan: Plan, results: Results) -> str:
    if PRODUCT not in plan.names():
        return "No contender here gives verdicts."
    rows = []
    for size in SIZES:
        whole: list[tuple[Change, Episode]] = []
        for shape, width in shapes(plan):
            some = pairs(s1.of(results, PRODUCT, size, shape, width))
            rows.append(_row(f"{size}, {shape} {width or ''}".strip(), some))
            whole += some
        rows.append(_row(f"**{size}, all**", whole))
    for label, files in (("recorded, sudden", SUDDEN), ("recorded, gradual", GRADUAL)):
        rows.append(_row(label, pairs(s3.of(results, PRODUCT, files))))
    head = [
        "S6, driftbus",
        "found",
        "determined after 2,000",
        "right where determined",
        "determined in the end",
        "right",
        "onset error when opened, median, p90",
        "in the end",
        "interval holds the start, when opened",
        "in the end",
    ]
    return "\n\n".join(
        [layout.table(head, rows), _others(results), _recurrence(results), _resolutions(results)]
    )


def _others(results: Results) -> str:
    """What becomes of a staircase, and of an event that passes."""
    rows = []
    for what in OTHERS:
        runs = [
            run
            for (who, cell), some in results.items()
            if who == PRODUCT and cell.maker == "s6" and cell.args[1] == what
            for run in some
        ]
        episodes = [episode for run in runs for episode in run.seen.episodes]
        kinds = Counter(episode.last_kind or "undetermined" for episode in episodes)
        ends = Counter(episode.resolution or "open" for episode in episodes)
        rows.append(
            [
                what,
                str(len(runs)),
                str(len(episodes)),
                ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) or "–",
                ", ".join(f"{count} {end}" for end, count in ends.most_common()) or "–",
                str(sum(run.seen.requests > 0 for run in runs)),
            ]
        )
    head = ["S6, driftbus", "streams", "episodes", "kinds in the end", "ends", "streams with a request"]
    return layout.table(head, rows)


def of_river(results: Results, family: str | None = None) -> list[Run]:
    """The product's runs over River's generators."""
    return [
        run
        for (who, cell), runs in results.items()
        if who == PRODUCT and cell.maker == "s6 returning" and family in (None, cell.args[0])
        for run in runs
    ]


def recurrence(runs: Sequence[Run]) -> tuple[int, int, int, int]:
    """Returning states known again, how many there were, new ones called recurrent, how many there were.

    A recorded change that jumps a second time at its end is over only then: what is said of the second jump
    counts for it."""
    counts: Counter[tuple[bool, bool]] = Counter()
    for run in runs:
        whole = run.score()
        for change, episode in whole.pairs:
            told = [episode]
            if change.smooth and change.kind is None:
                told += [e for e in run.seen.episodes if change.end <= e.start <= change.end + run.max_delay]
            said = any("recurrent" in (e.kind, e.last_kind) for e in told)
            counts[change.recurrent, said] += 1
        for change in whole.missed:
            counts[change.recurrent, False] += 1
    again, new = counts[True, True] + counts[True, False], counts[False, True] + counts[False, False]
    return counts[True, True], again, counts[False, True], new


def _recurrence(results: Results) -> str:
    groups = [("recorded files", s3.of(results, PRODUCT, SUDDEN + GRADUAL))]
    groups += [(f"River: {family}", of_river(results, family)) for family in FAMILIES]
    groups.append(("**River, all**", of_river(results)))
    rows = []
    for label, runs in groups:
        found, again, false, new = recurrence(runs)
        rows.append([label, f"{found} of {again}", f"{false} of {new}"])
    return layout.table(["S6, driftbus", "returned, known again", "new, called recurrent"], rows)


def _resolutions(results: Results) -> str:
    ends: Counter[str] = Counter()
    for (who, cell), runs in results.items():
        if who == PRODUCT and cell.maker == "s1":
            ends.update(str(e.resolution or "open") for run in runs for e in run.seen.episodes)
    return (
        "How episodes of simulated changes ended: "
        + ", ".join(f"{n} {how}" for how, n in ends.most_common())
        + "."
    )


SUITE = Suite("S6: kind, onset, recurrence", tasks, report)

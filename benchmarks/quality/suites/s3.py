"""S3: the recorded files with known drifts, under a frozen tree and a frozen linear model."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.quality import layout
from benchmarks.quality.models import MODELS
from benchmarks.quality.recorded import FAST, GRADUAL, SUDDEN
from benchmarks.quality.runs import Cell, Results, Run, score
from benchmarks.quality.suites.plan import Plan, Suite

OPENINGS = (0.0, 0.5, 0.65, 1.0)
QUICK = (
    "harvard_sine_0123_abrupto",
    "harvard_stagger_0120_abrupto",
    "harvard_sea_0123_abrupto_noise_0.2",
    "harvard_mixed_0101_gradual",
    "harvard_rt_2563789698568873_gradual",
    "tornado_circles_101",
)


def cells(plan: Plan) -> list[Cell]:
    """One for each file and model."""
    names = QUICK if plan.quick else SUDDEN + GRADUAL + FAST
    return [Cell("s3", (name, model)) for name in names for model in MODELS]


def tasks(plan: Plan) -> list[tuple[str, Cell]]:
    return [(name, cell) for name in plan.names() for cell in cells(plan)]


def of(results: Results, name: str, files: Iterable[str]) -> list[Run]:
    """A contender's runs over these files."""
    wanted = set(files)
    return [
        run
        for (who, cell), runs in results.items()
        if who == name and cell.maker == "s3" and cell.args[0] in wanted
        for run in runs
    ]


def report(plan: Plan, results: Results) -> str:
    rows, false = [], []
    counts = {"sudden": 0, "gradual": 0, "fast": 0}
    for name in plan.names():
        row = [name]
        numbers: list[str] = []
        for group, files in (("sudden", SUDDEN), ("gradual", GRADUAL), ("fast", FAST)):
            runs = of(results, name, files)
            if not runs:
                row += ["–"] * (3 if group == "sudden" else 2)
                numbers.append("–")
                continue
            openings = OPENINGS if group == "gradual" else OPENINGS[:1]
            scores = [score(runs, opening) for opening in openings]
            stated = scores[OPENINGS.index(0.65)] if group == "gradual" else scores[0]
            counts[group] = max(counts[group], len(stated.pairs) + len(stated.missed))
            row.append(" / ".join(layout.share(one.f1) for one in scores))
            row.append(layout.middle(stated.delays(runs[0].max_delay)))
            if group == "sudden":
                errors = stated.onset_errors()
                row.append(f"{layout.middle(errors)}, {layout.high(errors)}")
            others = sum(e.category != "concept" for run in runs for e in run.seen.episodes)
            numbers.append(f"{len(stated.missed)} / {stated.early} / {stated.duplicates} / {others}")
        rows.append(row)
        false.append([name, *numbers])
    head = [
        f"S3: {counts['sudden']} sudden, {counts['gradual']} gradual, {counts['fast']} every 3,000 rows",
        "F1, sudden",
        "median delay",
        "onset error median, p90",
        "F1, gradual, opening 0 / .5 / .65 / 1",
        "median delay",
        "F1, fast",
        "median delay",
    ]
    return "\n\n".join(
        [
            "Recorded files: development and confirmation are the same. driftbus is given the files' "
            "features, too. Drifts that raise the error by less than 2 points are neither to be found nor "
            "false; the jump at the end of the third `harvard_*_gradual` change likewise.",
            layout.table(head, rows),
            layout.table(
                [
                    "S3: missed / early / duplicates / episodes of other categories (driftbus)",
                    "sudden",
                    "gradual",
                    "fast",
                ],
                false,
            ),
        ]
    )


SUITE = Suite("S3: recorded drifts", tasks, report)

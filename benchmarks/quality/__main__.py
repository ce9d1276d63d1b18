"""`python -m benchmarks.quality`: see the package's text."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.quality import cost, data, goals, results
from benchmarks.quality.contenders import DUMMIES, ORACLES, PRODUCT, SLOW, Contender, everybody, named
from benchmarks.quality.runs import Results, run_all
from benchmarks.quality.simulated import ZONES
from benchmarks.quality.suites import ALL
from benchmarks.quality.suites.plan import Plan

# They read the recorded files.
RECORDED = {"s3", "s4", "s5", "s6"}


def chosen(text: str | None, quick: bool) -> tuple[Contender, ...]:
    """The contenders that `--detectors` names, in the order of the tables."""
    known = everybody()
    if text is None or text == "all":
        return tuple(one for one in known.values() if not (quick and text is None and one.name in SLOW))
    groups = {
        "oracle": list(ORACLES),
        "dummies": list(DUMMIES),
        "auto": [n for n in known if n.endswith("(auto)")],
    }
    wanted: list[Contender] = []
    for name in split(text):
        wanted += [known[one] for one in groups[name]] if name in groups else [named(name)]
    wanted += [known[name] for name in ORACLES]
    return tuple({one.name: one for one in wanted}.values())


def split(text: str) -> list[str]:
    """`a,b:x=1,y=2,c` → a · b:x=1,y=2 · c."""
    parts: list[str] = []
    for part in text.split(","):
        if "=" in part and ":" not in part and parts:
            parts[-1] += f",{part}"
        else:
            parts.append(part.strip())
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--suites", default=",".join(ALL), help="default: all")
    parser.add_argument("--detectors", help="default: all (with --quick without the slow ones)")
    parser.add_argument("--quick", action="store_true", help="few repetitions, few files: for every night")
    parser.add_argument("--nulls", type=int, help="with --quick: so many streams a null, in place of 1")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seeds", choices=list(ZONES), default="development")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--failures", type=int, default=0, help="name so many streams that went wrong")
    options = parser.parse_args()
    names = split(options.suites)
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}; there are {', '.join(ALL)}")
    if not data.present():
        left_out = [name for name in names if name in RECORDED]
        if left_out:
            print(f"left out, as {data.absence()}: {', '.join(left_out)}", file=sys.stderr)
        names = [name for name in names if name not in RECORDED]
    contenders = chosen(options.detectors, options.quick)
    plan = Plan(contenders, options.seeds, options.quick, options.jobs, options.nulls)
    started = time.monotonic()
    tasks = [task for name in names for task in ALL[name].tasks(plan)]
    found = run_all(tasks, options.seeds, options.jobs)
    parts: list[str] = []
    for name in names:
        mine = {task: found[task] for task in ALL[name].tasks(plan)}
        parts += [f"### {ALL[name].title}", ALL[name].report(plan, mine)]
    if any(one.name == PRODUCT for one in plan.contenders):
        parts.append(product_cost())
        parts = ["### Goals", goals.report(plan, found, names), *parts]
    command = f"python -m benchmarks.quality {' '.join(sys.argv[1:])}".strip()
    text = "\n\n".join([results.preamble(command, options.seeds, time.monotonic() - started), *parts])
    print(text)
    for line in failures(found)[: options.failures]:
        print(line, file=sys.stderr)
    if options.write:
        results.write(text)


def failures(found: Results) -> list[str]:
    """Streams with a change missed or an episode too many, and what was told of each."""
    lines = []
    for (name, cell), runs in found.items():
        for run in runs:
            whole = run.score()
            if whole.missed or whole.early or whole.duplicates:
                true = [change.start for change in run.changes if change.counts]
                told = [(one.start, one.onset, one.category, one.last_kind) for one in run.seen.episodes]
                lines.append(f"{name}, {cell.maker}, {run.seen.name}: changes {true}, episodes {told[:8]}")
    return lines


def product_cost() -> str:
    """What driftbus costs as a whole, beside the error signal's detectors in S1's table."""
    return (
        f"Cost of driftbus in blocks of 25: {cost.measured(PRODUCT):.2f} µs an event for the error signal, "
        f"{cost.feature_us():.2f} µs a numeric feature, {cost.whole_us():.1f} µs for the whole fold of an "
        "outcome without features (one stream, one thread)."
    )


if __name__ == "__main__":
    main()

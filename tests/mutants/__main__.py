"""`python -m tests.mutants`: put each bug into a copy of the tree, and see that a test notices it.

Prints a table. Exit code 1 when a mutant survives, when the text it changes is gone, or when what noticed it
notices something in the tree as it is, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .catalogue import MUTANTS
from .laboratory import Laboratory, Outcome
from .mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="only mutants whose name contains this")
    parser.add_argument("--kafka", action="store_true", help="those that need a real broker, too")
    chosen = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if chosen.only in mutant.name]
    run = [mutant for mutant in mutants if chosen.kafka or not mutant.kafka]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="driftbus-mutants-") as folder:
        laboratory = Laboratory(ROOT, Path(folder))
        for mutant in run:
            outcome = laboratory.judge(mutant)
            outcomes.append(outcome)
            print(f"{outcome.cpu_s:6.1f} s  {mutant.name}: {outcome.told}", file=sys.stderr, flush=True)
        false = laboratory.false_alarms({o.killer for o in outcomes if o.killer is not None})
    print("| mutant | file | killed by | it said | CPU s |\n|---|---|---|---|---|")
    for outcome in outcomes:
        print(row(outcome))
    survivors = [outcome for outcome in outcomes if outcome.killer is None]
    cpu_s = sum(outcome.cpu_s for outcome in outcomes)
    print(f"\n{len(run) - len(survivors)} of {len(run)} mutants killed, {cpu_s:.0f} s of CPU.")
    for mutant in mutants:
        if mutant not in run:
            print(f"With --kafka alone: {mutant.name} ({', '.join(mutant.killers)}).")
    for outcome in survivors:
        print(f"NOT KILLED: {outcome.mutant.name}: {outcome.told}")
    if false:
        print(f"NOT GREEN WITHOUT A BUG:\n{false}")
    return 1 if survivors or false else 0


def row(outcome: Outcome) -> str:
    """A line of the table."""
    files = ", ".join(dict.fromkeys(file_of(outcome.mutant)))
    told = outcome.told.replace("|", "\\|").replace("`", "'")
    short = told if len(told) <= 90 else told[:89] + "…"
    killer = f"`{outcome.killer}`" if outcome.killer else "**nobody**"
    return f"| {outcome.mutant.name} | `{files}` | {killer} | {short} | {outcome.cpu_s:.1f} |"


def file_of(mutant: Mutant) -> list[str]:
    return [edit.file.removeprefix("src/driftbus/") for edit in mutant.edits]


if __name__ == "__main__":
    sys.exit(main())

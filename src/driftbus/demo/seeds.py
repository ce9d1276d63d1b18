"""`python -m driftbus.demo.seeds [--seeds N] [--first SEED]`: the demo for many seeds, a line each.

The nightly check that the demo's outcome does not hang on a chosen seed. Exit code 0 iff every run was right.
"""

from __future__ import annotations

import argparse
import io
import sys
import time

from rich.console import Console

from driftbus.demo.run import Options, run


def main() -> int:
    """Run the demo once per seed; each failure is shown in full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    chosen = parser.parse_args()
    wrong = []
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        started = time.monotonic()
        said = io.StringIO()
        verdict = run(Options(seed=seed), Console(file=said, width=160))
        print(
            f"seed {seed}: {'ok' if verdict.right else 'WRONG'} in {time.monotonic() - started:.0f} s",
            flush=True,
        )
        if not verdict.right:
            wrong.append(seed)
            print(said.getvalue(), flush=True)
    print(f"{chosen.seeds - len(wrong)} of {chosen.seeds} right" + (f", wrong: {wrong}" if wrong else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.simulation --schedules 100000 --seed 1 --jobs 2`: run schedules, and show what breaks one.

Seed S stands for one schedule, whatever else runs: `--seed S --schedules 1` shows it, call by call.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from .pace import small_life
from .schedule import Failure, Schedule, run

# Seeds that a process takes at a time: a second or two of work.
AT_A_TIME = 50
# Failures are told one by one up to here; more of them say nothing new.
MOST_TOLD = 10


def show(seed: int) -> bool:
    """Run one schedule and print what happened; whether all held."""
    with small_life() as clock:
        schedule = Schedule(seed)
        try:
            schedule.run(clock)
            failure = None
        except Exception as error:
            failure = error
    print("\n".join(schedule.story()))
    if failure is None:
        print(f"seed {seed}: all held; {told(schedule.counts)}")
        return True
    traceback.print_exception(failure, file=sys.stdout)
    print(f"seed {seed}: {type(failure).__name__}: {failure}")
    return False


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000, help="how many (default 100000)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's; then one more each (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    chosen = parser.parse_args()
    # Every schedule kills workers; what they log about it is in no way news.
    logging.disable(logging.CRITICAL)
    if chosen.schedules == 1:
        return 0 if show(chosen.seed) else 1
    stop = chosen.seed + chosen.schedules
    chunks = [range(at, min(at + AT_A_TIME, stop)) for at in range(chosen.seed, stop, AT_A_TIME)]
    started = time.monotonic()
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    for done, (some, broken) in enumerate(_all(chunks, chosen.jobs), 1):
        counts.update(some)
        for seed, text in broken:
            failures.append((seed, text))
            if len(failures) <= MOST_TOLD:
                print(f"\nseed {seed}: {text[:2000]}")
                print(f'  again: make simulate ARGS="--seed {seed} --schedules 1"', flush=True)
        if done % 20 == 0 or done == len(chunks):
            each_ms = (time.monotonic() - started) * 1000 / counts["schedules"]
            text = f"{counts['schedules']:,} schedules, {len(failures)} broken, {each_ms:.1f} ms each"
            print(text, file=sys.stderr, flush=True)
    print(f"seeds {chosen.seed} to {stop - 1}: {len(failures)} broken; {told(counts)}")
    return 1 if failures else 0


def _all(chunks: list[range], jobs: int) -> Iterator[tuple[Counter[str], list[Failure]]]:
    if jobs == 1:
        yield from map(run, chunks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, logging.disable, (logging.CRITICAL,)) as pool:
        yield from pool.map(run, chunks)


if __name__ == "__main__":
    sys.exit(main())

"""Days of 0/1 errors that are alike, of other forms and heights than S2's: how often is that called a change?

    .venv/bin/python -m benchmarks.quality.seasons --seeds confirmation

A row a minute, four streams of 40,000 rows a line without a change, and four with a rise × 1.6 after 10,000
of 25,000. `wave`: a sine; `hours`: from 8:24 to 18:00 more, else less. Heights are parts of the mean error.
"""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
from benchmarks.quality import layout, product
from benchmarks.quality.simulated import BEFORE, DAY_ROWS, ZONES, seed_of
from benchmarks.quality.stream import Floats, Stream

LEVELS, HEIGHTS, FORMS = (0.05, 0.1, 0.3), (0.5, 0.9), ("wave", "hours")
REPS, NULL_ROWS, ROWS, RISE = 4, 40_000, 25_000, 1.6
# `hours` of more errors, as parts of a day.
OPENS, CLOSES = 0.35, 0.75
# Nobody can know a season before a day has come again: what is told later is counted apart.
KNOWN_AFTER = 4 * DAY_ROWS


def course(form: str, height: float, rows: int) -> Floats:
    """The error of each row over the mean error."""
    part = np.arange(rows) % DAY_ROWS / DAY_ROWS
    if form == "wave":
        return 1.0 + height * np.sin(2.0 * np.pi * part)
    open_part = CLOSES - OPENS
    less = 1.0 - height * open_part / (1.0 - open_part)
    return np.where((part > OPENS) & (part < CLOSES), 1.0 + height, less)


def stream(zone: str, level: float, height: float, form: str, rises: bool, rep: int) -> Stream:
    """One stream; with `rises` the error is higher from row `BEFORE` on."""
    rows = ROWS if rises else NULL_ROWS
    seed = seed_of(zone, "seasons", level, height, form, rises, rep)
    rate = level * course(form, height, rows)
    if rises:
        rate[BEFORE:] *= RISE
    errors = (np.random.default_rng(seed).random(rows) < rate).astype(float)
    return Stream(f"{form} {level:g} {height:g} #{rep}", errors, True, seed=seed)


def line(zone: str, level: float, height: float, form: str) -> list[str]:
    """A row of the table."""
    early = late = requests = found = false = 0
    delays = []
    for rep in range(REPS):
        told, asked = product.episodes(product.watch(stream(zone, level, height, form, False, rep)))
        early += sum(one.start < KNOWN_AFTER for one in told)
        late += sum(one.start >= KNOWN_AFTER for one in told)
        requests += asked
        told, _ = product.episodes(product.watch(stream(zone, level, height, form, True, rep)))
        after = [one.start - BEFORE for one in told if one.start >= BEFORE]
        false += sum(KNOWN_AFTER <= one.start < BEFORE for one in told) + max(len(after) - 1, 0)
        found += bool(after)
        delays.append(after[0] if after else ROWS - BEFORE)
    counts = [str(early), str(late), str(requests)]
    return [
        f"{form}, {level:g} ± {height:.0%}",
        *counts,
        f"{found} of {REPS}",
        f"{median(delays):.0f}",
        str(false),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.seasons", description=__doc__)
    parser.add_argument("--seeds", choices=list(ZONES), default="development")
    zone = parser.parse_args().seeds
    head = [
        "season",
        "no change: episodes in the first 4 days",
        "later",
        "requests",
        "rise found",
        "median delay",
        "false then",
    ]
    cells = [(level, height, form) for level in LEVELS for height in HEIGHTS for form in FORMS]
    print(layout.table(head, [line(zone, *cell) for cell in cells]))


if __name__ == "__main__":
    main()

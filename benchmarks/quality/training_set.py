"""What a reference from a training set finds, and what it cries over.

    python -m benchmarks.quality.training_set [--seeds 200] [--rows 5000] [--ordered] [--own]

Each line: a world that the training set (20,000 rows; shuffled unless `--ordered`) is from, and the one that
production is from, from its first row on; of how many seeds there was an alarm, and after how many rows.
`--own`: without a reference, for comparison.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from driftbus.core.features import FeatureWatch
from driftbus.core.reference_summary import TrainingRows
from driftbus.core.settings import FeaturePolicy, SignalPlan

TRAINING_ROWS = 20_000
World = Callable[[random.Random], Iterator[Any]]


def each(draw: Callable[[random.Random], Any]) -> World:
    """Independent values."""

    def world(rng: random.Random) -> Iterator[Any]:
        while True:
            yield draw(rng)

    return world


def keeping(part: float, level: float = 0.0) -> World:
    """An autoregression of variance one that keeps so much from row to row."""

    def world(rng: random.Random) -> Iterator[float]:
        x, spread = rng.gauss(0.0, 1.0), math.sqrt(1.0 - part * part)
        while True:
            yield level + x
            x = part * x + spread * rng.gauss(0.0, 1.0)

    return world


def staying(chance: float, categories: str = "abcde") -> World:
    """A category that stays with a chance, else is drawn anew."""

    def world(rng: random.Random) -> Iterator[str]:
        current = rng.choice(categories)
        while True:
            yield current
            if rng.random() >= chance:
                current = rng.choice(categories)

    return world


def wave(rng: random.Random) -> Iterator[float]:
    """A sine of 5,000 rows and amplitude one, with noise as wide."""
    row = rng.randrange(5_000)
    while True:
        row += 1
        yield math.sin(row * math.tau / 5_000) + rng.gauss(0.0, 1.0)


def normal(level: float, missing: float = 0.0) -> World:
    return each(lambda rng: None if rng.random() < missing else rng.gauss(level, 1.0))


def ones(share: float) -> World:
    return each(lambda rng: float(rng.random() < share))


def amounts(unit: float) -> World:
    return each(lambda rng: unit * rng.lognormvariate(0.0, 1.0))


ZIPF = [1.0 / rank for rank in range(1, 501)]
LIKE: dict[str, World] = {
    "normal": normal(0.0),
    "lognormal": amounts(1.0),
    "AR .5": keeping(0.5),
    "AR .9": keeping(0.9),
    "AR .99": keeping(0.99),
    "sine of 5,000 rows": wave,
    "3 % ones": ones(0.03),
    "2 % sentinels": each(lambda rng: 1e9 if rng.random() < 0.02 else rng.gauss(0.0, 1.0)),
    "5 % missing": normal(0.0, 0.05),
    "five categories": staying(0.0),
    "five that stay (.8)": staying(0.8),
    "Zipf over 500": each(lambda rng: f"k{rng.choices(range(500), ZIPF)[0]}"),
}
ELSEWHERE: dict[str, tuple[World, World]] = {
    "normal, + .3": (normal(0.0), normal(0.3)),
    "normal, + .5": (normal(0.0), normal(0.5)),
    "normal, + 1": (normal(0.0), normal(1.0)),
    "AR .9, + 1": (keeping(0.9), keeping(0.9, 1.0)),
    "amounts, halved": (amounts(1.0), amounts(0.5)),
    "amounts, x .01": (amounts(1.0), amounts(0.01)),
    "amounts, x 100": (amounts(1.0), amounts(100.0)),
    "ones, .5 to .9": (ones(0.5), ones(0.9)),
    "five categories, one .6": (staying(0.0), staying(0.0, "aaaaaabcde")),
    "missing, .05 to .3": (normal(0.0, 0.05), normal(0.0, 0.3)),
}


def first_alarms(train: World, produce: World, seed: str, rows: int, ordered: bool, own: bool) -> list[int]:
    """The rows at which there were alarms."""
    rng = random.Random(seed)
    training = [value for value, _ in zip(train(rng), range(TRAINING_ROWS), strict=False)]
    if not ordered:
        rng.shuffle(training)
    gathered = TrainingRows(FeaturePolicy(), ordered=ordered)
    for value in training:
        gathered.add({"x": value})
    watch = FeatureWatch(FeaturePolicy(), SignalPlan())
    if not own:
        watch.refer(gathered.reference()[0].features)
    production = [{"x": value} for value, _ in zip(produce(rng), range(rows), strict=False)]
    return [hit.index + 1 for hit in watch.observe(production)]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=200)
    arguments.add_argument("--rows", type=int, default=5_000)
    arguments.add_argument("--ordered", action="store_true")
    arguments.add_argument("--own", action="store_true")
    given = arguments.parse_args()
    print(
        "| training and production | found | median row | greatest | alarms a seed |\n|---|---|---|---|---|"
    )
    for name, worlds in {**{name: (world, world) for name, world in LIKE.items()}, **ELSEWHERE}.items():
        alarms = [
            first_alarms(*worlds, f"{name} {seed}", given.rows, given.ordered, given.own)
            for seed in range(given.seeds)
        ]
        firsts = [found[0] for found in alarms if found]
        when = f"{median(firsts):.0f} | {max(firsts)}" if firsts else "– | –"
        each_seed = sum(map(len, alarms)) / given.seeds
        print(f"| {name} | {len(firsts)} of {given.seeds} | {when} | {each_seed:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""S6: streams of River's generators whose third state is the first one again, or a new one.

A model is trained on a sample of the first state and frozen, and anew on the first rows of each further one;
the new one takes over where its training rows end. Which states follow each other is drawn with the zone.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from benchmarks.quality.matching import Change
from benchmarks.quality.models import fit_classes
from benchmarks.quality.simulated import seed_of
from benchmarks.quality.stream import Stream, Table
from river.datasets import synth

# Rows of each state, and of those the rows that the next model learns from.
ROWS, TRAIN_ROWS = 5_000, 1_500
# Labels that are wrong, of all.
NOISE = 0.05
MAX_DELAY = 3_000
# A change that raises the error less is nobody's fault to miss.
LEAST_RISE = 0.05
HYPERPLANE_FEATURES = 6

Rows = Iterator[tuple[dict[Any, Any], int]]


def _hyperplane(number: int, seed: int) -> Rows:
    """Points on either side of a plane through the middle; its weights are drawn anew for each state."""
    weights = np.random.default_rng([7, number]).uniform(-1.0, 1.0, HYPERPLANE_FEATURES)
    rng = np.random.default_rng(seed)
    while True:
        x = rng.random(HYPERPLANE_FEATURES)
        yield dict(enumerate(x.tolist())), int(weights @ x > weights.sum() / 2.0)


# By family: how many states there are, and how one is made. Of Agrawal's functions 7 and 9 are all but
# constant (they differ in 1.6 % of the rows), and 8 is left out with them.
FAMILIES: dict[str, tuple[int, Callable[[int, int], Rows]]] = {
    "agrawal": (7, lambda k, seed: iter(synth.Agrawal(classification_function=k, seed=seed))),
    "sea": (4, lambda k, seed: iter(synth.SEA(variant=k, seed=seed))),
    "sine": (4, lambda k, seed: iter(synth.Sine(classification_function=k, seed=seed))),
    "stagger": (3, lambda k, seed: iter(synth.STAGGER(classification_function=k, seed=seed))),
    "mixed": (2, lambda k, seed: iter(synth.Mixed(classification_function=k, seed=seed))),
    "hyperplane": (12, _hyperplane),
    "random tree": (12, lambda k, seed: iter(synth.RandomTree(seed_tree=k + 1, seed_sample=seed))),
    "RBF": (
        12,
        lambda k, seed: iter(synth.RandomRBF(seed_model=k + 1, seed_sample=seed, n_classes=3, n_features=6)),
    ),
}


def orders(zone: str, family: str, most: int) -> list[tuple[int, int, int]]:
    """States one after the other: so many that return to the first, and as many that do not."""
    states = range(FAMILIES[family][0])
    back = [(a, b, a) for a, b in itertools.permutations(states, 2)]
    on = list(itertools.permutations(states, 3))
    rng = random.Random(repr((zone, family)))
    return rng.sample(back, min(most, len(back))) + rng.sample(on, min(most, len(on)))


def returning(zone: str, family: str, first: int, second: int, third: int, model: str, rep: int) -> Stream:
    """One stream under one kind of model."""
    seed = seed_of(zone, "s6 returning", family, first, second, third, rep)
    rng = np.random.default_rng(seed)
    rows: list[tuple[dict[Any, Any], int]] = []
    for turn, state in enumerate((first, second, third)):
        drawn = FAMILIES[family][1](state, int(rng.integers(2**31)))
        rows += itertools.islice(drawn, ROWS + (0 if turn else TRAIN_ROWS))
    features = [{f"x{name}": value for name, value in row.items()} for row, _ in rows]
    labels = np.array([int(label) for _, label in rows])
    count = int(labels.max()) + 1
    wrong = rng.random(len(labels)) < NOISE
    labels = np.where(wrong, (labels + rng.integers(1, max(count, 2), len(labels))) % count, labels)
    matrix = np.array([[float(value) for value in row.values()] for row in features])
    begins = [TRAIN_ROWS, 2 * TRAIN_ROWS + ROWS, 2 * TRAIN_ROWS + 2 * ROWS]
    said = []
    for begin, end in zip(begins, [*begins[1:], len(labels)], strict=True):
        learned = slice(begin - TRAIN_ROWS, begin)
        fitted = fit_classes(model, matrix[learned], labels[learned], count)
        said.append(np.argmax(fitted.scores(matrix[begin:end]), 1))
    guesses = np.concatenate(said)
    labels, features = labels[TRAIN_ROWS:], features[TRAIN_ROWS:]
    errors = (guesses != labels).astype(float)
    replaced = tuple(begin - TRAIN_ROWS for begin in begins[1:])
    changes = []
    for turn, start in enumerate((ROWS, 2 * ROWS)):
        calm = errors[(replaced[turn - 1] if turn else 0) : start]
        rise = float(errors[start : start + TRAIN_ROWS].mean() - calm.mean())
        again = turn == 1 and first == third
        changes.append(Change(start, start + 1, False, rise >= LEAST_RISE, "sudden", again))
    plain = [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in features
    ]
    return Stream(
        name=f"{family} {first}-{second}-{third}, {model} #{rep}",
        signal=errors,
        binary=True,
        changes=tuple(changes),
        replaced=replaced,
        max_delay=MAX_DELAY,
        table=Table(plain, guesses.tolist(), labels.tolist()),
    )

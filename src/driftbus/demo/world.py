"""The demo's world: six streams of examples, and the truth about when and how each one changes.

Five come from River's generators with known concepts; the sixth is real: the 1,250 web sites of the
phishing data set that River carries. In every stream only the relation of features and label changes,
never the features themselves, so what is found is found in the errors.

All of it follows from one seed, positions of the changes included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from river import datasets
from river.datasets import synth

from driftbus.demo.models import Task

Features = dict[str, Any]
Example = tuple[Features, int | float]
Concept = Callable[[int], Iterator[Example]]
PlantedKind = Literal["sudden", "gradual", "recurrent"]

# Long enough for a reference before the first change, a retrain after it, and a judgement of the new model.
EVENTS = 8_000
# What the first model of each stream is trained on, before anything is emitted.
WARM_UP = 1_500


@dataclass(frozen=True)
class Change:
    """The world changes between the events `start` and `end` (equal when at once)."""

    kind: PlantedKind
    start: int
    end: int


@dataclass(frozen=True)
class Stream:
    """One monitored model's world: `concepts[k]` holds after k changes."""

    name: str
    task: Task
    source: str
    concepts: tuple[Concept, ...]
    changes: tuple[Change, ...]
    noise: float
    seed: int

    def warm_up(self) -> list[Example]:
        """A sample of the first concept for the first model; nothing of it comes again as an event."""
        rng = np.random.default_rng([self.seed, 1])
        examples = islice(self.concepts[0](_seed(self.seed, 100)), WARM_UP)
        return [self._with_noise(example, rng) for example in examples]

    def events(self) -> Iterator[Example]:
        """Endless: what happens, in order; event i of the truth is item i."""
        rng = np.random.default_rng([self.seed, 2])
        running = [concept(_seed(self.seed, 200 + k)) for k, concept in enumerate(self.concepts)]
        index = 0
        while True:
            draw = float(rng.random())
            current = sum(draw < _share_of_new(change, index) for change in self.changes)
            yield self._with_noise(next(running[current]), rng)
            index += 1

    def _with_noise(self, example: Example, rng: np.random.Generator) -> Example:
        features, label = example
        flipped = self.task == "classification" and float(rng.random()) < self.noise
        return features, 1 - label if flipped else label


def _share_of_new(change: Change, index: int) -> float:
    """How likely event `index` already belongs to the world after the change: a step or a sigmoid."""
    if change.start == change.end:
        return float(index >= change.start)
    middle, width = (change.start + change.end) / 2, change.end - change.start
    # From 2 % at `start` to 98 % at `end`.
    return 1.0 / (1.0 + math.exp(-8.0 * (index - middle) / width))


def world(seed: int) -> tuple[Stream, ...]:
    """The six streams of one run."""
    rng = np.random.default_rng([seed, 0])

    def about(event: int) -> int:
        return event + int(rng.integers(0, 600))

    def sudden(start: int) -> tuple[Change, ...]:
        return (Change("sudden", start, start),)

    slow = about(2_600)
    first, second = about(2_200), about(5_000)
    return (
        Stream("agrawal-sudden", "classification", "River: Agrawal, function 0, then 2",
               (agrawal(0), agrawal(2)), sudden(about(2_800)), 0.05, _seed(seed, 1)),
        Stream("friedman-sudden", "regression", "River: Friedman, then with features exchanged",
               (friedman(0), friedman(3)), sudden(about(2_800)), 0.0, _seed(seed, 2)),
        Stream("stagger-gradual", "classification", "River: STAGGER, concept 0, slowly 1",
               (stagger(0), stagger(1)), (Change("gradual", slow, slow + 2_000),), 0.05, _seed(seed, 3)),
        Stream("sine-recurrent", "classification", "River: Sine, concept 0, then 3, then 0 again",
               (sine(0), sine(3), sine(0)),
               (Change("sudden", first, first), Change("recurrent", second, second)), 0.05, _seed(seed, 4)),
        Stream("mixed-control", "classification", "River: Mixed, never changes",
               (mixed,), (), 0.05, _seed(seed, 5)),
        Stream("phishing-real", "classification", "phishing web sites (real), then a planted rule",
               (phishing(changed=False), phishing(changed=True)), sudden(about(2_800)), 0.0, _seed(seed, 6)),
    )  # fmt: skip


def agrawal(function: int) -> Concept:
    """Loan applications; four of the nine features, two of which decide."""

    def concept(seed: int) -> Iterator[Example]:
        for x, y in synth.Agrawal(classification_function=function, seed=seed):
            yield {name: x[name] for name in ("age", "elevel", "salary", "loan")}, int(y)

    return concept


def friedman(rotation: int) -> Concept:
    """A regression on five of ten features; `rotation` exchanges their roles."""

    def concept(seed: int) -> Iterator[Example]:
        for x, y in synth.Friedman(seed=seed):
            yield {f"x{i}": x[(i + rotation) % 5 if i < 5 else i] for i in range(7)}, float(y)

    return concept


def stagger(function: int) -> Concept:
    """Blocks by size, colour and shape: categorical features only."""
    sizes, colours = ("small", "medium", "large"), ("red", "blue", "green")
    shapes = ("circle", "square", "triangle")

    def concept(seed: int) -> Iterator[Example]:
        for x, y in synth.STAGGER(classification_function=function, seed=seed):
            yield (
                {"size": sizes[x["size"]], "colour": colours[x["color"]], "shape": shapes[x["shape"]]},
                int(y),
            )

    return concept


def sine(function: int) -> Concept:
    """Points of the unit square, under or over a curve."""

    def concept(seed: int) -> Iterator[Example]:
        for x, y in synth.Sine(classification_function=function, seed=seed):
            yield {"x": x[0], "y": x[1]}, int(y)

    return concept


def mixed(seed: int) -> Iterator[Example]:
    """Two flags and a point: mixed types in one stream."""
    for x, y in synth.Mixed(classification_function=0, seed=seed):
        yield {"first": bool(x[0]), "second": bool(x[1]), "x": x[2], "y": x[3]}, int(y)


def phishing(*, changed: bool) -> Concept:
    """Real sites, drawn with replacement, so that nothing but the planted change changes.

    The change is planted: sites with a proper certificate (`https`) swap sides, as if attackers had
    begun to buy certificates and honest sites had let theirs lapse.
    """
    sites = [(dict(x), int(y)) for x, y in datasets.Phishing()]

    def concept(seed: int) -> Iterator[Example]:
        rng = np.random.default_rng(seed)
        while True:
            features, label = sites[int(rng.integers(len(sites)))]
            swapped = changed and features["https"] == 1
            yield features, 1 - label if swapped else label

    return concept


def _seed(seed: int, part: int) -> int:
    return int(np.random.default_rng([seed, part]).integers(2**31 - 1))

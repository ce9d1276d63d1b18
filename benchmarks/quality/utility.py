"""S5: does asking pay? A closed loop: the model in production is retrained when a contender asks for it.

driftbus: its retrain requests, with the training window that they name. A bare detector: on an alarm, wait
until 500 rows have come since its estimate of the onset (the alarm itself, where it has none), train on
these, and begin anew. Compared with equally many retrains at equal distances, each on the last 2,000 rows,
and with none. Training takes no time, and labels come at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from benchmarks.quality import data, recorded
from benchmarks.quality.contenders import Bare, Contender, Dummy, Product, Seen
from benchmarks.quality.models import Model, fit_classes
from benchmarks.quality.product import Feed
from benchmarks.quality.stream import Floats, Table
from numpy.typing import NDArray

from driftbus.core.detectors import registry
from driftbus.core.records import RetrainRequest

REAL = ("elec2", "noaa_weather", "phishing", "outdoor")
# Rows per turn of the loop: a retrained model takes over with the next.
BLOCK = 100
# As many rows as driftbus's default waits for.
LEAST_ROWS = 500
PERIODIC_ROWS = 2_000
# A short file gives a quarter of its rows to the first model.
SHORT_PART = 4

Window = tuple[int, int]


class Asks(Protocol):
    """One who asks: told each block of rows from `start` on, answers with rows to train on, or None."""

    def take(self, start: int, errors: Floats, said: list[Any]) -> Window | None: ...


@dataclass(frozen=True, slots=True)
class World:
    """A file's rows after the first model's: `features` and `labels` of all rows, `train` of them before."""

    name: str
    features: Floats
    labels: NDArray[np.int64]
    known: list[Any]
    dicts: list[dict[str, Any]]
    train: int


def world(name: str) -> World:
    """A file as a loop reads it."""
    table = data.columns(name)
    label = data.truth(name)["label"]
    labels, known = data.classes(table[label])
    names = [key for key in table if key != label]
    dicts = [dict(zip(names, row, strict=True)) for row in zip(*(table[n] for n in names), strict=True)]
    train = min(recorded.TRAIN_ROWS, len(labels) // SHORT_PART)
    return World(name, np.nan_to_num(data.matrix(table, names)), labels, known, dicts, train)


class Periodic:
    """`count` retrains at equal distances; 0: none."""

    def __init__(self, count: int, train: int, rows: int) -> None:
        self._at = [train + (rows - train) * i // (count + 1) for i in range(1, count + 1)]

    def take(self, start: int, errors: Floats, said: list[Any]) -> Window | None:
        end, due = start + len(errors), False
        while self._at and self._at[0] <= end:
            self._at.pop(0)
            due = True
        return (max(end - PERIODIC_ROWS, 0), end) if due else None


class Watched:
    """A bare detector or a dummy; see the module's text."""

    def __init__(self, contender: Bare | Dummy) -> None:
        self._contender = contender
        self._begin()

    def _begin(self) -> None:
        self._detector = registry.make(self._contender.spec) if isinstance(self._contender, Bare) else None
        self._since: int | None = None
        self._seen = 0

    def take(self, start: int, errors: Floats, said: list[Any]) -> Window | None:
        end = start + len(errors)
        if self._since is None:
            self._since = self._onset(start, errors)
        if self._since is None or end - self._since < LEAST_ROWS:
            return None
        window = (self._since, end)
        self._begin()
        return window

    def _onset(self, start: int, errors: Floats) -> int | None:
        if self._detector is None:
            every = self._contender.every  # type: ignore[union-attr]
            before, self._seen = self._seen, self._seen + len(errors)
            return start if every and self._seen // every > before // every else None
        for hit in self._detector.update_block(errors.tolist()):
            row = start + hit.index
            return row if hit.since is None else max(row - hit.since + 1, 0)
        return None


class Asked:
    """driftbus in its default configuration."""

    def __init__(self, here: World) -> None:
        self._feed = Feed()
        self._world = here

    def take(self, start: int, errors: Floats, said: list[Any]) -> Window | None:
        here, end = self._world, start + len(errors)
        labels = [here.known[index] for index in here.labels[start:end]]
        decisions = self._feed.take(start - here.train, Table(here.dicts[start:end], said, labels))
        asked = [one for one in decisions if isinstance(one, RetrainRequest)]
        if not asked:
            return None
        self._feed.deploy(end - here.train)
        window = asked[-1].window
        return window.start_seq + here.train, window.end_seq + here.train


def loop(here: World, model: str, asks: Asks) -> tuple[int, int]:
    """Rows predicted rightly, and how often the model was trained anew."""
    fitted = _fit(here, model, (0, here.train))
    right = retrains = 0
    for start in range(here.train, len(here.labels), BLOCK):
        end = min(start + BLOCK, len(here.labels))
        said = np.argmax(fitted.scores(here.features[start:end]), 1)
        errors = (said != here.labels[start:end]).astype(float)
        right += int((errors == 0.0).sum())
        window = asks.take(start, errors, [here.known[index] for index in said])
        if window is not None:
            fitted = _fit(here, model, window)
            retrains += 1
    return right, retrains


def _fit(here: World, model: str, window: Window) -> Model:
    rows = slice(*window)
    return fit_classes(model, here.features[rows], here.labels[rows], len(here.known))


def trial(contender: Contender, name: str, model: str) -> Seen:
    """The loop with this contender, with equally many periodic retrains and with none: rows right in
    `rights`."""
    here = world(name)
    rows = len(here.labels)
    asks: Asks
    if isinstance(contender, Product):
        asks = Asked(here)
    elif isinstance(contender, Bare | Dummy):
        asks = Watched(contender)
    else:
        raise TypeError(f"{contender.name} takes no part in S5")
    right, count = loop(here, model, asks)
    rights = [right, *(loop(here, model, Periodic(n, here.train, rows))[0] for n in (count, 0))]
    watched = rows - here.train
    return Seen(f"{name}, {model}", watched, count, 0.0, requests=count, rights=rights)


def gains(seens: Sequence[Seen]) -> tuple[list[float], list[float]]:
    """Accuracy over equally many periodic retrains, and over none, of each trial."""
    return tuple(  # type: ignore[return-value]
        [(seen.rights[0] - seen.rights[other]) / seen.rows for seen in seens] for other in (1, 2)
    )

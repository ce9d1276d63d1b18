"""Streams with slices and a planted change of the error, driven through a `StreamMonitor` without a join."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from driftbus.core.block import Block, Rises
from driftbus.core.monitor import StreamMonitor
from driftbus.core.records import Decision, DriftEvent, Json, Outcome, Prediction
from driftbus.core.settings import Limits, RetrainPolicy, StreamSettings

GAP_MS = 10_000
START_MS = 1_767_225_600_000
QUIET = StreamSettings(challenger=None, task="classification", retrain=RetrainPolicy(mode="off"))

# The error rate at a row, given its slices and features.
Rate = Callable[[int, dict[str, Json]], float]


@dataclass(frozen=True)
class World:
    """`shares`: what each name's values have of the traffic; names in `declared` are slices, others
    features."""

    rate: Rate
    shares: dict[str, dict[Json, float]]
    declared: frozenset[str] = frozenset({"region"})
    seed: int = 0

    def rows(self, count: int, first: int = 0) -> Iterator[Outcome]:
        """Outcomes `first` ≤ i < `first + count`; the same ones whatever is asked for before."""
        rng = random.Random(f"{self.seed} {first}")
        drawn = {name: rng.choices(list(of), list(of.values()), k=count) for name, of in self.shares.items()}
        for i in range(count):
            at = first + i
            of = {name: values[i] for name, values in drawn.items()}
            wrong = rng.random() < self.rate(at, of)
            slices = {name: value for name, value in of.items() if name in self.declared} or None
            features = {name: value for name, value in of.items() if name not in self.declared} or None
            ts, label = START_MS + at * GAP_MS, rng.randrange(2)
            said = 1 - label if wrong else label
            row = Prediction(
                *(f"{at}", "s", ts, features, said, None, "v1", "production", slices, None, None, b"{}")
            )
            yield Outcome(at, row, label, ts, "event")


@dataclass
class Driven:
    """A stream's monitor with what it decided so far."""

    settings: StreamSettings = QUIET
    limits: Limits = field(default_factory=Limits)
    said: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monitor = StreamMonitor("s", self.settings, self.limits)

    def feed(self, rows: Sequence[Outcome], cuts: Iterable[int] = ()) -> Driven:
        """Fold the rows, in blocks that end at `cuts` (indices of `rows`)."""
        ends = [*sorted(cuts), len(rows)]
        for start, stop in zip([0, *ends], ends, strict=False):
            if start < stop:
                self._fold(rows[start:stop])
        return self

    def _fold(self, rows: Sequence[Outcome]) -> None:
        block = Block()
        for i, row in enumerate(rows):
            block.predictions.append(row.prediction)
            block.prediction_pos.append(2 * i)
            block.prediction_offsets.append(row.seq)
            block.outcomes.append(row)
            block.outcome_pos.append(2 * i + 1)
        clock = [row.prediction.ts for row in rows]
        rises = Rises(clock[0], [2 * i for i in range(len(rows))], clock)
        self.said += [decision for _, decision in self.monitor.fold(block, rises).decisions]

    @property
    def events(self) -> list[DriftEvent]:
        """What was told of the error."""
        return [one for one in self.said if isinstance(one, DriftEvent) and one.category == "concept"]

    @property
    def opened(self) -> list[DriftEvent]:
        return [one for one in self.events if one.status == "opened"]

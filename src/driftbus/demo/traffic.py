"""When everything happens: the world's examples become predictions and labels at simulated times.

Each stream has an event about every 15 seconds; its label follows minutes later, some much later than
others, so labels come out of order. All streams run at once on one clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from driftbus.demo.world import EVENTS, Example, Features, Stream

# A fixed day in the past, so that a seed gives the same bytes whenever it runs.
START_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)
SPACING_MS = 15_000
# Labels: three minutes, and a random rest that is usually two but sometimes ten times that.
LABEL_DELAY_MS = 180_000
LABEL_REST_MS = 120_000
LABEL_REST_MAX_MS = 1_200_000
# When the last label of the judged part has come.
END_MS = START_MS + (EVENTS + 1) * SPACING_MS + LABEL_DELAY_MS + LABEL_REST_MAX_MS


@dataclass(frozen=True)
class Asked:
    """Somebody asks the model of `stream` about `features`."""

    ts: int
    stream: Stream
    prediction_id: str
    features: Features


@dataclass(frozen=True)
class Answered:
    """The truth about an earlier question has become known."""

    ts: int
    stream: Stream
    prediction_id: str
    label: int | float


class Traffic:
    """All streams merged in the order of simulated time, endless."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._streams = tuple(streams)
        self._running: list[Iterator[Example]] = [stream.events() for stream in self._streams]
        self._rngs = [np.random.default_rng([stream.seed, 3]) for stream in self._streams]
        # (time, tie-breaker, stream, index, label): label None = the next question of that stream.
        self._due: list[tuple[int, int, int, int, int | float | None]] = []
        self._pushed = 0
        for number in range(len(self._streams)):
            self._plan_question(number, 0)

    def until(self, time_ms: int) -> Iterator[Asked | Answered]:
        """What happens up to and including `time_ms`, beginning where the last call ended."""
        while self._due[0][0] <= time_ms:
            ts, _, number, index, label = heapq.heappop(self._due)
            stream = self._streams[number]
            prediction_id = f"{stream.name}-{index}"
            if label is not None:
                yield Answered(ts, stream, prediction_id, label)
                continue
            features, truth = next(self._running[number])
            rest_ms = min(self._rngs[number].exponential(LABEL_REST_MS), LABEL_REST_MAX_MS)
            self._push(ts + LABEL_DELAY_MS + int(rest_ms), number, index, truth)
            self._plan_question(number, index + 1)
            yield Asked(ts, stream, prediction_id, features)

    def _plan_question(self, number: int, index: int) -> None:
        jitter_ms = int(self._rngs[number].integers(0, SPACING_MS))
        self._push(START_MS + index * SPACING_MS + jitter_ms, number, index, None)

    def _push(self, ts: int, number: int, index: int, label: int | float | None) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (ts, self._pushed, number, index, label))


def event_index(prediction_id: str) -> int:
    """Which event of its stream a prediction was: what the truth is told in."""
    return int(prediction_id.rpartition("-")[2])

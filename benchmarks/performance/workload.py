"""Workload W: pairs of predictions and labels as the records of a bus, seeded.

A prediction (about 284 bytes: 8 numeric features, score, version) and, 1,000 predictions later, its label
(about 113 bytes). The label follows a logistic rule of the features plus noise; the model in production
knows most of it. Nothing changes on the way: this is the cost of watching, not of finding.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import exp
from typing import NamedTuple

import orjson

from driftbus.core.encode import rfc3339

PAIRS = 220_000
QUICK_PAIRS = 20_000
PARTITIONS = 4
STREAMS = 200
# A label comes so many predictions after its own.
LABEL_LAG = 1_000
FEATURES = 8
# A hundred predictions a second: all of W spans 37 minutes of event time.
SPACING_MS = 10
SKEWS = ("uniform", "zipf", "one")

_WEIGHTS = [1.2, -0.8, 0.6, 0.4, -0.3, 0.2, 0.0, 0.0]
# What production knows of the rule: its error stays near a fifth.
_KNOWN = [1.0, -0.9, 0.5, 0.5, -0.2, 0.1, 0.1, 0.0]


class Event(NamedTuple):
    """One record: short topic name, stream (its key), value, event time (ms)."""

    topic: str
    stream: str
    value: bytes
    ts: int


@dataclass(frozen=True)
class Workload:
    """`skew`: `uniform` or `zipf` over 200 streams, or `one`."""

    skew: str = "uniform"
    pairs: int = PAIRS
    seed: int = 1
    start_ms: int = 1_767_225_600_000

    def streams(self) -> list[str]:
        """Names of the streams, the busiest first."""
        return [f"payments-eu-{i:03d}" for i in range(1 if self.skew == "one" else STREAMS)]

    def events(self) -> Iterator[Event]:
        """All records in the order they happen."""
        rng = random.Random(self.seed)
        names = self.streams()
        weights = [1.0 / rank if self.skew == "zipf" else 1.0 for rank in range(1, len(names) + 1)]
        cumulative = list(accumulate(weights))
        waiting: list[tuple[str, str, int]] = []
        for i in range(self.pairs + LABEL_LAG):
            ts = self.start_ms + i * SPACING_MS
            if i < self.pairs:
                stream = rng.choices(names, cum_weights=cumulative)[0]
                pid = f"{rng.getrandbits(96):024x}"
                x = [rng.gauss(0.0, 1.0) for _ in range(FEATURES)]
                label = int(rng.random() < _chance(x, _WEIGHTS))
                score = round(_chance(x, _KNOWN), 4)
                yield Event("predictions", stream, _prediction(pid, stream, ts, x, score), ts)
                waiting.append((stream, pid, label))
            if i >= LABEL_LAG:
                stream, pid, label = waiting[i - LABEL_LAG]
                yield Event("labels", stream, _label(pid, stream, ts, label), ts)


def _chance(x: list[float], weights: list[float]) -> float:
    return 1.0 / (1.0 + exp(-2.0 * sum(w * v for w, v in zip(weights, x, strict=True))))


def _prediction(pid: str, stream: str, ts: int, x: list[float], score: float) -> bytes:
    return orjson.dumps(
        {
            "prediction_id": pid,
            "stream": stream,
            "ts": rfc3339(ts),
            "features": {f"x{i}": round(v, 6) for i, v in enumerate(x)},
            "prediction": int(score >= 0.5),
            "score": score,
            "model_version": "v1",
        }
    )


def _label(pid: str, stream: str, ts: int, label: int) -> bytes:
    return orjson.dumps({"prediction_id": pid, "stream": stream, "ts": rfc3339(ts), "label": label})

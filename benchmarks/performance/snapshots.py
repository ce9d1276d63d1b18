"""How large a stream's snapshot is after so many outcomes: 8 features, a score, default rules and windows.

    python -m benchmarks.performance --snapshots

An outcome a second, so the window of an hour holds 3,600 of them, besides that of the last 1,000.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import orjson
from benchmarks.performance.workload import FEATURES

from driftbus.collecting import Collecting
from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.settings import Limits, StreamSettings
from driftbus.core.snapshot import seal, unseal
from driftbus.core.timestamps import rfc3339

START_MS = 1_767_225_600_000
OUTCOMES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
STEP_ROWS = 100
STREAM = "payments-eu-00001"
# Dumps and loads of one snapshot, of which the mean is taken.
ROUNDS = 20


def run() -> list[dict[str, float]]:
    """Per number of outcomes: bytes as text and as written, and µs of CPU to write it and to read it back."""
    with Collecting():
        return list(_measured())


def _measured() -> Iterator[dict[str, float]]:
    rules, rng = StreamSettings(), Random(1)
    partition = Partition(0, lambda _: rules, Limits())
    for start in range(0, OUTCOMES[-1], STEP_ROWS):
        partition.step(StepInput(_runs(start, rng), frozenset(), None))
        outcomes = start + STEP_ROWS
        if outcomes in OUTCOMES:
            begun = time.process_time()
            for _ in range(ROUNDS):
                text = partition.snapshot(STREAM)
                written = seal(text, "0" * 32, deflated=True)
            dumped = time.process_time()
            for _ in range(ROUNDS):
                StreamMonitor.load(unseal(written).json(), STREAM, rules, partition.limits)
            loaded = time.process_time()
            yield {
                "outcomes": outcomes,
                "text_bytes": len(text),
                "bytes": len(written),
                "write_us": (dumped - begun) / ROUNDS * 1e6,
                "read_us": (loaded - dumped) / ROUNDS * 1e6,
            }


def _runs(start: int, rng: Random) -> list[Run]:
    """Predictions, then their labels: right as often as the score says."""
    predictions, labels = Run("predictions", [], [], []), Run("labels", [], [], [])
    for index in range(start, start + STEP_ROWS):
        ts, score, pid = START_MS + index * 1000, round(rng.random(), 4), f"{rng.getrandbits(96):024x}"
        named = {"prediction_id": pid, "stream": STREAM, "ts": rfc3339(ts)}
        prediction = {
            **named,
            "features": {f"x{k}": round(rng.gauss(0.0, 1.0), 6) for k in range(FEATURES)},
            "prediction": int(score >= 0.5),
            "score": score,
            "model_version": "v1",
        }
        label = {**named, "label": int(rng.random() < score)}
        for run_of, event in ((predictions, prediction), (labels, label)):
            run_of.events.append(decode(run_of.topic, None, orjson.dumps(event), (), ts))
            run_of.offsets.append(index)
            run_of.times.append(ts)
    return [predictions, labels]

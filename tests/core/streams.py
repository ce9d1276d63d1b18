"""Seeded input for tests of the fold: streams with a planted change, late labels, versions, odd values."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import orjson

from driftbus.core.block import Run
from driftbus.core.codec import decode

Event = tuple[str, str, dict[str, Any]]
START_MS = 1_767_225_600_000


@dataclass(frozen=True)
class Shape:
    """What a stream is like. `change` is the prediction at which the error and a feature's level change."""

    name: str
    rows: int = 1500
    change: int | None = None
    before: float = 0.05
    after: float = 0.5
    delay: int = 20
    spacing_ms: int = 30_000
    regression: bool = False
    versions: tuple[int, ...] = ()
    shift: float = 0.0


def events(shapes: list[Shape], seed: int, model_events: bool = True) -> list[tuple[str, Any, int]]:
    """(topic, value, ts) of all streams by time; labels jitter, and now and then repeat or differ."""
    rng = random.Random(seed)
    found: list[tuple[int, int, str, dict[str, Any]]] = []
    for shape in shapes:
        for i in range(shape.rows):
            ts = START_MS + i * shape.spacing_ms + rng.randrange(shape.spacing_ms)
            late = shape.change is not None and i >= shape.change
            pid = f"{shape.name}-{i}"
            x = rng.gauss(shape.shift if late else 0.0, 1.0)
            label: Any = rng.randrange(2)
            if shape.regression:
                label = round(rng.gauss(10, 3), 3)
                guess: Any = label + rng.gauss(0, 4 if late else 1)
            else:
                wrong = rng.random() < (shape.after if late else shape.before)
                guess = 1 - label if wrong else label
            version = f"v{1 + sum(i >= at for at in shape.versions)}"
            features: dict[str, Any] = {"x": x, "y": rng.random(), "c": rng.choice("abc")}
            if rng.random() < 0.02:
                features["x"] = None
            prediction = {
                "prediction_id": pid,
                "stream": shape.name,
                "ts": ts,
                "features": features,
                "prediction": guess,
                "model_version": version,
                "slices": {"region": rng.choice(["eu", "us"])},
            }
            if not shape.regression:
                prediction["score"] = round(rng.random(), 4)
            due = ts + int(rng.expovariate(1.0) * shape.delay * shape.spacing_ms)
            found.append((ts, len(found), "predictions", prediction))
            if rng.random() < 0.97:
                value = {"prediction_id": pid, "stream": shape.name, "ts": due, "label": label}
                found.append((due, len(found), "labels", value))
                if rng.random() < 0.02:
                    again = {**value, "ts": due + 5000, "label": label if rng.random() < 0.5 else 1}
                    found.append((due + 5000, len(found), "labels", again))
        if model_events:
            for at in shape.versions:
                ts = START_MS + at * shape.spacing_ms
                value = {"stream": shape.name, "ts": ts, "type": "model-deployed"}
                value["model_version"] = f"v{1 + shape.versions.index(at) + 1}"
                found.append((ts, len(found), "model-events", value))
    found.sort(key=lambda row: row[:2])
    return [(topic, value, ts) for ts, _, topic, value in found]


def as_runs(rows: list[tuple[str, Any, int]], first_offset: int = 0) -> list[Run]:
    """Decoded runs, the offsets counting over all topics."""
    runs: list[Run] = []
    for index, (topic, value, ts) in enumerate(rows):
        event = decode(topic, value["stream"].encode(), orjson.dumps(value), (), ts)
        if not runs or runs[-1].topic != topic:
            runs.append(Run(topic, [], [], []))
        runs[-1].events.append(event)
        runs[-1].offsets.append(first_offset + index)
        runs[-1].times.append(ts)
    return runs

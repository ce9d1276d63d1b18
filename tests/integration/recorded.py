"""The recorded streams of `../shared/data`, and what a model retrained after each known drift said.

The folder lies beside the project where the project is developed and checked; elsewhere it is absent, and who
needs it says so.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from river import tree

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ABSENT = f"{DATA.parent.name}/{DATA.name} does not lie beside the project"

START_MS = 1_767_225_600_000
ROW_MS = 60_000
# Rows that a model is trained on, three times over: enough for an error of .00 to .03 on these streams.
TRAIN_ROWS = 2_000
# A label comes so many rows after its prediction.
DELAY_ROWS = 50
# After a known drift: when the next model, trained on the new rows, is deployed.
DEPLOY_AFTER_ROWS = 4_000


@dataclass(frozen=True, slots=True)
class Said:
    """One row: what a model saw, what it said and by which version, what was true."""

    features: dict[str, float]
    prediction: str
    label: str
    version: int


def truth(name: str) -> dict[str, Any]:
    """What TRUTH.json knows of a file."""
    known: dict[str, Any] = json.loads((DATA / "TRUTH.json").read_text())[f"{name}.csv.gz"]
    return known


def rows(name: str, limit: int | None = None) -> Iterator[dict[str, str]]:
    """A file's rows as they stand in it."""
    with gzip.open(DATA / f"{name}.csv.gz", "rt", newline="") as text:
        yield from islice(csv.DictReader(text), limit)


def said(name: str, *, limit: int | None = None, retrain: bool = True) -> list[Said]:
    """Each row with the prediction of a tree that was trained on the first rows, anew after each drift."""
    known = truth(name)
    label = known["label"]
    table = [
        ({key: float(value) for key, value in row.items() if key != label}, row[label])
        for row in rows(name, limit)
    ]
    # Where each version begins to predict, and the rows it learned from.
    begins = {0: 0}
    if retrain:
        begins |= {end + DEPLOY_AFTER_ROWS: end for _, end in known["drifts"]}
    models: list[tree.HoeffdingTreeClassifier] = []
    seen: dict[tuple[int, tuple[float, ...]], str] = {}
    result = []
    for index, (features, true) in enumerate(table):
        if index in begins:
            model = tree.HoeffdingTreeClassifier(grace_period=50)
            for x, y in table[begins[index] : begins[index] + TRAIN_ROWS] * 3:
                model.learn_one(x, y)
            models.append(model)
        version = len(models)
        at = (version, tuple(features.values()))
        if at not in seen:
            seen[at] = models[-1].predict_one(features)
        result.append(Said(features, seen[at], true, version))
    return result


def write_table(path: Path, table: list[Said]) -> None:
    """CSV with the features, `prediction` and `label`."""
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*table[0].features, "prediction", "label"])
        writer.writerows([*row.features.values(), row.prediction, row.label] for row in table)


def write_events(path: Path, stream: str, table: list[Said]) -> None:
    """An event file: predictions, labels `DELAY_ROWS` later, a model event at each deployment."""
    with path.open("wb") as out:

        def line(topic: str, ts: int, value: dict[str, Any]) -> None:
            out.write(orjson.dumps({"topic": topic, "key": stream, "ts": ts, "value": value}) + b"\n")

        version = 1
        for index, row in enumerate(table):
            ts = START_MS + index * ROW_MS
            if row.version != version:
                version = row.version
                line("model-events", ts, {"type": "model-deployed", "model_version": f"v{version}"})
            value = {
                "prediction_id": f"p{index}",
                "prediction": row.prediction,
                "model_version": f"v{version}",
            }
            line("predictions", ts, value | {"features": row.features})
            if index >= DELAY_ROWS:
                due = index - DELAY_ROWS
                line("labels", ts, {"prediction_id": f"p{due}", "label": table[due].label})

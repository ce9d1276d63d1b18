"""A trainer: waits for retrain requests, trains on the rows they name, deploys, and says so.

See `inference_service.py` for how to run the three together. All that is special to driftbus: a request is
iterated over, `request.rows()` are the training set, and `request.deployed(...)` closes the circle. Any
training code and any way of deploying can stand in between.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from driftbus.client import RetrainRequests
from driftbus.errors import WindowExpired

FEATURES = ("amount", "night", "abroad")


def train(rows: Iterable[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """A logistic regression by gradient descent, as the inference service reads it."""
    rows = list(rows)
    x = np.array([[1.0, *(row["features"][name] for name in FEATURES)] for row in rows])
    y = np.array([row["label"] for row in rows], dtype=float)
    weights = np.zeros(x.shape[1])
    for _ in range(3_000):
        weights -= 2.0 * x.T @ (1 / (1 + np.exp(-x @ weights)) - y) / len(y)
    return {"version": version, "bias": weights[0], "weights": dict(zip(FEATURES, weights[1:], strict=True))}


def next_version(version: str | None) -> str:
    number = re.search(r"\d+$", version or "")
    return f"v{int(number[0]) + 1}" if number else "v1"


def deploy(model: Mapping[str, Any], path: Path) -> None:
    """All or nothing: the service never reads half a model."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(model))
    os.replace(fresh, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument("--model", type=Path, default=Path("fraud-model.json"))
    chosen = parser.parse_args()
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    requests = RetrainRequests(**bus, group="trainer")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: requests.stop())  # the request in hand is finished first
    print("waiting for retrain requests", flush=True)
    for request in requests:
        window = request.window
        print(
            f"{request.stream}: {request.reason}, {window.rows} rows, {dict(window.class_counts)}", flush=True
        )
        request.started(by="example")
        try:
            model = train(request.rows(since_onset=True), next_version(request.model_version))
        except WindowExpired as gone:
            request.failed(str(gone))
            continue
        deploy(model, chosen.model)
        request.deployed(model_version=model["version"], by="example")
        print(f"{request.stream}: {model['version']} deployed", flush=True)
    requests.close()


if __name__ == "__main__":
    main()

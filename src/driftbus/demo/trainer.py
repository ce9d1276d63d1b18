"""The trainer: waits for retrain requests, trains on the rows they name, deploys, says so.

It knows nothing of the world, of drift, or of the bus: all it sees is `RetrainRequests` and
`request.rows()`. `python -m driftbus.demo.trainer DATA` runs until SIGTERM.
"""

from __future__ import annotations

import re
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

from driftbus.client import Request, RetrainRequests
from driftbus.demo.models import Model, Task, deploy, train
from driftbus.demo.stage import Stage
from driftbus.errors import WindowExpired

# How long training and rollout take in simulated time.
TRAINING = timedelta(minutes=50)
ROLLOUT = timedelta(minutes=10)


def answer(
    request: Request, models: Path, training: timedelta = TRAINING, rollout: timedelta = ROLLOUT
) -> None:
    """One request, from the rows to the deployment; time is the simulated world's, told by the request."""
    asked_at = datetime.fromisoformat(request.time)
    request.started(by="demo-trainer", ts=asked_at)
    try:
        model = _trained(request)
    except WindowExpired as error:
        request.failed(str(error), ts=asked_at + training)
        return
    request.finished(model_version=model.version, ts=asked_at + training)
    deploy(model, models)
    request.deployed(model_version=model.version, by="demo-trainer", ts=asked_at + training + rollout)


def _trained(request: Request) -> Model:
    rows = list(request.rows())
    # The contract: a window of a regression counts no classes.
    task: Task = "classification" if request.window.class_counts else "regression"
    features, labels = [row["features"] for row in rows], [row["label"] for row in rows]
    return train(request.stream, _next_version(request.model_version), task, features, labels)


def _next_version(version: str | None) -> str:
    number = re.search(r"\d+$", version or "")
    return f"v{int(number[0]) + 1 if number else 1}"


def main() -> None:
    """Answer requests until SIGTERM; the one in hand is finished first."""
    stage = Stage.load(Path(sys.argv[1]))
    requests = RetrainRequests(**stage.client_arguments, group=f"{stage.group}-trainer")
    signal.signal(signal.SIGTERM, lambda *_: requests.stop())
    for request in requests:
        print(f"{request.stream}: {request.reason}, {request.window.rows} rows", flush=True)
        answer(request, stage.models)


if __name__ == "__main__":
    main()

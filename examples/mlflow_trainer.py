"""A trainer with scikit-learn that keeps its models in MLflow's registry.

Beside a worker and any inference service (`pip install mlflow-skinny scikit-learn skops sqlalchemy alembic`):

    python examples/mlflow_trainer.py --tracking sqlite:///mlflow.db

For each retrain request: the request's rows are the training set; a run in MLflow holds what was asked, on
which rows, and the error of the old and the new model on the last quarter of them; the model becomes a
version of the registered model that is named as the stream. If it is better, the alias `production` moves
to it, and driftbus is told. A service finds the model there, and says the version with each prediction:

    model = mlflow.sklearn.load_model("models:/fraud@production")

With `--by-hand` somebody else moves the alias, and `mlflow_deployments.py` tells driftbus.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
import mlflow.sklearn
import sklearn
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from driftbus.client import RetrainRequests
from driftbus.client.request import Request
from driftbus.errors import WindowExpired

ALIAS = "production"
# The last of them say how the new model does: it must not be judged by what it has learned from.
HELD_OUT = 0.25


def features(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row["features"].items() if value is not None}


def train(rows: Sequence[Mapping[str, Any]]) -> tuple[Pipeline, float, float]:
    """A model, and the share of wrong answers on the rows held out: of the old one and of this one."""
    cut = int(len(rows) * (1 - HELD_OUT))
    seen, held_out = rows[:cut], rows[cut:]
    model = make_pipeline(DictVectorizer(), MaxAbsScaler(), LogisticRegression(max_iter=1000))
    model.fit([features(row) for row in seen], [row["label"] for row in seen])
    said = model.predict([features(row) for row in held_out])
    before = sum(row["error"] for row in held_out) / len(held_out)
    after = sum(answer != row["label"] for answer, row in zip(said, held_out, strict=True)) / len(held_out)
    return model, before, after


def register(request: Request, model: Pipeline, measured: Mapping[str, float]) -> str:
    """A run with all there is to know, and a version of the stream's model; returns the version."""
    window = request.window
    tags = {
        "driftbus.request_id": request.request_id,
        "driftbus.stream": request.stream,
        "driftbus.reason": request.reason,
        "driftbus.episode_id": request.episode_id or "",
        "driftbus.replaces": request.model_version or "",
    }
    with mlflow.start_run(run_name=f"{request.stream}: {request.reason}", tags=tags):
        mlflow.log_params(
            {
                "rows": window.rows,
                "topic": window.topic,
                "partition": window.partition,
                "start_offset": window.start_offset,
                "end_offset": window.end_offset,
            }
        )
        mlflow.log_metrics(dict(measured))
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=request.stream,
            # Said here, MLflow need not find out by loading the model in a further process.
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )
    version = str(logged.registered_model_version)
    mlflow.MlflowClient().set_model_version_tag(
        request.stream, version, "driftbus.request_id", request.request_id
    )
    return version


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument("--tracking", default="sqlite:///mlflow.db", help="MLflow's tracking and registry")
    parser.add_argument("--by-hand", action="store_true", help="leave the alias to somebody else")
    chosen = parser.parse_args()
    mlflow.set_tracking_uri(chosen.tracking)
    mlflow.set_experiment("driftbus")
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    requests = RetrainRequests(**bus, group="mlflow-trainer")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: requests.stop())  # the request in hand is finished first
    print("waiting for retrain requests", flush=True)
    for request in requests:
        request.started(by="mlflow")
        try:
            rows = list(request.rows(since_onset=True))
        except WindowExpired as gone:
            request.failed(str(gone), by="mlflow")
            continue
        model, before, after = train(rows)
        version = register(request, model, {"error_before": before, "error_after": after})
        said = f"{request.stream}: version {version}, error {before:.3f} before, {after:.3f} after"
        if chosen.by_hand:
            request.finished(by="mlflow")
        elif after < before:
            mlflow.MlflowClient().set_registered_model_alias(request.stream, ALIAS, version)
            request.deployed(model_version=version, by="mlflow")
            said += f", now {ALIAS}"
        else:
            request.failed(f"version {version} is no better", by="mlflow")
        print(said, flush=True)
    requests.close()


if __name__ == "__main__":
    main()

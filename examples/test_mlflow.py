"""The MLflow examples with the real client, tracking and registry in a SQLite file: `make examples`."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import mlflow.sklearn
import orjson
import pytest
from mlflow import MlflowClient
from tests.cli.commands import running

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.client import Emitter
from driftbus.ports import TopicSpec

EXAMPLES = Path(__file__).resolve().parent
# MLflow tells its makers of its use and looks for git, unless it is told not to.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def client(folder: Path) -> MlflowClient:
    os.environ.update(QUIET)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def model_events(data: Path) -> list[dict[str, Any]]:
    bus = EmbeddedBus(data)
    try:
        return [
            orjson.loads(record.value or b"{}")
            for partition in range(bus.partitions("driftbus.model-events"))
            for record in bus.read_from("driftbus.model-events", partition, 0)
        ]
    finally:
        bus.close()


def test_a_request_becomes_a_registered_model_in_production(folder: Path, client: MlflowClient) -> None:
    worker = ("-m", "driftbus", "worker", "--config", EXAMPLES / "driftbus.yaml")
    service = (EXAMPLES / "inference_service.py", "--per-second", "20000")
    with (
        running(folder, *worker, environ=QUIET),
        running(folder, EXAMPLES / "mlflow_trainer.py", environ=QUIET) as trainer,
    ):
        assert trainer.stdout is not None
        with running(folder, *service, environ=QUIET):
            for line in trainer.stdout:
                print(line, end="")
                if "now production" in line:
                    break
        assert "now production" in line
    version = client.get_model_version_by_alias("fraud", "production")
    run = client.get_run(version.run_id).data
    said = model_events(folder / "driftbus-data")
    deployed = [event for event in said if event["type"] == "model-deployed"]
    assert deployed[0]["model_version"] == str(version.version) == "1"
    request_id = deployed[0]["retrain_request_id"]
    assert version.tags["driftbus.request_id"] == run.tags["driftbus.request_id"] == request_id
    assert run.tags["driftbus.replaces"] == "v1"
    assert int(run.params["end_offset"]) > int(run.params["start_offset"])
    assert run.metrics["error_before"] > 0.3
    assert run.metrics["error_after"] < 0.1
    # As a service loads it: fraud is what comes from abroad by now.
    model = mlflow.sklearn.load_model("models:/fraud@production")
    payment = {"amount": 0.9, "night": 0.0}
    assert list(model.predict([payment | {"abroad": 1.0}, payment | {"abroad": 0.0}])) == [1, 0]


def test_an_alias_that_moves_is_told_once(folder: Path, client: MlflowClient, tmp_path: Path) -> None:
    tell = runpy.run_path(str(EXAMPLES / "mlflow_deployments.py"))["tell"]
    bus = EmbeddedBus(tmp_path / "bus")
    bus.create_topics([TopicSpec("driftbus.model-events", 1)])
    bus.close()
    client.create_registered_model("churn")
    for _ in range(2):
        client.create_model_version("churn", source=f"{folder}/somewhere")

    def told() -> list[tuple[str, str]]:
        with Emitter(embedded=tmp_path / "bus") as emitter:
            return [one for one in tell(client, emitter) if one[0] == "churn"]

    assert told() == []  # no alias, nothing in production
    for version in ("1", "2", "1"):
        client.set_registered_model_alias("churn", "production", version)
        assert told() == [("churn", version)]
        assert told() == []
    said = [(e["type"], e["model_version"]) for e in model_events(tmp_path / "bus") if e["stream"] == "churn"]
    assert said == [("model-deployed", "1"), ("model-deployed", "2"), ("model-rolled-back", "1")]

"""`driftbus track` with the real clients of MLflow, Weights & Biases and Comet, none of which calls anyone:
a SQLite file, and the offline modes of the other two. `make examples`.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.cli.commands import clean_environ

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.core.schemas.examples import DRIFT_EVENT, RETRAIN_REQUEST
from driftbus.ports import TopicSpec
from driftbus.tracking.notes import note

EPISODE, BY_HAND = "episode 1", "request 2"


def events() -> list[tuple[str, dict[str, Any]]]:
    """An episode from its opening to its end, with its request, and a request by hand."""

    def changed(event: dict[str, Any], **changes: Any) -> dict[str, Any]:
        made: dict[str, Any] = copy.deepcopy(event)
        made["data"] |= changes
        return made

    signals = [
        {"name": "feature/größe: a|b", "before": 0.08, "after": 0.21, "detector": "focus", "evidence": 9.0}
    ]
    opened = {"episode_id": EPISODE, "status": "opened", "outcomes_seen": 1000, "signals": signals}
    closed = opened | {"status": "closed", "resolution": "replaced", "outcomes_seen": 3000}
    return [
        ("drift-events", changed(DRIFT_EVENT, **opened)),
        ("retrain-requests", changed(RETRAIN_REQUEST, episode_id=EPISODE)),
        ("drift-events", changed(DRIFT_EVENT, **closed)),
        ("retrain-requests", changed(RETRAIN_REQUEST, episode_id=None, request_id=BY_HAND, reason="manual")),
    ]


def run_of(number: int) -> str:
    found = note(orjson.dumps(events()[number][1]))
    assert found
    return found.run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(EmbeddedBus(tmp_path / "driftbus-data")) as bus:
        bus.create_topics([TopicSpec(f"driftbus.{name}", 1) for name in ("drift-events", "retrain-requests")])
        producer = bus.producer()
        for topic, event in events():
            producer.produce(f"driftbus.{topic}", key=b"fraud", value=orjson.dumps(event))
        producer.close(10)
    return tmp_path


def track(folder: Path, tracker: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "driftbus", "track", tracker, "--once"],
        cwd=folder,
        env=clean_environ() | {"DRIFTBUS_BUS": "embedded"} | environ,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_mlflow_has_a_run_for_the_episode_and_one_for_the_request_by_hand(folder: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder}/mlflow.db"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    os.environ |= quiet
    assert "4 events taken" in track(folder, "mlflow", MLFLOW_TRACKING_URI=uri, **quiet)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("driftbus")
    runs = {run.data.tags["driftbus.run"]: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {run_of(0), run_of(3)}
    run = runs[run_of(0)]
    assert run.info.status == "FINISHED"
    assert run.data.tags["driftbus.episode_id"] == EPISODE
    assert run.data.tags["driftbus.resolution"] == "replaced"
    assert run.data.tags["driftbus.request_id"] == RETRAIN_REQUEST["data"]["request_id"]
    history = client.get_metric_history(run.info.run_id, "feature/gr__e_ a_b.after")
    assert [(metric.step, metric.value) for metric in history] == [(1000, 0.21), (3000, 0.21)]
    names = {file.path for file in client.list_artifacts(run.info.run_id, "events")}
    assert names == {
        "events/000001000-opened.json",
        f"events/request-{RETRAIN_REQUEST['data']['attempt']}.json",
        "events/000003000-closed.json",
    }


def test_weights_and_biases_keeps_them_for_its_sync(folder: Path) -> None:
    track(folder, "wandb", WANDB_MODE="offline", WANDB_DIR=str(folder), WANDB_SILENT="true")
    kept = [path.name for path in (folder / "wandb").glob("offline-run-*/run-*.wandb")]
    runs = [path.removeprefix("run-").removesuffix(".wandb") for path in kept]
    # One file for each event; `wandb sync` puts those of a run together.
    assert sorted(runs) == sorted([run_of(0)] * 3 + [run_of(3)])
    text = b"".join(path.read_bytes() for path in (folder / "wandb").glob("offline-run-*/run-*.wandb"))
    for said in (b"driftbus.resolution", b"replaced", "feature/größe: a|b.after".encode(), EPISODE.encode()):
        assert said in text


def test_comet_keeps_them_for_its_upload(folder: Path) -> None:
    environ = {"COMET_OFFLINE_DIRECTORY": str(folder / "comet"), "COMET_LOGGING_CONSOLE": "ERROR"}
    track(folder, "comet", HOME=str(folder), **environ)
    archives = sorted((folder / "comet").glob("*.zip"))
    assert sorted(path.name[:40] for path in archives) == sorted([run_of(0)] * 3 + [run_of(3)])
    said = []
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            said += [json.loads(line) for line in opened.read("messages.json").splitlines()]
    text = json.dumps(said, ensure_ascii=False)
    for wanted in ("driftbus.resolution", "replaced", "feature/größe: a|b.after", EPISODE, BY_HAND):
        assert wanted in text

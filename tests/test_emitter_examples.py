"""Examples of emitting as they stand, a middleware and a batch job, and what they bring to the bus."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client import Emitter
from tests.cli.commands import clean_environ

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
    )


def events(folder: Path, topic: str) -> list[dict[str, Any]]:
    bus = EmbeddedBus(folder)
    try:
        found = []
        for p in range(bus.partitions(topic)):
            begin, end = bus.begin_offset(topic, p), bus.end_offset(topic, p, committed=True)
            found += [orjson.loads(record.value or b"") for record in bus.read_from(topic, p, begin, end)]
        return found
    finally:
        bus.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the topics exist, as after `driftbus topics create`."""
    config = EXAMPLES / "driftbus.yaml"
    done = run(tmp_path, "-m", "driftbus", "topics", "create", "--partitions", "2", "--config", config)
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture
def middleware() -> ModuleType:
    spec = importlib.util.spec_from_file_location("asgi_middleware", EXAMPLES / "asgi_middleware.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_middleware_as_it_stands(folder: Path) -> None:
    done = run(folder, EXAMPLES / "asgi_middleware.py", "--requests", "20")
    assert done.returncode == 0, done.stderr
    assert "lost: nothing" in done.stdout
    predictions = events(folder / "driftbus-data", "driftbus.predictions")
    assert len({event["prediction_id"] for event in predictions}) == 20
    assert sorted(event["features"]["amount"] for event in predictions) == [n / 20 for n in range(20)]
    assert {event["stream"] for event in predictions} == {"payments"}
    assert all(event["prediction"] == int(event["score"] > 0.5) for event in predictions)
    (label,) = events(folder / "driftbus-data", "driftbus.labels")
    assert label["prediction_id"] in {event["prediction_id"] for event in predictions}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'{"amount": "x"}', b"\xff", b'"' + b"x" * 600_000 + b'"']
)
def test_what_is_no_prediction_is_answered_as_without_it(
    middleware: ModuleType, tmp_path: Path, body: bytes
) -> None:
    emitter = Emitter(embedded=tmp_path / "no-topics")
    without = asyncio.run(middleware.ask(middleware.service, body))
    status, headers, answer = asyncio.run(middleware.ask(middleware.app_with(emitter), body))
    assert (status, answer) == (without[0], without[2])
    assert headers.keys() - without[1].keys() == {b"x-prediction-id"}
    assert emitter.lost == {}
    emitter.close()


def test_an_answer_that_cannot_be_told_reaches_the_caller_all_the_same(
    middleware: ModuleType, tmp_path: Path
) -> None:
    async def odd(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"prediction": null}'})

    emitter = Emitter(embedded=tmp_path / "no-topics")
    app = middleware.PredictionEvents(odd, emitter=emitter, stream="s", model_version=lambda: "v1")
    assert asyncio.run(middleware.ask(app, b"{}"))[0] == 200
    assert emitter.lost == {"invalid": 1}
    emitter.close()


def test_the_batch_job_says_the_same_when_it_runs_again(folder: Path) -> None:
    (folder / "customers.csv").write_text("customer,calls,months\nc1,9,1\nc2,0,40\nc3,2,3\n")
    (folder / "churned.csv").write_text("customer,churned\nc1,1\nc2,0\n")
    job = EXAMPLES / "batch_job.py"
    for _ in range(2):
        done = run(folder, job, "score", "customers.csv", "scores.csv", "--night", "2026-01-05")
        assert done.returncode == 0, done.stderr
    done = run(folder, job, "labels", "churned.csv", "--night", "2026-01-05")
    assert done.returncode == 0, done.stderr
    predictions = events(folder / "driftbus-data", "driftbus.predictions")
    assert len(predictions) == 6
    assert sorted(event["prediction_id"] for event in predictions)[::2] == [
        "2026-01-05/c1", "2026-01-05/c2", "2026-01-05/c3",
    ]  # fmt: skip
    assert {event["ts"] for event in predictions} == {1767571200000}
    assert {event["prediction_id"]: event["prediction"] for event in predictions}["2026-01-05/c1"] == 1
    labels = events(folder / "driftbus-data", "driftbus.labels")
    assert {event["prediction_id"]: event["label"] for event in labels} == {
        "2026-01-05/c1": 1,
        "2026-01-05/c2": 0,
    }
    assert (folder / "scores.csv").read_text().splitlines()[0] == "customer,score"

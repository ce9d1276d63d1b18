"""`driftbus reference`: a training set in a file becomes one event, and a replay finds what it changes."""

from __future__ import annotations

import csv
import gzip
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus.client import Emitter, training_reference
from driftbus.config import load
from driftbus.core.codec import decode
from driftbus.replay import replay
from driftbus.wiring import open_bus
from tests.cli.commands import in_process


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "driftbus.yaml"
    path.write_text(
        f"bus: embedded\nembedded: {{path: {tmp_path / 'data'}}}\n"
        "stream_defaults: {features: {redact: [salary], ignore: [row_id]}}\n"
    )
    assert in_process("topics", "create", "--partitions", "1", "--config", path).returncode == 0
    return path


def training_rows(n: int = 2_000) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [
        {
            "row_id": place,
            "day": f"2025-01-{1 + place * 28 // n:02d}",
            "x": round(rng.gauss(0.0, 1.0), 6),
            "country": rng.choice(["DE", "FR"]),
            "salary": 1000 + place,
            "weight": 1,
            "y": rng.randrange(2),
            "p": round(rng.random(), 4),
        }
        for place in range(n)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv.gz"
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(training_rows(1)[0]))
        writer.writeheader()
        writer.writerows(training_rows())
    return path


COLUMNS = ("--label", "y", "--score", "p", "--timestamp", "day", "--ignore", "weight")


def told(config: Path) -> list[Any]:
    settings = load(config, {})
    bus = open_bus(settings)
    try:
        records = bus.read_from(settings.topics["model-events"], 0, 0)
        return [decode("model-events", r.key, r.value, r.headers, r.timestamp_ms) for r in records]
    finally:
        bus.close()


def test_a_table_becomes_one_event_of_summaries(config: Path, table: Path) -> None:
    args = ("reference", "fraud", table, *COLUMNS, "--model-version", "v4", "--by", "ann", "--new")
    done = in_process(*args, "--config", config)
    assert done.returncode == 0, done.stderr
    assert "v4 is held against 2,000 rows of training: 2 features and the score" in done.stdout
    assert "salary: left out: redacted" in done.stderr
    (event,) = told(config)
    assert (event.stream, event.type, event.model_version, event.by) == (
        "fraud",
        "reference-set",
        "v4",
        "ann",
    )
    assert list(event.reference.features) == ["x", "country"]
    x = event.reference.features["x"]
    assert x.mean == pytest.approx(0.0, abs=0.1)
    assert x.means_deviation == pytest.approx(0.25, abs=0.1)
    assert event.reference.score.mean == pytest.approx(0.5, abs=0.05)


def test_rows_out_of_the_order_of_time_tell_nothing_of_neighbours(table: Path) -> None:
    done = in_process("reference", "fraud", table, table, *COLUMNS, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "means_deviation" not in orjson.loads(done.stdout)["features"]["x"]


def lines(rows: list[dict[str, Any]], form: str) -> bytes:
    outcomes = [
        {"prediction": 1, "label": row["y"], "score": row["p"], "ts": row["day"]}
        | {"features": {name: row[name] for name in ("x", "country")}}
        for row in rows
    ]
    if form == "rows":
        outcomes = [{name: row[name] for name in ("x", "country", "y")} for row in rows]
    if form == "recorded":
        outcomes = [{"topic": "outcomes", "key": "fraud", "ts": 0, "value": value} for value in outcomes]
        outcomes.append({"topic": "outcomes", "key": "churn", "ts": 0, "value": outcomes[0]["value"]})
        outcomes.append({"topic": "labels", "key": "fraud", "ts": 0, "value": {"label": 1}})
    return b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in outcomes)


@pytest.mark.parametrize("form", ["outcomes", "recorded", "rows"])
def test_json_lines_of_outcomes_and_of_rows_are_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(training_rows(500), form))
    done = in_process("reference", "fraud", path, "--label", "y", "--dry-run")
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    assert (found["rows"], list(found["features"])) == (500, ["x", "country"])
    assert ("score" in found) == (form != "rows")
    assert ("of other streams, passed over: 1" in done.stderr) == (form == "recorded")


def test_parquet_is_read_as_a_table_is(tmp_path: Path, table: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    path = tmp_path / "train.parquet"
    __import__("pyarrow.parquet").parquet.write_table(arrow.Table.from_pylist(training_rows()), path)
    args = (*COLUMNS, "--dry-run")
    found = [in_process("reference", "fraud", file, *args).stdout for file in (path, table)]
    assert found[0] == found[1]


def test_lines_that_are_no_rows_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(training_rows(200), "rows") + b"[1]\nnot json\n")
    done = in_process("reference", "fraud", path, "--dry-run")
    assert done.returncode == 1
    assert "rows.jsonl:201: not an object" in done.stderr
    assert "2 lines could not be used" in done.stderr


def test_wrong_use_is_said(tmp_path: Path, table: Path) -> None:
    done = in_process("reference", "fraud", table, "--label", "nope", "--dry-run")
    assert done.returncode == 2
    assert "nope" in done.stderr
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    assert in_process("reference", "fraud", empty, "--dry-run").returncode == 1


def test_a_replay_finds_what_changed_between_training_and_deployment(tmp_path: Path, table: Path) -> None:
    rng = random.Random(2)
    rows = [
        {"topic": "predictions", "key": "fraud", "ts": 1_767_225_600_000 + place * 60_000}
        | {"value": {"prediction_id": f"p-{place}", "prediction": 1, "model_version": "v4"}}
        for place in range(1_500)
    ]
    for row in rows:
        row["value"]["features"] = {"x": rng.gauss(1.0, 1.0), "country": rng.choice(["DE", "FR"])}
    ignored = ("--ignore", "salary", "--ignore", "row_id")
    done = in_process("reference", "fraud", table, *COLUMNS, *ignored, "--dry-run")
    said = {"type": "reference-set", "model_version": "v4", "reference": orjson.loads(done.stdout)}
    event = {"topic": "model-events", "key": "fraud", "ts": rows[0]["ts"], "value": said}
    path = tmp_path / "events.jsonl"

    def decided(records: list[Any]) -> list[Any]:
        path.write_bytes(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records))
        out = BytesIO()
        replay([path], load(None, {}), csv=None, out=out, progress=lambda done, total: None)
        return [orjson.loads(line)["value"]["data"] for line in out.getvalue().splitlines()]

    assert decided(rows) == []
    (opened,) = decided([event, *rows])
    assert (opened["status"], opened["category"]) == ("opened", "data")
    assert opened["predictions_seen"] < 200
    assert [signal["name"] for signal in opened["signals"]] == ["feature/x"]


def test_a_trainer_says_it_from_python(config: Path, tmp_path: Path) -> None:
    reference = training_reference(training_rows(), redact=("salary",))
    with Emitter(embedded=tmp_path / "data") as emitter:
        emitter.model_event("fraud", "reference-set", model_version="v4", reference=reference)
    (event,) = told(config)
    assert event.reference.as_json() == reference
    assert "salary" not in event.reference.features
    with pytest.raises(ValueError, match="without rows"):
        training_reference([])

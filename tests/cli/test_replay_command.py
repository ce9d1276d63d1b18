"""`driftbus replay`: what stands on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import gzip
import json
import os
import pty
import random
import subprocess
import sys
from pathlib import Path

import pytest

from driftbus.client import Emitter
from tests.cli.commands import clean_environ, driftbus

START_MS = 1_767_225_600_000


def write_events(path: Path, rows: int = 4_000, change_at: int = 2_000) -> None:
    """One stream whose model is right nine times of ten, and from `change_at` on every second time."""
    dice = random.Random(7)
    with path.open("w") as out:
        for row in range(rows):
            ts = START_MS + row * 60_000
            truth = int(dice.random() < 0.5)
            is_right = dice.random() < (0.9 if row < change_at else 0.5)
            said = truth if is_right else 1 - truth
            value = {"prediction_id": f"p{row}", "prediction": said, "features": {"x": dice.random()}}
            out.write(json.dumps({"topic": "predictions", "key": "fraud", "ts": ts, "value": value}) + "\n")
            label = {"prediction_id": f"p{row}", "label": truth}
            out.write(json.dumps({"topic": "labels", "key": "fraud", "ts": ts + 1, "value": label}) + "\n")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "events.jsonl"
    write_events(path)
    return path


def test_only_json_lines_on_stdout_and_a_summary_on_stderr(events: Path) -> None:
    done = driftbus("replay", events)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["topic"] for line in lines} == {"drift-events", "retrain-requests"}
    assert {line["key"] for line in lines} == {"fraud"}
    assert "fraud: 4000 predictions, 4000 outcomes, 1 episodes, 1 requests" in done.stderr


def test_gzip_and_a_second_run_give_the_same_bytes(events: Path, tmp_path: Path) -> None:
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(events.read_bytes()))
    assert driftbus("replay", packed).stdout == driftbus("replay", events).stdout


def test_lines_that_are_no_records_are_named_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = {
        "topic": "predictions",
        "key": "s",
        "ts": START_MS,
        "value": {"prediction_id": "p", "prediction": 1},
    }
    path.write_text("\n".join(["{", *["nothing"] * 7, json.dumps(good)]) + "\n")
    done = driftbus("replay", path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "s: 1 predictions" in done.stderr
    assert f"{path}:1: " in done.stderr
    assert f"{path}:5: " in done.stderr
    assert f"{path}:6: " not in done.stderr
    assert "8 lines could not be used, 3 more not shown" in done.stderr


def test_a_null_value_is_a_tombstone_as_the_worker_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "null.jsonl"
    path.write_text(json.dumps({"topic": "labels", "key": "s", "ts": START_MS, "value": None}) + "\n")
    done = driftbus("replay", path)
    assert done.returncode == 0
    assert "a worker would dead-letter 1: 1 tombstone" in done.stderr


def test_a_table_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("y,said,x\n" + "1,1,0.5\n" * 20)
    done = driftbus("replay", path, "--label", "y", "--prediction", "said", "--stream", "mine")
    assert done.returncode == 0, done.stderr
    assert "mine: 20 predictions, 20 outcomes" in done.stderr
    assert driftbus("replay", path, "--label", "z", "--prediction", "said").returncode == 2


def test_a_reader_that_goes_away_is_no_traceback(events: Path) -> None:
    command = [sys.executable, "-m", "driftbus", "replay", str(events)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environ(), text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(60) == 1
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    process.stderr.close()


def test_progress_on_a_terminal_and_nothing_but_json_lines_on_stdout(events: Path) -> None:
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "driftbus", "replay", str(events)]
    environ = {**clean_environ(), "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(terminal, 4096):
            shown += chunk
    except OSError:  # Linux's way of saying that the other end was closed
        pass
    os.close(terminal)
    assert process.stdout is not None
    printed = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0
    assert b"MB" in shown or b"bytes" in shown
    assert b"fraud: 4000 predictions" in shown
    assert [json.loads(line)["key"] for line in printed.splitlines()]


def test_what_the_bus_has_kept(events: Path, tmp_path: Path) -> None:
    config = tmp_path / "driftbus.yaml"
    config.write_text("bus: embedded\nembedded: {path: ./data}\n")
    assert driftbus("topics", "create", "--partitions", "2", "--config", config, cwd=tmp_path).returncode == 0
    with Emitter(embedded=tmp_path / "data") as emitter:
        for line in events.read_text().splitlines():
            value = json.loads(line)["value"]
            pid = value.pop("prediction_id")
            (emitter.label if "label" in value else emitter.prediction)("fraud", pid, **value)
    report = tmp_path / "out.html"
    args = ("replay", "--from", "1h", "--config", config, "--report", report)
    done = driftbus(*args, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    topics = [json.loads(line)["topic"] for line in done.stdout.splitlines()]
    assert topics[0] == "drift-events"
    assert "retrain-requests" in topics
    assert "fraud: 4000 predictions, 4000 outcomes, 1 episodes, 1 requests" in done.stderr
    assert "what the bus has kept from 1h" in report.read_text()
    before = driftbus("replay", "--to", "1h", "--config", config, cwd=tmp_path)
    assert (before.returncode, before.stdout) == (0, "")
    assert "no events" in before.stderr


@pytest.mark.parametrize("args", [(), ("--from", "1h", __file__)])
def test_files_or_the_bus_and_not_both(args: tuple[str, ...]) -> None:
    done = driftbus("replay", *args)
    assert done.returncode == 2
    assert "give files, or --from or --to for what the bus has kept" in done.stderr

"""`driftbus demo` as people run it: real processes, both buses, ended early, used wrongly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftbus.demo import seeds
from tests.ports import free_port

DEMO = [sys.executable, "-m", "driftbus", "demo"]
# Far beyond the two minutes that the demo may take: a busy machine must not decide a test.
LIMIT_S = 290


def demo(seed: str) -> list[str]:
    """On a port of its own: the one it takes by itself may be another test's."""
    return [*DEMO, "--seed", seed, "--port", str(free_port())]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(tmp_path)}


def processes_naming(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line:
            found.append(line)
    return found


def checked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything planted was found exactly once" in done.stdout
    assert not re.search(r"^✗", done.stdout, re.MULTILINE)
    return done.stdout


def test_the_loop_closes_on_the_embedded_bus_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*DEMO, "--seed", "1", "--port", port]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=environment(tmp_path)
        )
    said = checked(done)
    assert "seed 1:" in said
    assert f"127.0.0.1:{port}/" not in said
    assert list(tmp_path.glob("driftbus-demo-*")) == []
    assert processes_naming(tmp_path) == []


@pytest.mark.kafka
def test_the_loop_closes_on_kafka_with_two_workers(tmp_path: Path, kafka_bootstrap: str) -> None:
    command = [*demo("2"), "--kafka", kafka_bootstrap, "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment(tmp_path))
    said = checked(done)
    assert "2 workers" in said
    assert list(tmp_path.glob("driftbus-demo-*")) == []
    assert processes_naming(tmp_path) == []


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_ended_early_it_leaves_nothing_behind(tmp_path: Path, signal_number: signal.Signals) -> None:
    process = subprocess.Popen(demo("3"), stdout=subprocess.PIPE, text=True, env=environment(tmp_path))
    assert process.stdout is not None
    for line in process.stdout:
        if "of simulated time" in line:
            break
    assert processes_naming(tmp_path), "the services should be running by now"
    process.send_signal(signal_number)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert list(tmp_path.glob("driftbus-demo-*")) == []
    assert processes_naming(tmp_path) == []


def test_served_it_stays_until_it_is_told_to_end_and_keeps_its_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = subprocess.Popen(
        [*demo("4"), "--serve", "--data", str(data)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C ends it" in line:
            break
    time.sleep(3.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert (data / "driftbus.yaml").exists()
    assert processes_naming(tmp_path) == []


def test_a_kafka_that_is_not_there_is_said(tmp_path: Path) -> None:
    command = [*demo("1"), "--kafka", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment(tmp_path))
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("driftbus-demo-*")) == []


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run([*DEMO, "--data", str(tmp_path)], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
def test_it_holds_for_twenty_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seeds", "--seeds", "20"])
    assert seeds.main() == 0

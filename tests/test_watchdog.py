"""What ends a loop that hangs, in processes of their own that hang for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from driftbus.watchdog import STALLED_EXIT, Stillness

# A worker on an embedded bus; where a step's offsets are sent it goes into a native call and stays there.
HUNG = textwrap.dedent(
    """
    import ctypes, logging, sys
    from pathlib import Path
    from driftbus.adapters.embedded.transaction import EmbeddedTransaction
    from driftbus.cli.logs import LogFormat, LogLevel, configure
    from driftbus.config import load
    from driftbus.wiring import run_worker

    def send_offsets(self, consumer, offsets):
        {hang}

    EmbeddedTransaction.send_offsets = send_offsets
    configure(LogLevel.INFO, LogFormat.JSON)
    sys.exit(run_worker(load(Path(sys.argv[1]), {{}}), None))
    """
)
# A lock taken twice, as librdkafka's own: no signal wakes who waits for it. Other threads run meanwhile,
# or Python's own lock is kept as well.
LOCKED = (
    "libc = ctypes.{}(None); lock = ctypes.create_string_buffer(64); "
    "[libc.pthread_mutex_lock(lock) for _ in '12']"
)
RELEASED, HELD = LOCKED.format("CDLL"), LOCKED.format("PyDLL")


def hung(folder: Path, hang: str) -> subprocess.CompletedProcess[str]:
    config = folder / "driftbus.yaml"
    config.write_text(
        f"bus: embedded\nembedded: {{path: {folder / 'bus'}}}\nhttp: {{enabled: false}}\n"
        "worker: {stall_timeout: 1s}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", HUNG.format(hang=hang), str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_call_that_never_returns_ends_the_process_and_is_named(tmp_path: Path) -> None:
    done = hung(tmp_path, RELEASED)
    assert done.returncode == STALLED_EXIT, done.stderr
    [line] = [json.loads(line) for line in done.stderr.splitlines() if '"critical"' in line]
    assert "while sending offsets to the transaction" in line["message"]
    assert f"exit code {STALLED_EXIT}" in line["message"]
    assert "in send_offsets" in line["stack"]
    assert "in _step" in line["stack"]
    assert "most recent call first" in done.stderr  # all threads, by faulthandler


def test_a_call_that_keeps_even_other_threads_waiting_is_ended_all_the_same(tmp_path: Path) -> None:
    done = hung(tmp_path, HELD)
    assert done.returncode == 1, done.stderr
    assert "Timeout (" in done.stderr
    assert "in send_offsets" in done.stderr


def test_live_and_watchdog_agree() -> None:
    """The heart stands still: /livez says so from the moment on in which the process would be ended."""
    code = textwrap.dedent(
        """
        import os, time, threading
        from driftbus import watchdog
        from driftbus.adapters.http.server import HttpServer
        from driftbus.exposure import WorkerSource

        ended = threading.Event()
        heart = watchdog.Heartbeat()
        dog = watchdog.Watchdog(heart, 0.6)
        def end():
            ended.set()
            time.sleep(60)
        dog._end = end
        with HttpServer(WorkerSource(lambda: dog.alive), "127.0.0.1", 0) as server:
            dog.start()
            for _ in range(8):
                heart.beat("beating")
                time.sleep(0.2)
            print(server.url, flush=True)
            input()
            ended.wait()
            print("ended", flush=True)
            input()
            os._exit(0)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ended\n"
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"{url}/livez", timeout=10)
        child.stdin.write("\n")


def test_time_in_which_nobody_looked_does_not_count() -> None:
    still = Stillness(longest_look_s=0.5)
    assert [still.look(7, now) for now in (0.0, 0.25, 0.5, 600.0, 600.25)] == [0.0, 0.25, 0.5, 1.0, 1.25]
    assert still.look(8, 600.5) == 0.0


def test_a_process_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """SIGSTOP for longer than the limit is no stall: it is asked to end, and ends well."""
    config = tmp_path / "driftbus.yaml"
    config.write_text(
        f"bus: embedded\nembedded: {{path: {tmp_path / 'bus'}}}\nhttp: {{enabled: false}}\n"
        "worker: {stall_timeout: 1s, commit_interval: 10ms}\n"
    )
    log = tmp_path / "log"
    with open(log, "wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "driftbus", "worker", "--config", str(config)], stdout=out, stderr=out
        )
    deadline = time.monotonic() + 60
    while b"runs from step" not in log.read_bytes():
        assert child.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(2.0)
    os.kill(child.pid, signal.SIGCONT)
    time.sleep(0.5)
    child.terminate()
    assert child.wait(60) == 0, log.read_text()

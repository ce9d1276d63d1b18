"""`driftbus worker --processes N`: real processes on the embedded bus, killed and asked to end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import pytest
import yaml

from driftbus.config import Settings, load
from driftbus.ports import Bus
from driftbus.supervisor import RestartPolicy, environments
from driftbus.wiring import open_bus
from tests.core.streams import Shape, events
from tests.integration.exactness import check
from tests.integration.workers import create_topics, remaining

PARTITIONS = 4
# Ends what would hang for ever.
LIMIT_S = 120


def test_the_wait_doubles_up_to_its_bound() -> None:
    policy = RestartPolicy(first_wait_s=1.0, longest_wait_s=30.0)
    assert [policy.wait_s(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    ("port", "worker_id", "ports", "names"),
    [
        (8711, None, ["8711", "8712"], ["h-8711", "h-8712"]),
        (0, None, ["0", "0"], ["h-0-0", "h-0-1"]),
        (80, "blue", ["80", "81"], ["blue-0", "blue-1"]),
    ],
)
def test_each_worker_has_a_port_and_a_name(
    port: int, worker_id: str | None, ports: list[str], names: list[str]
) -> None:
    found = environments(2, port, worker_id, "h")
    assert [each["DRIFTBUS_HTTP__PORT"] for each in found] == ports
    assert [each["DRIFTBUS_WORKER_ID"] for each in found] == names


def supervise(command: str, count: int, **policy: float) -> subprocess.CompletedProcess[str]:
    """A supervisor of `python -c COMMAND`."""
    code = textwrap.dedent(
        f"""
        import logging, sys
        from driftbus.supervisor import RestartPolicy, Supervisor
        logging.basicConfig(level="INFO")
        policy = RestartPolicy(**{policy})
        sys.exit(Supervisor([sys.executable, "-c", {command!r}], [{{}}] * {count}, policy).run())
        """
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_a_crash_loop_is_said_and_ends_with_1(tmp_path: Path) -> None:
    """One of two dies at once, again and again; the other is well, and is asked to end."""
    mark = tmp_path / "first"
    command = textwrap.dedent(
        f"""
        import os, sys, time
        try:
            os.open({str(mark)!r}, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            sys.exit(7)
        time.sleep(600)
        """
    )
    done = supervise(command, 2, first_wait_s=0.01, longest_wait_s=0.05, most_deaths=4)
    assert done.returncode == 1, done.stderr
    assert "CRASH LOOP: worker" in done.stderr
    assert "ended with exit code 7, for the 4. time in a row" in done.stderr
    assert done.stderr.count("it is started again in") == 3


def test_workers_that_end_well_are_not_started_again() -> None:
    done = supervise("pass", 3)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("runs as process") == 3


def test_a_wrong_configuration_ends_all_with_2() -> None:
    done = supervise("import sys; sys.exit(2)", 1)
    assert done.returncode == 2
    assert "started again" not in done.stderr


class Supervised:
    """`driftbus worker --processes 2` over an embedded bus of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port: int = one.getsockname()[1]
        self.config = folder / "driftbus.yaml"
        self.write()
        self.settings: Settings = load(self.config, {})
        self.bus: Bus = open_bus(self.settings)
        create_topics(self.bus, self.settings, PARTITIONS)
        self.log = folder / "log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "driftbus", "worker", "--processes", "2", "--config", self.config],
                stdout=out,
                stderr=out,
            )

    def write(self, **more: object) -> None:
        document = {
            "bus": "embedded",
            "embedded": {"path": str(self.config.parent / "bus")},
            "http": {"port": self.port},
            "worker": {"max_records": 150, "commit_interval": "20ms", "restart_wait": "100ms"},
            **more,
        }
        self.config.write_text(yaml.safe_dump(document))

    def text(self) -> str:
        return self.log.read_text()

    def pids(self, number: int) -> list[int]:
        return [int(pid) for pid in re.findall(rf"worker {number} runs as process (\d+)", self.text())]

    def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < deadline, f"{what}\n{self.text()[-3000:]}"
            time.sleep(0.05)

    def ready(self, number: int) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port + number}/readyz", timeout=5) as answer:
                return answer.status == 200  # type: ignore[no-any-return]
        except (URLError, ConnectionError):
            return False

    def is_read(self) -> bool:
        return remaining(self.bus, self.settings, PARTITIONS) == 0


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Supervised]:
    running = Supervised(tmp_path)
    try:
        yield running
    finally:
        running.bus.close()
        if running.process.poll() is None:
            running.process.terminate()
            running.process.wait(LIMIT_S)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_a_killed_worker_is_started_again_and_goes_on_exactly(two: Supervised) -> None:
    two.until(lambda: two.ready(0) and two.ready(1), "both ready")
    rows = events([Shape(f"s{i}", rows=400) for i in range(4)], seed=3)
    producer = two.bus.producer()
    for number, half in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        for topic, value, _ in half:
            key = value["stream"].encode()
            while not producer.produce(two.settings.topics[topic], key=key, value=orjson.dumps(value)):
                producer.flush(1.0)
        most = remaining(two.bus, two.settings, PARTITIONS)
        two.until(lambda most=most: remaining(two.bus, two.settings, PARTITIONS) <= most // 2, "progress")  # type: ignore[misc]
        os.kill(two.pids(number)[-1], signal.SIGKILL)
        two.until(lambda number=number: len(two.pids(number)) == 2, "started again")  # type: ignore[misc]
        assert f"worker {number} was killed by SIGKILL; it is started again in 0.1 s" in two.text()
    assert producer.flush(30) == 0
    producer.close(5)
    two.until(two.is_read, "all read")

    two.write(instance="eu")
    two.until(lambda: two.ready(0) and two.ready(1), "both ready again")
    two.process.send_signal(signal.SIGHUP)
    two.until(lambda: two.text().count("took over the new configuration") == 2, "both took it over")
    # Whose line it is stands in it.
    host = socket.gethostname()
    for number in (0, 1):
        assert f'"worker":"{host}-{two.port + number}"' in two.text()

    two.process.terminate()
    assert two.process.wait(LIMIT_S) == 0, two.text()
    assert all(gone(pid) for number in (0, 1) for pid in two.pids(number))
    assert check(two.bus, two.settings).outcomes > 1_400


def test_workers_end_when_their_supervisor_is_killed(two: Supervised) -> None:
    two.until(lambda: two.ready(0) and two.ready(1), "both ready")
    two.process.kill()
    two.process.wait(LIMIT_S)
    pids = [*two.pids(0), *two.pids(1)]
    two.until(lambda: all(gone(pid) for pid in pids), "both gone")
    assert two.text().count("stopped: all committed") == 2


def test_a_taken_port_ends_all_with_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = tmp_path / "driftbus.yaml"
        config.write_text(
            f"bus: embedded\nembedded: {{path: {tmp_path / 'b'}}}\nhttp: {{port: {taken.getsockname()[1]}}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "driftbus", "worker", "--processes", "1", "--config", config],
            capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Address already in use" in done.stderr

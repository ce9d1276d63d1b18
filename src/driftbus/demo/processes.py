"""The demo's processes: the inference service, the trainer, the workers. Started, watched, ended by pid."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import orjson

from driftbus.demo.stage import Stage
from driftbus.errors import DriftbusError

# A worker that was asked to stop finishes its step and leaves its group; a trainer finishes its request.
STOP_TIMEOUT_S = 20.0
# The end of a log is where the reason stands.
LOG_TAIL_CHARS = 1_500


class ProcessEndedError(DriftbusError):
    """A process of the demo ended by itself."""


class Processes:
    """A context: what was started in it is ended when it is left, whatever happened."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def create_topics(self, partitions: int) -> None:
        """`driftbus topics create`, to its end. Raises `ProcessEndedError` when it fails."""
        command = ["topics", "create", "--partitions", str(partitions)]
        self._start("topics", _driftbus(*command, config=self._stage)).wait()
        self.check()
        del self._running["topics"]

    def start(self, http_ports: list[int]) -> None:
        """A worker per port, the trainer, the inference service."""
        peers = orjson.dumps([f"http://127.0.0.1:{port}" for port in http_ports]).decode()
        for number, port in enumerate(http_ports, 1):
            # Configurations that differ only in the port run side by side; the page of each shows all.
            environment = {"DRIFTBUS_HTTP__PORT": str(port), "DRIFTBUS_HTTP__PEERS": peers}
            command = _driftbus("worker", config=self._stage)
            self._start(f"worker-{number}", command, environment=environment)
        for name in ("trainer", "inference"):
            command = [sys.executable, "-m", f"driftbus.demo.{name}", str(self._stage.data)]
            self._start(name, command, piped=name == "inference")

    def serve(self, until_ms: int) -> dict[str, Any]:
        """Tell the inference service the time, and wait for what it did."""
        service = self._running["inference"]
        assert service.stdin is not None  # noqa: S101 - it was started piped, for the type checker
        assert service.stdout is not None  # noqa: S101
        try:
            service.stdin.write(b"%d\n" % until_ms)
            service.stdin.flush()
            line = service.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            service.wait()
            self.check()
            raise ProcessEndedError("the inference service closed its output")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    def check(self) -> None:
        """Raises `ProcessEndedError`, with the end of its log, when one has failed or is gone."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None and not (name == "topics" and code == 0):
                said = (self._stage.logs / f"{name}.log").read_text(errors="replace")
                raise ProcessEndedError(f"the process {name} ended with {code}:\n{said[-LOG_TAIL_CHARS:]}")

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
            else:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: at once, then
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _start(
        self,
        name: str,
        command: list[str],
        *,
        environment: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE if piped else None
        with (self._stage.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                env=_surroundings() | dict(environment or {}),
                # Ctrl-C at the terminal is for the director, who ends the others in order.
                start_new_session=True,
            )
        return self._running[name]


# Several processes share few cores; numpy's own threads would only fight over them.
_WITHOUT_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _surroundings() -> dict[str, str]:
    """The environment without a configuration of driftbus: the demo's own is all there is."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTBUS_")}
    return own | _WITHOUT_THREADS


def _driftbus(*command: str, config: Stage) -> list[str]:
    return [sys.executable, "-m", "driftbus", *command, "--config", str(config.configuration)]

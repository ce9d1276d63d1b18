"""Worker processes for tests: started through the command line, killed without warning, ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from driftbus.config import Settings
from driftbus.intake import INPUTS
from driftbus.ports import Bus, TopicPartition, TopicSpec
from driftbus.topics import topic_specs


class WorkerProcess:
    """One `driftbus worker`, with a page and metrics where a `port` is given. Its output goes to a file that
    failures show."""

    command = "worker"
    assigned = b"assigned partitions"

    def __init__(self, config: Path, name: str, port: int | None = None) -> None:
        self.config, self.name, self.port = config, name, port
        self.log = config.parent / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._begins = 0

    def start(self) -> None:
        self._begins = self.log.stat().st_size if self.log.exists() else 0
        environment = {
            **os.environ,
            "DRIFTBUS_WORKER_ID": self.name,
            "DRIFTBUS_HTTP__ENABLED": "false" if self.port is None else "true",
            "DRIFTBUS_HTTP__PORT": str(self.port or 0),
        }
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "driftbus", self.command, "--config", str(self.config)],
                stdout=out,
                stderr=out,
                env=environment,
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def joined(self) -> bool:
        """Whether it has been given partitions since it was started last."""
        return self.assigned in self.log.read_bytes()[self._begins :]

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


def create_topics(bus: Bus, settings: Settings, partitions: int) -> None:
    """The nine topics, with a state that keeps every step for the check."""
    state = settings.topics["state"]
    specs = [
        TopicSpec(s.name, s.partitions, {**s.config, "cleanup.policy": "delete"}) if s.name == state else s
        for s in topic_specs(settings, partitions)
    ]
    bus.create_topics(specs)


def remaining(bus: Bus, settings: Settings, partitions: int) -> int:
    """Input records that the group has not committed yet (markers count as records)."""
    tps = [TopicPartition(settings.topics[name], p) for name in INPUTS for p in range(partitions)]
    committed = bus.committed(settings.group, tps)
    ends = {tp: bus.end_offset(tp.topic, tp.partition, committed=True) for tp in tps}
    return sum(ends[tp] - committed.get(tp, 0) for tp in tps)


def wait_until(done: Callable[[], bool], limit_s: float, what: str, workers: list[WorkerProcess]) -> None:
    """Poll until `done`; a time limit only ends what would hang for ever."""
    until = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > until:
            logs = "\n".join(f"--- {w.name}\n{w.tail()}" for w in workers)
            raise AssertionError(f"{what}: not within {limit_s} s\n{logs}")
        for worker in workers:
            if worker.process is not None and worker.process.poll() is not None:
                raise AssertionError(f"{worker.name} ended by itself\n{worker.tail()}")
        time.sleep(0.1)

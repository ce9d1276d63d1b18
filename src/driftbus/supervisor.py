"""Several workers on one machine: starts them as processes of their own, and anew when they die.

    driftbus worker --processes 3
    ├── worker 0   http.port        each a `driftbus worker` by itself, started, not forked: handles to a bus
    ├── worker 1   http.port + 1    do not survive a fork; one group spreads the partitions over them
    └── worker 2   http.port + 2

    started ──ends with 0────────────────────────────────► done
       ▲  │──ends with 2 (configuration)─────────────────► all are asked to end, exit 2
       │  └──dies──► waits 1, 2, 4 … s ──too often in a row► a crash loop: all are asked to end, exit 1
       └───────────────┘

SIGTERM and SIGINT ask all to end and wait for them, SIGHUP is passed on. Each worker holds the other end of
a pipe on its standard input: when the supervisor is gone without a word, they end by themselves.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

log = logging.getLogger("driftbus.supervisor")

# How often it is looked whether a worker has died: soon enough for people, and free.
LOOK_S = 0.1
# Signals that end a process which has not set up its handlers yet: asked to end, it did.
_ASKED = frozenset({-signal.SIGTERM, -signal.SIGINT})
WRONG_CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a worker that died is started again.

    The wait doubles from `first_wait_s` to `longest_wait_s`; `healthy_s` of running end a row of deaths;
    after `most_deaths` in a row there is no use in going on.
    """

    first_wait_s: float = 1.0
    # A broker's restart takes about as long; longer only makes a mended cause look broken.
    longest_wait_s: float = 30.0
    # Twice what a stalled loop takes to be ended by default: workers that stall again and again are a crash
    # loop too.
    healthy_s: float = 180.0
    # With these waits some three minutes: longer than an orchestrator's node or a broker is away.
    most_deaths: int = 10

    def wait_s(self, deaths: int) -> float:
        """Before the next start, after so many deaths in a row."""
        return float(min(self.longest_wait_s, self.first_wait_s * 2.0 ** (deaths - 1)))


@dataclass(slots=True)
class _Child:
    number: int
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0  # when to start it next; None: not again
    deaths: int = 0
    code: int | None = None  # what it ended with for good


@dataclass(slots=True)
class Supervisor:
    """Runs `command` once for each of `environments` (what is set beside this process's own)."""

    command: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    _children: list[_Child] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _failed: int = 0

    def run(self) -> int:
        """Until all have ended; the exit code. Takes over SIGTERM, SIGINT and SIGHUP."""
        self._children = [_Child(n, self.command, more) for n, more in enumerate(self.environments)]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        try:
            while any(child.process or child.start_at is not None for child in self._children):
                for child in self._children:
                    self._look_at(child, time.monotonic())
                time.sleep(LOOK_S)
        finally:
            # Only where something here went wrong: nobody is left behind.
            for child in self._children:
                if child.process is not None:
                    child.process.terminate()
        log.info("all workers have ended")
        return self._failed

    def _look_at(self, child: _Child, now: float) -> None:
        if child.process is None:
            if self._ending.is_set():
                child.start_at = None
            elif child.start_at is not None and now >= child.start_at:
                self._start(child, now)
            return
        code = child.process.poll()
        if code is not None:
            self._ended(child, code, now)

    def _start(self, child: _Child, now: float) -> None:
        child.process = subprocess.Popen(
            child.command, stdin=subprocess.PIPE, env={**os.environ, **child.environment}
        )
        child.started_at, child.start_at = now, None
        log.info("worker %d runs as process %d", child.number, child.process.pid)
        if self._ending.is_set():  # the signal came while it was being started
            child.process.send_signal(signal.SIGTERM)

    def _ended(self, child: _Child, code: int, now: float) -> None:
        process, child.process, child.code = child.process, None, code
        if process is not None and process.stdin is not None:
            process.stdin.close()
        if code == 0 or (self._ending.is_set() and code in _ASKED):
            log.info("worker %d has ended", child.number)
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if self._ending.is_set():
            log.error("worker %d %s while it was asked to end", child.number, how)
            self._failed = self._failed or 1
            return
        if code == WRONG_CONFIGURATION:
            log.critical("worker %d %s: its configuration cannot be used; all are asked to end",
                         child.number, how)  # fmt: skip
            self._give_up(WRONG_CONFIGURATION)
            return
        child.deaths = 1 if now - child.started_at >= self.policy.healthy_s else child.deaths + 1
        if child.deaths >= self.policy.most_deaths:
            log.critical(
                "CRASH LOOP: worker %d %s, for the %d. time in a row; starting it again would not help. All "
                "workers are asked to end; the log above says what each of them died of",
                child.number,
                how,
                child.deaths,
            )
            self._give_up(1)
            return
        wait_s = self.policy.wait_s(child.deaths)
        log.error("worker %d %s; it is started again in %g s", child.number, how, wait_s)
        child.start_at = now + wait_s

    def _give_up(self, code: int) -> None:
        self._failed = code
        self._end()

    def _end(self) -> None:
        self._ending.set()
        self._send(signal.SIGTERM)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        log.info("%s: all workers are asked to end", signal.Signals(number).name)
        self._end()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._send(signal.SIGHUP)

    def _send(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(number)


def end_with(parent: int) -> None:
    """Ask this process to end when the pipe `parent` (a file descriptor) closes: its supervisor is gone."""

    def wait() -> None:
        while os.read(parent, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervised", daemon=True).start()


def environments(
    processes: int, port: int, worker_id: str | None, host: str, listening: str | None = None
) -> list[dict[str, str]]:
    """What each of several workers is told beside the configuration: a port and a name of its own, and where
    the others are (`listening`: scheme and host of all of them, None: that is not told).

    Worker i listens on `port` + i, or, like `port` 0, anywhere; it is named after that, or after the
    configured `worker_id`, so that its transactions are the same after every restart.
    """
    found = []
    peers = ", ".join(f'"{listening}:{port + i}"' for i in range(processes))
    known = {"DRIFTBUS_HTTP__PEERS": f"[{peers}]"} if listening is not None and port else {}
    for i in range(processes):
        if worker_id is not None:
            name = f"{worker_id}-{i}"
        else:
            name = f"{host}-{port + i}" if port else f"{host}-0-{i}"
        found.append(
            {
                "DRIFTBUS_HTTP__PORT": str(port + i if port else 0),
                "DRIFTBUS_WORKER_ID": name,
                # Crash-only: whoever starts it again is here.
                "DRIFTBUS_WORKER__RESTART": "false",
                **known,
            }
        )
    return found

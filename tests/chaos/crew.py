"""Workers in processes of their own, started in milliseconds, watched and replaced."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

from .child import main
from .doom import POINTS, Fate

# Exit code of a worker whose loop stalled; see driftbus.wiring.
STALLED_EXIT = 70
# SIGTERM to the end: a restore is left at once, a step takes seconds at most, a broker's outage 15 s.
STOP_LIMIT_S = 90.0
_FATE = re.compile(rb"^chaos: (kill|freeze) at (\S+)", re.MULTILINE)

# Importing River, numpy and the rest takes 2 s of CPU: one process does it once, and is forked.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["driftbus.worker", "driftbus.exposure", "driftbus.adapters.kafka.bus"])


class Member:
    """One worker process. `name` gives its transactional id; two with one name fence each other."""

    def __init__(
        self,
        config: Path,
        name: str,
        log: Path,
        fate: Fate | None = None,
        restart: bool = True,
        lease_s: float | None = None,
    ) -> None:
        self.name, self.log, self.fate, self.restart = name, log, fate, restart
        self.thaw_at: float | None = None
        self.replaced = False  # by another of its name, while it was frozen
        self.asked_to_stop = False
        self.process: BaseProcess = _processes.Process(
            target=main, args=(config, name, log, fate, restart, lease_s), daemon=True
        )
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def is_stopped(self) -> bool:
        """Whether SIGSTOP has taken effect."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except FileNotFoundError:
            return False

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def stop(self) -> int | None:
        """SIGTERM, and the exit code; None where it does not end."""
        self.signal(signal.SIGTERM)
        self.process.join(STOP_LIMIT_S)
        return self.process.exitcode

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Crew:
    """The members of one group. Whoever ends is replaced; whoever ends without a reason fails the round."""

    def __init__(self, config: Path, folder: Path, rng: random.Random) -> None:
        self.config, self.folder, self.rng = config, folder, rng
        self.members: list[Member] = []
        self.ended: Counter[str] = Counter()
        self.logs: list[Path] = []
        self.calm = False  # nobody is doomed any more
        # Drawn from like cards: every point comes before one comes again.
        self._points: list[str] = []

    def start(self, name: str) -> Member:
        log = self.folder / f"{len(self.logs):03d}-{name}.log"
        self.logs.append(log)
        member = Member(self.config, name, log, self._fate(), restart=self.rng.random() < 0.5)
        self.members.append(member)
        return member

    def _fate(self) -> Fate | None:
        if self.calm:
            return None
        if not self._points:
            self._points = list(POINTS)
            self.rng.shuffle(self._points)
        point = self._points.pop()
        most = POINTS[point]
        nth = 1 + int(most ** self.rng.random()) if most > 1 else 1
        frozen = self.rng.random() < 0.25 and not point.startswith("leave")
        return Fate(point, min(nth, most), frozen, delay_s=self.rng.random() ** 2 * 0.02)

    def running(self) -> list[Member]:
        return [member for member in self.members if member.alive and member.thaw_at is None]

    def watch(self, thaw_after_s: float) -> list[str]:
        """Thaw whose time has come, replace the dead. Raises AssertionError for an end without a reason.

        Returns what happened, for people.
        """
        told = []
        now = time.monotonic()
        for member in list(self.members):
            if not member.alive:
                self.members.remove(member)
                told.append(f"{member.name} ended: {self._reason(member)}")
                if not member.asked_to_stop and not member.replaced:
                    self.start(member.name)
            elif member.thaw_at is None and member.is_stopped():
                member.thaw_at = now + thaw_after_s
                told.append(f"{member.name} is frozen")
                if not member.restart and self.rng.random() < 0.5:
                    # Somebody else takes its place, and its transactional id: the zombie must be fenced.
                    member.replaced = True
                    self.start(member.name)
            elif member.thaw_at is not None and now > member.thaw_at:
                member.thaw_at = None
                member.signal(signal.SIGCONT)
                told.append(f"{member.name} is thawed")
        return told

    def _reason(self, member: Member) -> str:
        code = member.process.exitcode
        said = member.said()
        fate = _FATE.search(said.encode())
        if fate and code == -signal.SIGKILL:
            reason = f"kill at {fate[2].decode()}"
        elif code == -signal.SIGKILL:
            reason = "kill at random"
        elif code == 0 and member.asked_to_stop:
            reason = "SIGTERM"
        elif code == -signal.SIGTERM and member.asked_to_stop:
            reason = "SIGTERM before it began"
        elif code == STALLED_EXIT:
            reason = "watchdog"
        elif code == 1 and not member.restart and "all that was not committed is discarded" in said:
            reason = "fenced"
        else:
            raise AssertionError(f"{member.name} ended with {code} by itself\n{said[-4000:]}")
        if fate and fate[1] == b"freeze":
            self.ended[f"freeze at {fate[2].decode()}"] += 1
        self.ended[reason] += 1
        return reason

    def finish(self) -> None:
        """SIGTERM to all. Raises AssertionError when one does not end, or not as it should."""
        for member in self.members:
            member.asked_to_stop = True
            member.signal(signal.SIGTERM)
        until = time.monotonic() + STOP_LIMIT_S
        for member in self.members:
            while member.alive and time.monotonic() < until:
                # Its fate may freeze it on its way out.
                member.signal(signal.SIGCONT)
                member.process.join(0.2)
            assert not member.alive, f"{member.name} does not end\n{member.said()[-4000:]}"
            self._reason(member)
        self.members.clear()

    def close(self) -> None:
        """Whatever happened: nobody is left."""
        for member in self.members:
            member.process.kill()
            member.process.join()

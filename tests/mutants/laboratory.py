"""A private copy of the tree in which one mutant after another lives until a test notices it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

from .mutant import SIMULATION, Mutant, Stale, mutated

# What the tests of the normal suite read; the rest of a checkout (environment, broker, data) is not copied.
COPIED = ("src", "tests", "schemas", "tools", "pyproject.toml", "README.md")
# Of CPU, for one test on one mutant: kills take some 3 s; no test of the catalogue takes longer than 20 s.
CPU_LIMIT_S = 120
# On the wall: ends what hangs without using the CPU, on a machine shared by many. Never part of a verdict.
WALL_LIMIT_S = 1_200.0


class Outcome(NamedTuple):
    """`killer`: the test that noticed; None where none did. `told`: what it said, or what came of them."""

    mutant: Mutant
    killer: str | None
    told: str
    cpu_s: float


class Laboratory:
    """The copy, in `folder`. Files are put back after each mutant."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._tree = folder / "tree"
        self._tree.mkdir()
        for name in COPIED:
            source = root / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
                shutil.copytree(source, self._tree / name, ignore=ignored)
            else:
                shutil.copy(source, self._tree / name)
        # A real broker's jars are found where they are.
        (self._tree / ".kafka").symlink_to(root / ".kafka")
        where = self._run("-c", "import driftbus; print(driftbus.__file__)").stdout.strip()
        if not Path(where).is_relative_to(self._tree):
            raise RuntimeError(f"the tests would run {where}, not the copy")

    def judge(self, mutant: Mutant) -> Outcome:
        """Put the bug in, ask the killers in turn, take it out again."""
        try:
            texts = mutated(mutant, self._tree)
        except Stale as stale:
            return Outcome(mutant, None, f"does not apply any more: {stale}", 0.0)
        kept = {path: path.read_text() for path in texts}
        before = _cpu_s()
        told = []
        try:
            self._write(texts)
            for killer in mutant.killers:
                noticed, answer = self._ask(killer)
                if noticed is not None:
                    return Outcome(mutant, noticed, answer, _cpu_s() - before)
                told.append(f"{killer}: {answer}")
        finally:
            self._write(kept)
        return Outcome(mutant, None, "; ".join(told), _cpu_s() - before)

    def false_alarms(self, killers: set[str]) -> str:
        """What those that noticed something say about the tree as it is; empty where all is well."""
        seeds = sorted(k.removeprefix(f"{SIMULATION} seed ") for k in killers if k.startswith(SIMULATION))
        tests = sorted(k for k in killers if not k.startswith(SIMULATION))
        said = []
        for arguments in (["-m", "tests.mutants.simulated", *seeds] if seeds else [], _pytest(tests)):
            if arguments and (done := self._run(*arguments)).returncode:
                said.append(done.stdout[-4000:])
        return "\n".join(said)

    def _ask(self, killer: str) -> tuple[str | None, str]:
        """Who noticed (None: nobody), and what was said."""
        simulated = killer == SIMULATION
        done = self._run(*(["-m", "tests.mutants.simulated"] if simulated else _pytest([killer])))
        lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
        # A mutant that cannot even be imported or collected was not noticed by a test.
        if done.returncode != 1 or not lines:
            tail = (done.stdout + done.stderr).strip().splitlines()[-1:] or [""]
            return None, "all held" if done.returncode == 0 else f"exit {done.returncode}: {tail[0]}"
        where, _, said = lines[0].removeprefix("FAILED ").partition(" - ")
        return (f"{SIMULATION} seed {where}" if simulated else killer), said

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{self._tree / 'src'}{os.pathsep}{self._tree}"
        # pytest cuts what it says at the width of the terminal.
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "500"}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_limit,
        )
        try:
            out, err = process.communicate(timeout=WALL_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _write(self, texts: dict[Path, str]) -> None:
        for path, text in texts.items():
            path.write_text(text)
            # Compiled code is told by the source's second and size: both may be the same.
            Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _pytest(tests: list[str]) -> list[str]:
    return ["-m", "pytest", "-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", *tests] if tests else []


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 5))


def _cpu_s() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

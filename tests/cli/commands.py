"""Running the command line as a user does: a process of its own, with an environment of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from driftbus.cli.app import main


def clean_environ() -> dict[str, str]:
    """The environment without what would configure driftbus, wide enough that no help text wraps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTBUS_")}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1"}


def driftbus(
    *args: str | Path, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`driftbus ARGS`, its output and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "driftbus", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={**clean_environ(), **(environ or {})},
    )


@contextmanager
def running(
    folder: Path, *command: str | Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python program in `folder`, its HTTP on a free port, ended with the block; SIGTERM must be enough."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**clean_environ(), "DRIFTBUS_HTTP__PORT": "0", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
        print(rest)  # shown where the test fails


def in_process(
    *args: str | Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has imported everything already: for commands that print little."""
    out, err = io.StringIO(), io.StringIO()
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update({**clean_environ(), **(environ or {})})
    argv, sys.argv = sys.argv, ["driftbus", *map(str, args)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())

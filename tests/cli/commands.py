"""Running the command line as a user does: a process of its own, with an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


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

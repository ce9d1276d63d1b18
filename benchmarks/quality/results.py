"""The section Detection of benchmarks/RESULTS.md: replaced as a whole by each run with `--write`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.quality.cache import HERE

RESULTS = HERE.parent / "RESULTS.md"
VARIANTS = HERE / "VARIANTS.md"
HEADING = "## Detection"


def preamble(command: str, zone: str, seconds: float) -> str:
    """How, where, when and with which seeds."""
    return (
        f"Command: `{command}` ({seconds / 60:.0f} min, results of earlier runs taken from the cache).\n"
        f"Machine: {os.cpu_count()} cores of {_cpu()}; CPython {platform.python_version()}, "
        f"River {version('river')}, numpy {version('numpy')}. Date: {datetime.now(UTC):%Y-%m-%d}, "
        f"{_commit()}.\n"
        f"Seeds: {zone}. Variants of the defaults measured so far on development seeds: {variants()} "
        "(`benchmarks/quality/VARIANTS.md`); recorded files are in both zones and were seen by whoever tuned."
    )


def variants() -> int:
    """How many variants of the defaults were measured: rows of the table in VARIANTS.md."""
    rows = [line for line in VARIANTS.read_text().splitlines() if re.match(r"\| *\d", line)]
    return len(rows)


def put(text: str, section: str, into: str) -> str:
    """`into` with its section `section` (a heading of the second level) replaced by `text`, or appended."""
    begin = re.search(rf"^{re.escape(section)}\b.*$", into, re.MULTILINE)
    whole = f"{section}\n\n{text.strip()}\n"
    if begin is None:
        return f"{into.rstrip()}\n\n{whole}"
    after = re.search(r"^## ", into[begin.end() :], re.MULTILINE)
    rest = "" if after is None else "\n" + into[begin.end() + after.start() :]
    return into[: begin.start()] + whole + rest


def write(text: str, path: Path = RESULTS) -> None:
    """Put the text into the file's section."""
    path.write_text(put(text, HEADING, path.read_text()))


def _commit() -> str:
    """Of which sources the figures are."""
    command = ["git", "describe", "--always", "--dirty=, with changes that are not committed"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "no commit"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or "unknown CPU"

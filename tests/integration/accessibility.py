"""axe-core in a page: what it finds serious. `python -m tests.integration.accessibility` installs it."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.browser import Page

HOME = Path(__file__).resolve().parents[1] / "browser"
SCRIPT = HOME / "node_modules" / "axe-core" / "axe.min.js"
LOCK = HOME / "package-lock.json"
# npm writes beside what it installed what it was locked to.
INSTALLED = HOME / "node_modules" / ".package-lock.json"


def install() -> None:
    """Install what the lock names; quick when it is there. Safe to call from several processes."""
    with (HOME / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if SCRIPT.is_file() and INSTALLED.stat().st_mtime >= LOCK.stat().st_mtime:
            return
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=HOME, check=True)


def faults(page: Page) -> list[str]:
    """Rules that are broken seriously or worse, each with where."""
    page.js(SCRIPT.read_text() + ";0")
    found: list[dict[str, Any]] = page.js(
        "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations"
        ".filter((v) => ['serious', 'critical'].includes(v.impact))"
        ".map((v) => ({id: v.id, at: v.nodes.map((n) => n.target.join(' ') + ': ' + n.failureSummary)})))"
    )
    return [f"{each['id']} at {where}" for each in found for where in each["at"]]


if __name__ == "__main__":
    install()

"""The documentation as a site: `make docs`, `make docs ARGS=--serve`.

Pages link to each other, to examples, schemas and manifests as they lie in the repository. So what they reach
is laid out in `build/docs` as it lies here, and MkDocs builds from that, with every link and heading checked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What the pages are, and what they link to.
REACHED = ("*.md", "docs/**/*", "examples/**/*", "schemas/*", "benchmarks/**/*.md", "deploy/**/*", "LICENSE")
NOT = {"__pycache__"}


def lay_out(target: Path) -> None:
    """What the site is built from, anew."""
    shutil.rmtree(target, ignore_errors=True)
    for pattern in REACHED:
        for path in ROOT.glob(pattern):
            if path.is_file() and not NOT & set(path.parts):
                there = target / path.relative_to(ROOT)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, there)


def main() -> int:
    lay_out(ROOT / "build/docs")
    serve = sys.argv[1:] == ["--serve"]
    # Not --quiet: what is not said is not counted by --strict.
    what = ["serve", "--dev-addr", "127.0.0.1:8000"] if serve else ["build"]
    command = [sys.executable, "-m", "mkdocs", *what, "--strict"]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())

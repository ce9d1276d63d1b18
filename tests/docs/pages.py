"""What the pages tell a reader to run: fenced `sh` blocks, and indented lines that begin with a command.

A block that cannot run here says so, and why, in a comment above it: `<!-- not run: needs a cluster -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
# Lines of a transcript, or of a list of commands, in an indented block.
INDENTED = re.compile(r"    (?:\$ )?((?:driftbus|make|\.venv/bin/\w+|python) .*)")
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )?(?:driftbus|make) [^`]+)`")


class Block(NamedTuple):
    line: int  # of the page, from 1
    text: str
    not_run: str | None = None  # why


def pages() -> list[Path]:
    """Every page that a reader may follow."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "examples/README.md"]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks(page: Path) -> Iterator[Block]:
    """The page's commands, in order."""
    fenced: list[str] | None = None
    language, began, why = "", 0, None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("```"):
            if fenced is None:
                fenced, language, began = [], line[3:].strip(), number
                continue
            if language == "sh":
                yield Block(began, "\n".join(fenced) + "\n", why)
            fenced, why = None, None
        elif fenced is not None:
            fenced.append(line)
        elif found := NOT_RUN.fullmatch(line.strip()):
            why = found[1]
        elif line.strip():
            why = None
            if found := INDENTED.fullmatch(line):
                yield Block(number, found[1] + "\n")


def inline(page: Path) -> Iterator[str]:
    """Commands within sentences and tables."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for found in INLINE.finditer(text):
        yield found[1]

"""What a mutant is, and how its bug is put into a source file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# In place of a pytest id: the schedules of the normal suite's simulation, up to the first that breaks.
SIMULATION = "tests/simulation"


class Stale(Exception):
    """The text that a mutant changes is not (or not once) in its file any more."""


class Edit(NamedTuple):
    """In `file` (below the project's root) the one place that reads `old` becomes `new`."""

    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """The file's text with the bug in it. Raises `Stale`."""
        found = source.count(self.old)
        if found != 1:
            raise Stale(f"{self.file}: found {found} times, not once: {self.old!r}")
        return source.replace(self.old, self.new)


class Mutant(NamedTuple):
    """One bug, and what must notice it, the cheapest first. `kafka`: only on a real broker."""

    name: str
    edits: tuple[Edit, ...]
    killers: tuple[str, ...]
    kafka: bool = False


def mutated(mutant: Mutant, root: Path) -> dict[Path, str]:
    """The changed files' new texts. Raises `Stale`."""
    texts: dict[Path, str] = {}
    for edit in mutant.edits:
        path = root / edit.file
        if path not in texts and not path.is_file():
            raise Stale(f"{edit.file}: no such file")
        texts[path] = edit.applied(texts.get(path) or path.read_text())
    return texts

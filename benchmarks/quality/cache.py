"""What need not be computed twice, in a folder outside the project: $XDG_CACHE_HOME/driftbus/quality.

Every entry's name holds a digest of the sources it was computed by, so a change of them is another entry.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "src" / "driftbus" / "core"


def folder() -> Path:
    """The cache's folder, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "driftbus" / "quality"
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(paths: Iterable[Path], *texts: str) -> str:
    """A fingerprint of files' contents and texts."""
    found = blake2b(digest_size=10)
    for text in texts:
        found.update(text.encode() + b"\0")
    for path in sorted(paths):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def kept(name: str, sources: Iterable[str], compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """An array computed once for these sources (and `models.py`, `data.py`)."""
    used = {Path(source) for source in sources} | {HERE / "models.py", HERE / "data.py"}
    path = folder() / f"{name}-{digest(used)}.npy"
    if path.exists():
        found: NDArray[Any] = np.load(path)
        return found
    found = compute()
    write(path, lambda part: np.save(part, found))
    return found


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all; `save` is given a name of the same suffix."""
    part = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")
    save(part)
    part.replace(path)

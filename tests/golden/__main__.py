"""`python -m tests.golden write`: this version's recording, before its release."""

from __future__ import annotations

import sys
from pathlib import Path

from driftbus import __version__
from tests.golden.recording import record


def main() -> int:
    if sys.argv[1:] != ["write"]:
        print(__doc__)
        return 2
    path = Path(__file__).parent / __version__ / "partition.jsonl.gz"
    record().write(path)
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

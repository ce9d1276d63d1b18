"""`python -m tests.upgraded worker …`: driftbus as a later version, which watches scores otherwise."""

from __future__ import annotations

from driftbus.core import parts, snapshot


def upgrade() -> None:
    """From here on this process is of the later version."""
    snapshot.FOLD_VERSION += 1
    snapshot.LIBRARIES = "driftbus-99.0.0,river-0.0.0"
    parts.VERSIONS["score"] += 1


if __name__ == "__main__":
    from driftbus.cli.app import main

    upgrade()
    main()

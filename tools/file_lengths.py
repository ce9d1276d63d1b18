"""No file of code is longer than a reader can hold, unless it stands here with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# About 300 lines are the aim; a sixth more is no reason to cut a file where it does not come apart.
MOST = 350
FOLDERS = ("src", "tests", "benchmarks", "examples", "tools", "deploy")
# Files that may be longer: how long at most, and why.
LONGER = {
    "src/driftbus/core/codec.py": (400, "the hot path's checks, one per field of three events: a page of its own each would hide that they agree"),
    "src/driftbus/core/episodes.py": (580, "the life of an episode: opened, in a slice or in all, updated, split, closed"),
    "src/driftbus/core/monitor.py": (600, "the one place where all parts of a stream meet, in record order"),
    "src/driftbus/core/policy.py": (360, "the four ways of asking, each condition beside the next"),
    "src/driftbus/core/version.py": (535, "one model version: its detectors, metrics, history, slices and episodes"),
    "src/driftbus/restore.py": (420, "the seven steps of a restore, in order"),
    "src/driftbus/worker.py": (420, "the loop: poll, step, commit, rebalance, shutdown"),
    "deploy/grafana/build_dashboard.py": (400, "a list of panels"),
    "tests/acceptance/test_configuration.py": (480, "every key as an outsider sets it"),
    "tests/acceptance/test_kafka.py": (380, "one Kafka installation's life, told from outside"),
    "tests/acceptance/test_worker.py": (460, "one worker's life, told from outside: its parts share a house"),
    "tests/adapters/test_embedded.py": (400, "what the embedded bus promises beyond the contract"),
    "tests/adapters/test_kafka_bus.py": (750, "one broker, one story after another: cut up, each file would start its own"),
    "tests/contracts/test_bus.py": (650, "the contract of the bus, promise by promise"),
    "tests/core/test_episodes.py": (400, "stories of alarms"),
    "tests/core/test_metrics.py": (420, "each metric against its definition"),
    "tests/core/test_policy.py": (550, "stories of model events"),
}  # fmt: skip


def main() -> int:
    """Exit code 1 iff a file is too long."""
    wrong = []
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    for name, length in sorted(lengths.items()):
        most, _ = LONGER.get(name, (MOST, ""))
        if length > most:
            wrong.append(
                f"{name}: {length} lines, at most {most}; cut it, or give a reason in {Path(__file__).name}"
            )
    print("\n".join(wrong) or f"{len(lengths)} files, none longer than it may be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

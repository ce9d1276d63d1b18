"""A batch job that tells driftbus what it predicted: a nightly run over a CSV file, and its labels weeks
later.

    driftbus topics create --config examples/driftbus.yaml
    python examples/batch_job.py score customers.csv predictions.csv --night 2026-01-05
    python examples/batch_job.py labels churned.csv --night 2026-01-05

Three things are other than in a service. The ids are made of the night and the row's own key, so that a job
that is run again says the same events, which driftbus takes once. `ts` is the night's, not the moment of
the run. And at the end it is asked whether everything has arrived: a job can be repeated, so it says with
its exit code that it should be.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driftbus.client import Emitter

STREAM, MODEL_VERSION = "churn", "2026-01"
# How many rows go out before the job waits for the bus: below the emitter's bound (50,000), beyond which a
# service would rather lose events than wait. A job has the time.
TOGETHER = 10_000


def score(row: dict[str, str]) -> float:
    """The model: customers who call much and came lately leave."""
    return min(1.0, 0.08 * float(row["calls"]) + 0.5 / (1 + float(row["months"])))


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def run_scores(emitter: Emitter, source: Path, target: Path, night: datetime) -> bool:
    """Write the scores, and say them; whether all of it has arrived."""
    arrived = True
    with target.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["customer", "score"])
        for number, row in enumerate(rows(source), 1):
            probability = score(row)
            out.writerow([row["customer"], probability])
            emitter.prediction(
                STREAM,
                f"{night.date()}/{row['customer']}",
                prediction=int(probability > 0.5),
                score=probability,
                features={"calls": float(row["calls"]), "months": float(row["months"])},
                model_version=MODEL_VERSION,
                ts=night,
            )
            if number % TOGETHER == 0:
                arrived = emitter.flush(60) and arrived
    return arrived


def run_labels(emitter: Emitter, source: Path, night: datetime) -> bool:
    for number, row in enumerate(rows(source), 1):
        emitter.label(STREAM, f"{night.date()}/{row['customer']}", int(row["churned"]))
        if number % TOGETHER == 0 and not emitter.flush(60):
            return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score", help="score customers")
    scoring.add_argument("source", type=Path)
    scoring.add_argument("target", type=Path)
    labelling = commands.add_parser("labels", help="say which of them left")
    labelling.add_argument("source", type=Path)
    for command in (scoring, labelling):
        command.add_argument("--night", type=datetime.fromisoformat, required=True)
    chosen = parser.parse_args()
    night = chosen.night.replace(tzinfo=UTC)
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    emitter = Emitter(**bus)
    if chosen.command == "score":
        arrived = run_scores(emitter, chosen.source, chosen.target, night)
    else:
        arrived = run_labels(emitter, chosen.source, night)
    arrived = emitter.flush(60) and arrived
    emitter.close()
    if not arrived or emitter.lost:
        print(f"not everything has arrived (lost: {emitter.lost}): run it again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

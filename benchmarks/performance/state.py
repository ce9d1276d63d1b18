"""What one partition writes to `state` for its outcomes, by kind of record, once it runs evenly.

python -m benchmarks.performance --state
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from benchmarks.performance.jobs import settings_of
from benchmarks.performance.workload import PARTITIONS, SPACING_MS, STREAMS, Workload

from driftbus.core.block import Run
from driftbus.core.codec import decode
from driftbus.core.partition import Partition, StepInput
from driftbus.core.timestamps import rfc3339
from driftbus.journal import SNAPSHOT_RECORDS, Journal, Ranges

# A second of 5,000 predictions and as many labels over four partitions, as in RELIABILITY's reckoning.
STEP_PAIRS = 1_250
# A quarter of the workload's streams, as of its rate.
PARTITION_STREAMS = STREAMS // PARTITIONS
# What is written before every stream was snapshotted once is not even yet.
WARM_STEPS = SNAPSHOT_RECORDS // (2 * STEP_PAIRS)


def steps(pairs: int, delay: int, never: float) -> Iterator[list[Run]]:
    """A step at a time: predictions, then the labels of those that were made `delay` before; `never` of them
    get none."""
    events = []
    for event in Workload("uniform", pairs).events():
        if event.topic == "predictions":
            name = event.stream[:-3] + f"{int(event.stream[-3:]) % PARTITION_STREAMS:03d}"
            value = event.value.replace(event.stream.encode(), name.encode())
            events.append(decode("predictions", None, value, (), event.ts))
    for start in range(0, pairs, STEP_PAIRS):
        part = events[start : start + STEP_PAIRS]
        said = Run("predictions", part, list(range(start, start + len(part))), [p.ts for p in part])
        labels = []
        for index in range(max(0, start - delay), start + len(part) - delay):
            p, ts = events[index], events[index].ts + delay * SPACING_MS
            if index % 1000 >= never * 1000:
                raw = {"prediction_id": p.prediction_id, "stream": p.stream, "ts": rfc3339(ts), "label": 1}
                labels.append(decode("labels", None, orjson.dumps(raw), (), ts))
        yield [said, Run("labels", labels, [0] * len(labels), [label.ts for label in labels])]


def run(pairs: int, delay: int, never: float = 0.0) -> dict[str, float]:
    """Bytes of state per byte of outcomes, by kind, and what is pending and held of it at the end."""
    settings = settings_of("c", "127.0.0.1:1", "state")
    partition = Partition(0, settings.stream, settings.limits)
    journal = Journal(settings.config_hash, settings.fingerprint, {})
    outcome_bytes, written, held = 0, dict[str, int](), dict[str, int]()
    for number, runs in enumerate(steps(pairs, delay, never)):
        given = StepInput([run for run in runs if run.events])
        clock = partition.clock
        result = partition.step(given)
        taken = {run.topic: (0, len(run.events)) for run in given.runs}
        ranges = Ranges({"predictions": (0, 0), "labels": (0, 0), **taken}, {}, {})
        for key, value in journal.step(partition, given, result, ranges, clock):
            held[key] = len(value or b"")
            if number >= max(WARM_STEPS, delay // STEP_PAIRS):
                kind = key.split("/")[0]
                written[kind] = written.get(kind, 0) + len(value or b"")
        if number >= max(WARM_STEPS, delay // STEP_PAIRS):
            outcome_bytes += sum(len(row.value) for row in result.outcomes)
    found = {kind: round(n / outcome_bytes, 4) for kind, n in written.items()}
    blocks = [n for key, n in held.items() if key.startswith("block/")]
    return {
        "delay_s": delay * SPACING_MS / 1000,
        "never": never,
        "together": round(sum(found.values()), 4),
        **found,
        "pending": len(partition.join.pending),
        "block_bytes_held": sum(blocks),
    }

"""The real worker over a bus in memory: what driftbus itself costs, without a broker.

With `max_records` None it catches up: steps of the default size, each of one or two partitions, as on Kafka.
With a number it lives: steps of so many records of all partitions, in the order they happened.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

from benchmarks.performance.jobs import settings_of
from benchmarks.performance.memory_bus import MemoryBus, as_records, in_runs
from benchmarks.performance.stages import Stages
from benchmarks.performance.workload import PARTITIONS, Workload

from driftbus.wiring import share
from driftbus.worker import Worker

# Seen on Kafka: some 7,000 predictions of one partition, and as many labels, before the next one's.
RUN = 14_000


def run(
    job: str, skew: str, pairs: int, stages: Stages | None = None, max_records: int | None = None
) -> dict[str, float]:
    """CPU and wall µs per pair of one run in this process, and how many events it published."""
    settings = settings_of(job, "127.0.0.1:1", "core")
    records = as_records(Workload(skew, pairs).events(), settings.topics, PARTITIONS)
    if max_records is None:
        records = in_runs(records, RUN)
    else:
        settings = replace(settings, worker=replace(settings.worker, max_records=max_records))
    clock: list[float] = []

    def ended() -> None:
        clock.extend((time.process_time(), time.perf_counter()))
        worker.stop()

    bus = MemoryBus(records, PARTITIONS, ended)
    limits = share(settings.limits, PARTITIONS)
    worker = Worker(bus, replace(settings, limits=limits), "0")  # type: ignore[arg-type]
    if stages is not None:
        stages.watch(MemoryBus)
    cpu, wall = time.process_time(), time.perf_counter()
    worker.run()
    cpu, wall = clock[0] - cpu, clock[1] - wall
    found = {"cpu_us": cpu * 1e6 / pairs, "wall_us": wall * 1e6 / pairs, "steps": worker.counters.steps}
    for name in ("outcomes", "drift-events", "state"):
        found[name] = bus.produced.get(settings.topics[name], 0)
    found["state_bytes"] = bus.produced_bytes.get(settings.topics["state"], 0)
    if stages is not None:
        found |= {f"stage {name}": ns / 1000 / pairs for name, ns in stages.ns.items()}
    return found


def main(job: str, skew: str, pairs: int, stages: bool) -> None:
    """`run`, its result as a line of JSON."""
    print(json.dumps(run(job, skew, pairs, Stages() if stages else None)))

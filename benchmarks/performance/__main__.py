"""`python -m benchmarks.performance`: PERFORMANCE.md's protocol on a real Kafka, the table at the end.

A broker of its own is started unless KAFKA_BOOTSTRAP names one. `--quick` takes 20,000 pairs instead of
220,000; `--core` needs no broker and measures driftbus's own work over a bus in memory. `--pending` tells how
much so many waiting predictions take, `--restore` how long a start with 10,000 streams and 2 million of them,
`--state` what is written to `state` beside outcomes, `--snapshots` how large a stream's snapshot is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.performance import pending, report, restoring, snapshots, state
from benchmarks.performance.contenders import NAMES, Run
from benchmarks.performance.jobs import JOBS, settings_of
from benchmarks.performance.workload import PAIRS, PARTITIONS, QUICK_PAIRS, SKEWS, Workload
from confluent_kafka import Producer
from tests.integration.broker import Broker

from driftbus.ports import Bus, TopicSpec
from driftbus.topics import topic_specs
from driftbus.wiring import open_bus

ROOT = Path(__file__).resolve().parents[2]
# A run takes seconds; one that takes this long hangs.
LIMIT_S = 900


@contextlib.contextmanager
def kafka() -> Iterator[str]:
    """The address of a broker: KAFKA_BOOTSTRAP's, or one started for this run."""
    known = os.environ.get("KAFKA_BOOTSTRAP")
    if known:
        yield known
        return
    with Broker(heap_mb=1024) as broker:
        yield broker.bootstrap


def fill(bus: Bus, bootstrap: str, name: str, workload: Workload) -> dict[str, str]:
    """Write a workload into topics of its own; their names by short name."""
    topics = {short: f"{name}.{short}" for short in ("predictions", "labels")}
    # The workload's time is not today's: nothing is to be deleted for its age.
    keep = {"retention.ms": "-1"}
    bus.create_topics([TopicSpec(topic, PARTITIONS, keep) for topic in topics.values()])
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "lz4",
            "linger.ms": 20,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    for event in workload.events():
        producer.produce(topics[event.topic], event.value, event.stream.encode(), timestamp=event.ts)
        producer.poll(0)
    if producer.flush(120):
        raise SystemExit("the broker does not take the workload")
    return topics


def measure(bus: Bus, run: Run) -> dict[str, Any]:
    """One contender in a process of its own, over topics that are made for it."""
    settings = settings_of(
        run.job, run.bootstrap, run.run, {"predictions": run.predictions, "labels": run.labels}
    )
    bus.create_topics(topic_specs(settings, PARTITIONS))
    command = [sys.executable, "-m", "benchmarks.performance.contenders", json.dumps(asdict(run))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=LIMIT_S, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def on_kafka(options: argparse.Namespace) -> None:
    results: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    stages: dict[tuple[str, str], dict[str, float]] = {}
    token = uuid.uuid4().hex[:6]
    with kafka() as bootstrap, contextlib.closing(open_bus(settings_of("c", bootstrap, "bench"))) as bus:
        for skew in options.skews:
            topics = fill(bus, bootstrap, f"w-{token}-{skew}", Workload(skew, options.pairs))
            for round_number in range(options.rounds):
                for job in options.jobs:
                    for name in options.contenders:
                        if job != options.jobs[0] and name in ("consume", "decode", "join"):
                            continue  # the same in every job
                        key = f"b-{token}-{skew}-{job}-{round_number}-{NAMES.index(name)}"
                        run = Run(name, job, options.pairs, bootstrap, run=key, **topics)
                        found = measure(bus, run)
                        results.setdefault((skew, job, name), []).append(found)
                        print(
                            f"{skew:8} job {job} {name:22} {found['cpu_us']:7.2f} µs CPU "
                            f"{found['wall_us']:7.2f} µs wall per pair",
                            file=sys.stderr,
                            flush=True,
                        )
            for job in options.jobs if "driftbus" in options.contenders else ():
                run = Run(
                    "driftbus",
                    job,
                    options.pairs,
                    bootstrap,
                    run=f"b-{token}-{skew}-{job}-s",
                    stages=True,
                    **topics,
                )
                stages[skew, job] = measure(bus, run)["stages"]
    medians = {
        key: (median(one["cpu_us"] for one in rounds), median(one["wall_us"] for one in rounds))
        for key, rounds in results.items()
    }
    print(report.tables(medians, stages, options.pairs, options.rounds))


def in_memory(options: argparse.Namespace) -> None:
    """Each run in a process of its own, as in the protocol."""
    for skew in options.skews:
        for job in options.jobs:
            runs = []
            for _ in range(options.rounds):
                runs.append(_core(job, skew, options.pairs, stages=False))
            timed = _core(job, skew, options.pairs, stages=True)
            stages = {k.removeprefix("stage "): v for k, v in timed.items() if k.startswith("stage ")}
            cpu, wall = (min(run[what] for run in runs) for what in ("cpu_us", "wall_us"))
            print(f"{skew}, job {job}: {cpu:.1f} µs CPU, {wall:.1f} wall per pair, best of {options.rounds}")
            print(report.breakdown(stages))


def _core(job: str, skew: str, pairs: int, *, stages: bool) -> dict[str, float]:
    call = f"core.main({job!r}, {skew!r}, {pairs}, {stages})"
    code = f"from benchmarks.performance import core; {call}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, timeout=LIMIT_S, check=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 pairs, one round")
    parser.add_argument("--core", action="store_true", help="driftbus alone, over a bus in memory")
    parser.add_argument("--pending", type=int, metavar="N", help="memory of N predictions that wait")
    parser.add_argument(
        "--restore", nargs="*", type=int, metavar="N", help="streams and pending (10000 2000000)"
    )
    parser.add_argument("--state", action="store_true", help="state beside outcomes, by the labels' delay")
    parser.add_argument("--snapshots", action="store_true", help="a stream's snapshot, by its outcomes")
    parser.add_argument("--rounds", type=int, help="runs of each contender, interleaved (default 3)")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--skews", nargs="+", choices=SKEWS, default=list(SKEWS))
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=list(NAMES))
    options = parser.parse_args()
    options.pairs = options.pairs or (QUICK_PAIRS if options.quick else PAIRS)
    options.rounds = options.rounds or (1 if options.quick else 3)
    if options.pending:
        print(json.dumps(pending.run(options.pending)))
    elif options.state:
        for delay, never in ((1_000, 0.0), (1_000, 0.001), (40_000, 0.0)):
            print(json.dumps(state.run(480_000, delay, never)), flush=True)
    elif options.snapshots:
        for found in snapshots.run():
            print(json.dumps(found), flush=True)
    elif options.restore is not None:
        streams, waiting = options.restore or (10_000, 2_000_000)
        print(json.dumps(restoring.run(streams, waiting)))
    elif options.core:
        in_memory(options)
    else:
        on_kafka(options)


if __name__ == "__main__":
    main()

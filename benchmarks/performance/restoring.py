"""How long a worker's start takes: a real worker on the embedded bus takes in streams and pending predictions
and stops; then a new process restores all of its partitions, its garbage collector as a worker has it.

    python -m benchmarks.performance --restore [streams pending]

At the full size, 10,000 streams and 2 million pending predictions, writing the state takes some five minutes
and 3 GB in the folder for temporary files.
"""

from __future__ import annotations

import contextlib
import cProfile
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
from benchmarks.performance.pending import resident_bytes
from benchmarks.performance.workload import FEATURES, PARTITIONS, Event

from driftbus.collecting import Collecting
from driftbus.config import Settings, load
from driftbus.core.snapshot import joined
from driftbus.core.timestamps import rfc3339
from driftbus.ports import Bus, TopicPartition
from driftbus.restore import Task, restore
from driftbus.topics import topic_specs
from driftbus.wiring import open_bus, share
from driftbus.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_767_225_600_000
# Enough for each stream to have learned its references of scores and features.
ROWS_PER_STREAM = 100
# How long the worker may take to read what was written.
LIMIT_S = 3_600


def events(streams: int, pending: int) -> Iterator[Event]:
    """Labelled pairs of every stream, then predictions whose labels have not come, in turn."""
    rng = Random(1)
    for i in range(streams * ROWS_PER_STREAM + pending):
        stream, ts, pid = f"payments-eu-{i % streams:05d}", START_MS + i, f"{rng.getrandbits(96):024x}"
        score = round(rng.random(), 4)
        prediction = {
            "prediction_id": pid,
            "stream": stream,
            "ts": rfc3339(ts),
            "features": {f"x{k}": round(rng.gauss(0.0, 1.0), 6) for k in range(FEATURES)},
            "prediction": int(score >= 0.5),
            "score": score,
            "model_version": "v1",
        }
        yield Event("predictions", stream, orjson.dumps(prediction), ts)
        if i < streams * ROWS_PER_STREAM:
            label = {"prediction_id": pid, "stream": stream, "ts": rfc3339(ts), "label": rng.randrange(2)}
            yield Event("labels", stream, orjson.dumps(label), ts)


def fill(bus: Bus, settings: Settings, streams: int, pending: int) -> None:
    """Write the records, and have a worker take them all in and stop."""
    producer = bus.producer()
    for event in events(streams, pending):
        topic, key = settings.topics[event.topic], event.stream.encode()
        while not producer.produce(topic, key=key, value=event.value):
            producer.flush(1.0)
    if producer.flush(60.0):
        raise SystemExit("the bus does not take the records")
    producer.close(5.0)
    worker = Worker(bus, settings, "0")
    running = threading.Thread(target=worker.run)
    running.start()
    inputs = [
        TopicPartition(settings.topics[name], number)
        for name in ("predictions", "labels")
        for number in range(PARTITIONS)
    ]
    ends = {tp: bus.end_offset(tp.topic, tp.partition, committed=True) for tp in inputs}
    until = time.monotonic() + LIMIT_S
    while bus.committed(settings.group, inputs) != ends and time.monotonic() < until:
        time.sleep(0.5)
    worker.stop()
    running.join()


def state_bytes(bus: Bus, settings: Settings) -> dict[str, int]:
    """The newest record of each key, by kind of key: bytes, and how many `count`."""
    found: dict[str, int] = {}
    topic = settings.topics["state"]
    for number in range(PARTITIONS):
        newest: dict[str, bytes] = {}
        for record in bus.read_from(topic, number, bus.begin_offset(topic, number)):
            if record.key is not None:
                newest[record.key.decode()] = record.value or b""
        for key, value in newest.items():
            kind = key.split("/")[0]
            found[kind] = found.get(kind, 0) + len(value)
        streams = [key for key in newest if key.startswith("stream/") and key.count("/") == 1]
        found["largest stream"] = max(
            [found.get("largest stream", 0), *(len(joined(key, newest)) for key in streams if newest[key])]
        )
    return found


def settings_in(folder: Path, pending: int) -> Settings:
    """Settings over the embedded bus in a folder; each partition has its share of the limits."""
    path = folder / "driftbus.yaml"
    path.write_bytes(
        orjson.dumps(
            {
                "bus": "embedded",
                "embedded": {"path": str(folder / "data")},
                "http": {"enabled": False},
                "limits": {"max_pending": 2 * pending + 100_000},
            }
        )
    )
    settings = load(path, {})
    return replace(settings, limits=share(settings.limits, PARTITIONS))


def restored(folder: str, pending: int, profile: bool = False) -> None:
    """Restore what stands in a folder, and print what it took, as JSON."""
    settings = settings_in(Path(folder), pending)
    profiler = cProfile.Profile()
    with contextlib.closing(open_bus(settings)) as bus, Collecting():
        before, wall, cpu = resident_bytes(), time.perf_counter(), time.process_time()
        if profile:
            profiler.enable()
        longest, begun, held = 0.0, wall, []
        for number in range(PARTITIONS):
            for piece in restore(bus, settings, number):
                begun, last = time.perf_counter(), begun
                longest = max(longest, begun - last)
                if isinstance(piece, Task):
                    held.append(piece.partition)
        profiler.disable()
        found = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "longest_piece_s": longest,
            "rss_mib": (resident_bytes() - before) / 2**20,
            "streams": sum(len(partition.streams) for partition in held),
            "pending": sum(len(partition.join.pending) for partition in held),
            "remembered": sum(partition.join.sizes()["max_remembered"] for partition in held),
        }
    if profile:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    print(orjson.dumps(found).decode())


def run(streams: int, pending: int, profile: bool = False) -> dict[str, float]:
    """Seconds (wall and CPU) until all partitions are restored in one process, and bytes of state."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder), pending)
        with contextlib.closing(open_bus(settings)) as bus:
            bus.create_topics(topic_specs(settings, PARTITIONS))
            fill(bus, settings, streams, pending)
            found: dict[str, float] = {f"bytes {k}": v for k, v in state_bytes(bus, settings).items()}
        call = f"restoring.restored({folder!r}, {pending}, {profile})"
        code = f"from benchmarks.performance import restoring; {call}"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        found |= orjson.loads(done.stdout)
    if found["streams"] != streams or found["pending"] != pending:
        raise SystemExit(f"{found['streams']} streams and {found['pending']} pending came back")
    return found

"""One contender, one run, one process: `python -m benchmarks.performance.contenders '{"name": …}'`.

Prints one JSON object: CPU (all threads of the process) and wall µs per pair, from the poll that brought the
first record until all pairs are done, and committed where the contender commits.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.performance import rivals
from benchmarks.performance.jobs import settings_of
from benchmarks.performance.stages import Stages
from benchmarks.performance.workload import PARTITIONS
from confluent_kafka import Consumer, Producer

from driftbus.ports import Record
from driftbus.wiring import open_bus, share
from driftbus.worker import Worker

# From the barest up; the last is ours.
NAMES = ("consume", "decode", "join", "by hand", "by hand, transactions", "driftbus")
# PERFORMANCE.md: outcome records in transactions of 5,000.
TRANSACTION = 5_000
# Longer than any of its calls takes on a busy machine.
LIMIT_S = 60.0


@dataclass(frozen=True)
class Run:
    """What to run, over which topics. `run` names the group, and the topics driftbus writes to."""

    name: str
    job: str
    pairs: int
    bootstrap: str
    predictions: str
    labels: str
    run: str
    stages: bool = False


class Clock:
    """CPU and wall since `start`, which counts once."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self.cpu = self.wall = 0.0

    def start(self, at: tuple[float, float]) -> None:
        self._began = self._began or at

    def stop(self) -> None:
        if self._began is not None:
            self.cpu, self.wall = time.process_time() - self._began[0], time.perf_counter() - self._began[1]

    @staticmethod
    def now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()


def loop(run: Run, clock: Clock) -> None:
    """A consumer and one of the loops of `rivals`."""
    consumer = Consumer(
        {
            "bootstrap.servers": run.bootstrap,
            "group.id": run.run,
            "auto.offset.reset": "earliest",
            # librdkafka's default of 1000 stalls a fast consumer.
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([run.predictions, run.labels])
    count = rivals.Count()
    publish = commit = None
    if run.name == "by hand, transactions":
        publish, commit = transactions(run, consumer)
    makers: dict[str, Callable[[], rivals.Take]] = {
        "consume": lambda: rivals.consume_only(count, run.labels),
        "decode": lambda: rivals.decode_only(count, run.labels),
        "join": lambda: rivals.join_only(count, run.labels),
    }
    whole = lambda: rivals.by_hand(count, run.labels, run.job == "c", publish)  # noqa: E731
    take = makers.get(run.name, whole)()
    while count.pairs < run.pairs:
        before = Clock.now()
        messages = consumer.consume(1000, 0.1)
        if messages:
            clock.start(before)
        for message in messages:
            if message.error() is None:
                take(message.topic(), message.value())
    if commit is not None:
        commit()
    clock.stop()
    consumer.close()


def transactions(run: Run, consumer: Consumer) -> tuple[Callable[[str, bytes], None], Callable[[], None]]:
    """What publishes an outcome, and what commits the rest of them."""
    producer = Producer(
        {
            "bootstrap.servers": run.bootstrap,
            "transactional.id": run.run,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 500_000,
            # librdkafka#5511: else send_offsets_to_transaction may wait for ever.
            "metadata.recovery.strategy": "none",
        }
    )
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    topic, waiting = f"{run.run}.outcomes", 0

    def commit() -> None:
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), LIMIT_S)
        producer.commit_transaction(LIMIT_S)

    def publish(stream: str, value: bytes) -> None:
        nonlocal waiting
        producer.produce(topic, value, stream.encode())
        waiting += 1
        if waiting == TRANSACTION:
            commit()
            producer.begin_transaction()
            waiting = 0

    return publish, commit


class Measured(Worker):
    """The worker, with a clock; it stops after the step that completed the last pair was committed."""

    def __init__(self, clock: Clock, pairs: int, *given: Any) -> None:
        super().__init__(*given)
        self._clock, self._pairs = clock, pairs
        self._measured = False

    def _gather(self, consumer: Any) -> dict[int, dict[str, list[Record]]]:
        before = Clock.now()
        found = super()._gather(consumer)
        if found:
            self._clock.start(before)
        return found

    def _step(self, *given: Any, **more: Any) -> None:
        super()._step(*given, **more)
        if not self._measured and self.published.get("outcomes", 0) >= self._pairs:
            self._measured = True
            self._clock.stop()
            self.stop()


def driftbus(run: Run, clock: Clock) -> dict[str, Any]:
    """The real worker with all its guarantees."""
    settings = settings_of(
        run.job, run.bootstrap, run.run, {"predictions": run.predictions, "labels": run.labels}
    )
    stages = None
    if run.stages:
        from driftbus.adapters.kafka.transaction import KafkaTransaction

        stages = Stages()
        stages.watch(KafkaTransaction)
    bus = open_bus(settings)
    try:
        limits = share(settings.limits, PARTITIONS)
        worker = Measured(clock, run.pairs, bus, replace(settings, limits=limits), "0")
        worker.run()
        found: dict[str, Any] = {"steps": worker.counters.steps, "published": worker.published}
    finally:
        bus.close()
    if stages is not None:
        found["stages"] = {name: ns / 1000 / run.pairs for name, ns in stages.ns.items()}
    return found


def main() -> None:
    run = Run(**json.loads(sys.argv[1]))
    clock = Clock()
    found: dict[str, Any] = {}
    if run.name == "driftbus":
        found = driftbus(run, clock)
    else:
        loop(run, clock)
    found |= {"cpu_us": clock.cpu * 1e6 / run.pairs, "wall_us": clock.wall * 1e6 / run.pairs}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

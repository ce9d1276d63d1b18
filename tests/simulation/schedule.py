"""One schedule: a world, workers, a scheduler, and the invariants at its end, all from one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from driftbus.intake import INPUTS
from driftbus.ports import TopicPartition
from driftbus.worker import Worker

from .bus import MemoryBus
from .invariants import check, check_calls
from .nature import Fault, Nature
from .pace import Clock, small_life
from .scheduler import Scheduler
from .world import START_MS, Producers, World, build

Failure = tuple[int, str]

# Left out where names of topics are told.
PREFIX = "driftbus."
# When a history was written before the workers come.
HISTORY_MS = 2 * 3_600_000
# After so long every marker has arrived and every transaction that was left open has timed out.
SETTLED_MS = 60_000


class Calm:
    """Nothing goes wrong, and time stands where the schedule ended unless somebody waits."""

    def __init__(self, now_ms: int) -> None:
        self.rng = random.Random(0)
        self._now = now_ms

    def now_ms(self) -> int:
        return self._now

    def point(self, process: str, call: str, *details: object) -> Fault | None:
        return None

    def wait(self, until_ms: float) -> None:
        self._now += 100


class Schedule:
    """What a seed means. `run` raises what is broken; `counts` says what there was of each."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = random.Random(seed)
        self.world: World = build(rng)
        start_ms = START_MS + (HISTORY_MS if self.world.history else 0)
        self.scheduler = Scheduler(rng.randrange(1 << 62), start_ms)
        self.producers = Producers(self.world, self.scheduler, rng)
        self.workers: list[Worker] = []
        self.counts: Counter[str] = Counter()

    def run(self, clock: Clock) -> None:
        """`clock`: what `small_life` gave."""
        scheduler = self.scheduler
        clock.nature = scheduler
        self.producers.create_topics()
        names = [f"w{i}" for i in range(self.world.workers)]
        scheduler.run(names, self._work, self.producers, self._finished, self._stop)
        calm: Nature = Calm(scheduler.now_ms() + SETTLED_MS)
        scheduler.broker.pass_time(calm.now_ms())
        clock.nature = calm
        check_calls(scheduler.trace)
        self.counts = check(scheduler.broker, self.world, MemoryBus(scheduler.broker, calm, "checker"))
        self.counts.update(calls=scheduler.calls, kills=scheduler.kills, freezes=scheduler.freezes)
        self.counts["rebalances"] = sum(worker.counters.rebalances for worker in self.workers)

    def story(self) -> list[str]:
        """What happened, a line for each port call and each event."""
        lines = []
        for now_ms, process, call, details in self.scheduler.trace:
            told = " ".join(_told(each) for each in details)
            where = f"{process:5}" if process else "-----"
            lines.append(f"{(now_ms - START_MS) / 1000:11.3f} s  {where} {call} {told}".rstrip())
        return lines

    def _work(self, scheduler: Scheduler, bus: MemoryBus) -> None:
        worker = Worker(bus, self.world.settings, bus.process.split(".")[0])
        self.workers.append(worker)
        worker.run()

    def _stop(self) -> None:
        for worker in self.workers:
            worker.stop()

    def _finished(self) -> bool:
        """Whether all input is committed."""
        broker, settings = self.scheduler.broker, self.world.settings
        offsets = broker.group(settings.group).offsets
        for topic in INPUTS:
            for number in range(self.world.partitions):
                where = TopicPartition(settings.topics[topic], number)
                log = broker.log(where)
                if log.open:
                    return False
                records = log.everything()
                if records and offsets.get(where, 0) <= records[-1].offset:
                    return False
        return True


def _told(detail: object) -> str:
    """A detail of a call, in short."""
    if isinstance(detail, dict):
        return "{" + ", ".join(f"{_told(key)}: {_told(value)}" for key, value in detail.items()) + "}"
    if isinstance(detail, TopicPartition):
        return f"{_told(detail.topic)}[{detail.partition}]"
    if isinstance(detail, bytes):
        return detail.decode(errors="replace")
    return str(detail).replace(PREFIX, "")


def run(seeds: Iterable[int]) -> tuple[Counter[str], list[Failure]]:
    """Run the schedules of these seeds: what there was of each thing, and what broke."""
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    with small_life() as clock:
        for seed in seeds:
            schedule = Schedule(seed)
            try:
                schedule.run(clock)
            except Exception as error:
                failures.append((seed, f"{type(error).__name__}: {error}"))
            counts.update(schedule.counts)
            counts["schedules"] += 1
    return counts, failures

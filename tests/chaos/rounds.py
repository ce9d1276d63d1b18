"""One round: input flows, workers and the broker are killed, and afterwards every promise is checked."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from driftbus.config import Settings, load
from driftbus.errors import BusError, Unavailable
from driftbus.intake import INPUTS
from driftbus.ports import Bus, TopicPartition, Transaction
from driftbus.wiring import open_bus
from tests.integration.broker import Broker
from tests.integration.exactness import Checked
from tests.integration.workers import create_topics

from .crew import Crew
from .invariants import check_everything
from .world import RULES, Sent, parts, records

# The least that brokers allow, and what a loaded machine still bears; a frozen worker is a zombie afterwards.
SESSION_S = 6
FROZEN_S = 8.0
# The same of groups by KIP-848, where the broker says so.
BROKER = {
    "group.consumer.min.session.timeout.ms": str(SESSION_S * 1000),
    "group.consumer.session.timeout.ms": str(SESSION_S * 1000),
    "group.consumer.min.heartbeat.interval.ms": "1500",
    "group.consumer.heartbeat.interval.ms": "1500",
}
# Between two parts of the input.
FEED_S = 0.25
# A limit for what hangs, never part of a result: a dead worker's transaction lives for 10 s and is looked for
# every 30 s, a stalled loop is ended after 60 s.
SETTLE_LIMIT_S = 300.0


@dataclass(frozen=True)
class Plan:
    """`rows` of each stream, over at least `seconds`; `broker_kills` spread evenly over that time, and every
    `pause_s` (at least, at most) a blow to some worker. A group needs the session timeout to get over one
    that was killed: with shorter pauses it does nothing but rebalance."""

    seed: int
    seconds: float = 60.0
    rows: int = 900
    workers: int = 3
    partitions: int = 6
    broker_kills: int = 1
    pause_s: tuple[float, float] = (2.0, 9.0)
    protocol: str = "classic"  # of the group; or consumer (KIP-848)


@dataclass
class Result:
    plan: Plan
    ended: Counter[str]
    checked: Checked
    broker_kills: int = 0
    took_s: float = 0.0
    story: list[str] = field(default_factory=list)


def settings_for(broker: Broker, plan: Plan, folder: Path) -> tuple[Path, Settings]:
    kafka = {
        "bootstrap.servers": broker.bootstrap,
        "group.protocol": plan.protocol,
        "session.timeout.ms": SESSION_S * 1000,
        "heartbeat.interval.ms": 1500,
        "transaction.timeout.ms": 10_000,
    }
    document = {
        "bus": "kafka",
        "kafka": kafka,
        "group": f"chaos-{plan.seed}",
        "topic_prefix": f"chaos-{plan.seed}.",
        "http": {"enabled": False},
        # Small steps: the ring turns over, and kills fall into many different places.
        "worker": {
            "max_records": 150,
            "commit_interval": "50ms",
            "restart_wait": "100ms",
            "stall_timeout": "60s",
            # Most of the few model events are poison here.
            "max_dead_letter_ratio": 1,
        },
        **RULES,
    }
    path = folder / "driftbus.yaml"
    path.write_text(yaml.safe_dump(document))
    return path, load(path, {})


class Feeder(threading.Thread):
    """Sends the input part by part; waits for each to be delivered, so that topics stay together in time.

    Now and then a part goes through a transaction, and one is given up: what was aborted upstream must never
    be seen.
    """

    def __init__(self, bus: Bus, settings: Settings, sent: list[Sent], plan: Plan) -> None:
        super().__init__(daemon=True)
        self._bus, self._settings, self._sent, self._plan = bus, settings, sent, plan
        self._rng = random.Random(plan.seed + 1)
        self._transaction: Transaction | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            producer = self._bus.producer()
            for part in parts(self._sent, max(1, int(self._plan.seconds / FEED_S))):
                begun = time.monotonic()
                chance = self._rng.random()
                if chance < 0.05:
                    self._transactionally(part, commit=False)
                if not (chance < 0.15 and self._transactionally(part, commit=True)):
                    for sent in part:
                        topic = self._settings.topics[sent.topic]
                        while not producer.produce(topic, key=sent.key, value=sent.value):
                            producer.flush(0.1)
                    assert producer.flush(120) == 0
                time.sleep(max(0.0, begun + FEED_S - time.monotonic()))
            producer.close(5)
        except BaseException as error:
            self.error = error

    def _transactionally(self, part: list[Sent], *, commit: bool) -> bool:
        """Whether it went well; if not, it may be there all the same, and is sent again."""
        try:
            if self._transaction is None:
                self._transaction = self._bus.transaction(f"upstream-{self._plan.seed}")
            self._transaction.begin()
            for sent in part:
                self._transaction.produce(self._settings.topics[sent.topic], key=sent.key, value=sent.value)
            if commit:
                self._transaction.commit()
            else:
                self._transaction.flush()
                self._transaction.abort()
        except BusError:
            if self._transaction is not None:
                self._transaction.close()
            self._transaction = None
            return False
        return True


class BrokersFault(Exception):
    """The round cannot be judged: the broker said that it lost markers of transactions (KAFKA-20734), so what
    was given up may have been published. See docs/runbooks/lost-transaction-markers.md."""


class Round:
    def __init__(self, broker: Broker, plan: Plan, folder: Path, tell: Callable[[str], None]) -> None:
        self.broker, self.plan, self.folder, self.tell = broker, plan, folder, tell
        self.rng = random.Random(plan.seed)
        self.broker_kills = 0
        self.joined = 0
        self.events: Counter[str] = Counter()

    def run(self) -> Result:
        """Raises AssertionError with what was broken, `BrokersFault` where that is known to be Kafka's."""
        try:
            return self._run()
        except AssertionError as error:
            lost = self.broker.lost_markers(f"chaos-{self.plan.seed}.")
            if lost:
                raise BrokersFault("\n".join(lost)) from error
            raise

    def _run(self) -> Result:
        begun = time.monotonic()
        plan = self.plan
        config, settings = settings_for(self.broker, plan, self.folder)
        bus = open_bus(settings)
        crew = Crew(config, self.folder, self.rng)
        try:
            create_topics(bus, settings, plan.partitions)
            for i in range(plan.workers):
                crew.start(f"w{i}")
            feeder = Feeder(bus, settings, records(plan.rows, plan.seed), plan)
            feeder.start()
            self._chaos(crew, feeder)
            if feeder.error is not None:
                raise feeder.error
            self._settle(crew, bus, settings)
            crew.finish()
            checked = check_everything(bus, settings)
        finally:
            crew.close()
            bus.close()
        return Result(plan, crew.ended + self.events, checked, self.broker_kills, time.monotonic() - begun)

    def _chaos(self, crew: Crew, feeder: Feeder) -> None:
        started = time.monotonic()
        plan = self.plan
        kills_at = [started + plan.seconds * (i + 0.6) / plan.broker_kills for i in range(plan.broker_kills)]
        act_at = started + 4.0
        until = started + plan.seconds
        while feeder.is_alive() or time.monotonic() < until:
            time.sleep(0.05)
            self._watch(crew)
            now = time.monotonic()
            if kills_at and now > kills_at[0]:
                kills_at.pop(0)
                self._kill_broker(crew)
            elif now > act_at and now < until:
                act_at = now + self.rng.uniform(*plan.pause_s)
                self._act(crew)

    def _watch(self, crew: Crew) -> None:
        for line in crew.watch(FROZEN_S):
            self.tell(line)

    def _act(self, crew: Crew) -> None:
        """Something happens to a worker, or somebody comes or goes."""
        running = [member for member in crew.running() if not member.asked_to_stop]
        if not running:
            return
        victim = self.rng.choice(running)
        act = self.rng.choice(["kill", "kill", "freeze", "term", "join", "leave"])
        many = len([member for member in crew.members if not member.asked_to_stop])
        if act == "leave" and many < 2:
            act = "join"
        elif act == "join" and many > self.plan.workers:
            act = "leave"
        self.tell(f"{act} {victim.name}" if act != "join" else "join")
        self.events[f"{act} at random"] += act not in ("kill", "term")
        if act == "kill":
            victim.signal(signal.SIGKILL)
        elif act == "freeze":
            victim.signal(signal.SIGSTOP)
        elif act in ("term", "leave"):
            victim.asked_to_stop = True
            victim.signal(signal.SIGTERM)
            if act == "term":  # as a deployment does it: the next one comes under the same name
                crew.start(victim.name)
        else:
            self.joined += 1
            crew.start(f"j{self.joined}")

    def _kill_broker(self, crew: Crew) -> None:
        """While it is away workers go on dying, by their fates."""
        self.tell("broker killed")
        self.broker.kill()
        self.broker_kills += 1
        away_until = time.monotonic() + self.rng.uniform(0.0, 5.0)
        while time.monotonic() < away_until:
            time.sleep(0.05)
            self._watch(crew)
        self.broker.start()
        self.tell("broker is back")

    def _settle(self, crew: Crew, bus: Bus, settings: Settings) -> None:
        """No further chaos: everything must be worked off."""
        crew.calm = True
        until = time.monotonic() + SETTLE_LIMIT_S
        while True:
            self._watch(crew)
            if not crew.members:
                crew.start("last")
            if all(member.thaw_at is None for member in crew.members) and self._is_worked_off(bus, settings):
                return
            if time.monotonic() > until:
                logs = "\n".join(f"--- {m.name}\n{m.said()[-3000:]}" for m in crew.members)
                raise AssertionError(f"not all records are worked off\n{logs}")
            time.sleep(0.2)

    def _is_worked_off(self, bus: Bus, settings: Settings) -> bool:
        """Whether no record lies after the group's offsets: only markers of upstream's transactions may."""
        places = [
            TopicPartition(settings.topics[name], number)
            for name in INPUTS
            for number in range(self.plan.partitions)
        ]
        try:
            committed = bus.committed(settings.group, places)
            for place in places:
                start, end = committed.get(place, 0), bus.end_offset(*place, committed=True)
                if start < end and next(bus.read_from(*place, start), None) is not None:
                    return False
        except Unavailable:
            return False
        return True

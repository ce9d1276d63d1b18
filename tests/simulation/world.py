"""What happens in a schedule's world: a few streams with everything that can come of a stream, in small.

    drift-N    a change of its error, then a deployment       often-N   requests on a schedule and by hand
    tight-N    a horizon of minutes: late, orphan, expired     forced-N  expired predictions get a label
    plain-N    nothing special                                 learn-N   with a challenger and features

Every stream has duplicates, early, missing and conflicting labels; poison stands anywhere. Producers upstream
write it in chunks, some in transactions, of which some are aborted and sent again, some chunks twice.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from driftbus.adapters.partitioner import partition_of
from driftbus.config import Settings, load
from driftbus.core.snapshot import unseal
from driftbus.intake import INPUTS
from driftbus.ports import Headers, TopicPartition
from driftbus.topics import topic_specs
from driftbus.wiring import share

from .broker import Broker, Draft
from .scheduler import Scheduler

START_MS = 1_767_225_600_000
SPACING_MS = 30_000
KINDS = ("drift", "often", "tight", "forced", "plain", "learn")
# Kinds whose horizon never passes: of them an outcome is due for every pair, whatever the order of things.
PATIENT = ("drift", "often", "plain", "learn")
POISON: tuple[bytes | None, ...] = (
    b"not json", b"[1]", b'{"prediction_id": 7}', None, b"", b'{"prediction_id": "n", "ts": -1}',
    b'{"prediction_id": "x", "prediction": 1, "label": 1, "type": 5, "stream": ""}', b'{"a": NaN}',
    b"\xff\xfe",
)  # fmt: skip
# What producers upstream put beside a record that nobody can read.
TRACED: Headers = (("trace", b"\xff1"), ("trace", None))
_WATCH = [{"page_hinkley": {"threshold": 1.0, "min_instances": 5}}]
_DOCUMENT: dict[str, Any] = {
    "bus": "embedded",
    "group": "simulated",
    "stream_defaults": {
        "task": "classification",
        "challenger": "off",
        "signals": {
            **dict.fromkeys(("features", "score", "quality", "challenger_gap"), "off"),
            "error": _WATCH,
        },
        "metrics": {"windows": ["20"]},
        "retrain": {
            "cooldown": "10m",
            "min_rows": 5,
            "min_rows_per_class": 1,
            "timeout": "6m",
            "max_wait": "10m",
            "when": ["accuracy < 0.6 over 10"],
        },
    },
    "streams": {
        "often-*": {"retrain": {"every": "2m", "min_rows": 3, "cooldown": "1m"}},
        "tight-*": {"join": {"horizon": "3m", "grace": "3m", "dead_letter_unmatched": True}},
        "forced-*": {"join": {"horizon": "4m", "grace": "2m", "expired_label": 0}},
        "learn-*": {"challenger": "auto", "signals": {"quality": "auto", "features": "auto"}},
    },
}


class Event(NamedTuple):
    """A record as a producer upstream has it: topic (short), and when it is sent, in event time."""

    topic: str
    key: bytes | None
    value: bytes | None
    sent_ms: int


@dataclass(frozen=True)
class World:
    """A schedule's topics, rules and input. `roomy`: no bound is ever reached."""

    partitions: int
    workers: int
    settings: Settings
    roomy: bool
    history: bool  # the input was written before the workers came, over the time it tells of
    events: list[Event]


@cache
def rules(partitions: int, roomy: bool, max_records: int, interval_ms: int) -> Settings:
    """The settings of a worker, with the share of the limits that a partition has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "driftbus.yaml"
        path.write_text(yaml.safe_dump(_DOCUMENT))
        settings = load(path, {})
    limits = settings.limits
    if not roomy:
        limits = replace(
            limits,
            max_pending=8 * partitions,
            max_early_labels=3 * partitions,
            max_remembered=10 * partitions,
            max_streams=2 * partitions,
        )
    worker = replace(settings.worker, max_records=max_records, commit_interval_ms=interval_ms)
    return replace(settings, limits=share(limits, partitions), worker=worker)


def build(rng: random.Random) -> World:
    """Draw a world."""
    partitions = rng.choice((1, 2, 2, 3))
    roomy = rng.random() < 0.7
    settings = rules(partitions, roomy, rng.choice((4, 12, 40)), rng.choice((60, 500, 2_000)))
    kinds = rng.sample(KINDS, rng.choice((2, 3)))
    if rng.random() < 0.4 and "drift" not in kinds:
        kinds[0] = "drift"
    events: list[Event] = []
    for kind in kinds:
        _stream(rng, kind, f"{kind}-{rng.randrange(6)}", events)
    for _ in range(rng.choice((0, 1, 3))):
        key = rng.choice((b"poison", None, b"plain-1"))
        span_ms = 20 * SPACING_MS
        sent_ms = START_MS + rng.randrange(span_ms)
        events.append(Event(rng.choice(INPUTS), key, rng.choice(POISON), sent_ms))
    events.sort(key=lambda event: event.sent_ms)
    if rng.random() < 0.3:
        # A producer that begins anew sends again what it has sent.
        start = rng.randrange(len(events))
        events += events[start : start + rng.randint(3, 15)]
    return World(partitions, rng.choice((1, 2, 2, 3)), settings, roomy, rng.random() < 0.3, events)


def _stream(rng: random.Random, kind: str, name: str, events: list[Event]) -> None:
    """Everything one stream brings."""
    key = name.encode()
    rows = rng.randint(36, 46) if kind == "drift" else rng.randint(5, 16)
    change, deployed = (20, 34) if kind == "drift" else (rows, rng.choice((rows // 2, rows)))

    def send(topic: str, sent_ms: int, **value: Any) -> None:
        if rng.random() < 0.5:
            value["stream"] = name
        events.append(Event(topic, key, orjson.dumps(value), sent_ms))

    for i in range(rows):
        ts = START_MS + i * SPACING_MS + rng.randrange(SPACING_MS)
        label = rng.randrange(2)
        wrong = change <= i < deployed + 2
        prediction: dict[str, Any] = {
            "prediction_id": f"{name}/{i}",
            "ts": 253_402_300_799_000 if rng.random() < 0.003 else ts,
            "prediction": 1 - label if wrong else label,
            "model_version": "v1" if i < deployed else "v2",
        }
        if kind == "learn":
            prediction["features"] = {"x": round(rng.gauss(label, 1.0), 3), "c": rng.choice("abc")}
            prediction["slices"] = {"region": rng.choice(("eu", "us"))}
        send("predictions", ts, **prediction)
        if rng.random() < 0.05:
            send("predictions", ts + rng.randrange(SPACING_MS), **prediction)
        due = ts + int(rng.expovariate(1.0) * SPACING_MS) - (SPACING_MS if rng.random() < 0.1 else 0)
        if kind in ("tight", "forced") and rng.random() < 0.3:
            due += 10 * SPACING_MS
        if rng.random() < 0.95:
            send("labels", due, prediction_id=f"{name}/{i}", ts=due, label=label)
            while rng.random() < 0.12:
                due += rng.randrange(2 * SPACING_MS)
                send("labels", due, prediction_id=f"{name}/{i}", ts=due, label=rng.randrange(2))
        if rng.random() < 0.02:
            send("labels", ts, prediction_id=f"{name}/nobody-{i}", ts=ts, label=1)
        if i == deployed:
            kinds = ["training-started", "model-deployed"] if rng.random() < 0.5 else ["model-deployed"]
            for what in kinds:
                send("model-events", ts, ts=ts, type=what, model_version="v2")
    if kind == "often":
        for _ in range(rng.randint(1, 3)):
            ts = START_MS + rng.randrange(rows * SPACING_MS)
            what = rng.choice(("retrain-requested", "training-failed", "training-started"))
            send("model-events", ts, ts=ts, type=what, by="somebody", reason="to see")


class Producers:
    """Writes a world's events upstream, and cleans topics; see `scheduler.Upstream`."""

    def __init__(self, world: World, scheduler: Scheduler, rng: random.Random) -> None:
        self._world, self._scheduler, self._rng = world, scheduler, rng
        self._broker: Broker = scheduler.broker
        self._names = world.settings.topics
        self._left = list(reversed(world.events))
        self._chunks = 0
        self._transactional = rng.random() < 0.5
        self._largest = rng.choice((3, 8, 20))  # records at a time

    def create_topics(self) -> None:
        for spec in topic_specs(self._world.settings, self._world.partitions):
            self._broker.create(spec)

    def done(self) -> bool:
        return not self._left

    def write(self) -> None:
        """The next chunk, perhaps in a transaction, perhaps one that is aborted and tried again."""
        rng, left = self._rng, self._left
        if not left:
            return
        count = min(len(left), rng.randint(1, self._largest))
        chunk = left[-count:]
        aborted = False
        if not self._transactional or rng.random() < 0.4:
            self._scheduler.tell("written", count)
            for event in chunk:
                where, draft = self._placed(event)
                self._broker.append(where, [draft])
        else:
            self._chunks += 1
            name, now_ms = f"upstream-{self._chunks}", self._scheduler.now_ms()
            aborted = rng.random() < 0.3
            self._scheduler.tell("written in a transaction", count, "aborted" if aborted else "committed")
            epoch = self._broker.open_producer(name, now_ms)
            for event in chunk:
                where, draft = self._placed(event)
                self._broker.deliver(name, epoch, where, [draft], now_ms)
            self._broker.end(name, epoch, not aborted, now_ms)
        if not aborted:
            del left[-count:]

    def compact(self) -> None:
        number = self._rng.randrange(self._world.partitions)
        self._scheduler.tell("compact", "state", number)
        self._broker.log(TopicPartition(self._names["state"], number)).compact()

    def trim(self) -> None:
        """Remove of the inputs what no restore should need: all before the floor of the last step."""
        number = self._rng.randrange(self._world.partitions)
        state = self._broker.log(TopicPartition(self._names["state"], number))
        steps: dict[int, Any] = {}
        for record in state.read(0, state.stable, len(state.entries), committed=True)[0]:
            if record.key is not None and record.key.startswith(b"step/") and record.value is not None:
                step = unseal(record.value).json()
                steps[step["step"]] = step
        if not steps:
            return
        last = steps[max(steps)]
        # A step whose state is not visible yet may have moved on; it never goes back.
        needed = steps.get(last["floor"])
        for topic in INPUTS:
            log = self._broker.log(TopicPartition(self._names[topic], number))
            begin = needed["inputs"][topic][0] if needed else last["inputs"][topic][1]
            if begin > log.begin:
                self._scheduler.tell("trim", topic, number, begin)
                log.begin = begin

    def _placed(self, event: Event) -> tuple[TopicPartition, Draft]:
        partition = partition_of("murmur2_random", event.key, self._world.partitions)
        if partition is None:
            partition = self._rng.randrange(self._world.partitions)
        time_ms = event.sent_ms if self._world.history else self._scheduler.now_ms()
        headers = TRACED if event.value in POISON else ()
        return TopicPartition(self._names[event.topic], partition), (event.key, event.value, headers, time_ms)

"""The demo's director: lets simulated time pass, step by step, and sees that the loop closes in each.

    serve until t ──► worker has folded all of it ──► every request so far is answered ──► next step

That is back-pressure, nothing else: the services are told no more than the time. It keeps emission at
most one step ahead of the worker, so a new model really takes over inside its stream, and a run takes as
long as the machine needs, no longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from driftbus.client.window import epoch_ms
from driftbus.demo.processes import Processes
from driftbus.demo.stage import Stage
from driftbus.demo.traffic import END_MS, SPACING_MS, START_MS
from driftbus.errors import DriftbusError
from driftbus.ports import Bus, TopicPartition

# 200 events of each stream: at most so many answers of the old model come after a request.
STEP_MS = 200 * SPACING_MS
# How often the bus is asked how far the others are.
LOOK_EVERY_S = 0.02
# Without any progress for so long something is broken; a step takes a second on a slow machine.
STALLED_S = 120.0

INPUTS = ("predictions", "labels", "model-events")
Say = Callable[[str], None]


class StalledError(DriftbusError):
    """A process of the demo ended, or does not get on."""


class Director:
    """Runs the closed loop over one stage. `say` gets a line for people whenever something happens."""

    def __init__(self, stage: Stage, bus: Bus, processes: Processes, say: Say) -> None:
        self._stage, self._bus, self._processes, self._say = stage, bus, processes, say
        self._read: dict[TopicPartition, int] = {}
        self._open: dict[str, str] = {}
        self.predictions = 0
        self.labels = 0

    def run(self, passed: Callable[[float], None]) -> None:
        """From the beginning to the last label; `passed` hears the share of time that is over."""
        now_ms = START_MS
        while now_ms < END_MS:
            now_ms = min(now_ms + STEP_MS, END_MS)
            self.step(now_ms)
            passed((now_ms - START_MS) / (END_MS - START_MS))

    def step(self, until_ms: int) -> None:
        """One turn of the loop drawn above."""
        served = self._processes.serve(until_ms)
        if not served["delivered"] or served["lost"]:
            raise StalledError(f"the inference service could not deliver its events: {served}")
        self.predictions += served["predictions"]
        self.labels += served["labels"]
        self._wait("the worker has folded what was sent", self._folded)
        self._listen()
        while self._open:
            self._wait("the trainer has answered", self._answered)
            # The worker takes note before time goes on, and may have something to say about it.
            self._wait("the worker has folded the answers", self._folded)
            self._listen()

    def _folded(self) -> bool:
        for short in INPUTS:
            topic = self._stage.topic(short)
            places = [TopicPartition(topic, p) for p in range(self._bus.partitions(topic))]
            done = self._bus.committed(self._stage.group, places)
            if any(done.get(p, 0) < self._bus.end_offset(*p, committed=True) for p in places):
                return False
        return True

    def _answered(self) -> bool:
        self._listen()
        return not self._open

    def _listen(self) -> None:
        """Take note of what is new on the bus, and tell it in the order of simulated time."""
        told: list[tuple[int, str]] = []
        for event in self._news("drift-events"):
            data = event["data"]
            if data["status"] != "updated":
                what = f"{data['category']} episode {data['status']}, {data['kind']}"
                told.append((epoch_ms(event["time"]), f"{data['stream']}: {what}"))
        for event in self._news("retrain-requests"):
            data = event["data"]
            self._open[data["request_id"]] = data["stream"]
            what = f"retrain requested, {data['training_window']['rows']:,} rows"
            told.append((epoch_ms(event["time"]), f"{data['stream']}: {what}"))
        for event in self._news("model-events"):
            if event["type"] in ("model-deployed", "training-failed"):
                self._open.pop(event.get("retrain_request_id", ""), None)
                detail = event.get("model_version") or event.get("reason")
                told.append((epoch_ms(event["ts"]), f"{event['stream']}: {event['type']}, {detail}"))
        for _, line in sorted(told):
            self._say(line)

    def _news(self, short: str) -> list[dict[str, Any]]:
        topic = self._stage.topic(short)
        found = []
        for partition in range(self._bus.partitions(topic)):
            place = TopicPartition(topic, partition)
            for record in self._bus.read_from(topic, partition, self._read.get(place, 0)):
                self._read[place] = record.offset + 1
                found.append(orjson.loads(record.value or b"null"))
        return found

    def _wait(self, until: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STALLED_S
        while not reached():
            self._processes.check()
            if time.monotonic() > deadline:
                raise StalledError(f"waited {STALLED_S:.0f} s until {until}; see {self._stage.logs}")
            time.sleep(LOOK_EVERY_S)

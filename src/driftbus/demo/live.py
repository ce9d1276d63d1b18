"""The demo's services beside a worker that is deployed, as in docker-compose.yml: one process each, no end.

`python -m driftbus.demo.live inference MODELS --kafka kafka:9092` emits the demo's world at the clock's own
time, 150 times as fast as the world was made: its changes come in the first quarter of an hour.
`python -m driftbus.demo.live trainer MODELS --kafka kafka:9092` answers its retrain requests. MODELS is a
folder that both see. Both run until SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from driftbus.client import Emitter, RetrainRequests
from driftbus.client.emitter import Time
from driftbus.demo.inference import InferenceService
from driftbus.demo.traffic import START_MS
from driftbus.demo.trainer import answer
from driftbus.demo.world import world

# Ten events a second of each stream: all changes come within a quarter of an hour.
PACE = 150
EVERY_S = 0.5
# Long enough to see on a page that a retrain is under way.
TRAINING, ROLLOUT = timedelta(seconds=20), timedelta(seconds=5)


class LiveEmitter(Emitter):
    """Turns the world's times into the clock's. `began_ms` is when this world began; it also tells this
    run's predictions from those of an earlier one."""

    def __init__(self, began_ms: int, **where: Any) -> None:
        super().__init__(**where)
        self._began_ms = began_ms

    def prediction(self, stream: str, prediction_id: str, *, ts: Time | None = None, **said: Any) -> None:
        super().prediction(stream, self._id(prediction_id), ts=self._time(ts), **said)

    def label(
        self,
        stream: str,
        prediction_id: str,
        label: Any = None,
        *,
        signals: Mapping[str, float] | None = None,
        ts: Time | None = None,
    ) -> None:
        super().label(stream, self._id(prediction_id), label, signals=signals, ts=self._time(ts))

    def _id(self, prediction_id: str) -> str:
        return f"{self._began_ms}-{prediction_id}"

    def _time(self, ts: Time | None) -> Time | None:
        return self._began_ms + (ts - START_MS) // PACE if isinstance(ts, int) else ts


def inference(
    models: Path, seed: int, where: Mapping[str, Any], stopped: threading.Event, delivered: Path | None = None
) -> None:
    """Serve what is due, twice a second. `delivered` is touched whenever all of it has reached the bus."""
    began_ms = time.time_ns() // 1_000_000
    with LiveEmitter(began_ms, **where) as emitter:
        service = InferenceService(world(seed), models, emitter)
        while not stopped.wait(EVERY_S):
            passed_ms = time.time_ns() // 1_000_000 - began_ms
            done = service.serve(START_MS + passed_ms * PACE)
            if done["lost"] or not done["delivered"]:
                print(f"not delivered: {done}", flush=True)
            elif delivered is not None:
                delivered.touch()


def trainer(models: Path, where: Mapping[str, Any]) -> None:
    """Answer requests; the one in hand is finished before the end."""
    requests = RetrainRequests(**where, group="driftbus-demo-trainer")
    signal.signal(signal.SIGTERM, lambda *_: requests.stop())
    for request in requests:
        print(f"{request.stream}: {request.reason}, {request.window.rows} rows", flush=True)
        time.sleep(
            (TRAINING + ROLLOUT).total_seconds()
        )  # its events carry these times: they must have passed
        answer(request, models, TRAINING, ROLLOUT)


def main(arguments: Sequence[str] | None = None) -> None:
    """One of the two services, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m driftbus.demo.live", description=__doc__)
    parser.add_argument("service", choices=("inference", "trainer"))
    parser.add_argument("models", type=Path, help="the folder of deployed models, the same for both")
    bus = parser.add_mutually_exclusive_group(required=True)
    bus.add_argument("--kafka", metavar="HOST:PORT")
    bus.add_argument("--embedded", metavar="DIR")
    parser.add_argument("--seed", type=int, default=7, help="of the world (default: %(default)s)")
    parser.add_argument(
        "--topic-prefix", default="driftbus.", help="as in the workers' configuration (default: %(default)s)"
    )
    parser.add_argument(
        "--delivered",
        type=Path,
        metavar="FILE",
        help="inference touches it whenever all that it emitted has reached the bus: its age is its health",
    )
    chosen = parser.parse_args(arguments)
    chosen.models.mkdir(parents=True, exist_ok=True)
    where: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    where["topic_prefix"] = chosen.topic_prefix
    if chosen.service == "trainer":
        trainer(chosen.models, where)
        return
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    inference(chosen.models, chosen.seed, where, stopped, chosen.delivered)


if __name__ == "__main__":
    main()

"""A running `driftbus worker` on an embedded bus of its own, with traffic that has all that operators meet.

    fraud     its error rises: asked for, retrained, deployed as v2, low again
    churn     its error rises as well and no trainer answers: an open episode, a request in flight
    prices    a regression that is well
    steady    well, with a canary beside it

and records nobody can use, labels that find no prediction, corrections, records under another stream's key
and an answer to a request that never was.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import yaml

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client import RetrainRequests
from tests.integration.workers import WorkerProcess, wait_until
from tests.ports import free_port

DRIFTING = ("fraud", "churn")
STREAMS = (*DRIFTING, "prices", "steady")
# Rows of each stream before the worker starts, and from which of them on the error of two has risen: more
# than the largest window, and enough since the onset to train on.
ROWS, ONSET = 1_600, 1_000
SPACING_MS = 4_000
# Live traffic comes in rounds of so many rows a stream.
ROUND_S, ROUND_ROWS = 0.2, 4
PREFIX = "driftbus."


class LiveWorker:
    """The worker, its bus and its traffic. `get` asks its HTTP server."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "bus"
        self.port = free_port()
        config = folder / "driftbus.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "bus": "embedded",
                    "embedded": {"path": str(self.data)},
                    "instance": "prod-eu",
                    "worker": {"commit_interval": "100ms"},
                    "stream_defaults": {
                        "labels": {"team": "risk"},
                        "retrain": {"min_rows": 200, "cooldown": "10m", "timeout": "24h"},
                    },
                }
            )
        )
        self.process = WorkerProcess(config, "w0", self.port)
        self.versions = dict.fromkeys(STREAMS, "v1")
        self._rng = random.Random(17)
        self._rows = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._trouble: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """The body of an answer, whatever its status; empty while nobody listens, or is killed."""
        try:
            with urlopen(self.url + path, timeout=10) as answer:
                body: bytes = answer.read()
        except HTTPError as error:
            body = error.read()
        except (OSError, HTTPException):
            body = b""
        return body

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.process.start()
        self.wait_until(lambda: self.get("/readyz") == b"ready\n", "ready")

    def wait_until(self, done: Any, what: str) -> None:
        def looked() -> bool:
            if self._trouble:
                raise self._trouble[0]
            return bool(done())

        wait_until(looked, 180, what, [self.process])

    # -- traffic -------------------------------------------------------------------------------------

    def feed_the_past(self) -> None:
        """Everything up to a few minutes ago, in order of event time. The worker has made the topics."""
        start = int(time.time() * 1000) - (ROWS + 50) * SPACING_MS
        with self._producer() as send:
            for i in range(ROWS):
                self._round(send, start + i * SPACING_MS, drifted=i >= ONSET)

    def go_on(self) -> None:
        """Live traffic and a trainer for `fraud`, in threads of their own, until stopped."""
        for work in (self._live, self._train):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
        if self._trouble:
            raise self._trouble[0]

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:  # told to the test by `wait_until` and `stop`
            self._trouble.append(error)

    def _live(self) -> None:
        with self._producer() as send:
            while not self._stopping.wait(ROUND_S):
                now = int(time.time() * 1000)
                for _ in range(ROUND_ROWS):
                    self._round(send, now, drifted=True)
                self._bad_ones(send, now)

    def _train(self) -> None:
        with RetrainRequests(embedded=self.data, timeout_s=0.5) as requests:
            while not self._stopping.is_set():
                for request in requests:
                    if request.stream == "fraud":
                        assert sum(1 for _ in request.rows()) == request.window.rows
                        request.started()
                        request.deployed(model_version="v2")
                        self.versions["fraud"] = "v2"

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        bus = EmbeddedBus(self.data)
        producer = bus.producer()

        def send(topic: str, stream: str, value: Any, key: str | None = None) -> None:
            raw = value if isinstance(value, bytes) else orjson.dumps({"stream": stream, **value})
            while not producer.produce(PREFIX + topic, key=(key or stream).encode(), value=raw):
                producer.flush(1.0)

        try:
            yield send
            assert producer.flush(30) == 0
        finally:
            producer.close(5)
            bus.close()

    def _round(self, send: Any, ts: int, *, drifted: bool) -> None:
        """A row of each stream, and its label."""
        rng = self._rng
        self._rows += 1
        for stream in STREAMS:
            pid = f"{stream}-{self._rows}"
            version = self.versions[stream]
            label: Any = rng.randrange(2)
            if stream == "prices":
                label = round(rng.gauss(10, 3), 3)
                said: dict[str, Any] = {"prediction": round(label + rng.gauss(0, 1), 3)}
            else:
                wrong = 0.45 if drifted and stream in DRIFTING and version == "v1" else 0.05
                guess = 1 - label if rng.random() < wrong else label
                said = {"prediction": guess, "score": round(0.15 + 0.7 * guess, 3)}
            features = {"x": rng.gauss(label, 1.0), "country": rng.choice(["DE", "FR"]), "age": rng.random()}
            said |= {"prediction_id": pid, "ts": ts, "features": features, "model_version": version}
            said["slices"] = {"region": rng.choice(["eu", "us"])}
            if stream == "steady" and rng.random() < 0.1:
                said |= {"model_version": "v2-rc", "role": "canary"}
            truth = {"prediction_id": pid, "ts": ts + rng.randrange(1, 30_000), "label": label}
            send("predictions", stream, said)
            if rng.random() < 0.99:
                send("labels", stream, truth)
                if rng.random() < 0.02:
                    send("labels", stream, {**truth, "ts": truth["ts"] + 1_000, "label": rng.randrange(2)})

    def _bad_ones(self, send: Any, now: int) -> None:
        """One of each in every round."""
        n = self._rows
        send("predictions", "fraud", b"{not json")
        send("predictions", "fraud", {"prediction_id": "", "prediction": 1})
        send("labels", "fraud", {"prediction_id": f"fraud-{n}", "ts": "when?", "label": 1})
        send("labels", "churn", {"prediction_id": f"nobody-{n}", "ts": now, "label": 1})
        send("labels", "steady", {"prediction_id": f"nowhere-{n}", "ts": now, "label": 1}, key="elsewhere")
        send(
            "model-events",
            "churn",
            {"type": "training-failed", "retrain_request_id": f"never-{n}", "ts": now},
        )


@contextmanager
def live_worker(folder: Path) -> Iterator[LiveWorker]:
    """Started, with its past folded; `go_on` makes it live."""
    worker = LiveWorker(folder)
    worker.start()
    try:
        worker.feed_the_past()
        yield worker
    finally:
        try:
            worker.stop()
        finally:
            if worker.process.process is not None and worker.process.process.poll() is None:
                worker.process.stop()

"""Pairs of predictions and labels at a given rate, from rows made beforehand: feeding must cost far less than
watching, or nobody could send three times what a worker takes.
"""

from __future__ import annotations

import random
import time

import orjson

from driftbus.core.timestamps import rfc3339
from driftbus.ports import Bus

STREAMS = 20
# Wide rows: a worker looks at each value, a feeder only sends them.
FEATURES = 40
# Rows that are sent again and again under other ids; their values repeat after this many only.
ROWS = 4_000
# A label follows so many predictions after its own.
LABEL_LAG = 200


class Feeder:
    """Sends pair after pair; `sent` counts them. Ids are their numbers, so that each can be asked for."""

    def __init__(self, bus: Bus, topics: dict[str, str], seed: int) -> None:
        rng = random.Random(seed)
        self.sent = 0
        self._producer = bus.producer()
        self._topics = topics
        self._streams = [f"soak-{i:02d}" for i in range(STREAMS)]
        self._rows = [_row(rng) for _ in range(ROWS)]
        self._waiting: list[int] = []

    def feed(self, pairs: int) -> None:
        """The next pairs' predictions, and the labels that are due by now; waits where the buffer is full."""
        ts = rfc3339(time.time_ns() // 1_000_000).encode()
        for number in range(self.sent, self.sent + pairs):
            self._predict(number, ts)
            if number >= LABEL_LAG:
                self._label(number - LABEL_LAG, ts)
        self.sent += pairs

    def finish(self) -> None:
        """The labels that are still owed; all is delivered then."""
        ts = rfc3339(time.time_ns() // 1_000_000).encode()
        for number in range(max(0, self.sent - LABEL_LAG), self.sent):
            self._label(number, ts)
        while self._producer.flush(10.0):
            pass
        if self._producer.lost():
            raise SystemExit("the bus lost what was fed")
        self._producer.close(10.0)

    def _predict(self, number: int, ts: bytes) -> None:
        stream = self._streams[number % STREAMS].encode()
        value = b'{"prediction_id":"p%d","stream":"%b","ts":"%b",%b' % (
            *(number, stream, ts),
            self._rows[number % ROWS][0],
        )
        self._send("predictions", stream, value)

    def _label(self, number: int, ts: bytes) -> None:
        stream = self._streams[number % STREAMS].encode()
        value = b'{"prediction_id":"p%d","stream":"%b","ts":"%b","label":%d}' % (
            *(number, stream, ts),
            self._rows[number % ROWS][1],
        )
        self._send("labels", stream, value)

    def _send(self, topic: str, key: bytes, value: bytes) -> None:
        while not self._producer.produce(self._topics[topic], key=key, value=value):
            time.sleep(0.01)


def _row(rng: random.Random) -> tuple[bytes, int]:
    x = [rng.gauss(0.0, 1.0) for _ in range(FEATURES)]
    label = int(x[0] - x[1] + rng.gauss(0.0, 0.5) > 0)
    said = {
        "features": {f"x{i}": round(v, 5) for i, v in enumerate(x)},
        "prediction": int(x[0] - x[1] > 0),
        "score": round(1 / (1 + 2.718281828 ** (x[1] - x[0])), 4),
        "model_version": "v1",
    }
    return orjson.dumps(said)[1:], label

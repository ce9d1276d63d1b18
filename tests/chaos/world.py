"""A round's input: 24 streams, and everything that producers do wrong.

Which pairs must become outcomes is known from the log alone, without a line of the join: see `Fates`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.core.streams import Shape, events

HOUR_MS = 3_600_000
STREAMS = 24
# Labels within this much of their predictions are on time for every stream, however steps are cut: feeding
# keeps topics together to some minutes of event time.
ON_TIME_MS = 40 * 60_000
# The configured horizon, and when a label is too late in any case.
HORIZON_MS = HOUR_MS
TOO_LATE_MS = 2 * HOUR_MS

# The configuration of every round; its size limit makes a record of 30 kB a large one.
RULES: dict[str, Any] = {
    "limits": {"max_record_bytes": 20_000},
    "stream_defaults": {
        "join": {"horizon": "1h", "grace": "1h"},
        "retrain": {"cooldown": "30m", "min_rows": 100, "min_rows_per_class": 10, "timeout": "1h"},
    },
    "streams": {"expiring-*": {"join": {"expired_label": 0}}},
}

# Each is refused by every topic, whatever else is right about it.
POISON: list[bytes | None] = [
    None,
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"[1]",
    b"7",
    b'{"prediction_id": 7}',
    b'{"prediction_id": "n", "stream": "steady-0", "ts": -1}',
    b'{"prediction_id": "n", "stream": "steady-0", "ts": "yesterday"}',
    b'{"prediction_id": "n", "stream": "", "ts": 1767225600000}',
    b'{"prediction_id": "n", "stream": "steady-0", "ts": 1767225600000, "prediction": NaN, "label": NaN}',
    b'{"prediction_id": "n", "stream": "\\ud800", "ts": 1767225600000, "label": 1, "prediction": 1}',
    b'{"prediction_id": "n", "stream": "steady-0", "ts": 1767225600000, "label": ' + b"9" * 40 + b"}",
    b'{"prediction_id": "n", "stream": "steady-0", "label": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"prediction_id": "n", "stream": "steady-0", "label": "' + b"x" * 30_000 + b'"}',
    b'{"specversion": "2.0", "data": {"prediction_id": "n", "stream": "steady-0"}}',
]


@dataclass(frozen=True, slots=True)
class Sent:
    """One record to send; `topic` by its short name."""

    topic: str
    key: bytes
    value: bytes | None


def shapes(rows: int) -> list[Shape]:
    """24 streams: steady ones, sudden changes, deployments, regressions, some that expire with a label."""
    half = rows // 2
    return [
        *(Shape(f"steady-{i}", rows=rows) for i in range(6)),
        *(Shape(f"sudden-{i}", rows=rows, change=half) for i in range(6)),
        *(Shape(f"moved-{i}", rows=rows, change=half, after=0.05, shift=3.0) for i in range(3)),
        *(Shape(f"replaced-{i}", rows=rows, change=half - 60, versions=(half + 60,)) for i in range(3)),
        *(Shape(f"amount-{i}", rows=rows, change=half, regression=True) for i in range(3)),
        *(Shape(f"expiring-{i}", rows=rows) for i in range(3)),
    ]


def records(rows: int, seed: int) -> list[Sent]:
    """All input in the order of sending, with duplicates, replays, early, orphan, late and conflicting labels
    and poison."""
    rng = random.Random(seed)
    timed: list[tuple[int, int, Sent]] = []

    def put(at: int, topic: str, value: Any) -> None:
        sent = Sent(topic, value["stream"].encode(), orjson.dumps(value))
        timed.append((at, len(timed), sent))

    due: dict[str, int] = {}
    for topic, value, ts in events(shapes(rows), seed):
        chance = rng.random()
        if topic == "predictions":
            due[value["prediction_id"]] = ts
            put(ts, topic, value)
            if chance < 0.01:  # a retry of the producer, or a replay with another answer
                put(ts + rng.randrange(300_000), topic, {**value, "prediction": value["prediction"]})
            elif chance < 0.015:
                orphan = {"prediction_id": f"orphan-{len(timed)}", "stream": value["stream"], "ts": ts}
                put(ts, "labels", {**orphan, "label": 1})
        elif topic == "labels":
            seen = due[value["prediction_id"]]
            if chance < 0.02:  # before its prediction
                put(seen - 60_000, topic, {**value, "ts": seen})
            elif chance < 0.03:  # long after
                late = seen + TOO_LATE_MS + rng.randrange(HOUR_MS)
                put(late, topic, {**value, "ts": late, "label": value["label"]})
            else:
                put(ts, topic, value)
                if chance < 0.05:  # a replay
                    put(ts + rng.randrange(300_000), topic, value)
                elif chance < 0.07:  # another opinion
                    other = value["label"] + 1 if "amount" in value["stream"] else 1 - value["label"]
                    put(ts + rng.randrange(300_000), topic, {**value, "ts": ts + 1, "label": other})
        else:
            put(ts, topic, value)
        if rng.random() < 0.01:
            where = rng.choice(["predictions", "labels", "model-events"])
            key = rng.choice([b"poison-%d" % rng.randrange(99), b"", value["stream"].encode()])
            timed.append((ts, len(timed), Sent(where, key, rng.choice(POISON))))
    return [sent for _, _, sent in sorted(timed, key=lambda row: row[:2])]


def parts(sent: list[Sent], count: int) -> Iterator[list[Sent]]:
    """The same in `count` parts."""
    size = -(-len(sent) // count)
    for start in range(0, len(sent), size):
        yield sent[start : start + size]


class Fates:
    """What the committed log of inputs promises, told in a few lines: which pairs must be outcomes with which
    label, and which ids must never be."""

    def __init__(self, predictions: list[bytes | None], labels: list[bytes | None]) -> None:
        seen: dict[str, int] = {}
        for event in _readable(predictions, "prediction"):
            seen.setdefault(event["prediction_id"], event["ts"])
        first: dict[str, dict[str, Any]] = {}
        for event in _readable(labels, "label"):
            first.setdefault(event["prediction_id"], event)
        self.must = {
            pid: event["label"]
            for pid, event in first.items()
            if pid in seen and event["ts"] - seen[pid] <= ON_TIME_MS
        }
        expires = {pid for pid in seen if pid.startswith("expiring-")}
        # Time passes with the predictions: in the last hours of the log nothing is late yet.
        end = max(seen.values(), default=0)
        too_late = {
            pid
            for pid, event in first.items()
            if pid in seen and min(end, event["ts"]) - seen[pid] >= TOO_LATE_MS
        }
        self.never = ((first.keys() - seen.keys()) | (seen.keys() - first.keys()) | too_late) - expires


def _readable(values: list[bytes | None], needs: str) -> Iterator[dict[str, Any]]:
    poison = set(POISON)
    for value in values:
        if value is not None and value not in poison:
            event = orjson.loads(value)
            assert needs in event
            yield event

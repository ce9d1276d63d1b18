"""The recorded world: streams in every state that a release has to carry over."""

from __future__ import annotations

import random
from typing import Any

import orjson

from tests.core.streams import START_MS, Shape, events

# Detectors of River's own are left out: their state is that of River's version, and begins anew with it.
CONFIG: dict[str, Any] = {
    "bus": "embedded",
    "group": "golden",
    "limits": {"max_categories": 50},
    "stream_defaults": {
        # Short, so that few outcomes are remembered by their ids.
        "join": {"horizon": "1h", "grace": "30m"},
        "retrain": {"min_rows": 150, "cooldown": "1h", "timeout": "3h", "when": ["accuracy < 0.7 over 200"]},
        "metrics": {"windows": ["200", "1h"]},
    },
    "streams": {
        "amounts": {
            "labels": {"team": "pricing"},
            "signals": {"error": [{"page_hinkley": {"threshold": 20}}]},
        },
        "moved": {
            "signals": {"score": [{"adwin": {"delta": 0.001}}], "custom": {"rank": {"better": "lower"}}}
        },
        "proposed": {"retrain": {"mode": "propose"}, "challenger": "off"},
        "replaced": {"features": {"categorical": ["y"], "redact": ["x"]}, "join": {"expired_label": 0}},
    },
}
SHAPES = [
    Shape("sudden", rows=1500, change=1150, delay=5),  # an episode open, a request in flight
    Shape("amounts", rows=1500, change=1100, delay=5, regression=True),
    Shape("moved", rows=1500, change=1080, delay=5, shift=3.0, after=0.05),  # data drift, and no more
    Shape("proposed", rows=1500, change=1100, delay=5),  # a proposal that waits for somebody
    Shape("replaced", rows=1500, change=700, delay=5, versions=(1000,)),  # a second version
    Shape("steady", rows=1500, delay=5),
]
# Input records a step; of how many steps the recording is made, and how many follow.
STEP_ROWS = 60
# The world is left when so much of it was read, and seen on for so many records.
LEFT_AT, SEEN_ON = 15_000, 900


def inputs() -> list[tuple[str, bytes, bytes, int]]:
    """(short topic, key, value, the broker's time) in order of arrival; poison and early labels too."""
    rng = random.Random(8)
    rows: list[tuple[str, bytes, bytes, int]] = []
    said = {4_000: ("muted", "steady"), 14_500: ("episode-acknowledged", "sudden")}
    for index, (topic, value, ts) in enumerate(events(SHAPES, seed=17)):
        if topic == "predictions" and value["stream"] == "moved":
            value["signals"] = {"rank": rng.random()}
        rows.append((topic, value["stream"].encode(), orjson.dumps(value), ts))
        if rng.random() < 0.002:
            rows.append((rng.choice(["predictions", "labels"]), b"poison", b"not json", ts))
        if rng.random() < 0.01:  # a label whose prediction comes never
            early = {"prediction_id": f"early-{index}", "stream": "steady", "ts": ts, "label": 1}
            rows.append(("labels", b"steady", orjson.dumps(early), ts))
        if index in said:
            kind, stream = said[index]
            event = {"stream": stream, "ts": ts, "type": kind, "by": "ann"}
            rows.append(("model-events", stream.encode(), orjson.dumps(event), ts))
    return rows[: LEFT_AT + SEEN_ON]


__all__ = ["CONFIG", "LEFT_AT", "SEEN_ON", "START_MS", "STEP_ROWS", "inputs"]

"""An inference service that tells driftbus what it predicts, and later what was true.

Run it beside a worker and the trainer of this folder, each in a terminal of its own:

    driftbus worker --config examples/driftbus.yaml
    python examples/trainer.py
    python examples/inference_service.py

It judges simulated card payments with the model in `fraud-model.json`, 500 a second. After 5,000 payments
the fraudsters change their ways: the error rises, driftbus sees it, the trainer deploys version 2, this
service picks it up, and the error falls again. What belongs to driftbus are the four lines with `emitter`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

from driftbus.client import Emitter

CHANGE_AT = 5_000
# The truth about a payment comes so many payments later, as chargebacks do.
LABEL_DELAY = 200
FIRST_MODEL = {"version": "v1", "bias": -4.0, "weights": {"amount": 3.0, "night": 3.0, "abroad": 0.0}}


class Model:
    """A logistic regression in a JSON file, loaded anew when the file changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text(json.dumps(FIRST_MODEL))
        self.refresh()

    def refresh(self) -> None:
        stamp = self.path.stat().st_mtime_ns
        if stamp != getattr(self, "stamp", None):
            self.stamp, self.content = stamp, json.loads(self.path.read_text())

    @property
    def version(self) -> str:
        return str(self.content["version"])

    def score(self, features: dict[str, float]) -> float:
        weights = self.content["weights"]
        return 1 / (1 + math.exp(-self.content["bias"] - sum(weights[k] * x for k, x in features.items())))


def payment(number: int, dice: random.Random) -> tuple[dict[str, float], int]:
    """A payment, and whether it is fraud. First night-time payments of large sums, then those from abroad."""
    features = {
        "amount": dice.random(),
        "night": float(dice.random() < 0.5),
        "abroad": float(dice.random() < 0.5),
    }
    sign = features["night" if number < CHANGE_AT else "abroad"]
    fraud = sign and features["amount"] > 0.3
    return features, int(bool(fraud) != (dice.random() < 0.02))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", default="./driftbus-data", help="folder of the embedded bus")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka instead")
    parser.add_argument("--model", type=Path, default=Path("fraud-model.json"))
    parser.add_argument("--payments", type=int, help="how many; default: until Ctrl-C")
    parser.add_argument("--per-second", type=float, default=500)
    chosen = parser.parse_args()
    bus: dict[str, Any] = (
        {"kafka": {"bootstrap.servers": chosen.kafka}} if chosen.kafka else {"embedded": chosen.embedded}
    )
    model, dice, run = Model(chosen.model), random.Random(1), time.time_ns()
    waiting: deque[tuple[str, int]] = deque()
    wrong = 0
    with Emitter(**bus) as emitter:
        for number in count() if chosen.payments is None else range(chosen.payments):
            features, is_fraud = payment(number, dice)
            score = model.score(features)
            payment_id = f"{run}-{number}"
            emitter.prediction(
                "fraud",
                payment_id,
                prediction=int(score > 0.5),
                score=score,
                features=features,
                model_version=model.version,
            )
            waiting.append((payment_id, is_fraud))
            if len(waiting) > LABEL_DELAY:
                emitter.label("fraud", *waiting.popleft())

            wrong += int(score > 0.5) != is_fraud
            if number % 500 == 499:
                print(
                    f"payments up to {number + 1}: model {model.version}, error {wrong / 500:.3f}",
                    flush=True,
                )
                wrong = 0
            model.refresh()
            time.sleep(1 / chosen.per_second)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

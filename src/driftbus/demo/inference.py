"""The inference service: answers questions with the deployed models, tells driftbus through `Emitter`.

`python -m driftbus.demo.inference DATA` reads times from standard input, a line each (epoch milliseconds,
simulated), serves everything that happens up to then, and says what it did in a line of JSON. The end of
its input ends it. Between two lines it looks whether newer models were deployed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from driftbus.client import Emitter
from driftbus.demo.models import Model, deploy, deployed, train
from driftbus.demo.stage import Stage
from driftbus.demo.traffic import Asked, Traffic
from driftbus.demo.world import Stream, world

# A bus that takes longer than this for one step's events is broken, not slow.
DELIVERY_S = 60.0


class InferenceService:
    """The models of all streams, and the emitter."""

    def __init__(self, streams: Sequence[Stream], models: Path, emitter: Emitter) -> None:
        self._streams, self._folder, self._emitter = streams, models, emitter
        self._traffic = Traffic(streams)
        for stream in streams:
            deploy(_first_model(stream), models)
        self._models: dict[str, Model] = {}

    def serve(self, until_ms: int) -> dict[str, Any]:
        """Everything up to `until_ms`; returns once it is delivered."""
        self._models = {stream.name: deployed(stream.name, self._folder) for stream in self._streams}
        predictions = labels = 0
        for event in self._traffic.until(until_ms):
            if isinstance(event, Asked):
                self._answer(event)
                predictions += 1
            else:
                self._emitter.label(event.stream.name, event.prediction_id, event.label, ts=event.ts)
                labels += 1
        return {
            "predictions": predictions,
            "labels": labels,
            "delivered": self._emitter.flush(DELIVERY_S),
            "lost": self._emitter.lost,
        }

    def _answer(self, asked: Asked) -> None:
        model = self._models[asked.stream.name]
        prediction, score = model.answer(asked.features)
        self._emitter.prediction(
            asked.stream.name,
            asked.prediction_id,
            prediction=prediction,
            score=score,
            features=asked.features,
            model_version=model.version,
            ts=asked.ts,
        )


def _first_model(stream: Stream) -> Model:
    sample = stream.warm_up()
    return train(stream.name, "v1", stream.task, [x for x, _ in sample], [y for _, y in sample])


def main() -> None:
    """Serve until standard input ends."""
    stage = Stage.load(Path(sys.argv[1]))
    with Emitter(**stage.client_arguments) as emitter:
        service = InferenceService(world(stage.seed), stage.models, emitter)
        for line in sys.stdin:
            sys.stdout.write(orjson.dumps(service.serve(int(line))).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The loops one would write by hand, from the barest to the one with transactions.

Each is as good as a careful programmer makes it without giving up its form: orjson, one dict for pairs,
locals, River's objects. None has recovery, bounds, late or duplicate labels, or any output but the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from river import compose, drift, linear_model, metrics, preprocessing

Take = Callable[[str, bytes], None]


class Count:
    """Pairs seen; a loop ends when all are."""

    def __init__(self) -> None:
        self.pairs = 0


def consume_only(count: Count, labels: str) -> Take:
    """Nothing is done with a record."""

    def take(topic: str, value: bytes) -> None:
        if topic == labels:
            count.pairs += 1

    return take


def decode_only(count: Count, labels: str) -> Take:
    """Every record is parsed."""
    loads = orjson.loads

    def take(topic: str, value: bytes) -> None:
        loads(value)
        if topic == labels:
            count.pairs += 1

    return take


def join_only(count: Count, labels: str) -> Take:
    """Every record is parsed and pairs meet in a dict; whichever comes first waits."""
    loads = orjson.loads
    waiting: dict[str, Any] = {}
    early: dict[str, Any] = {}

    def take(topic: str, value: bytes) -> None:
        event = loads(value)
        pid = event["prediction_id"]
        if topic != labels:
            if early.pop(pid, None) is None:
                waiting[pid] = event
                return
        elif waiting.pop(pid, None) is None:
            early[pid] = event
            return
        count.pairs += 1

    return take


class Stream:
    """What job a, or c with `everything`, keeps of a stream: River's objects."""

    __slots__ = ("accuracy", "adwin", "f1", "features", "log_loss", "model", "page_hinkley")

    def __init__(self, everything: bool) -> None:
        self.adwin = drift.ADWIN()
        self.page_hinkley = drift.PageHinkley()
        self.accuracy = metrics.Accuracy()
        self.f1 = metrics.F1()
        self.log_loss = metrics.LogLoss()
        self.features: dict[str, Any] | None = {} if everything else None
        self.model: Any = None
        if everything:
            self.model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())


def by_hand(
    count: Count, labels: str, everything: bool, publish: Callable[[str, bytes], None] | None = None
) -> Take:
    """The whole job. `publish` gets every outcome, stream and value, where outcomes are wanted."""
    loads, dumps = orjson.loads, orjson.dumps
    waiting: dict[str, Any] = {}
    early: dict[str, Any] = {}
    streams: dict[str, Stream] = {}
    alarms = 0

    def take(topic: str, value: bytes) -> None:
        nonlocal alarms
        event = loads(value)
        pid = event["prediction_id"]
        if topic != labels:
            label = early.pop(pid, None)
            if label is None:
                waiting[pid] = event
                return
            prediction = event
        else:
            prediction = waiting.pop(pid, None)
            if prediction is None:
                early[pid] = event
                return
            label = event
        count.pairs += 1
        name = prediction["stream"]
        s = streams.get(name)
        if s is None:
            s = streams[name] = Stream(everything)
        y, guess = label["label"], prediction["prediction"]
        error = 0 if y == guess else 1
        s.adwin.update(error)
        s.page_hinkley.update(error)
        if s.adwin.drift_detected or s.page_hinkley.drift_detected:
            alarms += 1
        s.accuracy.update(y, guess)
        s.f1.update(y, guess)
        s.log_loss.update(y, prediction["score"])
        if s.features is not None:
            x = prediction["features"]
            detectors = s.features
            for feature, number in x.items():
                detector = detectors.get(feature)
                if detector is None:
                    detector = detectors[feature] = drift.ADWIN()
                detector.update(number)
                if detector.drift_detected:
                    alarms += 1
            s.model.predict_proba_one(x)
            s.model.learn_one(x, y)
        if publish is not None:
            prediction["label"] = y
            prediction["label_ts"] = label["ts"]
            prediction["error"] = error
            publish(name, dumps(prediction))

    return take

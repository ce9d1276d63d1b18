"""`Emitter`: an inference service says what it predicted, and whoever learns the truth says that.

Neither call blocks the caller or raises into it: a prediction costs its encoding and an append to a
bounded queue; a thread of the emitter's own brings it to the bus. Whatever cannot be sent is counted.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from driftbus.adapters.partitioner import Partitioner
from driftbus.client.encoding import encode, event_time, identifier, spoken
from driftbus.client.losses import Losses
from driftbus.client.opening import Address
from driftbus.client.pump import EXIT_TIMEOUT_S, Event, Pump
from driftbus.errors import InvalidRecord

# About ten seconds of a busy service (5,000 events/s); beyond it events are counted, not kept.
MAX_QUEUED_EVENTS = 50_000
# What a monitoring client may take of a service's memory.
MAX_QUEUED_BYTES = 64_000_000

Time = int | str | datetime


class Emitter:
    """Sends predictions and labels; see CONTRACT.md section 6.

    `kafka` holds librdkafka's properties, `embedded` a folder: exactly one of them (else `TypeError`).
    `topic_prefix`, `topics`, `partitioner` as in the configuration.

    The bus is opened with the first event, in the background; while it cannot be reached, events wait in
    memory up to `max_queued_events`.

    Thread-safe, and safe to create before a fork: each child opens a connection of its own.
    """

    def __init__(
        self,
        *,
        kafka: Mapping[str, Any] | None = None,
        embedded: str | Path | None = None,
        topic_prefix: str = "driftbus.",
        topics: Mapping[str, str] | None = None,
        partitioner: Partitioner = "murmur2_random",
        max_queued_events: int = MAX_QUEUED_EVENTS,
    ) -> None:
        address = Address(kafka, embedded, topic_prefix, topics or {}, partitioner)
        self._predictions = address.topic("predictions")
        self._labels = address.topic("labels")
        self._model_events = address.topic("model-events")
        self._losses = Losses()
        self._pump = Pump(address.open, self._losses, max_queued_events, MAX_QUEUED_BYTES)
        # An emitter that is dropped without `close` still delivers; the collector does not wait for it.
        weakref.finalize(self, self._pump.retire, EXIT_TIMEOUT_S).atexit = False

    def prediction(
        self,
        stream: str,
        prediction_id: str,
        *,
        prediction: Any = None,
        score: float | Mapping[Any, float] | None = None,
        features: Mapping[Any, Any] | None = None,
        model_version: str | None = None,
        slices: Mapping[str, str] | None = None,
        signals: Mapping[str, float] | None = None,
        weight: float | None = None,
        role: str | None = None,
        ts: Time | None = None,
    ) -> None:
        """One prediction. `prediction` may be absent only where `signals` are given; `ts` defaults to now."""
        optional = {
            "score": score,
            "features": features,
            "model_version": model_version,
            "slices": slices,
            "signals": signals,
            "weight": weight,
            "role": role,
        }
        self._send(self._predictions, stream, prediction_id, "prediction", prediction, optional, ts)

    def label(
        self,
        stream: str,
        prediction_id: str,
        label: Any = None,
        *,
        signals: Mapping[str, float] | None = None,
        ts: Time | None = None,
    ) -> None:
        """The truth about one prediction. `label` may be absent only where `signals` are given."""
        self._send(self._labels, stream, prediction_id, "label", label, {"signals": signals}, ts)

    def model_event(
        self,
        stream: str,
        type: str,
        *,
        model_version: str | None = None,
        by: str | None = None,
        reason: str | None = None,
        reference: Mapping[str, Any] | None = None,
        ts: Time | None = None,
    ) -> None:
        """What a deployer says, e.g. `model_event("fraud", "model-deployed", model_version="v4")`.
        `reference`: with `reference-set`, what `training_reference` gave."""
        optional = {"model_version": model_version, "by": by, "reason": reason, "reference": reference}
        self._send(self._model_events, stream, None, "type", type, optional, ts)

    @property
    def lost(self) -> dict[str, int]:
        """Events that did not reach the bus, by reason: `invalid`, `too_large` (never to be sent),
        `buffer_full`, `refused`, `undelivered`, `closed`, `delivery` (given up by the bus), `internal`."""
        counts = self._losses.counts()
        delivery = self._pump.lost_at_bus()
        return counts | {"delivery": delivery} if delivery else counts

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything emitted so far has been delivered; False when the time was too short."""
        return self._pump.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Deliver what is queued and release the bus; further events are counted as `closed`."""
        self._pump.close(timeout_s)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(
        self,
        topic: str,
        stream: str,
        prediction_id: str | None,
        said_name: str,
        said: Any,
        optional: Mapping[str, Any],
        ts: Time | None,
    ) -> None:
        try:
            stream = identifier(stream, "stream")
            event: dict[str, Any] = {"stream": stream}
            if topic != self._model_events:
                event["prediction_id"] = identifier(prediction_id, "prediction_id")
            event["ts"] = time.time_ns() // 1_000_000 if ts is None else event_time(ts)
            if said is not None:
                event[said_name] = spoken(said, said_name)
            elif optional.get("signals") is None:
                raise InvalidRecord("invalid", f"{said_name} is None and there are no signals")
            for name, value in optional.items():
                if value is not None:
                    event[name] = value
            self._pump.put(Event(topic, stream.encode(), encode(event)))
        except InvalidRecord as refusal:
            self._losses.add(refusal.reason, str(refusal))
        # The promise of this class is that nothing ever reaches the caller: an argument with a hostile
        # `__str__`, no memory, no further thread. It is counted and logged instead.
        except Exception as error:
            self._losses.add("internal", f"{type(error).__name__}: {error}")

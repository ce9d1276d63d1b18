"""The emitter's side: an idempotent producer that never blocks its caller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from driftbus.adapters.kafka.properties import LOGGER, KafkaProperties
from driftbus.ports import Headers


class KafkaProducer:
    """See `driftbus.ports.Producer`. Calls may come from any thread.

    Failures are counted when some call serves delivery reports: `produce`, `lost`, `flush` and `close` do.
    """

    def __init__(self, properties: KafkaProperties, *, closed: Callable[[KafkaProducer], None]) -> None:
        self._closed = closed
        self._lock = threading.Lock()
        self._lost = 0
        self._client: Producer | None = properties.build(Producer, properties.emitter())

    def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> bool:
        """False too for what can never be sent (too large), and after `close`."""
        client = self._client
        if client is None:
            return False
        try:
            # By place; see the transaction's `produce`.
            client.produce(
                topic,
                value,
                key,
                -1,
                self._delivered,
                None,
                timestamp_ms or 0,
                list(headers) if headers else None,
            )
        except BufferError:
            taken = False
        except KafkaException as error:
            LOGGER.warning("a record for %s cannot be sent: %s", topic, error.args[0].str())
            taken = False
        else:
            taken = True
        # Serves delivery reports that are there; does not wait.
        client.poll(0)
        return taken

    def flush(self, timeout_s: float) -> int:
        client = self._client
        return 0 if client is None else client.flush(timeout_s)

    def lost(self) -> int:
        client = self._client
        if client is not None:
            client.poll(0)
        with self._lock:
            return self._lost

    def close(self, timeout_s: float) -> None:
        """What is not delivered within the time is lost, and counted."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.flush(timeout_s):
            # Fails what is left, and serves the reports that count it.
            client.purge()
            client.flush(0)
        # The last reference: destroyed at once, where Producer.close() would flush without a limit.
        del client
        self._closed(self)

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            with self._lock:
                self._lost += 1

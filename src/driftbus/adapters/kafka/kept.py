"""Consumers that are kept open for the next one who needs one of the same kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from confluent_kafka import Consumer

from driftbus.errors import BusError

Kind = TypeVar("Kind", bound=Hashable)

# Idle clients kept per kind: a worker restores on one thread; each holds a connection per broker.
_KEPT = 2


class KeptConsumers(Generic[Kind]):
    """Clients by kind, opened by `opened(kind)` where none is idle. Thread-safe: each is lent to one user.

    Opening one costs tens of ms, and a client must be closed: let go of unclosed it is destroyed by whichever
    thread collects it.
    """

    def __init__(self, opened: Callable[[Kind], Consumer]) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._idle: dict[Kind, list[Consumer]] = {}
        self._lent: set[Consumer] = set()
        self._open = True

    @contextmanager
    def lent(self, kind: Kind) -> Iterator[Consumer]:
        """One client for the time of a `with`. Raises `BusError` after `close`.

        One that an error was raised with is not kept: librdkafka says some errors once per client.
        """
        with self._lock:
            if not self._open:
                raise BusError("this bus is closed")
            idle = self._idle.get(kind)
            client = idle.pop() if idle else None
            if client is not None:
                self._lent.add(client)
        if client is None:
            client = self._opened(kind)
            with self._lock:
                self._lent.add(client)
        well = False
        try:
            yield client
            well = True
        except GeneratorExit:
            # A reader that has read enough.
            well = True
            raise
        finally:
            with self._lock:
                mine = client in self._lent
                self._lent.discard(client)
                keep = mine and well and self._open and len(self._idle.get(kind, ())) < _KEPT
                if keep:
                    self._idle.setdefault(kind, []).append(client)
            if mine and not keep:
                client.close()

    def close(self) -> None:
        """Close all clients, those in use too."""
        with self._lock:
            self._open = False
            clients = [client for idle in self._idle.values() for client in idle]
            clients += self._lent
            self._idle = {}
            self._lent = set()
        for client in clients:
            client.close()

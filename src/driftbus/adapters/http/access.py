"""Who may ask, and how much asking may cost: certificate, token, bounds on a request's size and time."""

from __future__ import annotations

import hmac
import io
import socket
import ssl
import time
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from driftbus.errors import ConfigError

# What an orchestrator's probes ask; they say nothing about streams and need no token.
OPEN_PATHS = frozenset({"/livez", "/readyz"})
# Seconds without a byte after which a connection is dropped. Prometheus scrapes every 15 s as a rule and
# then keeps its connection; a reader that stands still for this long has gone.
IDLE_S = 30.0
# From the first byte of a request to its last, or of a TLS handshake: a client that takes longer holds a
# place that others need. On a bad line a request takes a second.
REQUEST_S = 10.0
# Request line and headers. Browsers and scrapers send one or two kB; a stream's name of 256 characters is up
# to 3 kB as a part of an address.
REQUEST_BYTES = 32_768

# Connections served at once; each is a thread. Two scrapers, probes and a dozen people stay far below.
MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Guard:
    """How the door is kept. `cert`, `key`: PEM files, None: clear text. `token` None: all are let in."""

    cert: Path | None = None
    key: Path | None = None
    token: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext | None:
        """For TLS 1.2 and later. Raises `ConfigError` where the files cannot be used."""
        if self.cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # An empty password: an encrypted key is refused instead of asked for on a terminal.
            context.load_cert_chain(self.cert, self.key, password="")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
            files = str(self.cert) if self.key is None else f"{self.cert}, {self.key}"
            raise ConfigError(
                "http.tls", files, f"a certificate and its key in PEM, not encrypted ({reason})"
            ) from None
        return context

    def admits(self, path: str, authorization: str) -> bool:
        """Whether a request may be answered: `Bearer TOKEN`, or `Basic` with the token as the password, which
        is what a browser can send. Takes equally long however much of the token is right."""
        if self.token is None or path in OPEN_PATHS:
            return True
        given = _presented(authorization)
        return hmac.compare_digest(sha256(given).digest(), sha256(self.token.encode()).digest())


def _presented(authorization: str) -> bytes:
    """The token a header shows; empty where it shows none."""
    scheme, _, rest = authorization.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return rest.encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return b64decode(rest, validate=True).partition(b":")[2]
        except ValueError:
            return b""
    return b""


class TooLarge(Exception):
    """A request's line and headers are longer than `REQUEST_BYTES`."""


class Reading(io.RawIOBase):
    """What a connection's requests are read from. Between two requests it waits for `IDLE_S`; of one request
    it reads for no longer than `REQUEST_S` (TimeoutError) and no more than `REQUEST_BYTES` (TooLarge)."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until: float | None = None
        self._left = REQUEST_BYTES

    def next_request(self) -> None:
        self._until, self._left = None, REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._left <= 0:
            raise TooLarge
        now = time.monotonic()
        if self._until is not None and now >= self._until:
            raise TimeoutError("a request took too long")
        self._connection.settimeout(IDLE_S if self._until is None else self._until - now)
        try:
            n = self._connection.recv_into(view[: max(1, min(len(view), self._left))])
        finally:
            self._connection.settimeout(IDLE_S)
        if self._until is None:
            self._until = time.monotonic() + REQUEST_S
        self._left -= n
        return n

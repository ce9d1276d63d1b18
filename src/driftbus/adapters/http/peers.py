"""What the group's other workers show, asked over HTTP, so that any of them can show every stream.

Addresses are configured: `http://host:port`, or `dns+http://name:port` for every address that a name stands
for (a headless service, a compose service with replicas). Nobody is waited for longer than `PATIENCE_S`, and
one that did not answer not at all for a while: what it said last stands, with its age, until it is too old.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from driftbus.errors import ConfigError

# How long a page waits for others. A worker answers within tens of milliseconds, two of them far apart within
# a quarter of a second; a page that takes longer feels broken.
PATIENCE_S = 1.0
# An answer is used again for so long: two people who look at once cost the others one question.
FRESH_S = 1.0
# One that failed is asked again in the background this often, and waited for once it has answered again.
AGAIN_S = 5.0
# What a silent worker said last is shown for so long; after that its streams are with others.
KEPT_S = 30.0
# From the first byte of a question to the last of its answer.
FETCH_S = 5.0
# An answer of 5,000 streams in brief has some 2 MB.
MOST_BYTES = 32 * 1024 * 1024
# Names are looked up again this often: workers come and go.
RESOLVED_S = 10.0
# Workers that one may ask, questions whose answers are kept, and questions under way at once: a group has as
# many workers as partitions at the most, and a few people look at it.
MOST_PEERS, MOST_KEPT, MOST_UNDER_WAY = 256, 1_024, 512


class Address(NamedTuple):
    """Where one worker listens. `name` is what its certificate says."""

    scheme: str
    host: str
    port: int
    name: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Heard:
    """What one worker said. `answer` None: nothing (any more), or that it has no such thing. `trouble` says
    in words why the newest question has no answer; `age_s` is how old the answer is."""

    address: str
    answer: Any
    trouble: str | None
    age_s: float


class _Kept:
    """One question to one worker: its newest answer, and whether it is being asked."""

    __slots__ = ("answer", "answered", "done", "tried", "trouble")

    def __init__(self) -> None:
        self.answer: Any = None
        self.answered = self.tried = float("-inf")
        self.trouble: str | None = None
        self.done: threading.Event | None = None  # of the question under way


class Peers:
    """The other workers. Every method may be called from any thread. `token` is shown to them; `context`
    checks their certificates."""

    def __init__(
        self, addresses: Sequence[str], token: str | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self._written = [urlsplit(address) for address in addresses]
        self._token, self._context = token, context
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Address, str], _Kept] = OrderedDict()
        self._failed: dict[Address, float] = {}  # when it failed last
        self._under_way = 0
        self._resolved: dict[str, tuple[Address, ...]] = {}
        self._looked_up = float("-inf")
        self._looking: threading.Event | None = None

    def ask(self, path: str, only: str | None = None) -> list[Heard]:
        """What each worker answers to `path` (`only`: the one at this address), in the order of the
        configuration, within `PATIENCE_S`."""
        until = time.monotonic() + PATIENCE_S
        asked = [each for each in self._addresses(until) if only is None or str(each) == only]
        waiting: list[tuple[Address, threading.Event]] = []
        with self._lock:
            self._forget()
            for address in asked:
                done = self._begin(address, path, self._of(address, path))
                if done is not None and not self._is_silent(address):
                    waiting.append((address, done))
        late = [address for address, done in waiting if not done.wait(max(0.0, until - time.monotonic()))]
        now = time.monotonic()
        with self._lock:
            self._failed.update(dict.fromkeys(late, now))
            return [_heard(address, self._of(address, path), now) for address in asked]

    def _forget(self) -> None:
        """Let go of answers that are too old to be shown; those asked for longest ago come first."""
        before = time.monotonic() - KEPT_S
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if kept.done is not None or kept.tried >= before or kept.answered >= before:
                return
            del self._kept[key]

    def _is_silent(self, address: Address) -> bool:
        """Whether nobody waits for it for now."""
        return time.monotonic() - self._failed.get(address, float("-inf")) < AGAIN_S

    def _of(self, address: Address, path: str) -> _Kept:
        key = (address, path)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept()
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept

    def _begin(self, address: Address, path: str, kept: _Kept) -> threading.Event | None:
        """Ask, unless that was done a moment ago; what to wait for."""
        now = time.monotonic()
        if kept.done is not None:
            return kept.done
        if now - kept.answered < FRESH_S:
            return None
        if self._is_silent(address) and now - kept.tried < AGAIN_S:
            return None
        if self._under_way >= MOST_UNDER_WAY:
            kept.trouble = "too many questions at once"
            return None
        self._under_way += 1
        kept.done, kept.tried = threading.Event(), now
        threading.Thread(
            target=self._fetch, args=(address, path, kept, kept.done), name=f"ask {address}", daemon=True
        ).start()
        return kept.done

    def _fetch(self, address: Address, path: str, kept: _Kept, done: threading.Event) -> None:
        answer: Any = None
        trouble: str | None
        try:
            answer, trouble = get(address, path, self._token, self._context)
        except (OSError, http.client.HTTPException, ValueError) as error:
            trouble = _why(error)
        with self._lock:
            self._under_way -= 1
            kept.done = None
            kept.trouble = trouble
            now = time.monotonic()
            if trouble is None:
                kept.answer, kept.answered = answer, now
                self._failed.pop(address, None)
            else:
                self._failed[address] = now
        done.set()

    # -- names ----------------------------------------------------------------------------------------

    def _addresses(self, until: float) -> list[Address]:
        """Where everybody listens, each once. Names are looked up in a thread of its own: that can hang."""
        found: dict[Address, None] = {}
        names = [each for each in self._written if each.scheme.startswith("dns+")]
        with self._lock:
            looking = self._looking
            if names and looking is None and time.monotonic() - self._looked_up > RESOLVED_S:
                looking = self._looking = threading.Event()
                threading.Thread(target=self._look_up, args=(looking,), name="look up", daemon=True).start()
            never = self._looked_up == float("-inf")
        if looking is not None and never:
            looking.wait(max(0.0, until - time.monotonic()))
        for each in self._written:
            host, port = each.hostname or "", each.port or 0
            if each.scheme.startswith("dns+"):
                found.update(dict.fromkeys(self._resolved.get(each.netloc, ())))
            else:
                found[Address(each.scheme, host, port, host)] = None
        return list(found)[:MOST_PEERS]

    def _look_up(self, done: threading.Event) -> None:
        resolved: dict[str, tuple[Address, ...]] = {}
        for each in self._written:
            if each.scheme.startswith("dns+"):
                host, port = each.hostname or "", each.port or 0
                try:
                    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                except OSError:
                    # A name that nobody knows stands for nobody, or for whom it stood for before.
                    resolved[each.netloc] = self._resolved.get(each.netloc, ())
                    continue
                hosts = sorted({str(info[4][0]) for info in infos})
                scheme = each.scheme.removeprefix("dns+")
                resolved[each.netloc] = tuple(Address(scheme, ip, port, host) for ip in hosts)
        with self._lock:
            self._resolved, self._looked_up, self._looking = resolved, time.monotonic(), None
        done.set()


def trusting(cert: Path | None) -> ssl.SSLContext:
    """Checks certificates as this machine does, and trusts the group's own beside. Raises `ConfigError`."""
    context = ssl.create_default_context()
    if cert is not None:
        try:
            context.load_verify_locations(cert)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                "http.tls.cert", str(cert), f"a certificate in PEM ({error.strerror or error})"
            ) from None
    return context


def _heard(address: Address, kept: _Kept, now: float) -> Heard:
    age = now - kept.answered
    trouble = kept.trouble
    if kept.done is not None and age > FRESH_S:
        trouble = trouble or "does not answer"
    return Heard(str(address), kept.answer if age <= KEPT_S else None, trouble, max(0.0, age))


def get(
    address: Address, path: str, token: str | None, context: ssl.SSLContext | None
) -> tuple[Any, str | None]:
    """One question: the JSON that was answered (None: 404), or why there is none. Raises `OSError`,
    `HTTPException`, `ValueError`."""
    until = time.monotonic() + FETCH_S
    with socket.create_connection((address.host, address.port), timeout=PATIENCE_S) as clear:
        clear.settimeout(FETCH_S)
        secured: socket.socket = clear
        if address.scheme == "https":
            context = context or ssl.create_default_context()
            secured = context.wrap_socket(clear, server_hostname=address.name)
        with secured:
            connection = http.client.HTTPConnection(address.name, address.port)
            connection.sock = secured
            headers = {"Accept": "application/json", "Connection": "close"}
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            if answer.status == 404:
                return None, None
            if answer.status != 200:
                return None, f"answers {answer.status} {http.client.responses.get(answer.status, '')}".strip()
            return orjson.loads(_body(answer.read1, secured, until)), None


def _body(read: Callable[[int], bytes], connection: socket.socket, until: float) -> bytes:
    """All of an answer, within its time and size."""
    parts: list[bytes] = []
    size = 0
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = read(1 << 16)
        if not part:
            return b"".join(parts)
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError("the answer is too large")
        parts.append(part)


def _why(error: Exception) -> str:
    """In words, without anything the other side made up."""
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "answers something else" if isinstance(error, ValueError | http.client.HTTPException) else "fails"

"""Who is let in, over which line, and what a request may cost: over real sockets."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from driftbus.adapters.http import access
from driftbus.adapters.http.access import Guard
from driftbus.adapters.http.server import HttpServer
from driftbus.errors import ConfigError
from tests.adapters.test_http import NOW_MS, ask
from tests.integration.live_source import LiveSource

TOKEN = "s3cret-token_of.the~house"  # noqa: S105 - not one of anybody
CLOSED = ("/", "/metrics", "/api/streams", "/api/streams/fraud", "/static/app.js", "/nothing")


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def guarded() -> Iterator[HttpServer]:
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, Guard(token=TOKEN)) as server:
        yield server


@pytest.mark.parametrize("path", CLOSED)
def test_without_the_token_nothing_is_shown(guarded: HttpServer, path: str) -> None:
    for given in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Token {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Authorization": basic(TOKEN, "")},
        {"Authorization": "Basic not base64!"},
    ):
        status, headers, body = ask(guarded, path, **given)
        assert (status, b"fraud" in body) == (401, False), given
        assert headers["x-content-type-options"] == "nosniff"
    assert ask(guarded, path, "HEAD")[0] == 401


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic("anybody", TOKEN)])
def test_with_the_token_all_is_shown(guarded: HttpServer, shown: str) -> None:
    for path in CLOSED:
        assert ask(guarded, path, Authorization=shown)[0] == (404 if path == "/nothing" else 200)


def test_probes_need_no_token(guarded: HttpServer) -> None:
    assert ask(guarded, "/livez")[0] == ask(guarded, "/readyz?verbose")[0] == 200


def test_both_ways_to_show_it_are_told(guarded: HttpServer) -> None:
    connection = http.client.HTTPConnection(*guarded.address, timeout=20)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert [value.split()[0] for value in answer.headers.get_all("WWW-Authenticate", [])] == [
        "Bearer",
        "Basic",
    ]
    assert answer.read().startswith(b"a token is needed")
    connection.close()


def test_a_token_is_never_shown_by_what_holds_it() -> None:
    assert TOKEN not in repr(Guard(token=TOKEN))


def certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", cert, "-keyout", key,
         *(more or ("-nodes",))],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def get_over_tls(server: HttpServer, trusted: Path, path: str = "/metrics") -> int:
    context = ssl.create_default_context(cafile=str(trusted))
    connection = http.client.HTTPSConnection(*server.address, timeout=20, context=context)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_over_tls_and_not_without(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "one")
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, Guard(cert, key, TOKEN)) as server:
        assert server.url.startswith("https://")
        # Somebody who opens a connection and says nothing keeps nobody waiting.
        with socket.create_connection(server.address, timeout=20):
            assert get_over_tls(server, cert) == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(server, "/metrics")
        assert get_over_tls(server, cert, "/") == 200

        other, other_key = certificate(tmp_path, "two")
        server.renew(Guard(other, other_key, TOKEN))
        with pytest.raises(ssl.SSLCertVerificationError):
            get_over_tls(server, cert)
        assert get_over_tls(server, other) == 200
        with pytest.raises(ConfigError, match=r"http\.tls"):
            server.renew(Guard(other, key))
        assert get_over_tls(server, other) == 200


def test_certificates_that_cannot_be_used_are_clear_errors(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "one")
    locked = certificate(tmp_path, "locked", "-passout", "pass:hidden")
    (tmp_path / "both.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    for one, its_key in (
        (tmp_path / "absent", None),
        (cert, None),
        (cert, cert),
        locked,
        (Path(__file__), None),
    ):
        with pytest.raises(ConfigError, match=r"http\.tls"):
            HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, Guard(one, its_key))
    both = Guard(tmp_path / "both.pem")
    HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, both).close()
    context = both.context()
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def answer_to(server: HttpServer, sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    received = b""
    with socket.create_connection(server.address, timeout=20) as line:
        with suppress(ConnectionError):  # refused before all of it was sent
            line.sendall(sent)
        while True:
            try:
                more = line.recv(65_536)
            except ConnectionError:
                break
            if not more:
                break
            received += more
    return received


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0) as running:
        yield running


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 90 + b"z: " + b"y" * 33_000,
        b"GET /" + b"a" * 40_000,
    ],
    ids=["one header", "headers", "line"],
)
def test_a_request_that_is_too_large_is_refused(server: HttpServer, request_: bytes) -> None:
    received = answer_to(server, request_)
    assert received.startswith(b"HTTP/1.1 431 ") or not received  # a reset may overtake the answer
    assert ask(server, "/livez")[0] == 200


def test_a_request_that_never_ends_is_ended(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is not enough to keep a place."""
    monkeypatch.setattr(access, "REQUEST_S", 0.5)
    with socket.create_connection(server.address, timeout=20) as line:
        line.sendall(b"GET / HTTP/1.1\r\n")
        ended = threading.Event()

        def read() -> None:
            try:
                while line.recv(1_000):
                    pass
            except OSError:
                pass
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        deadline = time.monotonic() + 30
        while not ended.wait(0.1):
            assert time.monotonic() < deadline
            try:
                line.sendall(b"x")
            except OSError:
                break
        reader.join(30)
        assert ended.is_set()
    # The time between two requests of a connection is no part of it.
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    for _ in range(2):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"alive\n"
        time.sleep(0.7)
    connection.close()


@pytest.mark.parametrize("body", [b"Content-Length: 38", b"Transfer-Encoding: chunked"])
def test_a_body_is_not_taken_for_a_request(server: HttpServer, body: bytes) -> None:
    received = answer_to(server, b"GET /livez HTTP/1.1\r\n" + body + b"\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n")
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"alive" in received


@pytest.mark.parametrize("line", [b"G<script>T / HTTP/1.1 x y\r\n\r\n", b"<b> <i> HTTP/7.7\r\n\r\n"])
def test_what_is_no_request_is_answered_without_it(server: HttpServer, line: bytes) -> None:
    received = answer_to(server, line)
    assert received.startswith(b"HTTP/1.1 ")
    assert b"<" not in received
    assert b"nosniff" in received
    assert b"text/plain" in received

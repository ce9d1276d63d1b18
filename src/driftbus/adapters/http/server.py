"""The HTTP server of a worker: `/metrics`, `/livez`, `/readyz`, `/api/…` and the page at `/`.

Python's own threading server is enough: a scraper, a probe and a few people look at it. It reads, never
writes: GET and HEAD only, no cookies, nothing from another site, every answer with headers that say so.
Who may ask, and how much of it, stands in `access.py`.
"""

from __future__ import annotations

import io
import logging
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from socketserver import TCPServer
from typing import Any

from driftbus.adapters.http.access import IDLE_S, MAX_CONNECTIONS, REQUEST_S, Guard, Reading, TooLarge
from driftbus.adapters.http.pages import Answer, Pages
from driftbus.adapters.http.peers import Peers
from driftbus.core.views import Source
from driftbus.errors import ConfigError

log = logging.getLogger(__name__)

_SECURITY_HEADERS = (
    # Scripts, styles, images and data from here only; never inside a frame of another page.
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class HttpServer:
    """Serves a `Source` until closed, and beside it what `peers` say. Raises `ConfigError` when host and port
    cannot be had, or the certificate not be used."""

    def __init__(
        self,
        source: Source,
        host: str = "127.0.0.1",
        port: int = 8711,
        guard: Guard | None = None,
        peers: Peers | None = None,
    ) -> None:
        self._views = Pages(source, peers)
        guard = guard or Guard()
        context = guard.context()
        try:
            self._server = (_Server6 if ":" in host else _Server)((host, port), self._views)
        except OSError as error:
            raise ConfigError(
                "http.port",
                f"{host}:{port}",
                f"a free address and port of this machine ({error.strerror or error}); port 0 takes any",
            ) from error
        self._server.guard, self._server.context = guard, context
        # Asked ten times a second whether to stop: a shutdown waits for one such turn.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        host, port = self.address
        scheme = "http" if self._server.context is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def renew(self, guard: Guard, peers: Peers | None = None) -> None:
        """Another token or certificate, or new files of the same names, and other peers, for connections from
        now on. Raises `ConfigError` and changes nothing where the certificate cannot be used."""
        self._server.context = guard.context()
        self._server.guard = guard
        self._views.peers = peers

    def start(self) -> None:
        self._thread.start()
        log.info("listening on %s", self.url)

    def close(self) -> None:
        """Stop listening; answers under way are finished by their own threads or die with the process."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_NEEDS_TOKEN = Answer(
    b"a token is needed: as a Bearer token, or as the password of a login\n",
    status=HTTPStatus.UNAUTHORIZED,
    headers=(
        ("WWW-Authenticate", 'Bearer realm="driftbus"'),
        ("WWW-Authenticate", 'Basic realm="driftbus", charset="UTF-8"'),
    ),
)
_ONLY_READING = Answer(
    b"only GET and HEAD\n", status=HTTPStatus.METHOD_NOT_ALLOWED, headers=(("Allow", "GET, HEAD"),)
)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "driftbus"
    sys_version = ""
    timeout = IDLE_S

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._reading = Reading(self.connection)
        self.rfile = io.BufferedReader(self._reading)

    def handle_one_request(self) -> None:
        self._reading.next_request()
        try:
            super().handle_one_request()
        except TooLarge:
            self.close_connection = True
            self.requestline = self.command = ""
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def do_GET(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody reads must not be taken for the next request
        if not self.server.guard.admits(self.path.partition("?")[0], self.headers.get("Authorization", "")):
            self._send(_NEEDS_TOKEN)
            return
        try:
            answer = self.server.pages.answer(self.path, self.headers.get("Accept", ""))
        except Exception:
            # Whatever went wrong is shown here and in the log; the server and the worker go on.
            log.exception("no answer to %r", self.path)
            answer = Answer(b"internal error; the log says more\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer)

    do_HEAD = do_GET  # noqa: N815  http.server finds methods by this name

    def _refuse(self) -> None:
        self.close_connection = True  # a body may follow that nobody reads
        self._send(_ONLY_READING)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself: said with the same headers, and nothing of the request."""
        self.close_connection = True
        self.request_version = self.protocol_version  # of a request that had none no header would be sent
        status = HTTPStatus(code)
        self._send(Answer(f"{status.phrase}\n".encode(), status=status))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every other method, known or invented
            return self._refuse
        raise AttributeError(name)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in (*_SECURITY_HEADERS, *answer.headers):
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s: %s", self.client_address[0], ascii(format % args))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A restarted worker gets its port back at once; a port someone listens on is refused all the same.
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.pages = pages
        self.guard = Guard()
        self.context: ssl.SSLContext | None = None
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: that one asks the name service who we are, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)  # full: the client sees a closed connection and tries again
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a slow handshake keeps nobody waiting."""
        if self.context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(REQUEST_S)
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("connection from %s broke", client_address, exc_info=True)


class _Server6(_Server):
    address_family = AF_INET6

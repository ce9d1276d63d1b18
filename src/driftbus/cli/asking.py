"""Asking workers over HTTP: where they listen, the token, and whose certificate is trusted."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson

from driftbus.config import HttpSettings
from driftbus.errors import ConfigError, Unavailable

# A worker answers in milliseconds; one that folds a large step may hold its lock for a second or two.
TIMEOUT_S = 10.0
# 10,000 streams are about 20 MB.
MOST_BYTES = 256 * 1024 * 1024
# Listening on every address includes the machine's own.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where to ask, not to listen


def own_url(http: HttpSettings) -> str:
    """Where a worker with this configuration listens, seen from its own machine."""
    host = _ANY.get(http.host, http.host)
    scheme = "http" if http.tls is None else "https"
    return f"{scheme}://[{host}]:{http.port}" if ":" in host else f"{scheme}://{host}:{http.port}"


class Asking:
    """Asks workers. A worker of this configuration shows the configuration's own certificate, and no other is
    taken; one named by its address is checked as a browser does, against `ca` where that is given."""

    def __init__(self, http: HttpSettings, ca: Path | None = None) -> None:
        self._http, self._ca = http, ca

    def json(self, url: str, path: str, *, is_own: bool) -> Any:
        """What a worker answers at `path`. Raises `Unavailable` with the reason in words, `ConfigError`."""
        parts = _parts(url)
        # Not urllib's opener: no proxy stands before a worker, and a redirect must not get the token.
        if parts.scheme == "https":
            context = self._own_context() if is_own and self._ca is None else self._context()
            connection: HTTPConnection = HTTPSConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        headers = {"Accept": "application/json"}
        if self._http.token is not None:
            headers["Authorization"] = f"Bearer {self._http.token}"
        try:
            connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(MOST_BYTES)
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"{url}: its certificate is not trusted ({error.verify_message})") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable(f"{url} does not answer ({reason})") from error
        finally:
            connection.close()
        if answer.status == 401:
            said = (
                "the configuration's is another" if self._http.token else "set http.token or http.token_file"
            )
            raise Unavailable(f"{url} wants a token: {said}")
        if answer.status != 200:
            raise Unavailable(f"{url}{path} answers {answer.status} {answer.reason}")
        try:
            answered = orjson.loads(body)
            if isinstance(answered, dict):
                return answered
        except ValueError:
            pass  # said below
        raise Unavailable(f"{url}{path} does not answer as a worker does")

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca)
        except OSError as error:
            raise ConfigError(
                "--ca", str(self._ca), f"certificates in PEM ({error.strerror or error})"
            ) from None

    def _own_context(self) -> ssl.SSLContext:
        """Trusts the configuration's own certificate and nothing else: by whatever name the worker is asked,
        only the holder of that certificate's key can answer."""
        tls = self._http.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if tls is not None:
            try:
                context.load_verify_locations(cadata=_leaf(tls.cert.read_text()))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise ConfigError(
                    "http.tls.cert", str(tls.cert), f"a certificate in PEM ({reason})"
                ) from None
        return context


def _leaf(pem: str) -> str:
    """The first certificate of a file that may hold its chain and its key as well."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start = pem.find(begin)
    stop = pem.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError("there is none in it")
    return pem[start : stop + len(end)] + "\n"


def _parts(url: str) -> SplitResult:
    """Raises `ConfigError` for what is no address."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0:
            return parts
    except ValueError:
        pass  # said below
    raise ConfigError("--url", url, "a worker's address, such as http://127.0.0.1:8711")

"""Debian's Prometheus on a free loopback port, with its own data directory, ended when its test ends."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.ports import free_port

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules.yml"


class Prometheus:
    """Asks a running server through its HTTP API."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        """The `data` of an answer; a refused expression raises with Prometheus's own words."""
        try:
            with urlopen(f"{self.base}/api/v1/{path}?{urlencode(query)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            said = error.read().decode(errors="replace")
            if error.code == 503:  # it listens before it has read its own storage, and says so in plain text
                raise URLError(said) from error
            raise AssertionError(f"{query}: {said}") from error

    def query(self, expr: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return result

    def wait_for(self, expr: str, *, within_s: float = 120) -> list[dict[str, Any]]:
        """Samples of an expression, as soon as there are any."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            try:
                if found := self.query(expr):
                    return found
            except OSError:
                pass  # not listening yet, or too busy to answer
            time.sleep(0.2)
        raise AssertionError(f"nothing came of {expr!r} within {within_s:g} s")


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], alertmanager: str | None = None) -> Iterator[Prometheus]:
    """A server that scrapes `targets` (host:port) each second as job `driftbus`, by our rules; alerts
    go to `alertmanager` (host:port)."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES)],
                "alerting": {
                    "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]
                    if alertmanager
                    else []
                },
                "scrape_configs": [
                    {"job_name": "driftbus", "static_configs": [{"targets": list(targets)}]},
                ],
            }
        )
    )
    log = folder / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
            ],
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(30)

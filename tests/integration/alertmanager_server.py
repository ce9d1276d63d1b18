"""Debian's Alertmanager on free loopback ports with the routes we ship, telling a receiver of our own."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port

CONFIG = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yml"
# Ends what would hang for ever.
LIMIT_S = 120.0


class Alertmanager:
    """What its receivers were told, by receiver."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._news = threading.Condition()

    def tell(self, receiver: str, alerts: list[dict[str, Any]]) -> None:
        with self._news:
            self._told += [(receiver, alert) for alert in alerts]
            self._news.notify_all()

    def heard(self, receiver: str) -> list[dict[str, Any]]:
        with self._news:
            return [alert for who, alert in self._told if who == receiver]

    def wait_for(self, receiver: str, name: str) -> dict[str, Any]:
        """The first alert of this name that a receiver was told of."""
        until = time.monotonic() + LIMIT_S
        while True:
            with self._news:
                for who, alert in self._told:
                    if who == receiver and alert["labels"]["alertname"] == name:
                        return alert
                left = until - time.monotonic()
                assert left > 0, f"{receiver} never heard of {name}; told: {self._told}"
                self._news.wait(left)


@contextmanager
def alertmanager(folder: Path, teams: Mapping[str, str]) -> Iterator[Alertmanager]:
    """A server with our routes, whose receivers are webhooks; `teams`: what stands for a route's team."""
    running = Alertmanager(free_port())

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            running.tell(self.path.strip("/"), body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    text = CONFIG.read_text()
    for ours, theirs in teams.items():
        text, count = re.subn(rf"team = {ours}\b", f"team = {theirs}", text)
        assert count == 1
    document = yaml.safe_load(re.sub(r"group_wait: \w+", "group_wait: 0s", text))
    for receiver in document["receivers"]:
        url = f"http://127.0.0.1:{sink.server_port}/{receiver['name']}"
        receiver["webhook_configs"] = [{"url": url}]
    config = folder / "alertmanager.yml"
    config.write_text(yaml.safe_dump(document))
    with (folder / "alertmanager.log").open("w") as output:
        process = subprocess.Popen(
            [
                "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'data'}",
                f"--web.listen-address={running.address}", "--cluster.listen-address=",
            ],
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield running
        finally:
            process.terminate()
            process.wait(30)
            sink.shutdown()
            sink.server_close()

"""The forwarder of examples/webhook.py as a process, against a hook that is away, says no, and says yes."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.ports import TopicPartition, TopicSpec
from tests.cli.commands import clean_environ

FORWARDER = Path(__file__).resolve().parents[1] / "examples/webhook.py"
SECRET = "s3cr3t-of-a-test"  # noqa: S105
# Ends what would hang for ever.
LIMIT_S = 60.0
PLACE = TopicPartition("driftbus.retrain-requests", 0)


def request(number: int) -> dict[str, Any]:
    window = {
        "topic": "driftbus.outcomes", "partition": 0, "start_offset": 0, "end_offset": 10, "start_seq": 0,
        "end_seq": 10, "start_ts": None, "end_ts": None, "rows": 10, "class_counts": {"0": 10},
        "onset_ts": None,
        "rows_since_onset": 10, "corrections_offset": 0, "sample": 1.0,
    }  # fmt: skip
    data = {
        "request_id": f"rq-{number}", "stream": "fraud", "model_version": "v1", "status": "requested",
        "reason": "manual", "episode_id": None, "evidence": {}, "training_window": window, "attempt": 1,
        "labels": {"team": "risk"},
    }  # fmt: skip
    return {
        "specversion": "1.0", "id": f"ev-{number}", "source": "test", "subject": "fraud",
        "type": "io.driftbus.retrain-request.v1", "time": "2026-01-01T00:00:00Z", "partitionkey": "fraud",
        "datacontenttype": "application/json", "data": data,
    }  # fmt: skip


class Hook:
    """Answers with the statuses it was given, then with 202; holds what came."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.news = threading.Condition()

    def wait_for(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.came) >= count, LIMIT_S), (
                f"{len(self.came)} of {count}"
            )

    def ids(self) -> list[str]:
        return [json.loads(body)["id"] for _, body in self.came]


@contextmanager
def listening(hook: Hook) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with hook.news:
                hook.came.append((dict(self.headers), body))
                status = hook.statuses.pop(0) if hook.statuses else 202
                hook.news.notify_all()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/retrain"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmbeddedBus]:
    bus = EmbeddedBus(tmp_path / "bus")
    bus.create_topics([TopicSpec(f"driftbus.{name}", 1) for name in ("retrain-requests", "model-events")])
    producer = bus.producer()
    for number in (1, 2):
        producer.produce(PLACE.topic, key=b"fraud", value=orjson.dumps(request(number)))
    producer.close(10)
    yield bus
    bus.close()


@contextmanager
def forwarding(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, FORWARDER, url, "--embedded", folder / "bus", "--first-wait", "0.05"],
        env=clean_environ() | {"HOOK_SECRET": SECRET},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=LIMIT_S)
        print(said)
        assert process.returncode == 0


def committed(bus: EmbeddedBus) -> int:
    return bus.committed("webhook", [PLACE]).get(PLACE, 0)


def test_a_request_is_sent_until_it_is_taken_and_then_no_more(bus: EmbeddedBus, tmp_path: Path) -> None:
    hook = Hook(503, 429, 200)
    with listening(hook) as url, forwarding(tmp_path, url):
        hook.wait_for(4)
    assert hook.ids() == ["ev-1", "ev-1", "ev-1", "ev-2"]
    headers, body = hook.came[0]
    assert json.loads(body) == request(1)
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Driftbus-Signature"] == signature
    assert committed(bus) >= 1


def test_a_forwarder_that_ends_before_the_answer_sends_it_again(bus: EmbeddedBus, tmp_path: Path) -> None:
    away = Hook(*[500] * 10_000)
    with listening(away) as url, forwarding(tmp_path, url):
        away.wait_for(2)
    assert set(away.ids()) == {"ev-1"}
    assert committed(bus) == 0
    back = Hook()
    with listening(back) as url, forwarding(tmp_path, url):
        back.wait_for(2)
    assert back.ids() == ["ev-1", "ev-2"]


@pytest.mark.parametrize("status", [404, 301, 302])
def test_a_hook_that_refuses_has_the_request_fail(status: int, bus: EmbeddedBus, tmp_path: Path) -> None:
    """A redirect counts as that: followed, the request would be a GET, and a 200 nobody's word."""
    hook = Hook(status)
    with listening(hook) as url, forwarding(tmp_path, url):
        hook.wait_for(2)
    assert hook.ids() == ["ev-1", "ev-2"]
    (said,) = [orjson.loads(r.value or b"") for r in bus.read_from("driftbus.model-events", 0, 0)]
    assert (said["type"], said["retrain_request_id"]) == ("training-failed", "rq-1")
    assert str(status) in said["reason"]

"""`driftbus streams` against real servers: what it shows, what it is shown, whom it trusts."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from driftbus.adapters.http.access import Guard
from driftbus.adapters.http.server import HttpServer
from driftbus.core.views import StreamView
from tests.adapters.test_http_access import certificate
from tests.cli.commands import in_process
from tests.integration.live_source import LiveSource

NOW_MS = 1_767_225_600_000
TOKEN = "s3cret-token_of.the~house"  # noqa: S105 - not one of anybody


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0) as running:
        yield running


def configured(folder: Path, server: HttpServer, http: str = "") -> Path:
    path = folder / "c.yaml"
    path.write_text(f"http: {{host: 127.0.0.1, port: {server.address[1]}{http}}}\n")
    return path


def test_a_line_each_the_worst_first(server: HttpServer, tmp_path: Path) -> None:
    done = in_process("streams", "--config", configured(tmp_path, server))
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["STREAM", "STATE", "ERROR", "LAG", "DRIFT"]
    assert [line.split()[1] for line in lines] == ["drift", "ok", "ok", "ok", "ok", "ok"]
    assert lines[0].split()[0] == "churn"
    assert "concept sudden since 2025-12-31 23:20" in lines[0]
    assert done.stderr == "6 streams, 1 with open drift\n"


def test_json_is_the_apis_own_with_the_lag(server: HttpServer) -> None:
    done = in_process("streams", "--url", server.url, "--json", "--sort", "name")
    entries = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [entry["stream"] for entry in entries] == sorted(LiveSource(NOW_MS).names)
    assert {entry["lag"] for entry in entries} <= {27, 28}
    assert all("open_episodes" in entry for entry in entries)
    assert done.stderr == ""


class Odd(LiveSource):
    """Streams in every state, one with a name that could forge a line."""

    def streams(self) -> Iterator[StreamView]:
        drifting = next(view for view in super().streams() if view.open_episodes)
        muted = tuple(replace(each, muted=True) for each in drifting.open_episodes)
        yield replace(drifting, stream="loud")
        yield replace(drifting, stream="muted", open_episodes=muted, request_in_flight=None)
        yield StreamView("asked", 0, outcomes_total=9, request_in_flight="r", metrics={"error": 0.5})
        yield StreamView("new", 9, last_drift_ms=NOW_MS)
        yield StreamView("broken\x1b[2J\nforged  ok", 0, defect="ValueError")


def test_states_orders_and_names() -> None:
    with HttpServer(Odd(NOW_MS), "127.0.0.1", 0) as server:
        by = {
            order: in_process("streams", "--url", server.url, "--sort", order).stdout.splitlines()[1:]
            for order in ("worst", "error", "lag", "name")
        }
        found = in_process("streams", "--url", server.url, "--search", "O", "--limit", "1")
    worst = by["worst"]
    assert worst[0].startswith(r"broken\x1b[2J\nforged  ok")
    assert [("set aside" in worst[0]), *(line.split()[:2] for line in worst[1:])] == [
        True, ["loud", "drift"], ["asked", "retrain"], ["new", "no"], ["muted", "muted"],
    ]  # fmt: skip
    assert "last 2026-01-01 00:00" in worst[3]
    assert by["error"][0].split()[:3] == ["asked", "retrain", "0.5"]
    assert by["lag"][-1].split()[:3] == ["new", "no", "labels"]
    assert [line.split()[0] for line in by["name"][1:]] == ["broken\\x1b[2J\\nforged", "loud", "muted", "new"]
    assert len(found.stdout.splitlines()) == 2
    assert "2 streams, 1 with open drift, the first 1 of them shown" in found.stderr


def test_streams_of_several_workers_each_once(server: HttpServer) -> None:
    with HttpServer(LiveSource(NOW_MS, ["fraud", "other"], 0), "127.0.0.1", 0) as second:
        done = in_process("streams", "--url", server.url, "--url", second.url, "--json")
    names = [orjson.loads(line)["stream"] for line in done.stdout.splitlines()]
    assert sorted(names) == sorted([*LiveSource(NOW_MS).names, "other"])


def test_a_worker_that_is_away_is_said_and_the_others_are_shown(server: HttpServer) -> None:
    done = in_process("streams", "--url", "http://127.0.0.1:9", "--url", server.url)
    assert done.returncode == 0
    assert "http://127.0.0.1:9 does not answer (Connection refused)" in done.stderr
    assert "fraud" in done.stdout


def test_no_answer_is_exit_1_in_a_plain_sentence(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("http: {host: 0.0.0.0, port: 9}\n")
    done = in_process("streams", "--config", tmp_path / "c.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("driftbus: http://127.0.0.1:9 does not answer (Connection refused); is a")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8711", "ftp://host", "http://", "http://host:99999999", "http://[x"]
)
def test_what_is_no_address_is_wrong_use(url: str) -> None:
    done = in_process("streams", "--url", url)
    assert done.returncode == 2
    assert "--url" in done.stderr


def test_the_token_of_the_configuration_is_shown_and_its_absence_said(tmp_path: Path) -> None:
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, Guard(token=TOKEN)) as server:
        without = in_process("streams", "--config", configured(tmp_path, server))
        other = in_process("streams", "--config", configured(tmp_path, server, f", token: {TOKEN}x"))
        right = in_process("streams", "--config", configured(tmp_path, server, f", token: {TOKEN}"))
    assert (without.returncode, other.returncode, right.returncode) == (1, 1, 0)
    assert "wants a token: set http.token" in without.stderr
    assert "the configuration's is another" in other.stderr
    assert TOKEN not in other.stderr


def test_over_tls_only_the_configured_certificate_is_taken(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "own")
    other, _ = certificate(tmp_path, "other")
    with HttpServer(LiveSource(NOW_MS), "127.0.0.1", 0, Guard(cert, key)) as server:
        own = configured(tmp_path, server, f", tls: {{cert: {cert}}}")
        assert in_process("streams", "--config", own).returncode == 0
        false = in_process("streams", "--config", configured(tmp_path, server, f", tls: {{cert: {other}}}"))
        assert (false.returncode, false.stdout) == (1, "")
        assert "certificate is not trusted" in false.stderr
        assert in_process("streams", "--url", server.url, "--ca", cert).returncode == 0
        assert in_process("streams", "--url", server.url).returncode == 1
        by_another_name = server.url.replace(
            "127.0.0.1", "127.1"
        )  # the same address, no name of the certificate
        assert in_process("streams", "--url", by_another_name, "--ca", cert).returncode == 1
        assert in_process("streams", "--url", server.url, "--ca", key).returncode == 2


class _Stranger(http.server.BaseHTTPRequestHandler):
    asked: list[str | None] = []  # noqa: RUF012 - one list for the class is what is meant

    def do_GET(self) -> None:
        self.asked.append(self.headers["Authorization"])
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            body = b""
        else:
            self.send_response(200)
            body = b"[]" if self.path.startswith("/list") else b'{"streams": 1}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.parametrize(
    ("path", "said"),
    [("/moved", "answers 302"), ("/list", "as a worker does"), ("", "as a worker of this version does")],
)
def test_what_is_no_worker_is_said_and_no_token_is_sent_on(tmp_path: Path, path: str, said: str) -> None:
    _Stranger.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Stranger)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        (tmp_path / "c.yaml").write_text(f"http: {{token: {TOKEN}}}\n")
        url = f"http://127.0.0.1:{server.server_port}{path}"
        done = in_process("streams", "--config", tmp_path / "c.yaml", "--url", url)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.returncode == 1
    assert said in done.stderr
    assert _Stranger.asked == [f"Bearer {TOKEN}"]

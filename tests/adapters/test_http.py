"""The HTTP server over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

import pytest

from driftbus.adapters.http import api
from driftbus.adapters.http.server import HttpServer
from driftbus.core.views import StreamDetail, StreamView
from driftbus.errors import ConfigError
from tests.integration.live_source import LiveSource

NOW_MS = 1_767_225_600_000
HOSTILE = [
    "<script>alert(1)</script>", '"; DROP', "a/b", "ü ñ 漢", "..x", "%2e", "a?b#c", "new\nline", "nul\0",
    "\\", "+ &",
]  # fmt: skip


@pytest.fixture
def source() -> LiveSource:
    return LiveSource(NOW_MS)


@pytest.fixture
def server(source: LiveSource) -> Iterator[HttpServer]:
    with HttpServer(source, "127.0.0.1", 0) as running:
        yield running


def ask(
    server: HttpServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_live_and_ready_follow_the_source(server: HttpServer, source: LiveSource) -> None:
    assert ask(server, "/livez")[0] == 200
    assert ask(server, "/readyz")[0] == 200
    source.is_ready = False
    status, _, body = ask(server, "/readyz")
    assert (status, body) == (503, b"not ready\n- partition 1: restoring, 40 %\n")
    assert ask(server, "/livez")[0] == 200
    source.is_alive = False
    assert ask(server, "/livez")[0] == 503


@pytest.mark.parametrize(
    ("accept", "kind", "last"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"\n"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            b"# EOF\n",
        ),
    ],
)
def test_metrics_come_in_the_format_that_was_asked_for(
    server: HttpServer, accept: str, kind: str, last: bytes
) -> None:
    status, headers, body = ask(server, "/metrics", Accept=accept)
    assert status == 200
    assert headers["content-type"] == kind
    assert body.endswith(last)
    assert b'driftbus_outcomes_total{stream="fraud"}' in body


def test_the_list_is_worst_first_and_can_be_cut(server: HttpServer) -> None:
    body = json.loads(ask(server, "/api/streams")[2])
    names = [entry["stream"] for entry in body["streams"]]
    # `churn` has an open episode, `fraud` had one and was retrained, the others never had any.
    assert names == ["churn", "fraud", "control", "credit-limit", "house-prices", "search-rank"]
    states = {"set_aside": 0, "drifting": 1, "retraining": 0, "unlabelled": 0, "steady": 5}
    assert body["totals"] == {
        "streams": 6, "episodes_open": 1, "requests_in_flight": 1, "states": states,
    }  # fmt: skip
    assert [w["worker_id"] for w in body["workers"]] == ["driftbus-host-8711"]
    assert body["matching"] == 6
    assert body["worker"]["worker_id"] == "driftbus-host-8711"
    assert body["worker"]["limits"]["max_pending"] == {"used": 2402, "limit": 2_000_000}
    assert body["worker"]["dead_letters"]["labels"] == {"null_label": 1}
    assert "chart" not in body["streams"][0]

    some = json.loads(ask(server, "/api/streams?q=CR&limit=1&charts=5")[2])
    assert [entry["stream"] for entry in some["streams"]] == ["credit-limit"]
    assert (some["totals"]["streams"], some["matching"]) == (6, 1)
    assert len(some["streams"][0]["chart"]["ts_ms"]) == 120
    # Every word, in the name or in a label; and a state.
    found = json.loads(ask(server, "/api/streams?q=team:risk+ch&brief=1")[2])["streams"]
    assert [(entry["stream"], entry["state"]) for entry in found] == [("churn", "drifting")]
    assert json.loads(ask(server, "/api/streams?state=steady&q=fraud")[2])["matching"] == 1
    assert json.loads(ask(server, "/api/streams?state=drifting&q=fraud")[2])["matching"] == 0
    # What makes no sense changes nothing.
    assert len(json.loads(ask(server, "/api/streams?limit=-1&charts=x")[2])["streams"]) == 6


def test_whom_nobody_watches_comes_first(server: HttpServer, source: LiveSource) -> None:
    source.set_aside = ["control"]
    first = json.loads(ask(server, "/api/streams?limit=1")[2])["streams"][0]
    assert (first["stream"], first["defect"]) == ("control", "TypeError")
    assert b'driftbus_stream_set_aside{stream="control"} 1\n' in ask(server, "/metrics")[2]


def test_one_stream_in_full(server: HttpServer) -> None:
    status, headers, body = ask(server, "/api/streams/fraud")
    assert status == 200
    assert headers["content-type"] == "application/json"
    shown = json.loads(body)
    assert shown["view"]["episodes_closed"] == {"concept": {"sudden": 1}}
    assert shown["past_episodes"][0]["signals"][0]["name"] == "error"
    assert shown["deployments"][-1] == {
        "deployed_ms": NOW_MS - 900_000, "model_version": "v4", "rolled_back": False,
    }  # fmt: skip
    assert shown["requests"][0]["ended"] == "deployed"
    assert {f["name"]: f["before"] for f in shown["features"]}["iban"] is None
    lengths = {len(column) for column in shown["chart"].values()}
    assert lengths == {120}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_finds_its_stream_and_is_never_markup(name: str) -> None:
    source = LiveSource(NOW_MS, [name, "other"])
    with HttpServer(source, "127.0.0.1", 0) as server:
        status, _, body = ask(server, "/api/streams/" + quote(name, safe=""))
        assert status == 200
        assert json.loads(body)["view"]["stream"] == name
        for path in ("/api/streams", "/metrics", "/", "/api/streams/" + quote("<img src=x>")):
            _, headers, body = ask(server, path)
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-type"].startswith("text/html") == (path == "/")
            if path == "/":
                assert name.encode() not in body or len(name) < 6


def test_what_is_not_there_is_said(server: HttpServer) -> None:
    status, headers, body = ask(server, "/api/streams/nobody")
    assert (status, headers["content-type"]) == (404, "application/json")
    assert "error" in json.loads(body)
    for path in (
        "/nothing",
        "/static/",
        "/static/../server.py",
        "/static/%2e%2e/api.py",
        "/api",
        "/api/streamsx",
    ):
        assert ask(server, path)[0] == 404, path


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/style.css", "/metrics", "/livez", "/api/streams", "/no"]
)
def test_every_answer_is_guarded(server: HttpServer, path: str) -> None:
    _, headers, _ = ask(server, path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "python" not in headers.get("server", "").lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_written(server: HttpServer, method: str) -> None:
    status, headers, _ = ask(server, "/api/streams", method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/api/streams", "/nothing"])
def test_head_is_get_without_a_body(server: HttpServer, path: str) -> None:
    got, asked = ask(server, path), ask(server, path, "HEAD")
    assert asked[0] == got[0]
    assert asked[2] == b""
    assert asked[1]["content-type"] == got[1]["content-type"]


def test_a_connection_serves_several_requests(server: HttpServer) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    for _ in range(3):
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"alive\n"
    connection.close()


def test_an_error_in_the_source_is_answered_and_the_next_request_served(
    server: HttpServer, source: LiveSource, caplog: pytest.LogCaptureFixture
) -> None:
    broken = StreamView(stream="broken", partition=0, metrics={"f1": "no number"})  # type: ignore[dict-item]
    whole = source.streams
    source.streams = lambda: [broken]  # type: ignore[method-assign]
    assert ask(server, "/metrics")[0] == 500
    assert "no answer to '/metrics'" in caplog.text
    source.streams = whole  # type: ignore[method-assign]
    assert ask(server, "/metrics")[0] == 200


def test_a_taken_port_is_a_clear_error(server: HttpServer, source: LiveSource) -> None:
    with pytest.raises(ConfigError, match=r"http\.port.*Address already in use.*port 0 takes any"):
        HttpServer(source, *server.address)


def test_an_address_of_another_machine_is_a_clear_error(source: LiveSource) -> None:
    with pytest.raises(ConfigError, match=r"http\.port"):
        HttpServer(source, "192.0.2.1", 0)


def test_it_listens_where_it_was_told_and_nowhere_else(source: LiveSource) -> None:
    with HttpServer(source, "127.0.0.1", 0) as server:
        host, port = server.address
        assert host == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{port}"
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


def test_it_stops_cleanly_and_its_port_is_free_again(source: LiveSource) -> None:
    before = threading.active_count()
    server = HttpServer(source, "127.0.0.1", 0)
    server.start()
    address = server.address
    assert ask(server, "/livez")[0] == 200
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    with HttpServer(source, *address) as again:
        assert again.address == address
    assert not [t for t in threading.enumerate() if t.name == "http"]
    assert threading.active_count() <= before + 2  # threads of connections just closed may still be ending
    HttpServer(source, "127.0.0.1", 0).close()  # never started


def test_broken_requests_harm_nobody(server: HttpServer) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\n\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"a" * 70_000,
        b"",
    ):
        # The server may have closed the connection before all of it was sent.
        with socket.create_connection(server.address, timeout=20) as line, suppress(OSError):
            line.sendall(garbage)
            line.shutdown(socket.SHUT_WR)
            while line.recv(65_536):
                pass
    assert ask(server, "/livez")[0] == 200


def test_worst_first_orders_by_harm_then_name() -> None:
    source = LiveSource(NOW_MS, ["b", "a", "z"], drifted=0)
    calm = [view.stream for view in api.worst_first(source.streams())]
    assert calm == ["a", "b", "z"]
    source.drifted = ["b", "z"]  # b is the first: retrained; z has an open episode
    assert [view.stream for view in api.worst_first(source.streams())] == ["z", "b", "a"]


def test_numbers_that_are_not_finite_become_null() -> None:
    view = StreamView(stream="x", partition=0, metrics={"log_loss": float("inf")})
    assert json.loads(api.encode(api.detail_json(StreamDetail(view))))["view"]["metrics"] == {
        "log_loss": None
    }

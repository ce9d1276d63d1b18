"""Any worker shows every stream of the group; one that is silent is said, and nothing waits for it."""

from __future__ import annotations

import dataclasses
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from driftbus.adapters.http import group, peers
from driftbus.adapters.http.access import Guard
from driftbus.adapters.http.peers import Heard, Peers, trusting
from driftbus.adapters.http.server import HttpServer
from driftbus.config import load
from driftbus.core.views import WorkerView
from driftbus.errors import ConfigError
from driftbus.supervisor import environments
from driftbus.wiring import peers_of
from tests.adapters.test_http import ask
from tests.integration.live_source import LiveSource

NOW_MS = 1_767_225_600_000
TOKEN = "0123456789abcdef"  # noqa: S105


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that runs other tests at once an answer takes longer than a person would wait."""
    monkeypatch.setattr(peers, "PATIENCE_S", 60.0)
    monkeypatch.setattr(peers, "FETCH_S", 60.0)


class Named(LiveSource):
    """A worker of a name, in a group."""

    def __init__(self, worker_id: str, names: list[str], group: str = "driftbus") -> None:
        super().__init__(NOW_MS, names)
        self.worker_id, self.group = worker_id, group

    def worker(self) -> WorkerView:
        return dataclasses.replace(super().worker(), worker_id=self.worker_id, group=self.group)


@contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def serving(stack: ExitStack, source: LiveSource, asked: Peers | None = None, **given: Any) -> HttpServer:
    return stack.enter_context(HttpServer(source, "127.0.0.1", 0, peers=asked, **given))


def shown(server: HttpServer, path: str = "/api/streams") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(ask(server, path)[2])
    return body


def test_each_worker_shows_every_stream_worst_first() -> None:
    with ExitStack() as stack:
        one = serving(stack, Named("one", ["a", "b", "c"]))
        other = serving(stack, Named("other", ["d/%<", "e"]), Peers([one.url]))
        body = shown(other)
        assert [entry["stream"] for entry in body["streams"]] == ["b", "e", "a", "d/%<", "c"]
        assert body["matching"] == body["totals"]["streams"] == 5
        assert body["totals"]["states"]["drifting"] == 2
        assert [(each["worker_id"], each["address"]) for each in body["workers"]] == [
            ("other", None), ("one", one.url),
        ]  # fmt: skip
        assert all(each["trouble"] is None for each in body["workers"])
        # The one that was asked says no less of itself than the others do.
        assert [(each["partitions"], each["lag"]) for each in body["workers"]] == [([0, 1], 55)] * 2
        some = shown(other, "/api/streams?limit=2&q=B&charts=3&brief=1")
        assert [(entry["stream"], entry["worker"]) for entry in some["streams"]] == [("b", "one")]
        assert len(some["streams"][0]["chart"]["ts_ms"]) == 120
        assert shown(other, "/api/streams/c")["worker"] == "one"
        assert shown(other, f"/api/streams/{quote('d/%<', safe='')}")["worker"] == "other"
        assert ask(other, "/api/streams/none")[0] == 404
        # A worker's own part is what others ask for: no question goes round.
        assert len(shown(other, "/api/streams?scope=worker")["streams"]) == 2
        assert ask(other, "/api/streams/c?scope=worker")[0] == 404


def test_a_worker_that_stands_in_its_own_list_is_shown_once() -> None:
    with ExitStack() as stack:
        one = serving(stack, Named("one", ["a"]))
        other = serving(stack, Named("other", ["b"]))
        other.renew(Guard(), Peers([one.url, other.url, one.url]))
        body = shown(other)
        assert [each["worker_id"] for each in body["workers"]] == ["other", "one"]
        assert body["totals"]["streams"] == 2


def test_whoever_has_no_answer_is_said() -> None:
    with ExitStack() as stack:
        one = serving(stack, Named("one", ["a"]))
        foreign = serving(stack, Named("foreign", ["x"], group="another"))
        closed = socket.create_server(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        body = shown(serving(stack, Named("other", ["b"]), Peers([gone, foreign.url, one.url])))
    said = {each["address"]: each["trouble"] for each in body["workers"]}
    assert said == {
        None: None, gone: "connection refused", foreign.url: "belongs to another group", one.url: None,
    }  # fmt: skip
    assert {entry["stream"] for entry in body["streams"]} == {"a", "b"}


def test_one_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PATIENCE_S", 0.2)
    with ExitStack() as stack:
        hanging = stack.enter_context(silent())
        other = serving(stack, Named("other", ["b"]), Peers([hanging]))
        body = shown(other)
        assert [each["trouble"] for each in body["workers"]] == [None, "does not answer"]
        assert [entry["stream"] for entry in body["streams"]] == ["b"]
        # From now on nobody waits for it, whatever is asked: it is asked beside.
        monkeypatch.setattr(peers, "PATIENCE_S", 3_600.0)
        monkeypatch.setattr(peers, "AGAIN_S", 3_600.0)
        assert shown(other, "/api/streams?limit=1")["matching"] == 1
        missing = ask(other, "/api/streams/nowhere")
        assert missing[0] == 404
        assert json.loads(missing[2])["silent"] == [f"{hanging} does not answer"]


def test_what_a_silent_worker_said_last_stands_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "FRESH_S", 0.0)
    with ExitStack() as stack:
        one = HttpServer(Named("one", ["a"]), "127.0.0.1", 0)
        one.start()
        other = serving(stack, Named("other", ["b"]), Peers([one.url]))
        assert len(shown(other)["streams"]) == 2
        one.close()
        body = shown(other)
        assert len(body["streams"]) == 2
        assert body["workers"][1]["worker_id"] == "one"
        assert body["workers"][1]["trouble"] == "connection refused"
        monkeypatch.setattr(peers, "KEPT_S", 0.0)
        assert len(shown(other)["streams"]) == 1


def test_an_answer_is_used_again_and_many_askers_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    gate = threading.Event()

    def get(address: Any, path: str, *given: Any) -> tuple[Any, str | None]:
        asked.append(path)
        gate.wait(20)
        return {"n": len(asked)}, None

    monkeypatch.setattr(peers, "get", get)
    monkeypatch.setattr(peers, "PATIENCE_S", 20.0)
    monkeypatch.setattr(peers, "FRESH_S", 3_600.0)
    several = Peers(["http://127.0.0.1:1"])
    answers: list[list[Heard]] = []
    threads = [threading.Thread(target=lambda: answers.append(several.ask("/x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert [each[0].answer for each in answers] == [{"n": 1}] * 8
    assert several.ask("/x")[0].answer == {"n": 1}
    assert asked == ["/x"]


def test_what_nobody_asked_for_lately_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "get", lambda *given: ({"large": "x" * 1000}, None))
    several = Peers(["http://127.0.0.1:1", "http://127.0.0.1:2"])
    for number in range(40):
        several.ask(f"/{number}")
    assert len(several._kept) == 80
    monkeypatch.setattr(peers, "KEPT_S", 0.0)
    several.ask("/last")
    assert len(several._kept) == 2
    monkeypatch.setattr(peers, "MOST_KEPT", 6)
    monkeypatch.setattr(peers, "KEPT_S", 3_600.0)
    for number in range(40):
        several.ask(f"/{number}")
    assert len(several._kept) == 6


@pytest.mark.parametrize(
    "answer",
    [None, [], "text", {}, {"worker": {}}, {"worker": {"worker_id": 1}, "streams": []},
     {"worker": {"worker_id": "x", "group": "driftbus", "ready": True, "partitions": []}, "totals": {},
      "matching": 0, "streams": [1]}],
)  # fmt: skip
def test_whatever_else_listens_there_breaks_no_page(answer: Any) -> None:
    with ExitStack() as stack:
        mine = shown(serving(stack, Named("other", ["b"])), "/api/streams?scope=worker")
    body = group.whole(mine, [Heard("http://x:1", answer, None, 0.0)], 10)
    assert [entry["stream"] for entry in body["streams"]] == ["b"]
    assert body["workers"][1]["trouble"] == (None if answer is None else "answers something else")
    assert group.detail([Heard("http://x:1", answer, None, 0.0)], "b") is None


def test_whoever_has_seen_more_of_a_stream_is_right() -> None:
    old, new = Named("old", ["a"]), Named("new", ["a"])
    new.turn = 50
    with ExitStack() as stack:
        first = serving(stack, new)
        body = shown(serving(stack, old, Peers([first.url])))
    assert [entry["worker"] for entry in body["streams"]] == ["new"]


def test_a_token_is_shown_and_one_that_is_refused_is_said() -> None:
    guard = Guard(token=TOKEN)
    with ExitStack() as stack:
        one = serving(stack, Named("one", ["a"]), guard=guard)
        right = serving(stack, Named("other", ["b"]), Peers([one.url], TOKEN))
        wrong = serving(stack, Named("third", ["c"]), Peers([one.url]))
        assert len(shown(right)["streams"]) == 2
        assert shown(wrong)["workers"][1]["trouble"] == "answers 401 Unauthorized"
        assert TOKEN not in json.dumps(shown(right))


def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        one = serving(stack, Named("one", ["a"]))
        port = one.address[1]
        infos = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.1", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: infos)
        [heard] = Peers([f"dns+http://workers:{port}"]).ask("/api/streams?scope=worker")
    assert heard.address == one.url
    assert heard.answer["worker"]["worker_id"] == "one"


def test_a_name_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PATIENCE_S", 0.2)
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **named: gate.wait(20) and [])
    began = time.monotonic()
    assert Peers(["dns+http://workers:8711"]).ask("/x") == []
    gate.set()
    assert time.monotonic() - began < 15  # not as long as the name takes


def test_configuration_and_processes(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("http: {peers: ['http://w2:8711/', 'dns+https://workers:1'], token: 0123456789abcdef}\n")
    settings = load(file, {})
    assert settings.http.peers == ("http://w2:8711", "dns+https://workers:1")
    assert peers_of(settings.http) is not None
    assert peers_of(load(None, {}).http) is None
    for bad in ("w2:8711", "http://w2", "ftp://w2:1", "http://u:p@w2:1", "http://w2:1/x", "http://w2:99999"):
        file.write_text(f"http: {{peers: ['{bad}']}}\n")
        with pytest.raises(ConfigError, match=r"http\.peers"):
            load(file, {})
    told = environments(2, 8711, None, "h", "http://127.0.0.1")
    one = load(None, told[1])
    assert one.http.peers == ("http://127.0.0.1:8711", "http://127.0.0.1:8712")


def test_certificates_are_checked(tmp_path: Path) -> None:
    assert trusting(None).verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(ConfigError, match=r"http\.tls\.cert"):
        trusting(tmp_path / "none.pem")

"""The page in a real browser (Debian's chromium): what a person sees, and that nothing complains."""

from __future__ import annotations

import json
import re
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.http.server import HttpServer
from driftbus.exposure import WorkerSource
from driftbus.topics import topic_specs
from tests.integration.live_source import LiveSource
from tests.test_worker import running, send, settings_of

HOSTILE = '<img src=x onerror="document.title=1">&amp;'


class _Text(HTMLParser):
    """The visible text of a page, and which elements it has."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def browse(url: str, profile: Path, *, width: int = 1280) -> tuple[str, _Text, list[str]]:
    """Text, elements and console lines of a page after three (virtual) seconds of its life."""
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", f"--window-size={width},1400", "--enable-logging=stderr",
            "--virtual-time-budget=3000", "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    page = _Text()
    page.feed(done.stdout)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return " ".join("".join(page.text).split()), page, console


@pytest.fixture
def source() -> LiveSource:
    return LiveSource(int(time.time() * 1000) // 60_000 * 60_000)


def test_the_worst_stream_is_shown_with_its_episode(source: LiveSource, tmp_path: Path) -> None:
    with HttpServer(source, "127.0.0.1", 0) as server:
        text, page, console = browse(server.url + "/", tmp_path)
    assert console == []
    for name in source.names:
        assert name in text
    assert "concept drift, sudden" in text  # churn, which is open
    assert "error 0.08 → 0.27 adwin" in text
    assert "in flight" in text
    assert "prod-eu · kafka · partitions 0–1 · 0.1.0" in text
    shapes = [attrs.get("class") for tag, attrs in page.tags if tag in ("rect", "line", "path", "svg")]
    for shape in (
        "chart",
        "line",
        "line challenger",
        "episode open",
        "onset",
        "interval",
        "request-mark",
        "deployment",
    ):
        assert shape in shapes, shape
    order = [
        attrs["href"] for tag, attrs in page.tags if tag == "a" and str(attrs.get("class")).startswith("row")
    ]
    assert order[:2] == ["#/stream/churn", "#/stream/fraud"]


def test_a_retrained_stream_shows_the_whole_story(source: LiveSource, tmp_path: Path) -> None:
    with HttpServer(source, "127.0.0.1", 0) as server:
        text, page, console = browse(server.url + "/#/stream/fraud", tmp_path, width=390)
    assert console == []
    assert "replaced" in text
    assert "deployed" in text
    assert "v4" in text
    assert "redacted" in text
    assert "1 per 90 d allowed, 0.004 so far at most" in text
    shapes = [attrs.get("class") for _, attrs in page.tags]
    assert "episode closed" in shapes


def test_a_hostile_name_is_text_and_nothing_else(tmp_path: Path) -> None:
    source = LiveSource(int(time.time() * 1000), [HOSTILE, "../a b/%2f?#"])
    with HttpServer(source, "127.0.0.1", 0) as server:
        text, page, console = browse(server.url + "/", tmp_path)
    assert console == []
    assert HOSTILE in text
    assert "../a b/%2f?#" in text
    images = [attrs.get("src") for tag, attrs in page.tags if tag == "img"]
    assert images == ["/static/icon.svg"]
    assert [attrs.get("src") for tag, attrs in page.tags if tag == "script"] == ["/static/app.js"]


EVIL = """<script>document.title=1</script>"'`\\\n\r\x00\u2028\u202e<b>&amp;</b>${1}"""


def hostile_events() -> list[tuple[str, Any, int]]:
    """A stream whose name, and every text in whose events, is an attempt."""
    start = int(time.time() * 1000) - 600_000
    rows: list[tuple[str, Any, int]] = []
    for i in range(64):
        at = start + i * 1000
        said = {"prediction_id": f"{EVIL}{i}", "stream": EVIL, "ts": at, "prediction": EVIL, "score": 0.5}
        said |= {"features": {EVIL: EVIL, "x": i}, "model_version": EVIL, "slices": {EVIL: EVIL}}
        rows.append(("predictions", said, at))
        rows.append(("labels", {**said, "label": EVIL if i % 2 else "no", "ts": at + 1}, at))
    asked = {"stream": EVIL, "ts": start + 70_000, "type": "retrain-requested", "by": EVIL, "reason": EVIL}
    return [*rows, ("model-events", asked, start + 70_000)]


def test_a_hostile_stream_reaches_nobody_as_markup(tmp_path: Path) -> None:
    """From its events through a worker to page, metrics, API and log."""
    settings = settings_of(tmp_path, {"retrain": {"min_rows": 1, "min_rows_per_class": 1}})
    bus = EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)
    try:
        bus.create_topics(topic_specs(settings, 1))
        send(bus, settings, hostile_events())
        with running(bus, settings) as one:
            one.until(one.all_read)
            source = WorkerSource()
            source.watch(one.worker)
            with HttpServer(source, "127.0.0.1", 0) as server:
                address = f"{server.url}/#/stream/{quote(EVIL, safe='')}"
                text, page, console = browse(address, tmp_path / "profile")
                with urlopen(f"{server.url}/metrics", timeout=20) as answer:
                    metrics = answer.read().decode()
                with urlopen(f"{server.url}/api/streams/{quote(EVIL, safe='')}", timeout=20) as answer:
                    assert answer.headers["Content-Type"] == "application/json"
                    detail = json.load(answer)
    finally:
        bus.close()
    assert console == []
    assert "<script>document.title=1</script>" in text  # shown, as text
    assert [attrs.get("src") for tag, attrs in page.tags if tag == "script"] == ["/static/app.js"]
    assert [attrs.get("src") for tag, attrs in page.tags if tag == "img"] == ["/static/icon.svg"]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)

    # Read back, each label is what was sent, or spelled out where it is no text.
    spelled = EVIL.replace("\r", "\\x0d").replace("\x00", "\\x00")
    samples = [s for family in text_string_to_metric_families(metrics) for s in family.samples]
    names = {s.labels["stream"] for s in samples if "stream" in s.labels}
    assert names == {spelled}
    [info] = [s for s in samples if s.name == "driftbus_stream_info"]
    assert info.labels["model_version"] == spelled

    assert detail["view"]["stream"] == EVIL
    assert detail["view"]["model_version"] == EVIL
    assert detail["requests"][-1]["reason"] == "manual"


def test_nothing_yet_and_not_ready_are_said(source: LiveSource, tmp_path: Path) -> None:
    source.is_ready = False
    source.streams = list  # type: ignore[method-assign]
    with HttpServer(source, "127.0.0.1", 0) as server:
        text, _, console = browse(server.url + "/", tmp_path)
    assert console == []
    assert "Not ready: partition 1: restoring, 40 %" in text
    assert "No stream yet" in text


def test_the_page_makes_no_markup_of_data_and_asks_nobody_else() -> None:
    folder = Path(__file__).parents[2] / "src/driftbus/adapters/http/static"
    for file in folder.iterdir():
        text = file.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text
        ), file
        addresses = set(re.findall(r"https?://[^\"'\s)]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file

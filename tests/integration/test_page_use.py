"""The page and the report as people use them: search, filter, zoom, keys, links, a phone, axe-core."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.http import peers
from driftbus.adapters.http.access import Guard
from driftbus.adapters.http.peers import Peers
from driftbus.adapters.http.server import HttpServer
from driftbus.core.views import WorkerView
from driftbus.exposure import WorkerSource
from driftbus.topics import topic_specs
from tests.integration import accessibility
from tests.integration.browser import Browser, Page, browsing
from tests.integration.live_source import LiveSource
from tests.report.test_report import made, write
from tests.test_worker import Running, running, send, settings_of

MANY = [f"model-{number:03d}" for number in range(1_000)]
ROWS = "document.querySelectorAll('#streams a')"
SHOWN = (
    f"{ROWS}.length && document.querySelector('.chart path.line') && document.querySelector('#part-about dl')"
)
# Desktop and phone, light and dark.
LOOKS = [(1280, False), (1280, True), (390, False), (390, True)]


class Other(LiveSource):
    """The second worker of the group, with a thousand streams."""

    def worker(self) -> WorkerView:
        return dataclasses.replace(super().worker(), worker_id="driftbus-host-8712")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    accessibility.install()
    with browsing(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """On a machine that runs other tests at once an answer takes longer than a person would wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "PATIENCE_S", 9.0)  # the page itself gives up after ten
        patch.setattr(peers, "FETCH_S", 9.0)
        yield


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A worker with six streams; another one of its group has a thousand."""
    now_ms = int(time.time() * 1000) // 60_000 * 60_000
    with (
        HttpServer(Other(now_ms, MANY), "127.0.0.1", 0) as other,
        HttpServer(LiveSource(now_ms), "127.0.0.1", 0, peers=Peers([other.url])) as server,
    ):
        yield server.url


@contextmanager
def closing_worker(one: Running) -> Iterator[Running]:
    try:
        yield one
    finally:
        one.stop()


def polled(page: Page) -> int:
    return sum("/api/streams?" in each for each in page.requests())


def after_a_poll(page: Page) -> None:
    """Wait until what is there has been asked for anew, and shown: the page asks when it is resized, too."""
    until = polled(page) + 3
    while polled(page) < until:
        page.js("dispatchEvent(new Event('resize'))")
        time.sleep(0.05)


def test_search_filter_and_more(browser: Browser, url: str) -> None:
    page = Page(browser)
    page.open(url, f"{SHOWN} && {ROWS}.length === 200")
    assert "806 more" in page.text()
    assert "2 of 2 workers" in page.text()
    page.press("/", code=191, text="/")
    page.type("MODEL-9 team:growth")
    page.wait(f"{ROWS}.length === 100 && document.querySelector('#more').hidden")
    assert page.js("location.hash") == "#/?q=MODEL-9+team%3Agrowth"
    page.press("Escape", code=27)
    page.wait(f"{ROWS}.length === 200")
    page.js("document.querySelector('[data-state=drifting]').click()")
    page.wait(f"{ROWS}.length === 2")
    assert page.js(f"[...{ROWS}].map((a) => a.querySelector('.name').textContent)") == ["churn", "model-001"]
    page.js("document.querySelector('[data-state=\"\"]').click()")
    page.wait(f"{ROWS}.length === 200")
    page.js("document.querySelector('#more-button').click()")
    page.wait(f"{ROWS}.length === 400")
    page.js("location.hash = '#/?n=1000', 0")
    page.wait(f"{ROWS}.length === 1000")
    # What has not changed is not made anew: the same elements are there after the next polls.
    page.js(f"window.before = [...{ROWS}].map((a) => a.firstChild), 0")
    after_a_poll(page)
    assert page.js(f"[...{ROWS}].filter((a, i) => a.firstChild === window.before[i]).length") > 950
    assert page.console() == []


def test_zoom_by_keys_drag_and_buttons_and_a_link_that_keeps_it(browser: Browser, url: str) -> None:
    page = Page(browser)
    page.open(f"{url}/#/stream/churn", SHOWN)
    assert page.js("document.querySelector('#zoom-all').disabled") is True
    whole = page.js("document.querySelector('.chart').getAttribute('aria-label')")
    assert "1 episodes, 1 retrain requests, 1 deployments" in whole
    page.js("document.querySelector('#plot').focus()")
    page.press("+", code=187, text="+")
    page.press("ArrowRight", code=39)
    assert "from=" in page.js("location.hash")
    keyed = page.js("document.querySelector('#zoomed').textContent")
    assert "–" in keyed
    page.press("0", code=48, text="0")
    assert page.js("location.hash") == "#/stream/churn"
    box = page.js(
        "(({left, top, width, height}) => ({left, top, width, height}))"
        "(document.querySelector('.chart').getBoundingClientRect())"
    )
    y = box["top"] + box["height"] / 2
    page.drag((box["left"] + box["width"] * 0.6, y), (box["left"] + box["width"] * 0.9, y))
    link = page.js("location.href")
    assert "from=" in link
    dragged = page.js("document.querySelector('.chart').getAttribute('aria-label')")
    assert "1 episodes, 1 retrain requests, 0 deployments" in dragged
    other = Page(browser)
    other.open(link, SHOWN)
    assert other.js("document.querySelector('.chart').getAttribute('aria-label')") == dragged
    other.js("document.querySelector('#zoom-all').click()")
    assert other.js("document.querySelector('.chart').getAttribute('aria-label')") == whole
    assert page.console() == other.console() == []


def test_any_place_survives_its_address(browser: Browser, url: str) -> None:
    page = Page(browser)
    page.open(url, SHOWN)
    names = ["a/b?c#d&e=f", "%2e", "ü 漢\n", "<script>", "+ +", "..", "x" * 256]
    same = (
        "import('/static/place.js').then(({parse, format}) => NAMES.map((name) => {"
        "const place = {stream: name, q: name, state: 'drifting', n: 400, from: 5, to: 9};"
        "return JSON.stringify(parse(format(place))) === JSON.stringify(place)}))"
    )
    assert page.js(same.replace("NAMES", json.dumps(names))) == [True] * len(names)
    odd = ["#/stream/%", "#/stream/a?from=9&to=5", "#/?n=-1&from=x", "#//", "#/stream/a?q=%ff"]
    read = "import('/static/place.js').then(({parse}) => HASHES.map((hash) => parse(hash).from))"
    assert page.js(read.replace("HASHES", json.dumps(odd))) == [None] * len(odd)


def test_by_keyboard_alone(browser: Browser, url: str) -> None:
    page = Page(browser)
    page.open(url, SHOWN)
    page.press("j", code=74, text="j")
    page.press("ArrowDown", code=40)
    page.press("k", code=75, text="k")
    page.press("Enter", code=13, text="\r")
    page.wait("document.querySelector('#title span')?.textContent === 'model-001'")
    assert page.js("location.hash") == "#/stream/model-001"
    page.press("/", code=191, text="/")
    page.type("house")
    page.wait(f"{ROWS}.length === 1")
    page.press("ArrowDown", code=40)
    page.press("Enter", code=13, text="\r")
    page.wait("document.querySelector('#title span')?.textContent === 'house-prices'")
    assert page.js("location.hash") == "#/stream/house-prices?q=house"


def test_nothing_jumps_while_it_refreshes(browser: Browser, url: str) -> None:
    """Numbers change with every poll; what is there stays where it is, and so does what is unfolded."""
    page = Page(browser, height=1400)
    page.open(f"{url}/#/stream/churn", SHOWN)
    marks = "header, #totals, nav, #plot, h2, h3, #streams li"
    tops = "map((e) => Math.round(e.getBoundingClientRect().top))"
    where = f"[...document.querySelectorAll('{marks}')].slice(0, 60).{tops}"
    page.js("document.querySelector('#group summary').click()")
    outcomes = page.js("document.querySelector('#totals').textContent")
    before = page.js(where)
    after_a_poll(page)
    assert page.js(where) == before
    assert page.js("document.querySelector('#totals').textContent") != outcomes
    assert page.js("document.querySelector('#group').open") is True
    assert "driftbus-host-8712" in page.text()


def test_a_silent_worker_is_said(browser: Browser) -> None:
    with HttpServer(LiveSource(1_767_225_600_000), "127.0.0.1", 0) as gone:
        address = gone.url
    with HttpServer(LiveSource(1_767_225_600_000), "127.0.0.1", 0, peers=Peers([address])) as server:
        page = Page(browser)
        page.open(server.url, SHOWN)
        assert f"Worker {address}: connection refused; its streams are not shown" in page.text()
        page.open(f"{server.url}/#/stream/elsewhere", "document.body.innerText.includes('elsewhere')")
        assert "“elsewhere” may be with a worker that is silent" in page.text()


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_axe_finds_nothing_serious_in_the_page(browser: Browser, url: str, width: int, dark: bool) -> None:
    page = Page(browser, width=width, dark=dark)
    page.open(f"{url}/#/stream/churn", SHOWN)
    assert accessibility.faults(page) == []
    assert page.js("document.documentElement.scrollWidth") <= width
    if width < 600 and dark:
        page.open(f"{url}/#/", f"{ROWS}.length && !document.body.classList.contains('one')")
        assert accessibility.faults(page) == []
        assert page.js("document.documentElement.scrollWidth") <= width
    assert page.console() == []


def test_axe_can_find_something(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<title>x</title><p style='color:#ddd;background:#fff'>faint</p><img src='data:,'>")
    page = Page(browser)
    page.open(path.as_uri())
    assert {each.partition(" ")[0] for each in accessibility.faults(page)} >= {"color-contrast", "image-alt"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    events = write(folder / "events.jsonl", {"fraud": (2_400, 1_500), "calm": (300, 300)})
    truth = folder / "truth.json"
    truth.write_text('{"fraud": {"drifts": [[1500, 1501]], "type": ["sudden"]}}')
    out = folder / "out.html"
    out.write_text(made(events, truth, {"stream_defaults": {"retrain": {"mode": "off"}}}))
    return out


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_report_opens_alone_and_axe_finds_nothing_serious(
    browser: Browser, report: Path, width: int, dark: bool
) -> None:
    page = Page(browser, width=width, dark=dark)
    page.open(report.as_uri())
    assert page.console() == []
    assert page.requests() == [report.as_uri()]
    assert page.js("document.documentElement.scrollWidth") <= width
    chart = "narrow" if width < 600 else "wide"
    bands = f"[...document.querySelectorAll('.chart.{chart} .concept .band')]"
    seen = f"{bands}.map((e) => e.getBoundingClientRect().height)"
    assert min(page.js(seen)) > 50
    assert "1 of 1 known change found." in page.text()
    assert accessibility.faults(page) == []


def test_two_workers_of_a_group_each_show_every_stream(browser: Browser, tmp_path: Path) -> None:
    """Real ones, on one bus: partitions are spread over them, their pages are the same."""
    settings = settings_of(tmp_path)
    bus, second = (EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner) for _ in range(2))
    names = [f"s{number}" for number in range(12)]
    try:
        bus.create_topics(topic_specs(settings, 4))
        now_ms = int(time.time() * 1000)
        said = {"ts": now_ms, "prediction": 1}
        send(bus, settings, [
            ("predictions", {**said, "prediction_id": f"{name}-{i}", "stream": name}, now_ms)
            for name in names for i in range(3)
        ])  # fmt: skip
        with running(bus, settings) as one, closing_worker(Running(second, settings, "two")) as two:
            one.until(lambda: len(one.worker.tasks) == 2 and len(two.worker.tasks) == 2)
            sources = [WorkerSource(), WorkerSource()]
            sources[0].watch(one.worker)
            sources[1].watch(two.worker)
            with HttpServer(sources[0], "127.0.0.1", 0) as a, HttpServer(sources[1], "127.0.0.1", 0) as b:
                for server in (a, b):
                    server.renew(Guard(), Peers([a.url, b.url]))
                for server in (a, b):
                    page = Page(browser)
                    page.open(server.url, f"{ROWS}.length === 12")
                    assert "2 of 2 workers" in page.text()
                    for name in names:
                        page.js(f"location.hash = '#/stream/{name}', 0")
                        page.wait(f"document.querySelector('#title span')?.textContent === '{name}'")
                    assert page.console() == []
    finally:
        second.close()
        bus.close()

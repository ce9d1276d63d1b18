"""The report of a replay: what stands in it, that it is one file, escaped, bounded, the same each time."""

from __future__ import annotations

import io
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from driftbus.config import load
from driftbus.core.records import DriftEvent, Onset, SignalEvidence
from driftbus.replay import replay
from driftbus.report import About, Beside, Record, differences, read_truth, report
from driftbus.report import record as recording
from driftbus.report.axes import time_ticks, value_ticks
from driftbus.report.bins import Bins
from driftbus.report.record import StreamRecord

START_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
EVIL = """</script><img src=x onerror="a()">'&amp;<!--\\\x00\u202e"""
# A year of a stream stays below, and so does whatever else one may say.
MOST_BYTES = 300 * 1024


def write(path: Path, streams: dict[str, tuple[int, int]], version: str = "v1") -> Path:
    """Streams that are right nine times of ten, and from a row on every second time: name → rows, change."""
    dice = random.Random(5)
    with path.open("w") as out:
        for name, (rows, change_at) in streams.items():
            for row in range(rows):
                ts = START_MS + row * HOUR_MS // 4
                label = int(dice.random() < 0.5)
                right = dice.random() < (0.9 if row < change_at else 0.5)
                said = {"prediction_id": f"p{row}", "prediction": label if right else 1 - label}
                said |= {"features": {"x": dice.random()}, "model_version": version}
                for topic, value in (("predictions", said), ("labels", {**said, "label": label})):
                    out.write(json.dumps({"topic": topic, "key": name, "ts": ts, "value": value}) + "\n")
    return path


def made(path: Path, truth: Path | None = None, other: dict[str, Any] | None = None) -> str:
    settings = load(None, {})
    known = read_truth(truth, [path]) if truth is not None else None
    record = Record("defaults", known)
    second = Record("other.yaml", known)
    beside = None
    if other is not None:
        file = path.with_name("other.yaml")
        file.write_text(json.dumps(other))
        beside = (load(file, {}), second.step)
    replay(
        [path], settings, csv=None, out=io.BytesIO(), progress=lambda done, total: None,
        watch=record.step, beside=beside,
    )  # fmt: skip
    about = About([path.name], "0", {})
    with_other = None
    if beside is not None:
        differing = differences(settings.fold_document, beside[0].fold_document)
        with_other = Beside(second, differing)
    return report(record, about, known, with_other).decode()


class Parsed(HTMLParser):
    """Elements that are open, all tags with attributes, the text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(document)
        self.text = " ".join("".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("report") / "events.jsonl", {"fraud": (2_400, 1_500)})


def test_one_file_that_tells_what_when_and_why(events: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text('{"fraud": {"drifts": [[1500, 1501]], "type": ["sudden"], "note": "a new checkout"}}')
    document = made(events, truth)
    page = Parsed(document)
    assert page.open == []
    assert "2,400 predictions and 2,400 outcomes: the error changed 1 time" in page.text
    assert "1 retrain asked for" in page.text
    assert "The budget of false alarms of the error is 1 per 90d, here 0.00" in page.text
    assert "1 of 1 known change found." in page.text
    assert "a new checkout" in page.text
    assert "The model makes more errors than it did. It is sudden" in page.text
    assert "2026-01" in page.text
    classes = [str(attrs.get("class")) for _, attrs in page.tags]
    for shape in (
        "chart wide",
        "chart narrow",
        "chart close",
        "line challenger",
        "onset",
        "interval",
        "level",
    ):
        assert shape in classes, shape
    for group in ("concept", "request", "deployment", "true bar"):
        assert any(each.startswith(group) for each in classes), group
    assert document == made(events, truth)
    assert not re.search(r"https?:|src=|url\(|@import", document)
    assert not any(tag in ("script", "img", "link", "iframe") for tag, _ in page.tags)
    assert len(document) < MOST_BYTES


def test_two_configurations_side_by_side(events: Path) -> None:
    page = Parsed(made(events, other={"stream_defaults": {"retrain": {"mode": "off"}}}))
    assert "stream_defaults.retrain.mode default off" in re.sub(r"\s+", " ", " ".join(page.said))
    cells = [each.strip() for each in page.said]
    assert "episodes, defaults" in cells
    assert "episodes, other.yaml" in cells
    rows = [cells[i : i + 5] for i, each in enumerate(cells) if each in ("defaults", "other.yaml")]
    assert ["defaults", "1", "0", "1", "1"] in rows
    assert ["other.yaml", "1", "0", "1", "0"] in rows


def test_hostile_names_are_text(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", {EVIL: (2_000, 1_200), "calm": (60, 60)}, EVIL)
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({EVIL: {"drifts": [[1200, 1201]], "type": [EVIL], "note": EVIL}}))
    document = made(path, truth, {"streams": {EVIL.replace("\x00", "*"): {"labels": {"team": "risk"}}}})
    page = Parsed(document)
    assert page.open == []
    assert """</script><img src=x onerror="a()">'&amp;<!--\\\ufffd""" in page.text
    assert not any(tag in ("script", "img") for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "\x00" not in document
    assert "calm" in page.text


def test_nothing_at_all_is_a_report_too(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("")
    assert "No events in events.jsonl." in Parsed(made(path)).text


def event(number: int, status: str, category: str = "concept") -> DriftEvent:
    at = START_MS + number * HOUR_MS
    signals = tuple(SignalEvidence(f"feature/{'x' * 60}{i}", 0.1, 0.2, "page_hinkley", i) for i in range(40))
    return DriftEvent(
        f"{number}-{status}", f"ep{number}", "s", status, None if status == "opened" else "passed",  # type: ignore[arg-type]
        category, "undetermined", 0.5, Onset(at, at, at + 1, True, number), signals, None,  # type: ignore[arg-type]
        at + 2, number, number, "v1", False, {},
    )  # fmt: skip


def test_what_is_kept_is_bounded_and_what_is_shown_too(events: Path) -> None:
    record = Record("defaults")
    replay(
        [events], load(None, {}), csv=None, out=io.BytesIO(), progress=lambda done, total: None,
        watch=record.step,
    )  # fmt: skip
    stream = record.streams["fraud"]
    stream.bins = Bins(recording.MOST_BINS)
    stream.bins.take((START_MS + i * HOUR_MS, 1_000, 0.123 + i % 7 / 10, 0.2) for i in range(20_000))
    drawn = stream.bins.read(60)
    for number in range(3_000):
        for status in ("opened", "closed"):
            found = record._drift(stream, event(number, status))
            if found is not None:
                found.close = drawn
    assert len(stream.episodes) <= recording.KEPT_FIRST + recording.KEPT_NEWEST
    assert stream.episodes_in_all >= 3_000
    document = report(record, About(["a"], "0", {}), None, None)
    assert len(document) < MOST_BYTES
    assert "more are not listed" in document.decode()


def test_many_streams_share_what_may_be_kept(events: Path) -> None:
    record = Record("defaults")
    monitor: Any = None
    for number in range(3_000):
        record._stream(f"s{number}", monitor)
    assert all(each.bins.most <= recording.MOST_BINS // 8 for each in record.streams.values())
    for number in range(recording.KEPT_IN_ALL + 500):
        stream: StreamRecord = record.streams[f"s{number % 3000}"]
        record._drift(stream, event(number, "opened", "data"))
    assert sum(len(each.episodes) for each in record.streams.values()) == recording.KEPT_IN_ALL
    assert sum(each.episodes_in_all for each in record.streams.values()) == recording.KEPT_IN_ALL + 500


def test_clocks_that_are_broken_name_no_months_without_end() -> None:
    record = Record("defaults")
    monitor: Any = None
    stream = record._stream("s", monitor)
    for number in range(2 * recording.MOST_MONTHS):
        record._count(stream, number * 31 * 24 * HOUR_MS, "data")
    assert len(stream.months) <= recording.MOST_MONTHS + 1
    assert sum(each["data"] for each in stream.months.values()) == 2 * recording.MOST_MONTHS


@pytest.mark.parametrize(
    "span_ms", [60_000, HOUR_MS, 30 * HOUR_MS, 24 * 40 * HOUR_MS, 24 * 365 * 40 * HOUR_MS]
)
def test_ticks_are_few_and_in_the_picture(span_ms: int) -> None:
    ticks = time_ticks(START_MS + 17, START_MS + 17 + span_ms, 8)
    assert len(ticks) <= 10
    assert all(START_MS + 17 <= at <= START_MS + 17 + span_ms for at, _ in ticks)


def test_value_ticks_are_round_and_reach_the_top() -> None:
    assert value_ticks(0.31) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert value_ticks(0.0)[-1] == 1.0
    assert value_ticks(123.0)[-1] >= 123

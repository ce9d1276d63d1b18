"""What raises in one stream is that stream's trouble, and can be seen: in metrics, API, page and log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.http.server import HttpServer
from driftbus.core.version import VersionMonitor
from driftbus.exposure import WorkerSource
from driftbus.ports import Bus
from driftbus.topics import topic_specs
from tests.core.streams import Shape, events
from tests.test_worker import Running, read, running, send, settings_of


class Raising:
    """A metric of one's own that raises from its tenth row on."""

    def __init__(self) -> None:
        self.rows = 0

    def update(self, y_true: Any, y_pred: Any) -> None:
        self.rows += 1
        if self.rows >= 10:
            raise KeyError("nothing under this name")

    def get(self) -> float:
        return float(self.rows)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    settings = settings_of(tmp_path)
    found = EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)
    found.create_topics(topic_specs(settings, 1))
    yield found
    found.close()


def shown(one: Running) -> tuple[dict[tuple[str, str | None], float], dict[str, Any]]:
    """Metrics by name and stream, and the API's streams by name."""
    source = WorkerSource()
    source.watch(one.worker)
    with HttpServer(source, "127.0.0.1", 0) as server:
        with urlopen(f"{server.url}/metrics", timeout=20) as answer:
            page = answer.read().decode()
        with urlopen(f"{server.url}/api/streams", timeout=20) as answer:
            streams = json.load(answer)["streams"]
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    metrics = {(s.name, s.labels.get("stream")): s.value for s in samples}
    assert streams[0]["stream"] == "hurt"  # whom nobody watches comes first
    return metrics, {each["stream"]: each for each in streams}


def test_a_stream_that_is_set_aside(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = VersionMonitor.watch_outcomes

    def failing(self: VersionMonitor, *args: Any) -> Any:
        if self.setup.stream == "hurt" and self.predictions > 10:
            raise ArithmeticError("DE89 3704 is no number")
        return watch(self, *args)

    monkeypatch.setattr(VersionMonitor, "watch_outcomes", failing)
    settings = settings_of(tmp_path)
    send(bus, settings, events([Shape("hurt", rows=100), Shape("well", rows=100)], seed=1))
    with running(bus, settings, crash=True) as one:
        one.until(one.all_read)
    monkeypatch.undo()
    # It stays so after a restart, though nothing raises any more. The first 100 pairs are known by now.
    send(bus, settings, events([Shape("hurt", rows=150), Shape("well", rows=150)], seed=1))
    with running(bus, settings) as one:
        one.until(lambda: 0 in one.worker.tasks and one.all_read())
        metrics, streams = shown(one)
    assert metrics["driftbus_stream_set_aside", "hurt"] == 1
    assert metrics["driftbus_stream_set_aside", "well"] == 0
    assert (streams["hurt"]["defect"], streams["well"]["defect"]) == ("ArithmeticError", None)
    assert "3704" not in json.dumps(streams)  # what raised may have had a redacted value in its hand
    assert streams["hurt"]["outcomes_total"] > 100
    assert streams["well"]["metrics"]["accuracy"] > 0
    assert "stream 'hurt' is set aside" in caplog.text
    assert "stream 'well'" not in caplog.text
    rows = read(bus, settings, "outcomes")
    assert [row["seq"] for row in rows] == list(range(len(rows)))


def test_a_custom_metric_that_raises(bus: Bus, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(
        tmp_path,
        streams={"well": {"metrics": {"custom": [f"{__name__}.Raising"]}}, "hurt": {"challenger": "off"}},
    )
    send(bus, settings, events([Shape("well", rows=60), Shape("hurt", rows=60, change=1)], seed=1))
    with running(bus, settings) as one:
        one.until(one.all_read)
        source = WorkerSource()
        source.watch(one.worker)
        views = {view.stream: view for view in source.streams()}
        assert source.worker().custom_metrics_failed == 1
    assert views["well"].failed_metrics == ("Raising",)
    assert (views["well"].defect, views["hurt"].failed_metrics) == (None, ())
    assert views["well"].metrics["accuracy"] > 0
    assert caplog.text.count("the custom metric Raising raised and is switched off") == 1

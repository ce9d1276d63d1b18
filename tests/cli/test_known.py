"""A word to a stream that nobody has seen: refused where a worker can say so, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from driftbus.adapters.http.server import HttpServer
from driftbus.cli import known
from driftbus.config import load
from driftbus.core.views import StreamView, WorkerView
from driftbus.wiring import open_bus
from tests.cli.commands import in_process
from tests.integration.live_source import LiveSource

NOW_MS = 1_767_225_600_000
PARTITIONS = 2  # as many as `LiveSource` holds


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "SETTLE_S", 0.0)
    monkeypatch.setattr(known, "ASK_EVERY_S", 0.0)


@pytest.fixture
def source() -> LiveSource:
    found = LiveSource(NOW_MS, ["fraud", "churn"])
    view = replace(found.worker(), bus="embedded")
    found.worker = lambda: view  # type: ignore[method-assign]
    return found


@pytest.fixture
def config(source: LiveSource, tmp_path: Path) -> Iterator[Path]:
    with HttpServer(source, "127.0.0.1", 0) as server:
        yield configured(tmp_path, server.address[1], PARTITIONS)


def configured(folder: Path, port: int, partitions: int) -> Path:
    path = folder / "driftbus.yaml"
    path.write_text(
        f"bus: embedded\ninstance: prod-eu\nembedded: {{path: {folder / 'data'}}}\n"
        f"http: {{host: 127.0.0.1, port: {port}}}\n"
    )
    made = in_process("topics", "create", "--partitions", str(partitions), "--config", path)
    assert made.returncode == 0
    return path


def told(config: Path) -> int:
    """How many model events there are."""
    chosen = load(config, {})
    topic = chosen.topics["model-events"]
    with closing(open_bus(chosen)) as bus:
        return sum(bus.end_offset(topic, p, committed=True) for p in range(bus.partitions(topic)))


@pytest.mark.parametrize(
    "command", ["retrain", "mute", "unmute", "ack", "dismiss", "approve", "decline", "retire"]
)
def test_a_name_that_no_worker_knows_is_refused_unless_it_is_new(config: Path, command: str) -> None:
    why = ["--reason", "r"] if command == "retrain" else []
    refused = in_process(command, "fruad", *why, "--config", config)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "driftbus: no worker has seen a stream 'fruad'; did you mean 'fraud'? (--new: say it all the same)\n"
    )
    assert told(config) == 0
    said = in_process(command, "fruad", *why, "--new", "--config", config)
    assert (said.returncode, said.stderr) == (0, "")
    known_one = in_process(command, "fraud", *why, "--config", config)
    assert (known_one.returncode, known_one.stderr) == (0, "")
    assert told(config) == 2


def test_where_no_name_is_near_it_says_where_they_are(config: Path) -> None:
    refused = in_process("mute", "somewhere-else", "--config", config)
    assert refused.returncode == 1
    assert "`driftbus streams` lists those there are" in refused.stderr


def test_a_stream_that_has_just_begun_is_waited_for(
    config: Path, source: LiveSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "SETTLE_S", 60.0)
    asked = 0
    whole = source.streams

    def streams() -> list[StreamView]:
        nonlocal asked
        asked += 1
        return [*whole(), *([StreamView("born", 0)] if asked > 2 else [])]

    monkeypatch.setattr(source, "streams", streams)
    assert in_process("mute", "born", "--config", config).returncode == 0
    assert asked == 3


def another_group(view: WorkerView) -> WorkerView:
    return replace(view, group="another")


def another_instance(view: WorkerView) -> WorkerView:
    return replace(view, instance="staging")


def another_bus(view: WorkerView) -> WorkerView:
    return replace(view, bus="kafka")


def restoring(view: WorkerView) -> WorkerView:
    return replace(view, ready=False, not_ready=("partition 1: restoring",))


def empty_handed(view: WorkerView) -> WorkerView:
    return replace(view, partitions=())


@pytest.mark.parametrize("change", [another_group, another_instance, another_bus, restoring, empty_handed])
def test_what_cannot_be_known_is_not_refused(
    config: Path,
    source: LiveSource,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[WorkerView], WorkerView],
) -> None:
    view = source.worker()
    monkeypatch.setattr(source, "worker", lambda: change(view))
    done = in_process("mute", "fruad", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_no_worker_answers_that_is_said(tmp_path: Path) -> None:
    config = configured(tmp_path, 9, PARTITIONS)
    done = in_process("mute", "fruad", "--config", config)
    assert done.returncode == 0
    assert done.stderr == (
        "driftbus: whether 'fruad' is known could not be asked: http://127.0.0.1:9 does not answer "
        "(Connection refused)\n"
    )
    assert told(config) == 1
    # Where there is no HTTP nobody expects an answer.
    config.write_text(config.read_text().replace("http: {", "http: {enabled: false, "))
    assert in_process("mute", "fruad", "--config", config).stderr == ""

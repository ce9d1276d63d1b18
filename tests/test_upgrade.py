"""A running group is upgraded, worker by worker, to another configuration and a later version of driftbus."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest

from driftbus.config import Settings, load
from driftbus.core import snapshot
from driftbus.errors import StateError
from driftbus.ports import Bus
from driftbus.restore import Task, restore
from driftbus.wiring import open_bus
from tests import upgraded
from tests.core.streams import Shape, events
from tests.golden.recording import go_on, restored, step
from tests.golden.test_golden import FILES, open_episodes, recording
from tests.integration.exactness import read_all
from tests.integration.workers import WorkerProcess, create_topics, remaining, wait_until

PARTITIONS = 2
RULES: dict[str, Any] = {"retrain": {"min_rows": 150, "timeout": "30d", "cooldown": "30m"}}
# Features are watched otherwise, which ends an episode of data drift; the error is not.
NEW_RULES: dict[str, Any] = {
    **RULES,
    "signals": {"features": [{"adwin": {"delta": 0.001}}], "score": [{"page_hinkley": {}}]},
    "metrics": {"windows": ["300"]},
}
SHAPES = [
    # Two in either partition.
    Shape("sudden", rows=1500, change=1000, delay=5),
    Shape("moved", rows=1500, change=1050, delay=5, shift=3.0, after=0.05),
    Shape("moved-1", rows=1500, change=1050, delay=5, shift=3.0, after=0.05),
    Shape("prices", rows=1500, change=1000, delay=5, regression=True),
]


class Upgraded(WorkerProcess):
    """A worker of the later version."""

    def start(self) -> None:
        environment = {
            **os.environ,
            "DRIFTBUS_WORKER_ID": self.name,
            "DRIFTBUS_HTTP__ENABLED": "false",
        }
        with open(self.log, "ab") as out:
            command = [sys.executable, "-m", "tests.upgraded", "worker", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)


def configured(tmp_path: Path, name: str, rules: dict[str, Any]) -> tuple[Path, Settings]:
    path = tmp_path / f"{name}.yaml"
    document = {
        "bus": "embedded",
        "embedded": {"path": str(tmp_path / "bus")},
        "worker": {"max_records": 300, "commit_interval": "20ms"},
        "stream_defaults": rules,
    }
    path.write_bytes(orjson.dumps(document))
    return path, load(path, {})


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    _, settings = configured(tmp_path, "first", RULES)
    found = open_bus(settings)
    create_topics(found, settings, PARTITIONS)
    yield found
    found.close()


def send(bus: Bus, settings: Settings, rows: list[tuple[str, Any, int]]) -> None:
    producer = bus.producer()
    for topic, value, _ in rows:
        body = orjson.dumps(value)
        while not producer.produce(settings.topics[topic], key=value["stream"].encode(), value=body):
            producer.flush(0.1)
    assert producer.flush(30) == 0
    producer.close(5.0)


def test_a_group_is_upgraded_worker_by_worker(bus: Bus, tmp_path: Path) -> None:
    old_path, settings = configured(tmp_path, "old", RULES)
    new_path, new_settings = configured(tmp_path, "new", NEW_RULES)
    rows = events(SHAPES, seed=31)
    third = len(rows) // 6
    workers: list[WorkerProcess] = [WorkerProcess(old_path, "one"), WorkerProcess(old_path, "two")]

    def all_read() -> None:
        wait_until(lambda: remaining(bus, settings, PARTITIONS) == 0, 60, "all read", workers)

    try:
        for worker in workers:
            worker.start()
        send(bus, settings, rows[: 5 * third])
        all_read()
        for index, part in ((1, rows[5 * third : -third // 2]), (0, rows[-third // 2 :])):
            # One leaves, the other has all; the first one comes back as another, and takes its share of it.
            assert workers[index].stop() == 0
            send(bus, settings, part[: len(part) // 2])
            workers[index] = Upgraded(new_path, f"new-{index}")
            workers[index].start()
            wait_until(workers[index].joined, 30, "joined", workers)
            send(bus, settings, part[len(part) // 2 :])
            all_read()
    finally:
        for worker in workers:
            if worker.process is not None:
                worker.stop()
    check(bus, new_settings)
    logs = "".join(worker.log.read_text() for worker in workers)
    assert "begin anew" in logs


def check(bus: Bus, settings: Settings) -> None:
    """No outcome and no request twice; every episode that was told of is closed once, or still known."""
    topics = settings.topics
    outcomes = [orjson.loads(r.value or b"") for rs in read_all(bus, topics["outcomes"]).values() for r in rs]
    joined = Counter((row["stream"], row["prediction_id"]) for row in outcomes)
    assert max(joined.values()) == 1
    told = [orjson.loads(r.value or b"") for rs in read_all(bus, topics["drift-events"]).values() for r in rs]
    asked = [
        orjson.loads(r.value or b"") for rs in read_all(bus, topics["retrain-requests"]).values() for r in rs
    ]
    assert max(Counter(event["id"] for event in told + asked).values()) == 1
    assert {event["data"]["stream"] for event in asked} == {"sudden", "prices"}
    assert max(Counter(event["data"]["stream"] for event in asked).values()) == 1
    ends = Counter(event["data"]["episode_id"] for event in told if event["data"]["status"] == "closed")
    assert not ends or max(ends.values()) == 1
    concept = [event["data"] for event in told if event["data"]["category"] == "concept"]
    assert not any(data["resolution"] == "replaced" for data in concept)
    assert any(event["data"]["resolution"] == "replaced" for event in told)  # of features' own
    held: set[str] = set()
    for number in range(PARTITIONS):
        *_, task = restore(bus, settings, number)
        assert isinstance(task, Task)
        assert task.partition.join.next_seq == len(read_all(bus, topics["outcomes"])[number])
        for monitor in task.partition.streams.values():
            held |= {e.episode_id for v in monitor.versions.values() for e in v.episodes.open}
            held |= {e["episode_id"] for *_, left in monitor.left_open for e in left["episodes"]}
            assert monitor.ledger.resets_total > 0
    assert held == open_episodes(told)


@pytest.mark.parametrize("crashed", [True, False], ids=["crashed", "stopped"])
def test_a_later_version_resets_what_it_computes_otherwise_and_nothing_else(
    crashed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch)
    log, settings = recording(FILES[-1], crashed=crashed)
    task = restored(log, settings)
    assert task.fresh  # the first step snapshots all that changed: no tail is of two versions
    for monitor in task.partition.streams.values():
        [reset] = monitor.ledger.resets
        assert (reset.what, reset.why) == (("score",), "version")
        assert all(v.features.names and "error" in v.watches for v in monitor.versions.values())
    found = go_on(log, settings, task)
    before = log.facts["before"]
    assert max(Counter(event["id"] for event in before + found["events"]).values()) == 1
    assert found["outcomes"] == log.facts["published"]["outcomes"]


def test_a_tail_that_a_later_version_decides_otherwise_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rule over metrics asked in a step that no snapshot has; with metrics begun anew it would not have.
    The request was published, so it must be neither forgotten nor repeated."""
    later(monkeypatch)
    monkeypatch.setitem(upgraded.parts.VERSIONS, "metrics", 99)
    log, settings = recording(FILES[-1], crashed=True)
    with pytest.raises(StateError, match="SIGTERM") as refused:
        restored(log, settings)
    assert log.facts["libraries"] in str(refused.value)


def test_a_later_version_watches_again_what_was_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    log, settings = recording(FILES[-1], crashed=False)
    task = restored(log, settings)
    seen = task.partition.streams["moved"].ledger.predictions
    task.partition.streams["moved"].set_aside("a defect")
    step(log, settings, task, log.facts["steps"][0], whole=True)
    assert restored(log, settings).partition.streams["moved"].defect is not None
    later(monkeypatch)
    moved = restored(log, settings).partition.streams["moved"]
    assert moved.defect is None
    assert moved.ledger.predictions > seen
    assert moved.ledger.resets[-1].why == "version"


def test_a_snapshot_that_cannot_be_read_says_who_wrote_it() -> None:
    log, settings = recording(FILES[-1], crashed=False)
    state = log.records[settings.topics["state"]]
    for place, record in enumerate(state):
        if record.key == b"stream/moved":
            sealed = snapshot.unseal(record.value or b"")
            raw = sealed.json()
            del raw["state"]["versions"][0]["watches"]["error"]
            raw["state"]["versions"][0]["watches"]["error"] = [1]
            state[place] = record._replace(value=snapshot.seal(orjson.dumps(raw), sealed.config))
    with pytest.raises(StateError, match=r"stream 'moved', written by driftbus-.*,river-.*, cannot be read"):
        restored(log, settings)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (
            lambda data: data.replace(b"driftbus-state 3 ", b"driftbus-state 1 "),
            "format 1, written by driftbus-",
        ),
        (lambda data: data[:-1] + b"?", "checksum is wrong .written by driftbus-"),
        (lambda data: b"pickle" + data, "does not begin with driftbus's header"),
        (lambda data: b"driftbus-state 3 00000000 0 x\nbody", "header that cannot be read"),
        (lambda data: b"driftbus-state 1 00000000 0 x\nbody", "format 1, written by an older driftbus"),
    ],
)
def test_a_header_is_checked_before_anything_is_parsed(
    change: Callable[[bytes], bytes], refusal: str
) -> None:
    data = snapshot.seal(b"{}", "0" * 32)
    assert snapshot.unseal(data).libraries == snapshot.LIBRARIES
    with pytest.raises(StateError, match=refusal):
        snapshot.unseal(change(data))


def test_a_deflated_body_comes_back_and_nothing_else_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    body = orjson.dumps({"sums": [k / 7 for k in range(2000)]})
    data = snapshot.seal(body, "0" * 32, deflated=True)
    assert len(data) < len(body) / 2
    assert snapshot.unseal(data).body == body
    line, _, deflated = data.partition(b"\n")
    for wrong in (b"", deflated[:-1], b"?" * 100):
        crc = b"%08x" % crc32(wrong)
        words = [crc if index == 2 else word for index, word in enumerate(line.split(b" "))]
        with pytest.raises(StateError, match=r"does not inflate .written by driftbus-"):
            snapshot.unseal(b" ".join(words) + b"\n" + wrong)
    monkeypatch.setattr(snapshot, "MAX_INFLATED_BYTES", len(body))
    assert snapshot.unseal(data).body == body
    monkeypatch.setattr(snapshot, "MAX_INFLATED_BYTES", len(body) - 1)
    with pytest.raises(StateError, match="does not inflate"):
        snapshot.unseal(data)
    # What is larger is written as it is, so that whatever was written can be read.
    assert snapshot.unseal(snapshot.seal(body, "0" * 32, deflated=True)).body == body


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is of the later version until the test ends."""
    monkeypatch.setattr("driftbus.core.snapshot.FOLD_VERSION", upgraded.snapshot.FOLD_VERSION)
    monkeypatch.setattr("driftbus.core.snapshot.LIBRARIES", upgraded.snapshot.LIBRARIES)
    monkeypatch.setattr("driftbus.core.parts.VERSIONS", dict(upgraded.parts.VERSIONS))
    upgraded.upgrade()

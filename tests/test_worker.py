"""The worker's loop in this process, over a real embedded bus: records, crashes, new rules."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus import backlog as backlog_module
from driftbus import worker as worker_module
from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.embedded.cleaning import clean
from driftbus.adapters.embedded.database import Database
from driftbus.config import Settings, load
from driftbus.intake import INPUTS
from driftbus.ports import Bus, TopicPartition
from driftbus.topics import topic_specs
from driftbus.worker import Worker
from tests.core.streams import Shape, events

HOUR = 3_600_000
START = 1_767_225_600_000


def settings_of(tmp_path: Path, rules: dict[str, Any] | None = None, **more: Any) -> Settings:
    path = tmp_path / "driftbus.yaml"
    document = {"bus": "embedded", "embedded": {"path": str(tmp_path / "bus")}, **more}
    path.write_bytes(orjson.dumps({**document, "stream_defaults": rules or {}}))
    return load(path, {})


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    settings = settings_of(tmp_path)
    found = EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)
    found.create_topics(topic_specs(settings, 1))
    yield found
    found.close()


def send(bus: Bus, settings: Settings, rows: list[tuple[str, Any, int]]) -> None:
    producer = bus.producer()
    for (
        topic,
        value,
        _,
    ) in rows:  # their own time is in them; the broker's is now, or retention would take them
        body, key = orjson.dumps(value), value["stream"].encode()
        while not producer.produce(settings.topics[topic], key=key, value=body):
            producer.flush(1.0)
    assert producer.flush(10.0) == 0
    producer.close(5.0)


class Running:
    """A worker in a thread of its own; `crashed` drops it without its last step."""

    def __init__(self, bus: Bus, settings: Settings, worker_id: str = "one") -> None:
        self.bus, self.settings = bus, settings
        self.worker = Worker(bus, settings, worker_id)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.error = error

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not true():
            if self.error is not None:
                raise self.error
            assert time.monotonic() < deadline, "did not come about within 30 s"
            time.sleep(0.01)

    def all_read(self) -> bool:
        tps = [TopicPartition(self.settings.topics[name], 0) for name in INPUTS]
        committed = self.bus.committed(self.settings.group, tps)
        return all(committed.get(tp) == self.bus.end_offset(tp.topic, 0, committed=True) for tp in tps)

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def crash(self) -> None:
        with self.worker.lock:
            self.worker.tasks.clear()
        self.stop()


@contextmanager
def running(bus: Bus, settings: Settings, *, crash: bool = False) -> Iterator[Running]:
    one = Running(bus, settings)
    try:
        yield one
    finally:
        if crash:
            one.crash()
        else:
            one.stop()
    if one.error is not None and not crash:
        raise one.error


def read(bus: Bus, settings: Settings, name: str) -> list[Any]:
    topic = settings.topics[name]
    return [orjson.loads(r.value or b"null") for r in bus.read_from(topic, 0, bus.begin_offset(topic, 0))]


def pair(pid: str, ts: int, label: Any = 1) -> list[tuple[str, Any, int]]:
    prediction = {"prediction_id": pid, "stream": "s", "ts": ts, "prediction": 1}
    return [
        ("predictions", prediction, ts),
        ("labels", {"prediction_id": pid, "stream": "s", "ts": ts + 1000, "label": label}, ts + 1000),
    ]


def test_a_backlog_longer_than_the_horizon_loses_no_label(bus: Bus, tmp_path: Path) -> None:
    """Both topics are at their ends, and what is read of one must wait for what is read of the other."""
    settings = settings_of(tmp_path, {"join": {"horizon": "1h", "grace": "1h"}})
    send(bus, settings, [row for i in range(200) for row in pair(f"p{i}", START + i * HOUR)])
    with running(bus, settings) as one:
        one.until(one.all_read)
    assert len(read(bus, settings, "outcomes")) == 200


def test_labels_paused_for_being_ahead_hold_no_prediction_back(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels wait for the predictions' time, the predictions must not wait for the labels' end."""
    monkeypatch.setattr(backlog_module, "STALLED_S", 1e9)
    settings = settings_of(tmp_path, worker={"max_records": 20, "commit_interval": "10ms"})
    rows = [row for i in range(300) for row in pair(f"p{i}", START + i * 60_000)]
    ahead = [(topic, {**value, "ts": ts + 2 * HOUR}, ts) for topic, value, ts in rows if topic == "labels"]
    send(bus, settings, [row for row in rows if row[0] == "predictions"] + ahead)
    with running(bus, settings) as one:
        one.until(one.all_read)
    assert len(read(bus, settings, "outcomes")) == 300


def test_a_quiet_partition_has_nothing_to_fold_after_a_crash(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "QUIET_S", 0.2)
    settings = settings_of(tmp_path)
    send(bus, settings, pair("a", START))
    with running(bus, settings, crash=True) as one:
        one.until(one.all_read)
        journal = one.worker.tasks[0].journal
        one.until(lambda: journal.floor == journal.next_step)


RULES: dict[str, Any] = {
    "join": {"horizon": "1d", "grace": "1d"},
    "retrain": {"min_rows": 100, "timeout": "30d"},
}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "join": ({"join": {"horizon": "1h", "grace": "2h", "expired_label": 0}}, {}),
    "longer join": ({"join": {"horizon": "90d", "grace": "90d"}}, {}),
    "sample": ({"sample": 0.5}, {}),
    "signals": ({"signals": {"error": [{"adwin": {"delta": 0.01}}]}}, {}),
    "no signals": ({"signals": {"error": "off", "features": "off"}, "challenger": "off"}, {}),
    "task": ({"task": "regression"}, {}),
    "retrain": ({"retrain": {"when": ["accuracy < 0.9 over 2h", "f1 < 0.5 over 100"], "every": "30d"}}, {}),
    "no retrain": ({"retrain": {"mode": "off"}}, {}),
    "windows": ({"metrics": {"windows": ["50", "10m"]}}, {}),
    "labels": ({"labels": {"team": "risk"}}, {}),
    "record bytes": ({}, {"limits": {"max_record_bytes": 150}}),
    "bounds": (
        {},
        {
            "limits": {
                "max_pending": 10,
                "max_early_labels": 5,
                "max_remembered": 20,
                "max_versions": 1,
                "max_classes": 2,
                "max_slices": 1,
                "max_categories": 2,
                "max_streams": 1,
            }
        },
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_new_rules_after_a_crash(bus: Bus, tmp_path: Path, change: str) -> None:
    """With an episode open and a request in flight, none of them snapshotted: the old rules fold what was
    done under them, then the new ones take over. Nothing is asked twice, and the log goes on."""
    rows = events(
        [Shape("sudden", rows=1400, change=700), Shape("amounts", rows=600, regression=True)], seed=5
    )
    before = settings_of(tmp_path, RULES)
    send(bus, before, rows[:3200])
    with running(bus, before, crash=True) as one:
        one.until(one.all_read)
    asked = read(bus, before, "retrain-requests")
    assert len(asked) == 1
    rules, more = CHANGES[change]
    after = settings_of(tmp_path, {**RULES, **rules}, **more)
    for crash in (True, False):
        with running(bus, after, crash=crash) as one:
            one.until(lambda: not one.worker.restoring and 0 in one.worker.tasks)
            one.until(lambda: not one.worker.tasks[0].fresh)
            if crash:
                send(bus, after, rows[3200:3500])
            else:
                send(bus, after, rows[3500:])
            one.until(one.all_read)
            policy = one.worker.tasks[0].partition.streams["sudden"].policy
            assert policy.in_flight == asked[0]["data"]["request_id"]
    seqs = [row["seq"] for row in read(bus, after, "outcomes")]
    assert seqs == list(range(len(seqs)))
    assert read(bus, after, "retrain-requests") == asked
    # The error of another task has no history: the episode is closed, once, for everybody who heard of it.
    ends = [
        (event["data"]["status"], event["data"]["resolution"])
        for event in read(bus, after, "drift-events")
        if event["data"]["episode_id"] == asked[0]["data"]["episode_id"]
    ]
    assert ends[0] == ("opened", None)
    assert ends.count(("closed", "replaced")) == (change == "task")


def test_thousands_of_corrections_of_long_labels_fit_the_state(bus: Bus, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    long = "x" * 2_000
    rows = [row for i in range(300) for row in pair(f"p{i}", START + i * 1000, long + "a")]
    again = [(topic, {**value, "label": long + "b"}, ts) for topic, value, ts in rows if topic == "labels"]
    send(bus, settings, rows + again)
    with running(bus, settings, crash=True) as one:
        one.until(one.all_read)
    sizes = [len(r.value or b"") for r in bus.read_from(settings.topics["state"], 0, 0)]
    assert max(sizes) < 1_000_000
    with running(bus, settings) as one:
        one.until(lambda: 0 in one.worker.tasks)
        assert one.worker.tasks[0].partition.corrections == 300


def test_ids_whose_outcomes_retention_removed_are_forgotten(bus: Bus, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    send(bus, settings, pair("a", START))
    with running(bus, settings) as one:
        one.until(one.all_read)
    handle = Database(settings.embedded_path, 5.0).connect()
    try:
        for _ in clean(handle, time.time() + 500 * 86_400):
            pass
    finally:
        handle.close()
    send(bus, settings, pair("b", START + 1000))
    with running(bus, settings) as one:
        one.until(one.all_read)
    assert [row["seq"] for row in read(bus, settings, "outcomes")] == [1]

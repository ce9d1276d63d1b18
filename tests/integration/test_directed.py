"""Mishaps, one by one, each with a real worker on a real bus: what goes on, what stops, and what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from driftbus.config import Settings
from driftbus.errors import BusError, Fenced, StateError, Unavailable
from driftbus.intake import INPUTS
from driftbus.journal import RING
from driftbus.ports import Bus, TopicPartition
from driftbus.wiring import open_bus
from tests.core.streams import Shape, events
from tests.integration.directed import Site, clusters, make_site, until
from tests.integration.exactness import check, read_all, steps_of
from tests.integration.workers import remaining
from tests.test_worker import START, Running, pair, read, running, send

BUSES = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]


@pytest.fixture(params=BUSES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    kind, _, protocol = request.param.partition(" ")
    bootstrap = request.getfixturevalue("kafka_bootstrap") if kind == "kafka" else None
    cluster = clusters(kind, tmp_path, bootstrap)
    partitions = getattr(request.function, "partitions", 1)
    site = make_site(cluster, tmp_path, bootstrap, partitions, protocol or "classic")
    try:
        yield site
    finally:
        site.bus.close()
        cluster.close()


on_kafka = pytest.mark.parametrize("site", BUSES[1:], indirect=True)


def pairs(first: int, count: int) -> list[tuple[str, Any, int]]:
    return [row for i in range(first, first + count) for row in pair(f"p{i}", START + i * 60_000)]


def folded(site: Site, rows: list[tuple[str, Any, int]], *, crash: bool = False) -> None:
    """Send, and have a worker fold all of it."""
    send(site.bus, site.settings, rows)
    with running(site.bus, site.settings, crash=crash) as one:
        one.until(one.all_read)


def refused(bus: Bus, settings: Settings) -> str:
    """Why a worker does not start; it must not hide the reason, nor do anything before."""
    one = Running(bus, settings)
    try:
        until(lambda: one.error is not None)
    finally:
        one.stop()
    assert isinstance(one.error, StateError)
    return str(one.error)


# --- what must stop ------------------------------------------------------------------------------------


def test_an_offset_removed_before_it_was_read_stops_the_start(site: Site) -> None:
    folded(site, pairs(0, 30))
    position = site.bus.end_offset(site.settings.topics["predictions"], 0, committed=True)
    send(site.bus, site.settings, pairs(30, 30))
    before = read_all(site.bus, site.settings.topics["state"])
    site.forget("predictions", position + 10)
    assert f"retention removed offset {position}, not yet read" in refused(site.bus, site.settings)
    assert read_all(site.bus, site.settings.topics["state"]) == before


def test_records_removed_that_a_restore_folds_again_stop_the_start(site: Site) -> None:
    folded(site, pairs(0, 30), crash=True)
    site.forget("labels", site.bus.end_offset(site.settings.topics["labels"], 0, committed=True))
    assert "retention removed offset 0, which a restore needs" in refused(site.bus, site.settings)


def test_outcomes_removed_that_a_restore_folds_again_stop_the_start(site: Site) -> None:
    folded(site, pairs(0, 30), crash=True)
    site.forget("outcomes", site.bus.end_offset(site.settings.topics["outcomes"], 0, committed=True))
    assert "outcomes" in refused(site.bus, site.settings)


@on_kafka
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("predictions", "topic 'predictions' was deleted and created again"),
        ("outcomes", "topic 'outcomes' was deleted and created again"),
        ("state", "has committed offsets but no state"),
    ],
)
def test_a_topic_made_anew_stops_the_start(site: Site, name: str, why: str) -> None:
    folded(site, pairs(0, 10))
    site.make_anew(name)
    assert why in refused(site.bus, site.settings)


def test_state_of_another_group_stops_the_start(site: Site) -> None:
    """Two groups over one state would write two histories into it; a renamed one looks like a second."""
    folded(site, pairs(0, 10))
    other = site.with_settings(group="renamed")
    why = refused(site.bus, other)
    assert f"of group {site.settings.group!r}" in why
    assert "'renamed'" in why
    # Under its own name it goes on.
    folded(site, pairs(10, 10))
    check(site.bus, site.settings)


@on_kafka
@pytest.mark.parametrize("which", ["old", "new"])
def test_more_partitions_stop_the_start(site: Site, which: str) -> None:
    """All topics alike: their keys go elsewhere from now on, so every stream would be torn in two."""
    from confluent_kafka.admin import NewPartitions

    folded(site, pairs(0, 10))
    topics = [NewPartitions(topic, 2) for topic in site.settings.topics.values()]
    site.administer(lambda admin: admin.create_partitions(topics))
    until(lambda: all(site.bus.partitions(topic) == 2 for topic in site.settings.topics.values()))
    assert "1 partitions, now they have 2" in refused(site.bus, site.settings)


def test_a_request_that_is_never_answered_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with an error, as a broker that is starting on a loaded machine was seen to do."""
    from driftbus.adapters.kafka.bus import AdminClient, KafkaBus

    def forgotten(admin: Any, topics: Any, **how: Any) -> dict[str, Future[Any]]:
        return {"inputs": Future()}

    monkeypatch.setattr(AdminClient, "describe_topics", forgotten)
    monkeypatch.setattr("driftbus.adapters.kafka.bus._ANSWER_GRACE_S", 0.0)
    bus = KafkaBus({"bootstrap.servers": "127.0.0.1:1"}, timeout_s=0.1)
    with pytest.raises(Unavailable, match="no answer"):
        bus.partitions("inputs")
    bus.close()


# --- what must go on -----------------------------------------------------------------------------------


def test_an_expired_group_goes_on_from_the_state(site: Site) -> None:
    folded(site, pairs(0, 30), crash=True)
    site.expire_group()
    inputs = [TopicPartition(site.settings.topics[name], 0) for name in INPUTS]
    assert site.bus.committed(site.settings.group, inputs) == {}
    folded(site, pairs(30, 30))
    assert check(site.bus, site.settings).outcomes == 60


@pytest.mark.parametrize("site", ["embedded"], indirect=True)  # which hands out small steps
def test_a_stream_idle_for_longer_than_the_ring(site: Site) -> None:
    """Its snapshot is older than any step that is kept, its prediction waits in a block from then, and a
    crash comes in between."""
    idle = {"stream": "idle", "model_version": "v1"}
    waiting = {"prediction_id": "first", "ts": START, "prediction": 1, **idle}
    send(site.bus, site.settings, [("predictions", waiting, START)])
    busy = [Shape("busy", rows=2 * RING * 10, change=RING * 10, spacing_ms=1000)]
    rows = events(busy, seed=3)
    folded(site, rows[: len(rows) // 2])
    folded(site, rows[len(rows) // 2 :], crash=True)
    steps = steps_of(read_all(site.bus, site.settings.topics["state"])[0])
    assert len(steps) > 2 * RING
    ts = START + 3_000_000
    late = {"prediction_id": "first", "ts": ts, "label": 0, "stream": "idle"}
    again = {**waiting, "prediction_id": "second", "ts": ts}
    label = {**late, "prediction_id": "second"}
    folded(site, [("labels", late, ts), ("predictions", again, ts), ("labels", label, ts)])
    found = [row["prediction_id"] for row in read(site.bus, site.settings, "outcomes")]
    assert [pid for pid in found if pid in ("first", "second")] == ["first", "second"]
    check(site.bus, site.settings)


def test_a_zombie_s_open_transaction_is_waited_for(site: Site) -> None:
    """It lies before the last steps in `state`. A restore that took the last stable offset for the end would
    miss them all; this one waits until the transaction has ended."""
    folded(site, pairs(0, 30))
    zombie = site.bus.transaction("zombie")
    zombie.begin()
    send(site.bus, site.settings, pairs(30, 30))
    with running(site.bus, site.settings, crash=True) as one:
        one.until(lambda: 0 in one.worker.tasks)
        state = site.settings.topics["state"]
        zombie.produce(state, key=b"step/0", value=b"of a zombie", partition=0, want_offset=True)
        [held] = zombie.flush()
        one.until(lambda: _committed(site) == 60)
        ahead = site.bus.end_offset(state, 0, committed=False)
    assert site.bus.end_offset(state, 0, committed=True) == held < ahead
    with running(site.bus, site.settings) as heir:
        heir.until(lambda: bool(heir.worker.restoring))
        time.sleep(1.0)  # it would be over in a tenth of this
        assert heir.worker.restoring
        assert not heir.worker.tasks
        zombie.abort()
        heir.until(lambda: 0 in heir.worker.tasks)
        send(site.bus, site.settings, pairs(60, 10))
        heir.until(heir.all_read)
    zombie.close()
    assert check(site.bus, site.settings).outcomes == 70


def _committed(site: Site) -> int:
    inputs = [TopicPartition(site.settings.topics[name], 0) for name in ("predictions", "labels")]
    found = site.bus.committed(site.settings.group, inputs)
    return min(found.values(), default=0)


@on_kafka
def test_a_transaction_that_takes_too_long_is_done_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker ends it, the worker is fenced, and the next start repeats the step: once, in the end."""
    from driftbus.adapters.kafka.transaction import KafkaTransaction

    slow = site.with_settings(kafka={**site.settings.kafka, "transaction.timeout.ms": 1000})
    bus = open_bus(slow)
    flush = KafkaTransaction.flush
    held: list[int] = []

    def dawdle(transaction: KafkaTransaction) -> list[int]:
        offsets = flush(transaction)
        if len(held) < 3:
            held.append(1)
            state = slow.topics["state"]
            until(
                lambda: bus.end_offset(state, 0, committed=True) == bus.end_offset(state, 0, committed=False)
            )
        return offsets

    monkeypatch.setattr(KafkaTransaction, "flush", dawdle)
    send(bus, slow, pairs(0, 50))
    fenced = 0
    while True:
        one = Running(bus, slow)
        until(lambda one=one: one.error is not None or one.all_read())
        one.stop()
        if one.error is None:
            break
        assert isinstance(one.error, Fenced)
        fenced += 1
    assert fenced >= 1
    assert check(bus, slow).outcomes == 50
    bus.close()


@pytest.mark.parametrize(
    "site", [*BUSES, pytest.param("kafka consumer", marks=pytest.mark.kafka)], indirect=True
)
def test_a_restore_during_a_rebalance(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second worker comes while the first one still reads its state back, and goes again: partitions are
    given away half restored, and come back."""
    rows = events([Shape(f"s{i}", rows=200) for i in range(8)], seed=4)
    send(site.bus, site.settings, rows)
    first = Running(site.bus, site.settings)
    until(lambda: _all_read(site))
    first.crash()
    from driftbus import restore as restore_module

    release = threading.Event()
    read_state = restore_module._read_state

    def slowly(*given: Any) -> Generator[float, None, int]:
        end = yield from read_state(*given)
        while not release.is_set():
            time.sleep(0.05)
            yield 0.5
        return end

    monkeypatch.setattr(restore_module, "_read_state", slowly)
    first, second = Running(site.bus, site.settings), None
    try:
        first.until(lambda: len(first.worker.restoring) == 2)
        second = _second(site)
        second.until(lambda: len(second.worker.restoring) == 1)
        first.until(lambda: len(first.worker.restoring) == 1)
        second.stop()
        first.until(lambda: len(first.worker.restoring) == 2)
        second = _second(site)
        second.until(lambda: len(second.worker.restoring) == 1)
        release.set()
        second.until(lambda: len(second.worker.tasks) == 1)
        first.until(lambda: len(first.worker.tasks) == 1)
        send(site.bus, site.settings, events([Shape(f"t{i}", rows=50) for i in range(8)], seed=5))
        until(lambda: _all_read(site))
    finally:
        for one in (first, second):
            if one is not None:
                one.stop()
    for one in (first, second):
        assert one.error is None or isinstance(one.error, BusError)
    second.bus.close()
    check(site.bus, site.settings)


test_a_restore_during_a_rebalance.partitions = 2  # type: ignore[attr-defined]


def _second(site: Site) -> Running:
    """Another process's worker: a bus and an id of its own."""
    return Running(open_bus(site.settings), site.settings, "two")


def _all_read(site: Site) -> bool:
    return remaining(site.bus, site.settings, 2) == 0

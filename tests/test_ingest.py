"""The loop of `driftbus ingest` on the embedded bus: what it refuses, gives up, shows, and survives."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.http import metric_table as t
from driftbus.adapters.http.server import HttpServer
from driftbus.config import Settings, load
from driftbus.errors import ConfigError, DriftbusError, MissingTopic, TooManyDeadLetters
from driftbus.ingest import Ingest
from driftbus.ingest_views import IngestSource
from driftbus.letters import Wanted, letters
from driftbus.ports import Record, TopicPartition, TopicSpec
from driftbus.sources import Half
from driftbus.sources.pairing import Place, to_half
from driftbus.topics import halves_specs, topic_specs

# Ends a test that hangs; nothing is decided by it.
LIMIT_S = 60
SOURCES: dict[str, Any] = {
    "models": {"format": "seldon", "topics": ["ask", "answer"]},
    "truths": {
        "format": "json", "topics": ["truth"], "stream": "m", "prediction_id": "id", "label": "was",
        "when": {"type": "truth"},
    },
}  # fmt: skip


def settings(folder: Path, *, commit_interval: str = "10ms", **ingest: Any) -> Settings:
    path = folder / "driftbus.yaml"
    document = {
        "bus": "embedded",
        "embedded": {"path": str(folder / "data")},
        "worker": {"commit_interval": commit_interval},
        "ingest": {"sources": SOURCES, **ingest},
    }
    path.write_text(yaml.safe_dump(document))
    return load(path, {})


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[EmbeddedBus]:
    opened = EmbeddedBus(tmp_path / "data")
    chosen = settings(tmp_path)
    foreign = [TopicSpec(name, 2) for name in ("ask", "answer", "truth")]
    opened.create_topics([*topic_specs(chosen, 2), *halves_specs(chosen, 2), *foreign])
    yield opened
    opened.close()


def send(bus: EmbeddedBus, topic: str, *values: Any) -> None:
    producer = bus.producer()
    for value in values:
        raw = value if isinstance(value, bytes) else orjson.dumps(value)
        assert producer.produce(topic, key=None, value=raw)
    assert producer.flush(LIMIT_S) == 0
    producer.close(LIMIT_S)


def request(known: str) -> dict[str, Any]:
    return {"id": known, "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}]}


def response(known: str) -> dict[str, Any]:
    outputs = [{"name": "y", "shape": [1], "datatype": "INT64", "data": [1]}]
    return {"id": known, "model_name": "m", "outputs": outputs}


def truth(known: str) -> dict[str, Any]:
    return {"type": "truth", "id": known, "was": 1}


@contextmanager
def running(bus: EmbeddedBus, chosen: Settings, name: str = "w") -> Iterator[Ingest]:
    """The loop in a thread; what it raises is raised here."""
    ingest = Ingest(bus, chosen, name)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            ingest.run()
        except DriftbusError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ingest
    finally:
        ingest.stop()
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def has_read_all(bus: EmbeddedBus, topic: str) -> bool:
    """Whether the group has committed a topic to its end."""
    tps = [TopicPartition(topic, p) for p in range(2)]
    committed = bus.committed("driftbus-ingest", tps)
    return all(bus.end_offset(*tp, committed=True) == committed.get(tp, 0) for tp in tps)


def events(bus: EmbeddedBus, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(r.value or b"") for p in range(2) for r in bus.read_from(topic, p, 0)]


def test_halves_that_waited_through_a_restart_are_joined(bus: EmbeddedBus, tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    send(bus, "ask", request("a"), request("b"))
    send(bus, "answer", response("c"))
    with running(bus, chosen) as first:
        wait_until(lambda: len(first.joining.waiting) == 3)
    with running(bus, chosen) as second:
        wait_until(lambda: len(second.joining.waiting) == 3)
        assert second.counters.records == {"ask": 0, "answer": 0, "truth": 0}
        send(bus, "answer", response("b"))
        send(bus, "ask", request("c"))
        wait_until(lambda: second.published["predictions"] == 2)
    assert sorted(event["prediction_id"] for event in events(bus, "driftbus.predictions")) == ["b", "c"]
    with running(bus, chosen) as third:
        wait_until(lambda: len(third.joining.waiting) == 1 and third.ready)


def test_halves_that_nobody_has_read_yet_do_not_wait_already(bus: EmbeddedBus, tmp_path: Path) -> None:
    """As after a kill between the step that wrote them and the one that would have read them."""
    chosen = settings(tmp_path)
    transaction = bus.transaction("killed")
    transaction.begin()
    for side, body in (("request", request("a")), ("response", response("a"))):
        place = Place("models", Half("a", side))  # type: ignore[arg-type]
        record = Record("ask", 0, 0, None, orjson.dumps(body), (), 1_767_225_600_000)
        where = bus.partition_for(chosen.halves_topic, place.pair_key)
        transaction.produce(
            chosen.halves_topic, key=place.key, value=record.value, headers=to_half(record), partition=where
        )
    transaction.commit()
    transaction.close()
    for predictions in (1, 0):
        with running(bus, chosen) as ingest:
            wait_until(lambda ingest=ingest: ingest.ready and has_read_all(bus, chosen.halves_topic))
            assert ingest.published["predictions"] == predictions
            assert len(ingest.joining.waiting) == 0
    assert len(events(bus, "driftbus.predictions")) == 1


def test_what_is_given_up_is_in_the_dead_letters_and_does_not_come_back(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    chosen = settings(tmp_path, wait="50ms")
    send(bus, "ask", request("a"))
    with running(bus, chosen) as ingest:
        wait_until(lambda: ingest.given_up == {("models", "expired"): 1})
        send(bus, "answer", response("a"))
        wait_until(lambda: ingest.published["dead-letters"] == 2)
    found = list(letters(bus, "driftbus.dead-letters", Wanted()))
    assert sorted((letter.topic, letter.reason) for letter in found) == [
        ("answer", "unmatched_response"),
        ("ask", "unmatched_request"),
    ]
    assert orjson.loads(found[0].record.value or b"")["id"] == "a"
    assert events(bus, "driftbus.predictions") == []


def test_a_transaction_that_others_left_open_keeps_nobody_from_ending(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    """What it holds back may be a tombstone: nothing is joined before it has ended."""
    chosen = settings(tmp_path)
    other = bus.transaction("other")
    other.begin()
    other.produce(chosen.halves_topic, key=b"k", value=None, partition=0, want_offset=True)
    other.flush()
    with running(bus, chosen) as ingest:
        wait_until(lambda: ingest.heart.doing == "waiting for open transactions")
        assert not ingest.ready
    other.abort()
    other.close()
    with running(bus, chosen) as ingest:
        wait_until(lambda: ingest.ready and ingest.counters.rebalances == 1)


def test_more_than_may_wait(bus: EmbeddedBus, tmp_path: Path) -> None:
    send(bus, "ask", *(request(f"r{i}") for i in range(8)))
    with running(bus, settings(tmp_path, max_waiting=3)) as ingest:
        wait_until(lambda: ingest.given_up == {("models", "evicted"): 5})
        assert len(ingest.joining.waiting) == 3


def test_metrics_and_readiness(bus: EmbeddedBus, tmp_path: Path) -> None:
    source = IngestSource()
    with HttpServer(source, port=0) as server:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{server.url}/readyz")
        send(bus, "ask", request("a"), request("b"), b"{")
        send(bus, "answer", response("a"))
        send(bus, "truth", truth("a"), {"type": "other"})
        with running(bus, settings(tmp_path)) as ingest:
            source.watch(ingest)
            wait_until(
                lambda: sum(ingest.counters.records.values()) == 6 and len(ingest.joining.waiting) == 1
            )
            wait_until(lambda: len(ingest.lag) == 8)
            assert urllib.request.urlopen(f"{server.url}/readyz").status == 200
            page = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
            assert urllib.request.urlopen(f"{server.url}/").status == 200
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples[t.RECORDS.name, "ask"] == 3
    assert samples[t.PUBLISHED.name, "predictions"] == 1
    assert samples[t.PUBLISHED.name, "labels"] == 1
    assert samples[t.DEAD_LETTERS.name, "ask", "not_json"] == 1
    assert samples[t.INGEST_WAITING.name,] == 1
    assert samples[t.INGEST_GIVEN_UP.name, "models", "expired"] == 0
    assert samples[t.INGEST_IGNORED.name, "truths"] == 1
    assert samples[t.LIMIT_USED.name, "ingest.max_waiting"] == 1
    assert samples[t.READY.name,] == 1


def test_a_mapping_that_fits_nothing_stops_rather_than_drain_the_topic(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    send(bus, "truth", *({"type": "truth", "other": i} for i in range(3_000)))
    with pytest.raises(
        TooManyDeadLetters, match="records of truth cannot be used, mostly for 'missing_field'"
    ):
        Ingest(bus, settings(tmp_path), "w").run()
    committed = bus.committed("driftbus-ingest", [TopicPartition("truth", p) for p in range(2)])
    assert sum(committed.values()) < 1_000


def test_records_that_retention_removed_are_passed_over_loudly(
    bus: EmbeddedBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(tmp_path)
    send(bus, "truth", truth("a"))
    with running(bus, chosen) as ingest:
        wait_until(lambda: ingest.published["labels"] == 1)
    # As if the topic had been deleted and made anew: what is committed lies behind its end.
    transaction = bus.transaction("t")
    consumer = bus.consumer("driftbus-ingest", ["truth"])
    wait_until(lambda: consumer.poll(1, 0.1) == [] and len(consumer.assignment()) == 2)
    consumer.commit({TopicPartition("truth", p): 1_000 for p in range(2)})
    consumer.close()
    transaction.close()
    with running(bus, chosen) as ingest:
        wait_until(lambda: ingest.published["labels"] == 1)
    assert "made anew" in caplog.text


def test_topics_that_are_not_there_or_are_our_own(bus: EmbeddedBus, tmp_path: Path) -> None:
    for name, allowed in (("absent", "topics that exist"), ("driftbus.labels", "another service")):
        wrong = {"truths": {**SOURCES["truths"], "topics": [name]}}
        with pytest.raises(ConfigError, match=allowed) as raised:
            Ingest(bus, settings(tmp_path, sources=wrong), "w").run()
        assert raised.value.key == "ingest.sources.truths.topics"
    with pytest.raises(MissingTopic, match="nowhere"):
        Ingest(bus, settings(tmp_path, halves_topic="nowhere"), "w").run()

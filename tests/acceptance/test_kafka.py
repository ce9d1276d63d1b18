"""The same contract on a real Kafka, with producers that know nothing of driftbus."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from driftbus.client import Emitter, RetrainRequests, WindowExpired
from tests.acceptance.house import (
    INPUTS,
    MINUTE,
    T0,
    Process,
    http,
    rfc,
    run_cli,
    samples,
    value,
    wait_for,
)  # fmt: skip
from tests.ports import free_port

# ruff: noqa: E501 - records, one a line
pytestmark = pytest.mark.kafka
TOPICS = (
    *INPUTS,
    "outcomes",
    "label-corrections",
    "drift-events",
    "retrain-requests",
    "dead-letters",
    "state",
)


class Site:
    """A group with topics of its own on the broker."""

    def __init__(self, folder: Path, bootstrap: str, config: Mapping[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.bootstrap, self.prefix = folder, bootstrap, f"a{uuid.uuid4().hex[:8]}."
        self.config: dict[str, Any] = {
            "bus": "kafka",
            "kafka": {"bootstrap.servers": bootstrap},
            "group": self.prefix + "group",
            "topic_prefix": self.prefix,
            "http": {"port": free_port()},
            **(config or {}),
        }
        self.workers: list[Process] = []
        self.file = self.write("driftbus.yaml")

    def write(self, name: str, **changes: Any) -> Path:
        file = self.folder / name
        file.write_text(yaml.safe_dump({**self.config, **changes}))
        return file

    def topic(self, name: str) -> str:
        named = self.config.get("topics", {}).get(name.replace("-", "_"))
        return str(named or self.prefix + name)

    def cli(self, *args: str) -> Any:
        return run_cli(*args, "--config", str(self.file))

    def start(self, file: Path | None = None, name: str = "worker") -> Process:
        worker = Process(file or self.file, name).start()
        self.workers.append(worker)
        return worker

    def feed(self, records: Iterable[Sequence[Any]], **properties: Any) -> None:
        """(topic, key, value[, ts[, headers[, partition]]])"""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "message.max.bytes": 2_000_000,
                **properties,
            }
        )
        failed: list[Any] = []
        for topic, key, v, *rest in records:
            ts, headers, partition = (*rest, None, None, None)[:3]
            body = v if v is None or isinstance(v, bytes) else json.dumps(v).encode()
            producer.produce(
                self.topic(topic), body, key, partition=-1 if partition is None else partition,
                timestamp=T0 if ts is None else ts, headers=headers,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )  # fmt: skip
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not failed

    def left(self) -> int:
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.config["group"]})
        try:
            left = 0
            for name in INPUTS:
                parts = list(reader.list_topics(self.topic(name)).topics[self.topic(name)].partitions)
                for tp in reader.committed([TopicPartition(self.topic(name), p) for p in parts], 20):
                    _, end = reader.get_watermark_offsets(tp, 20)
                    left += end - max(tp.offset, 0)
            return left
        finally:
            reader.close()

    def settle(self) -> None:
        def done() -> bool:
            for worker in self.workers:
                assert worker.running, worker.tail()
            return self.left() == 0

        try:
            wait_for(done, "the inputs are read")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.workers[-1].tail()}") from None

    def records(self, name: str) -> list[Any]:
        reader = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "r", "isolation.level": "read_committed",
             "enable.partition.eof": True, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 10}
        )  # fmt: skip
        topic = self.topic(name)
        parts = list(reader.list_topics(topic).topics[topic].partitions)
        reader.assign([TopicPartition(topic, p, 0) for p in parts])
        found, ended = [], 0
        while ended < len(parts):
            message = reader.poll(20)
            assert message is not None
            if message.error():
                ended += 1
            else:
                found.append(message)
        reader.close()
        return found

    def values(self, name: str) -> list[Any]:
        return [json.loads(m.value()) for m in self.records(name)]

    def close(self) -> None:
        for worker in self.workers:
            if worker.running:
                worker.stop(9)


@pytest.fixture(scope="module")
def site(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(
        tmp_path_factory.mktemp("kafka"),
        kafka_bootstrap,
        {
            "topics": {"drift_events": f"risk.{uuid.uuid4().hex[:8]}.drift"},
            "stream_defaults": {"retrain": {"cooldown": "0s"}},
        },
    )
    before = site.cli("check")
    assert before.returncode == 1
    assert "topics create" in before.stdout + before.stderr
    made = site.cli("topics", "create", "--partitions", "2")
    assert made.returncode == 0, made.stderr
    again = site.cli("topics", "create")
    assert again.returncode == 0, again.stderr
    good = site.cli("check")
    assert good.returncode == 0, good.stdout + good.stderr
    yield site
    site.close()


def noise(size: int, seed: int = 0) -> str:
    """Text that no compression makes shorter on its way to the broker."""
    return base64.b64encode(random.Random(seed).randbytes(size * 3 // 4)).decode()


def big(pid: str, size: int) -> dict[str, Any]:
    return {"prediction_id": pid, "stream": "big", "ts": T0, "prediction": 1, "features": {"a": noise(size)}}


def test_records_as_large_as_kafka_takes_stop_nobody(site: Site) -> None:
    """Whatever a producer could send becomes an outcome or a dead letter; neither is ever refused by the topic."""
    headers = [("h", noise(140_000).encode())]
    numbers = b",".join([b"1e15"] * 190_000)
    grows = b'{"prediction_id":"grows","stream":"big","prediction":1,"features":{"a":[' + numbers + b"]}}"
    records = [
        ("predictions", "big", big("large", 999_000)),
        ("predictions", "big", big("with-label", 900_000)),
        ("predictions", "big", grows),
        ("predictions", "big", noise(1_048_000).encode()),
        ("predictions", "big", noise(890_000).encode(), None, headers),
        ("predictions", "k" + noise(600_000, 1), noise(440_000, 2).encode()),
        ("predictions", "k" + noise(1_048_000, 3), b"no"),
        ("predictions", "big", b"no", None, [("h", noise(1_047_000, 6).encode())]),
        ("predictions", "big", big("waits-1", 900_000)),
        ("predictions", "big", big("waits-2", 990_000)),
        ("predictions", "big", {"prediction_id": "small", "stream": "big", "ts": T0, "prediction": 1}),
        ("labels", "big", {"prediction_id": "large", "stream": "big", "ts": T0, "label": 1}),
        (
            "labels",
            "big",
            {"prediction_id": "with-label", "stream": "big", "ts": T0, "label": [noise(800_000, 4)]},
        ),
        (
            "labels",
            "big",
            {"prediction_id": "with-label", "stream": "big", "ts": T0, "label": noise(900_000, 5)},
        ),
        ("labels", "big", {"prediction_id": "small", "stream": "big", "ts": T0, "label": 1}),
        ("labels", "big", {"prediction_id": "grows", "stream": "big", "ts": T0, "label": 1}),
    ]
    site.feed(records)
    worker = site.start()
    site.settle()
    assert "discarded" not in worker.log.read_text()
    outcomes = {row["prediction_id"] for row in site.values("outcomes")}
    letters = site.records("dead-letters")
    assert "small" in outcomes
    assert "with-label" not in outcomes
    assert len(outcomes) + len(letters) == 1 + 4 + 1 + 2 + len({"large", "grows"})
    assert sum((m.key() or b"").startswith(b"k") for m in letters) == 2
    # With all of it in the state, a restart goes on.
    assert worker.stop() == 0
    site.workers.clear()
    site.start()
    site.feed([("labels", "big", {"prediction_id": "waits-1", "stream": "big", "ts": T0, "label": 1})])
    site.settle()
    assert "waits-1" in {row["prediction_id"] for row in site.values("outcomes")}
    for letter in letters:
        said = dict(letter.headers())
        assert said["__connect.errors.topic"]
        assert said["__connect.errors.exception.class.name"]


def test_the_circle_on_kafka(site: Site) -> None:
    """Two workers that differ in their port, an emitter, drift, a trainer, a deployment, a stray record."""
    for worker in site.workers:
        if worker.running:
            assert worker.stop() == 0
    site.workers.clear()
    other = free_port()
    site.start(name="one")
    site.start(site.write("two.yaml", http={"port": other}), "two")
    ports = (site.config["http"]["port"], other)
    rng = random.Random(5)
    emitter = Emitter(kafka={"bootstrap.servers": site.bootstrap}, topic_prefix=site.prefix)
    for i in range(2000):
        for stream in ("loop", "calm"):
            label = int(rng.random() < 0.5)
            wrong = rng.random() < (0.4 if stream == "loop" and i >= 1000 else 0.05)
            pid, ts = f"{stream}-{i}", T0 + i * MINUTE
            emitter.prediction(stream, pid, prediction=label ^ wrong, model_version="v1", ts=ts)
            emitter.label(stream, pid, label, ts=ts)
    assert emitter.flush(60)
    emitter.close()
    assert not any(emitter.lost.values())
    ce = [("ce_specversion", b"1.0"), ("ce_type", b"x"), ("ce_id", b"1"), ("ce_source", b"/s")]
    sure = Producer({"bootstrap.servers": site.bootstrap, "partitioner": "murmur2_random"})
    home: list[int] = []
    sure.produce(
        site.topic("predictions"),
        json.dumps({"prediction_id": "ce", "prediction": 1}),
        "calm",
        timestamp=T0,
        headers=ce,
        on_delivery=lambda _, m: home.append(m.partition()),
    )
    sure.flush(30)
    stray = 1 - home[0]
    site.feed(
        [
            ("labels", "calm", {"prediction_id": "ce", "label": 1}, T0, ce),
            (
                "predictions",
                "calm",
                {"prediction_id": "stray", "ts": T0, "prediction": 1, "model_version": "v1"},
                T0,
                None,
                stray,
            ),
            ("labels", "calm", {"prediction_id": "stray", "ts": T0, "label": 1}, T0, None, stray),
        ]
    )
    site.settle()
    rows = {(row["stream"], row["prediction_id"]): row for row in site.values("outcomes")}
    assert rows["calm", "ce"]["ts"] == rows["calm", "ce"]["label_ts"] == rfc(T0)
    (strayed,) = (m for m in site.records("outcomes") if b'"stray"' in m.value())
    assert strayed.partition() == stray
    assert sum(stream == "loop" for stream, _ in rows) == 2000

    def shown(name: str, **labels: str) -> float:
        pages = [http(f"http://127.0.0.1:{port}/metrics")[2] for port in ports]
        return sum(value(samples(page), name, **labels) or 0 for page in pages)

    assert shown("misrouted_records_total") == 2
    assert shown("outcomes_total", stream="loop") == 2000
    wait_for(lambda: all(http(f"http://127.0.0.1:{port}/readyz")[0] == 200 for port in ports), "both ready")
    drift = [
        e["data"]
        for e in site.values("drift-events")
        if e["subject"] == "loop" and e["data"]["category"] == "concept"
    ]
    assert [d["status"] for d in drift].count("opened") == 1
    with RetrainRequests(
        kafka={"bootstrap.servers": site.bootstrap},
        group=site.prefix + "trainer",
        topic_prefix=site.prefix,
        timeout_s=30,
    ) as asked:
        request = next(iter(asked))
        assert request.stream == "loop"
        found = list(request.rows())
        assert len(found) == request.window.rows
        assert Counter(str(row["label"]) for row in found) == request.window.class_counts
        request.started()
        request.deployed(model_version="v2")
        site.settle()
        closed = [
            e["data"]
            for e in site.values("drift-events")
            if e["subject"] == "loop" and e["data"]["status"] == "closed"
        ]
        assert closed
        checked = site.cli("check")
        assert checked.returncode == 1
        assert "partitioner" in checked.stdout
        # Retention takes the window's beginning: fewer rows are never given for the whole.
        admin = AdminClient({"bootstrap.servers": site.bootstrap})
        cut = TopicPartition(
            site.topic("outcomes"), request.window.partition, request.window.start_offset + 10
        )
        for future in admin.delete_records([cut]).values():
            future.result(30)
        with pytest.raises(WindowExpired):
            list(request.rows())
    for worker in site.workers:
        assert worker.stop() == 0, worker.tail()


def test_partition_counts_that_differ_are_said(kafka_bootstrap: str, tmp_path: Path) -> None:
    site = Site(tmp_path, kafka_bootstrap)
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    new = [NewTopic(site.topic(name), 2 if name == "labels" else 1, 1) for name in TOPICS]
    for future in admin.create_topics(new).values():
        future.result(30)
    done = site.cli("check")
    assert done.returncode == 1
    assert site.topic("labels") in done.stdout
    worker = site.cli("worker")
    assert worker.returncode == 1
    assert site.topic("labels") in worker.stderr + worker.stdout

"""The same contract on a real Kafka, with producers that know nothing of driftbus."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.acceptance.house import (
    INPUTS,
    T0,
    Process,
    free_port,
    run_cli,
    wait_for,
)

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
            wait_for(done, "the inputs are read", 40)
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

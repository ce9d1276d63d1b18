"""`topics create`, `check`, `retrain` on the embedded bus; without a broker, what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import Settings, load
from driftbus.core.codec import decode
from driftbus.ports import TopicSpec
from driftbus.topics import CO_PARTITIONED, DEFAULT_PARTITIONS, topic_specs
from tests.cli.commands import in_process


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "driftbus.yaml"
    path.write_text(f"bus: embedded\nhttp: {{enabled: false}}\nembedded: {{path: {tmp_path / 'data'}}}\n")
    return path


def opened(config: Path) -> tuple[EmbeddedBus, Settings]:
    settings = load(config, {})
    return EmbeddedBus(settings.embedded_path), settings


def findings(config: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    done = in_process("check", "--json", "--config", config)
    assert "Traceback" not in done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    return done.returncode, {each["name"]: each for each in answer["checks"]}


def test_topics_are_created_once_and_left_alone_after(config: Path) -> None:
    first = in_process("topics", "create", "--partitions", "3", "--config", config)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("created, 3 partitions") == 9
    again = in_process("topics", "create", "--config", config)
    assert again.stdout.count("exists, 3 partitions") == 9
    other = in_process("topics", "create", "--partitions", "4", "--config", config)
    assert other.returncode == 1
    assert "exists with 3 partitions" in other.stderr


def test_missing_topics_get_the_count_of_those_that_exist(config: Path) -> None:
    bus, _ = opened(config)
    bus.create_topics([TopicSpec("driftbus.labels", 5)])
    assert in_process("topics", "create", "--config", config).returncode == 0
    assert {bus.partitions(f"driftbus.{name}") for name in CO_PARTITIONED} == {5}
    bus.close()


def test_unequal_topics_are_said_and_not_added_to(config: Path) -> None:
    bus, _ = opened(config)
    bus.create_topics([TopicSpec("driftbus.labels", 5), TopicSpec("driftbus.predictions", 4)])
    done = in_process("topics", "create", "--config", config)
    assert done.returncode == 1
    assert "driftbus.predictions 4, driftbus.labels 5" in done.stderr
    code, found = findings(config)
    assert code == 1
    assert found["partitions"]["ok"] is False
    assert "topic_prefix" in found["partitions"]["mend"]
    bus.close()


def test_the_specs_are_the_contracts() -> None:
    specs = {spec.name: spec for spec in topic_specs(load(None, {"DRIFTBUS_TOPICS__STATE": "s"}), 7)}
    assert len(specs) == 9
    assert {spec.partitions for spec in specs.values()} == {7}
    policies = {name: spec.config["cleanup.policy"] for name, spec in specs.items()}
    assert policies.pop("s") == "compact"
    assert set(policies.values()) == {"delete"}

    def days(name: str) -> float:
        return int(specs[f"driftbus.{name}"].config["retention.ms"]) / 86_400_000

    assert days("dead-letters") < days("predictions") < days("drift-events") < days("outcomes")
    assert days("outcomes") == days("label-corrections") >= 365


def test_check_says_what_is_missing_and_how_to_mend_it(config: Path) -> None:
    code, found = findings(config)
    assert code == 1
    assert "driftbus.state" in found["topics"]["text"]
    assert found["topics"]["mend"] == "driftbus topics create"
    assert found["bus"]["ok"] is True

    lines = in_process("check", "--config", config).stdout.splitlines()
    assert [line.split()[1] for line in lines if line[0] != " "] == list(found)
    assert any("→ driftbus topics create" in line for line in lines)

    in_process("topics", "create", "--config", config)
    code, found = findings(config)
    assert code == 0
    assert [each["ok"] for each in found.values()] == [True] * 6


def test_check_finds_records_of_another_partitioner(config: Path) -> None:
    in_process("topics", "create", "--config", config)
    bus, _ = opened(config)
    writer = bus.transaction("other")
    writer.begin()
    right = bus.partition_for("driftbus.labels", b"fraud")
    for partition in (right, (right + 1) % DEFAULT_PARTITIONS):
        writer.produce("driftbus.labels", key=b"fraud", value=b"{}", partition=partition)
    writer.flush()
    writer.commit()
    writer.close()
    bus.close()
    code, found = findings(config)
    assert code == 1
    assert found["partitioner"]["ok"] is False
    assert "1 in driftbus.labels" in found["partitioner"]["text"]
    assert "of 2 recent records" in found["partitioner"]["text"]
    assert "murmur2_random" in found["partitioner"]["mend"]


def test_check_leaves_nothing_behind(config: Path) -> None:
    in_process("topics", "create", "--partitions", "1", "--config", config)
    assert findings(config)[0] == 0
    bus, settings = opened(config)
    for full in settings.topics.values():
        assert list(bus.read_from(full, 0, 0)) == []
    bus.close()


def test_check_of_a_wrong_configuration_exits_2(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("bus: embeded\n")
    done = in_process("check", "--config", path)
    assert done.returncode == 2
    assert "Did you mean 'embedded'?" in done.stdout


def test_check_of_a_broker_that_is_not_there_says_so() -> None:
    environ = {"DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    done = in_process("check", environ=environ)
    assert done.returncode == 1, done.stderr
    assert "127.0.0.1:9" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_request_by_hand_is_a_model_event(config: Path) -> None:
    in_process("topics", "create", "--partitions", "1", "--config", config)
    done = in_process("retrain", "frauß", "--reason", "new rules", "--by", "ana", "--config", config)
    assert done.returncode == 0, done.stderr
    bus, _ = opened(config)
    (record,) = bus.read_from("driftbus.model-events", 0, 0)
    event = decode("model-events", record.key, record.value, record.headers, record.timestamp_ms)
    assert record.key == "frauß".encode()
    assert (event.stream, event.type, event.by, event.reason) == (
        "frauß",
        "retrain-requested",
        "ana",
        "new rules",
    )
    assert event.ts == record.timestamp_ms
    bus.close()


def test_a_request_without_topics_fails(config: Path) -> None:
    done = in_process("retrain", "fraud", "--reason", "r", "--config", config)
    assert done.returncode == 1
    assert "driftbus topics create" in done.stderr
    assert done.stdout == ""


@pytest.mark.kafka
def test_all_of_it_on_a_real_kafka(kafka_bootstrap: str, tmp_path: Path) -> None:
    path = tmp_path / "driftbus.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka_bootstrap}'}}\ntopic_prefix: {tmp_path.name}.\n"
        "http: {enabled: false}\n"
    )
    assert findings(path)[1]["topics"]["mend"] == "driftbus topics create"
    made = in_process("topics", "create", "--partitions", "2", "--config", path)
    assert (made.returncode, made.stdout.count("created, 2 partitions")) == (0, 9), made.stderr
    asked = in_process("retrain", "fraud", "--reason", "new rules", "--config", path)
    assert asked.returncode == 0, asked.stderr
    code, found = findings(path)
    assert code == 0, found
    assert "placed all 1 recent records" in found["partitioner"]["text"]
    again = in_process("topics", "create", "--config", path)
    assert again.stdout.count("exists, 2 partitions") == 9

"""CONTRACT sections 4 and 5: configuration files, the environment, `check`, `topics`, and a worker's manners."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftbus.ports import TopicSpec
from tests.acceptance.house import (
    INPUTS,
    MINUTE,
    T0,
    House,
    Process,
    http,
    prediction,
    run_cli,
    samples,
    value,
    wait_for,
    write_lines,
)  # fmt: skip
from tests.ports import free_port

# ruff: noqa: E501 - a table, a case a line
TOPICS = (
    *INPUTS,
    "outcomes",
    "label-corrections",
    "drift-events",
    "retrain-requests",
    "dead-letters",
    "state",
)
# CONTRACT section 5, as it stands (the line with ◇ apart).
EXAMPLE = """
bus: kafka
kafka:
  bootstrap.servers: 127.0.0.1:9092
embedded: {path: ./driftbus-data}
group: driftbus
instance: prod-eu
topic_prefix: "driftbus."
topics: {drift_events: risk.drift}
partitioner: murmur2_random
http: {host: 127.0.0.1, port: 8711}
stream_defaults:
  task: auto
  positive_label: 1
  labels: {}
  sample: 1.0
  join: {horizon: 7d, expired_label: null, grace: 7d}
  features: {watch: "*", ignore: [], categorical: [], max: 100, redact: []}
  signals:
    error: auto
    features: auto
    score: [{adwin: {delta: 0.001}}]
    custom: {"ndcg@10": {better: higher}}
  challenger: auto
  false_alarms: 1 per 90d
  retrain:
    mode: auto
    on_drift: true
    kinds: [sudden, gradual, incremental, recurrent]
    categories: [concept]
    when: ["f1 < 0.70 over 1000", "accuracy < 0.9 over 2h"]
    every: null
    cooldown: 6h
    min_rows: 500
    min_rows_per_class: 20
    max_wait: 7d
    timeout: 24h
    max_attempts: 3
streams:
  "fraud-*": {positive_label: 1, labels: {team: risk}}
"""


def tried(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Any:
    """The configuration, taken or not, by a command that needs no bus."""
    (tmp_path / "c.yaml").write_text(text)
    empty = write_lines(tmp_path / "empty.jsonl", [])
    return run_cli("replay", str(empty), "--config", str(tmp_path / "c.yaml"), env=env)


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "",
        """
topic_prefix: ""
partitioner: consistent_random
kafka: {bootstrap.servers: "b:1", linger.ms: 5, enable.idempotence: true, session.timeout.ms: 6000}
stream_defaults:
  challenger: off
  signals: {error: off, features: [kswin, {page_hinkley: {threshold: 20}}]}
  retrain: {mode: off, every: 30d}
limits: {max_pending: 1000}
""",
    ],
)
def test_what_the_contract_shows_is_taken(tmp_path: Path, text: str) -> None:
    done = tried(tmp_path, text)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


WRONG = """
bus: rabbit
topic_prefx: a.
kafka: {group.id: mine, bootstrap.servers: "b:1"}
http: {port: 99999}
stream_defaults:
  sample: 2
  signals: {error: [adwn]}
  retrain: {cooldwon: 6h, mode: of, when: ["f2 < 0.7 over 1000"]}
streams: {a: {join: {horizn: 1d}}, b: {join: {horizon: soon}}}
"""
NAMED = [
    "rabbit", "topic_prefx", "topic_prefix", "group.id", "99999", "sample", "adwn", "adwin", "cooldwon", "cooldown",
    "propose", "f2", "horizn", "horizon", "soon",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WRONG, NAMED),
        ("a: [\n", ["c.yaml"]),
        ("- 1\n", ["c.yaml"]),
        ("bus: embedded\nbus: kafka\n", ["bus"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: list[str]) -> None:
    done = tried(tmp_path, text)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for word in said:
        assert word in done.stderr, done.stderr


def test_the_environment(tmp_path: Path) -> None:
    good = tried(
        tmp_path, "", {"DRIFTBUS_STREAM_DEFAULTS__RETRAIN__MIN_ROWS": "10", "DRIFTBUS_HTTP__PORT": "1234"}
    )
    assert good.returncode == 0, good.stderr
    bad = tried(tmp_path, "", {"DRIFTBUS_HTTP__PORT": "many"})
    assert bad.returncode == 2
    assert "many" in bad.stderr
    unknown = tried(tmp_path, "", {"DRIFTBUS_HTTP__PROT": "1"})
    assert unknown.returncode == 2
    assert "port" in unknown.stderr.lower()
    (tmp_path / "e.yaml").write_text("nonsense: 1\n")
    empty = write_lines(tmp_path / "e.jsonl", [])
    assert run_cli("replay", str(empty), env={"DRIFTBUS_CONFIG": str(tmp_path / "e.yaml")}).returncode == 2
    assert run_cli("replay", str(empty), "--config", str(tmp_path / "absent.yaml")).returncode == 2


def test_help_names_every_command() -> None:
    said = run_cli("--help").stdout
    for name in ("demo", "worker", "replay", "check", "topics", "retrain", "schemas"):
        assert name in said
    assert run_cli("wroker").returncode == 2
    assert run_cli("worker", "--nonsense").returncode == 2


def test_schemas(tmp_path: Path) -> None:
    assert run_cli("schemas", "--out", str(tmp_path / "s")).returncode == 0
    files = {path.name for path in (tmp_path / "s").iterdir()}
    assert any("asyncapi" in name for name in files)
    for path in (tmp_path / "s").glob("*.json"):
        json.loads(path.read_text())


def test_check_and_topics_on_the_embedded_bus(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump(
            {
                "bus": "embedded",
                "embedded": {"path": str(tmp_path / "bus")},
                "topic_prefix": "",
                "topics": {"drift_events": "risk.drift"},
            }
        )
    )
    config = ("--config", str(tmp_path / "c.yaml"))
    missing = run_cli("check", *config)
    assert missing.returncode == 1
    assert "topics create" in missing.stdout + missing.stderr
    made = run_cli("topics", "create", "--partitions", "3", *config)
    assert made.returncode == 0, made.stderr
    from driftbus.adapters.embedded import EmbeddedBus

    bus = EmbeddedBus(tmp_path / "bus")
    for name in TOPICS:
        assert bus.partitions("risk.drift" if name == "drift-events" else name) == 3
    bus.close()
    good = run_cli("check", *config)
    assert good.returncode == 0, good.stdout
    again = run_cli("topics", "create", *config)
    assert again.returncode == 0


def test_check_says_differing_partition_counts(tmp_path: Path) -> None:
    from driftbus.adapters.embedded import EmbeddedBus

    bus = EmbeddedBus(tmp_path / "bus")
    bus.create_topics([TopicSpec(f"driftbus.{name}", 2 if name == "labels" else 1) for name in TOPICS])
    bus.close()
    env = {"DRIFTBUS_BUS": "embedded", "DRIFTBUS_EMBEDDED__PATH": str(tmp_path / "bus")}
    done = run_cli("check", env=env)
    assert done.returncode == 1
    assert "driftbus.labels" in done.stdout
    worker = run_cli("worker", env={**env, "DRIFTBUS_HTTP__PORT": str(free_port())})
    assert worker.returncode == 1
    assert "driftbus.labels" in worker.stderr + worker.stdout


def test_an_unreachable_broker(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "c.yaml").write_text(
        yaml.safe_dump(
            {
                "bus": "kafka",
                "kafka": {"bootstrap.servers": f"127.0.0.1:{free_port()}"},
                "http": {"port": port},
            }
        )
    )
    worker = Process(tmp_path / "c.yaml", "away").start()
    # At the same time: each waits for its own time to be over.
    check = subprocess.Popen(
        [sys.executable, "-m", "driftbus", "check", "--config", str(tmp_path / "c.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: http(f"http://127.0.0.1:{port}/livez")[0] == 200, "the port is open")
        wait_for(lambda: "trying again" in worker.log.read_text(), "it says so")
        status, _, body = http(f"http://127.0.0.1:{port}/readyz")
        assert status == 503
        assert body
        assert http(f"http://127.0.0.1:{port}/livez")[0] == 200
        assert http(f"http://127.0.0.1:{port}/metrics")[0] == 200
        assert worker.running
        said, _ = check.communicate(timeout=60)
        assert check.returncode == 1
        assert "Traceback" not in said
        assert "127.0.0.1" in said
    finally:
        check.kill()
        assert worker.stop() == 0, worker.tail()


def test_a_taken_port(tmp_path: Path) -> None:
    house = House(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", house.port))
        taken.listen()
        done = house.cli("worker")
    assert done.returncode in (1, 2)
    assert str(house.port) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    house.close()


def fold_one(house: House, pid: str, stream: str = "s", label: int = 1) -> None:
    house.feed(
        [
            ("predictions", stream, prediction(pid, T0), T0),
            ("labels", stream, {"prediction_id": pid, "ts": T0, "label": label}, T0),
        ]
    )


def test_a_new_configuration_is_validated_and_taken_over(tmp_path: Path) -> None:
    house = House(tmp_path, {"streams": {"s": {"labels": {"team": "old"}}}})
    fold_one(house, "a")
    worker = house.start()
    house.settle()
    assert value(house.metrics(), "stream_info", stream="s", team="old") == 1
    good = house.config
    house.config = {**good, "streams": {"s": {"labls": {}}}}
    house.write_config()
    worker.send(signal.SIGHUP)
    wait_for(lambda: "labls" in worker.log.read_text(), "the bad one is refused")
    assert worker.running
    assert value(house.metrics(), "stream_info", stream="s", team="old") == 1
    house.config = {**good, "streams": {"s": {"labels": {"team": "new"}}}}
    house.write_config()
    worker.send(signal.SIGHUP)

    def renamed() -> bool:
        status, _, body = house.get("/metrics")
        return status == 200 and value(samples(body), "stream_info", stream="s", team="new") == 1

    wait_for(renamed, "the new configuration is taken over")
    fold_one(house, "b")
    house.settle()
    assert value(house.metrics(), "outcomes_total", stream="s") == 2
    assert worker.stop() == 0
    house.close()


def test_workers_that_differ_in_their_port_share_the_work(tmp_path: Path) -> None:
    house = House(tmp_path, partitions=4)
    other = free_port()
    second_file = tmp_path / "second.yaml"
    second_file.write_text(yaml.safe_dump({**house.config, "http": {"port": other}}))
    streams = [f"s{i}" for i in range(12)]
    for stream in streams:
        fold_one(house, f"{stream}-1", stream)
    first = house.start("first")
    house.settle()
    assert value(house.metrics(), "outcomes_total") == 12
    second = Process(second_file, "second").start()

    def shown(port: int) -> set[str]:
        status, _, body = http(f"http://127.0.0.1:{port}/metrics")
        if status != 200:
            return set()
        return {dict(labels)["stream"] for name, labels in samples(body) if name == "driftbus_outcomes_total"}

    try:
        wait_for(
            lambda: shown(other) and http(f"http://127.0.0.1:{other}/readyz")[0] == 200,
            "the second has its share",
        )
        wait_for(lambda: shown(house.port) | shown(other) == set(streams), "all are shown")
        assert not shown(house.port) & shown(other)
        assert first.running
        assert second.running
        for stream in streams:
            fold_one(house, f"{stream}-2", stream)
        house.settle()
        assert second.stop() == 0
        wait_for(lambda: shown(house.port) == set(streams), "all are back")
        assert value(house.metrics(), "outcomes_total") == 24
        assert len(house.values("outcomes")) == 24
    finally:
        if second.running:
            second.stop(signal.SIGKILL)
        house.close()


def test_a_killed_worker_leaves_nothing_twice(tmp_path: Path) -> None:
    house = House(tmp_path, {"http": {"port": free_port()}})
    fold_one(house, "a")
    worker = house.start()
    house.settle()
    worker.stop(signal.SIGKILL)
    fold_one(house, "a")
    fold_one(house, "b")
    house.work()
    assert [row["prediction_id"] for row in house.values("outcomes")] == ["a", "b"]
    house.close()


def test_librdkafka_s_own_partitioner(tmp_path: Path) -> None:
    house = House(tmp_path, {"partitioner": "consistent_random"}, partitions=3)
    house.bus.close()
    from driftbus.adapters.embedded import EmbeddedBus

    house.bus = EmbeddedBus(house.bus_folder, partitioner="consistent_random")
    for i in range(6):
        fold_one(house, f"p-{i}", f"s{i}")
    worker = house.start()
    house.settle()
    assert not value(house.metrics(), "misrouted_records_total")
    checked = house.cli("check")
    assert checked.returncode == 0, checked.stdout
    house.config["partitioner"] = "murmur2_random"
    house.write_config()
    checked = house.cli("check")
    assert checked.returncode == 1
    assert "partitioner" in checked.stdout
    assert worker.stop() == 0
    house.close()


def test_fates_of_labels(tmp_path: Path) -> None:
    """Label first, duplicates, corrections, late and orphan labels, expired ones."""
    day = 1440 * MINUTE
    house = House(
        tmp_path,
        {
            "stream_defaults": {"join": {"horizon": "1d", "grace": "1d"}},
            "streams": {
                "expires": {"join": {"horizon": "1d", "grace": "2d", "expired_label": 0}},
                "letters": {"join": {"horizon": "1d", "grace": "1d", "dead_letter_unmatched": True}},
                "sampled": {"sample": 0.5},
            },
        },
    )
    worker = house.start()

    def p(stream: str, pid: str, at: int, **more: Any) -> Any:
        return ("predictions", stream, prediction(pid, T0 + at, **more), T0 + at)

    def la(stream: str, pid: str, at: int, label: Any = 1) -> Any:
        return ("labels", stream, {"prediction_id": pid, "ts": T0 + at, "label": label}, T0 + at)

    def step(*records: Any) -> None:
        house.feed(records)
        house.settle()

    step(la("s", "first", 0), la("s", "orphan", 0))
    step(
        p("s", "first", 0),
        p("s", "first", 0, score=0.1),
        p("s", "late", 0),
        p("expires", "e", 0),
        p("expires", "f", 0),
    )
    step(la("s", "first", 1), la("s", "first", 2, 1.0), la("s", "first", 3, True), la("s", "first", 4, 0))
    step(la("s", "first", 5, 0), la("s", "first", 6, "0"))
    step(*(p("sampled", f"k-{i}", 0) for i in range(400)))
    step(*(la("sampled", f"k-{i}", 0) for i in range(400)))
    # Two days pass on both topics.
    step(p("s", "now", day + 2 * MINUTE), la("s", "now", day + 2 * MINUTE))
    step(
        la("s", "late", day + 3 * MINUTE),
        la("expires", "e", day + 3 * MINUTE, 1),
        la("letters", "nobody", day + 4 * MINUTE),
    )
    step(p("s", "later", 3 * day), la("s", "later", 3 * day))
    found = house.metrics()
    assert worker.stop() == 0
    rows = {row["prediction_id"]: row for row in house.values("outcomes")}
    assert len(rows) == len(house.values("outcomes"))
    assert (rows["first"]["label"], rows["first"]["score"], rows["first"]["label_source"]) == (
        1,
        None,
        "event",
    )
    corrections = [
        (c["prediction_id"], c["previous_label"], c["label"]) for c in house.values("label-corrections")
    ]
    assert corrections == [("first", 1, 0), ("first", 0, "0"), ("e", 0, 1)]
    assert (rows["e"]["label"], rows["e"]["label_source"], rows["e"]["error"]) == (0, "expired", 1)
    assert rows["f"]["label_source"] == "expired"
    assert "late" not in rows
    for reason in ("late", "orphan", "duplicate"):
        assert value(found, "labels_unmatched_total", stream="s", reason=reason), reason
    sampled = [pid for pid in rows if pid.startswith("k-")]
    assert 150 < len(sampled) < 250
    assert value(found, "outcomes_total", stream="sampled") == len(sampled)
    (letter,) = house.records("dead-letters")
    assert (letter.key, json.loads(letter.value or b"")["prediction_id"]) == (b"letters", "nobody")
    house.close()

"""`driftbus dead-letters`, with letters that a worker wrote, on both buses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from driftbus.config import load
from driftbus.intake import INPUTS
from driftbus.letters import RESUBMITTED, read_letter
from driftbus.ports import Bus, Record, TopicPartition
from driftbus.topics import topic_specs
from driftbus.wiring import open_bus
from tests.cli.commands import in_process
from tests.test_worker import running

OWN = (("trace", b"\xff1"), ("trace", b"2"), ("__connect.errors.topic", b"of an upstream"), ("empty", None))
HOSTILE = 'a\nb\x1b[31m\u202e"<script>'
GOOD = {"prediction_id": "p", "stream": "fraud", "prediction": 1}


class House:
    """A bus with topics under names of their own, and a worker that runs when it is asked to."""

    def __init__(self, folder: Path, bus: dict[str, Any]) -> None:
        self.config = folder / "driftbus.yaml"
        document = {**bus, "group": folder.name, "topics": {"labels": f"{folder.name}-truth"}}
        self.config.write_text(yaml.safe_dump({**document, "topic_prefix": f"{folder.name}."}))
        self.settings = load(self.config, {})
        self.bus: Bus = open_bus(self.settings)
        self.bus.create_topics(topic_specs(self.settings, 1))

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        producer = self.bus.producer()
        assert producer.produce(self.settings.topics[topic], key=key, value=value, headers=headers)
        assert producer.flush(30.0) == 0
        producer.close(5.0)

    def work(self) -> None:
        """Fold all there is."""
        with running(self.bus, self.settings) as one:
            one.until(self.is_read)

    def is_read(self) -> bool:
        """Whether the last record of each input is committed; a transaction's marker may stand after it."""
        ends = {
            TopicPartition(self.settings.topics[name], 0): records[-1].offset + 1
            for name in INPUTS
            if (records := self.records(name))
        }
        return self.bus.committed(self.settings.group, list(ends)) == ends

    def records(self, topic: str) -> list[Record]:
        full = self.settings.topics[topic]
        return list(self.bus.read_from(full, 0, self.bus.begin_offset(full, 0)))

    def next(self, topic: str, known: int) -> Record:
        """The newest record of a topic that held `known`: a commit is seen a moment after it was answered."""
        deadline = time.monotonic() + 30.0
        while len(records := self.records(topic)) <= known:
            assert time.monotonic() < deadline, f"nothing new in {topic}"
            time.sleep(0.02)
        return records[-1]

    def run(self, *args: str) -> Any:
        done = in_process("dead-letters", *args, "--config", self.config)
        assert "Traceback" not in done.stderr
        return done

    def listed(self, *args: str) -> list[dict[str, Any]]:
        done = self.run("list", "--json", *args)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, {"bus": "embedded", "embedded": {"path": str(tmp_path / "data")}})
    yield made
    made.bus.close()


def filled(house: House) -> None:
    house.send("predictions", b"fraud", b"{not json", OWN)
    house.send("predictions", HOSTILE.encode(), b"\xff\xfe")
    house.send("predictions", None, None)
    house.send("predictions", b"big", b'{"x": "' + b"y" * 1_100_000)
    house.send("labels", b"k", orjson.dumps({"stream": "churn", "prediction_id": "x", "label": None}))
    house.work()


def story(house: House) -> None:
    """From the first letter to a record that is poison a second time."""
    filled(house)
    rows = house.listed()
    assert [row["reason"] for row in rows] == ["not_json", "not_json", "tombstone", "too_large", "null_label"]
    assert [row["topic"] for row in rows] == [*["predictions"] * 4, "labels"]
    assert [row["stream"] for row in rows] == ["fraud", HOSTILE, None, "big", "churn"]
    first = rows[0]
    assert (
        first["id"] == f"{house.settings.topics['dead-letters']}-0-{house.records('dead-letters')[0].offset}"
    )
    assert (first["key"], first["value"], first["offset"]) == ("fraud", "{not json", 0)
    assert first["headers"][0] == {"name": "trace", "value_hex": "ff31"}
    assert rows[1]["value_hex"] == "fffe"
    assert rows[3]["cut"] == ["value"]
    before = len(house.records("predictions"))

    tried = house.run("resubmit", "--dry-run")
    assert (tried.returncode, tried.stdout.count("\n")) == (1, 4)
    assert "4 would be sent again, 1 cannot be" in tried.stderr
    assert "only a part of its value is here" in tried.stderr
    assert len(house.records("predictions")) == before

    done = house.run("resubmit", "--reason", "not_json", "--topic", "predictions", "--stream", "fraud")
    assert done.returncode == 0, done.stderr
    assert "1 sent again, 0 cannot be" in done.stderr
    sent = house.next("predictions", before)
    assert (sent.key, sent.value) == (b"fraud", b"{not json")
    assert sent.headers == (*OWN, (RESUBMITTED, b"1"))

    house.work()  # it is poison still
    again = house.listed()[-1]
    assert (again["reason"], again["resubmitted"]) == ("not_json", 1)
    assert "(sent again 1×)" in house.run("list").stdout.splitlines()[-1]
    assert house.run("resubmit", again["id"]).returncode == 0
    assert house.next("predictions", before + 1).headers == (*OWN, (RESUBMITTED, b"2"))

    # Back under the name that the configuration gives its topic.
    assert house.run("resubmit", "--topic", "labels").returncode == 0
    assert house.next("labels", 1).key == b"k"


def test_from_letter_to_record_and_back(house: House) -> None:
    story(house)


@pytest.mark.kafka
def test_on_kafka_too(tmp_path: Path, kafka_bootstrap: str) -> None:
    made = House(tmp_path, {"kafka": {"bootstrap.servers": kafka_bootstrap}})
    try:
        story(made)
    finally:
        made.bus.close()


def test_what_can_be_used_by_now_counts_once(house: House) -> None:
    """A bound that was too low is raised, and the record sent again: an outcome, though it is sent twice."""
    house.config.write_text(house.config.read_text() + "limits: {max_record_bytes: 60}\n")
    house.settings = load(house.config, {})
    house.send("predictions", b"fraud", orjson.dumps({**GOOD, "model_version": "v" * 30}))
    house.send("labels", b"fraud", orjson.dumps({"prediction_id": "p", "label": 1}))
    house.work()
    assert [row["reason"] for row in house.listed()] == ["too_large"]
    house.config.write_text(house.config.read_text().replace("max_record_bytes: 60", "max_record_bytes: 999"))
    house.settings = load(house.config, {})
    for _ in range(2):
        assert house.run("resubmit", "--reason", "too_large", "--since", "1h").returncode == 0
    house.work()
    assert len(house.records("outcomes")) == 1


def test_filters_and_limits(house: House) -> None:
    filled(house)
    assert len(house.listed("--since", "2h")) == 5
    assert house.listed("--since", "2099-01-01") == []
    assert [row["reason"] for row in house.listed("--limit", "2")] == ["too_large", "null_label"]
    assert len(house.listed("--topic", "labels")) == 1
    assert len(house.listed("--stream", "k")) == 1  # by its key, too
    assert house.listed("--reason", "nothing") == []
    assert house.run("resubmit", "--reason", "nothing").stderr == "0 sent again, 0 cannot be\n"
    for wrong in (["--topic", "outcomes"], ["--since", "yesterday"]):
        assert house.run("list", *wrong).returncode == 2


def test_one_in_full(house: House) -> None:
    filled(house)
    first = house.listed()[0]
    shown = house.run("show", first["id"])
    assert shown.returncode == 0, shown.stderr
    for part in ("predictions", "not_json", "{not json", "trace: ff31", "fraud"):
        assert part in shown.stdout
    short = first["id"].removeprefix(house.settings.topics["dead-letters"] + "-")
    assert json.loads(house.run("show", short, "--json").stdout) == first
    for wrong in ("0-999999", "9-0", "nothing", "other-0-1"):
        done = house.run("show", wrong)
        assert (done.returncode, done.stdout) == (1, "")
        assert wrong in done.stderr


def test_what_stands_in_a_record_cannot_reach_the_terminal(house: House) -> None:
    filled(house)
    hostile = house.listed()[1]
    for done in (house.run("list"), house.run("show", hostile["id"])):
        assert not set("\x1b\u202e") & set(done.stdout)
        assert r"a\nb\x1b[31m\u202e" in done.stdout


def test_a_key_as_long_as_a_record_does_not_flood_the_list(house: House) -> None:
    house.send("predictions", b"k" * 5_000, b"{")
    house.work()
    (line,) = house.run("list").stdout.splitlines()
    assert "k" * 59 + "…" in line
    assert len(line) < 300


def test_letters_that_others_wrote_are_left_where_they_are(house: House) -> None:
    house.send("dead-letters", b"k", b"v")
    house.send("dead-letters", b"k", b"v", (("__connect.errors.topic", b"elsewhere"),))
    done = house.run("resubmit")
    assert done.returncode == 1
    assert "no header says which topic it came from" in done.stderr
    assert "elsewhere, which is no input" in done.stderr


def test_headers_of_anybody_are_read() -> None:
    headers = ((RESUBMITTED, b"x"), ("__connect.errors.topic", None), ("__connect.errors.offset", b"-1"))
    letter = read_letter(Record("d", 0, 7, None, b"\xff", headers, 0))
    assert (letter.topic, letter.offset, letter.resubmitted, letter.stream) == (None, None, 0, None)

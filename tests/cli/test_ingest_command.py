"""`driftbus ingest` and what other commands know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from driftbus.adapters.embedded.bus import EmbeddedBus
from tests.cli.commands import driftbus, in_process
from tests.test_ingest import SOURCES, bus, request, response, settings, truth

__all__ = ["bus"]  # the fixture


def test_the_command_without_sources_exits_2(tmp_path: Path) -> None:
    done = driftbus("ingest", environ={"DRIFTBUS_BUS": "embedded"}, cwd=tmp_path)
    assert done.returncode == 2
    assert "ingest.sources" in done.stderr


def test_topics_create_makes_the_halves_topic_where_something_is_joined(tmp_path: Path) -> None:
    settings(tmp_path)
    done = in_process("topics", "create", "--config", str(tmp_path / "driftbus.yaml"))
    assert "driftbus.ingest-halves: created" in done.stdout
    settings(tmp_path, sources={"truths": SOURCES["truths"]})
    done = in_process("topics", "create", "--config", str(tmp_path / "driftbus.yaml"))
    assert "ingest-halves" not in done.stdout


def test_a_mapping_is_tried_on_what_kcat_prints(tmp_path: Path) -> None:
    settings(tmp_path)
    kcat = {
        "topic": "ask", "partition": 0, "offset": 7, "tstype": "create", "ts": 1767225600000, "broker": 1,
        "headers": ["mlserver-model", "m", "Ce-Id", "a"], "key": "a",
        "payload": orjson.dumps(request("x")).decode(),
    }  # fmt: skip
    lines: list[Any] = [
        {"topic": "truth", "key": None, "value": truth("a"), "headers": {"h": "1"}},
        kcat,
        {"topic": "answer", "key": "a", "value": response("x")},
        {"topic": "ask", "value": request("b")},
        {"topic": "truth", "value": {"type": "other"}},
        {"topic": "elsewhere", "value": {}},
        {"topic": "truth", "value": {"type": "truth", "id": "c"}},
    ]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n\n")
    config = str(tmp_path / "driftbus.yaml")
    done = in_process("ingest", "--config", config, "--try", str(tmp_path / "events.jsonl"))
    assert done.returncode == 1
    said = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [(line["topic"], line.get("key")) for line in said] == [
        ("labels", "m"), ("predictions", "m"), ("dead-letters", None),
    ]  # fmt: skip
    assert said[1]["value"]["prediction_id"] == "a"
    assert said[1]["ts"] == 1767225600000
    assert (said[2]["reason"], said[2]["from"]) == ("missing_field", {"topic": "truth", "line": 7})
    assert done.stderr.strip() == (
        "labels: 1, predictions: 1, of no source's topic: 1, dead letters: 1, left out: 1, "
        "waiting for their other half: 1"
    )
    (tmp_path / "wrong.jsonl").write_text("{}\n")
    done = in_process("ingest", "--config", config, "--try", str(tmp_path / "wrong.jsonl"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 1 is no record" in done.stderr
    done = in_process("ingest", "--config", config, "--try", str(tmp_path / "absent.jsonl"))
    assert done.returncode == 2


def test_check_looks_at_the_topics_of_sources(bus: EmbeddedBus, tmp_path: Path) -> None:
    def found() -> dict[str, Any]:
        done = in_process("check", "--json", "--config", str(tmp_path / "driftbus.yaml"))
        said: dict[str, Any] = orjson.loads(done.stdout)
        (sources,) = [each for each in said["checks"] if each["name"] == "sources"]
        return sources

    settings(tmp_path)
    assert found()["ok"] is True
    settings(tmp_path, sources={"truths": {**SOURCES["truths"], "topics": ["truht"]}})
    assert (found()["ok"], found()["text"]) == (False, "missing: truht")
    settings(tmp_path, halves_topic="other")
    assert (found()["ok"], found()["mend"]) == (False, "driftbus topics create")

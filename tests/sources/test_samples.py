"""Recorded events of every format, by hand from its specification, and the events that they become.

Each file of `samples/` says where its records come from, how the source is configured, and what is expected:
`predictions` and `labels` as written, `letters` by reason, how many are `ignored` or go on `waiting`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from driftbus.config import load
from driftbus.joining import Joining, Step
from driftbus.ports import Record
from driftbus.sources.registry import FORMS

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.yaml"))


def sample(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def record(number: int, topic: str, given: dict[str, Any]) -> Record:
    value = given["value"].encode()
    return Record(
        given.get("topic", topic),
        0,
        number,
        given["key"].encode() if "key" in given else None,
        b"\0\0\0\0\x07" + value if given.get("framed") else value,
        tuple((name, text.encode()) for name, text in given.get("headers", {}).items()),
        1767225600000 + number,
    )


def taken(source: dict[str, Any], records: list[dict[str, Any]], folder: Path) -> Step:
    """One step over all records of a sample, by a source as a configuration file has it."""
    path = folder / "driftbus.yaml"
    path.write_text(yaml.safe_dump({"ingest": {"sources": {"sample": source}}}))
    joining = Joining(load(path, {}).ingest, 1_000_000)
    step = Step()
    for number, given in enumerate(records):
        joining.map(record(number, source["topics"][0], given), step)
    joining.settle(step)
    return step


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_becomes_what_it_says(path: Path, tmp_path: Path) -> None:
    expected = sample(path)
    step = taken(expected["source"], expected["records"], tmp_path)
    for topic in ("predictions", "labels"):
        found = [orjson.loads(event.value) for event in step.events if event.topic == topic]
        assert found == expected.get(topic, [])
    for event in step.events:
        assert orjson.loads(event.value)["stream"] == event.stream
    assert [letter.reason for letter in step.letters] == expected.get("letters", [])
    assert step.ignored.total() == expected.get("ignored", 0)
    assert len(step.fresh) == expected.get("waiting", 0)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_order_of_records_changes_no_event(path: Path, tmp_path: Path) -> None:
    expected = sample(path)
    there = taken(expected["source"], expected["records"], tmp_path)
    back = taken(expected["source"], expected["records"][::-1], tmp_path)

    def said(step: Step) -> list[tuple[str, Any]]:
        events = [(event.topic, orjson.loads(event.value) | {"ts": 0}) for event in step.events]
        return sorted(events, key=repr)

    assert said(there) == said(back)


def test_every_format_has_a_sample_that_says_where_it_comes_from() -> None:
    assert {sample(path)["source"]["format"] for path in SAMPLES} == FORMS.keys()
    for path in SAMPLES:
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert "http" in " ".join(header) or "seldon.yaml" in " ".join(header), path

"""Foreign events, bent: whatever comes of them is an event that driftbus takes, or a dead letter."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml

from driftbus.config import load
from driftbus.core.codec import decode
from driftbus.joining import Joining, Step
from driftbus.ports import Record
from driftbus.sources import IngestSettings
from driftbus.sources.pairing import to_half
from tests.fuzz.choices import Choices

SAMPLES = Path(__file__).parents[1] / "sources" / "samples"


@cache
def samples() -> list[tuple[IngestSettings, list[tuple[str, dict[str, Any]]]]]:
    """Each sample's source, and its records with their topics."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(SAMPLES.glob("*.yaml")):
            sample = yaml.safe_load(path.read_text())
            config = Path(folder) / path.name
            config.write_text(yaml.safe_dump({"ingest": {"sources": {"s": sample["source"]}}}))
            topic = sample["source"]["topics"][0]
            records = [(each.get("topic", topic), each) for each in sample["records"]]
            found.append((load(config, {}).ingest, records))
    return found


def foreign(data: bytes) -> None:
    """Records of one source, some bent, mapped and joined, by way of the halves topic too."""
    choices = Choices(data)
    settings, given = choices.of(samples())
    joining, step = Joining(settings, 1_000_000), Step()
    for number in range(1 + choices.below(4)):
        topic, seed = choices.of(given)
        value = seed["value"].encode()
        how = choices.below(3)
        if how == 1:
            value = choices.bent_json(orjson.loads(value))
        elif how == 2:
            value = choices.bent_bytes(value)
        headers = tuple((name, text.encode()) for name, text in seed.get("headers", {}).items())
        key = choices.of([None, b"", b"a", b"\xff", str(seed.get("key", "")).encode()])
        joining.map(Record(topic, 0, number, key, value, headers, 1_767_225_600_000), step)
        if choices.below(4) == 0:
            joining.settle(step)
            for place, record in step.fresh.values():
                half = Record("halves", 0, number, place.key, record.value, to_half(record), 0)
                joining.arrived(half, step, 0.0)
            step.fresh.clear()
    joining.settle(step)
    joining.give_up(step, 10.0**9)
    for event in step.events:
        decode(event.topic, event.stream.encode(), event.value, (), 0)
    for letter in step.letters:
        letter.headers()

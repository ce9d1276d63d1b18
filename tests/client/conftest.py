"""A real embedded bus with the contract's topics, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.ports import TopicSpec

TOPICS = ("predictions", "labels", "model-events", "outcomes", "label-corrections", "retrain-requests")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bus"


@pytest.fixture
def bus(folder: Path) -> Iterator[EmbeddedBus]:
    bus = EmbeddedBus(folder)
    bus.create_topics([TopicSpec(f"driftbus.{name}", 1) for name in TOPICS])
    yield bus
    bus.close()

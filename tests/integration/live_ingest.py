"""A running `driftbus ingest` beside a live worker, on the same embedded bus; a request waits in it for its
response."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import yaml

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import load
from driftbus.ports import TopicSpec
from driftbus.topics import halves_specs, topic_specs
from tests.integration.live_worker import LiveWorker
from tests.integration.workers import WorkerProcess, wait_until
from tests.ports import free_port

ASKED = {"id": "p-1", "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [0.5]}]}


class _Ingest(WorkerProcess):
    command = "ingest"


@contextmanager
def live_ingest(folder: Path, worker: LiveWorker) -> Iterator[int]:
    """Its port, once it is ready and a half waits."""
    config = folder / "ingest.yaml"
    document = {
        "bus": "embedded",
        "embedded": {"path": str(worker.data)},
        "ingest": {"sources": {"models": {"format": "seldon", "topics": ["shop.ask", "shop.answer"]}}},
    }
    config.write_text(yaml.safe_dump(document))
    settings = load(config, {})
    with closing(EmbeddedBus(worker.data)) as bus:
        partitions = bus.partitions(settings.topics["predictions"])
        bus.create_topics(
            [
                *topic_specs(settings, partitions),
                *halves_specs(settings, partitions),
                *(TopicSpec(topic, 1) for topic in ("shop.ask", "shop.answer")),
            ]
        )
        producer = bus.producer()
        producer.produce("shop.ask", key=None, value=orjson.dumps(ASKED))
        producer.close(10)
    port = free_port()
    process = _Ingest(config, "ingest", port)
    process.start()

    def waits() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return "driftbus_ingest_waiting_halves 1" in answer.read().decode()
        except (URLError, OSError):
            return False

    try:
        wait_until(waits, 180, "a half that waits", [process])
        yield port
    finally:
        process.stop()

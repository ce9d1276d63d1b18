"""A custom metric that never returns is switched off, in a worker of its own; nobody else is harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.config import load
from driftbus.wiring import open_bus
from tests.core.streams import Shape, events
from tests.integration.exactness import check
from tests.integration.workers import create_topics, remaining

METRICS = '''
import os, threading

HANGS = "HANGS" in os.environ  # in the worker, not where its log is folded again for the check

class Spinning:
    """Never returns from its fifth row on, and keeps the interpreter busy."""
    rows = 0
    def update(self, y_true, y_pred):
        self.rows += 1
        while HANGS and self.rows >= 5:
            pass
    def get(self):
        return float(self.rows)

class Waiting(Spinning):
    """Never returns either, but waits."""
    def update(self, y_true, y_pred):
        self.rows += 1
        if HANGS and self.rows >= 5:
            threading.Event().wait()
'''
RUN = """
import sys
from pathlib import Path
from driftbus.cli.logs import LogFormat, LogLevel, configure
from driftbus import wiring
from driftbus.config import load

wiring.LIMIT_S = 0.3
configure(LogLevel.INFO, LogFormat.JSON)
sys.exit(wiring.run_worker(load(Path(sys.argv[1]), {}), None))
"""


def test_a_metric_that_never_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics_of_mine.py").write_text(METRICS)
    monkeypatch.syspath_prepend(tmp_path)
    config, log = tmp_path / "driftbus.yaml", tmp_path / "log"
    document = {
        "bus": "embedded",
        "embedded": {"path": str(tmp_path / "bus")},
        "http": {"enabled": False},
        "streams": {
            name: {"metrics": {"custom": [f"metrics_of_mine.{name.capitalize()}"]}}
            for name in ("spinning", "waiting")
        },
    }
    config.write_text(yaml.safe_dump(document))
    settings = load(config, {})
    bus = open_bus(settings)
    create_topics(bus, settings, 1)
    producer = bus.producer()
    shapes = [Shape(name, rows=200) for name in ("spinning", "waiting", "well")]
    for topic, value, _ in events(shapes, seed=4):
        assert producer.produce(
            settings.topics[topic], key=value["stream"].encode(), value=orjson.dumps(value)
        )
    assert producer.flush(30) == 0
    producer.close(5)
    try:
        for started in range(2):  # after a kill nothing is decided anew: it stays off
            with open(log, "ab") as out:
                child = subprocess.Popen(
                    [sys.executable, "-c", RUN, config],
                    stdout=out,
                    stderr=out,
                    cwd=tmp_path,
                    env={**os.environ, "HANGS": "1"},
                )
            try:
                deadline = time.monotonic() + 120
                while remaining(bus, settings, 1) or log.read_bytes().count(b"runs from step") <= started:
                    assert child.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            finally:
                child.kill()
                child.wait()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert check(bus, settings).outcomes > 500
    finally:
        bus.close()
    slow = [line["stack"] for line in lines if "does not return" in line["message"]]
    assert len(slow) == 4  # production's and the challenger's, of two streams; none again after the restart
    assert any("while HANGS" in stack for stack in slow)
    assert any("wait()" in stack for stack in slow)
    off = {line["message"] for line in lines if "is switched off" in line["message"]}
    assert off == {
        "stream 'spinning': the custom metric Spinning raised and is switched off",
        "stream 'waiting': the custom metric Waiting raised and is switched off",
    }

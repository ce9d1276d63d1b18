"""What the README shows, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.config import load
from driftbus.errors import MissingTopic
from tests.cli.commands import clean_environ, driftbus

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# Ends a test that hangs; nothing is decided by it.
LIMIT_S = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_an_emitter_and_a_trainer_as_shown_close_the_loop(tmp_path: Path) -> None:
    inference, trainer = blocks("python")
    (tmp_path / "inference.py").write_text(inference)
    (tmp_path / "trainer.py").write_text(trainer)
    environ = clean_environ() | {"DRIFTBUS_BUS": "embedded", "DRIFTBUS_HTTP__ENABLED": "false"}
    started = [
        subprocess.Popen([sys.executable, *command], cwd=tmp_path, env=environ)
        for command in (["-m", "driftbus", "worker"], ["trainer.py"])
    ]
    try:
        subprocess.run([sys.executable, "inference.py"], cwd=tmp_path, env=environ, check=True)
        wait_for_topics(tmp_path / "driftbus-data")
        # Another program may listen where the README's worker would.
        elsewhere = {"DRIFTBUS_BUS": "embedded", "DRIFTBUS_HTTP__ENABLED": "false"}
        asked = driftbus("retrain", "fraud", "--reason", "trying it", environ=elsewhere, cwd=tmp_path)
        assert asked.returncode == 0, asked.stderr
        bus = EmbeddedBus(tmp_path / "driftbus-data")
        until = time.monotonic() + LIMIT_S
        while not (said := answers(bus)):
            assert time.monotonic() < until, "no model was deployed"
            time.sleep(0.1)
        bus.close()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)
    assert said == ["v4"]


def wait_for_topics(data: Path) -> None:
    """The worker makes them when it has started."""
    bus = EmbeddedBus(data)
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            bus.partitions("driftbus.model-events")
            break
        except MissingTopic:
            assert time.monotonic() < until, "the worker made no topics"
            time.sleep(0.1)
    bus.close()


def answers(bus: EmbeddedBus) -> list[str]:
    """The versions that were deployed."""
    events = [
        orjson.loads(record.value or b"{}")
        for partition in range(bus.partitions("driftbus.model-events"))
        for record in bus.read_from("driftbus.model-events", partition, 0)
    ]
    return [event["model_version"] for event in events if event["type"] == "model-deployed"]


def test_the_configuration_shown_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"<<'YAML'\n(.*?)^YAML", README, re.MULTILINE | re.DOTALL)
    path = tmp_path / "driftbus.yaml"
    path.write_text(shown)
    settings = load(path, {})
    assert not settings.warnings
    assert settings.stream("fraud-eu").labels == {"team": "risk"}


@pytest.mark.parametrize(
    "page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "examples/README.md", *("docs/**/*.md",)]
)
def test_links_lead_somewhere(page: str) -> None:
    pages = sorted(ROOT.glob(page))
    assert pages
    for path in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert link.startswith("https://") or (path.parent / link).exists(), f"{path.name}: {link}"


def test_yaml_in_the_guides_is_a_configuration(tmp_path: Path) -> None:
    for path in [ROOT / "docs/configuration.md", *sorted(ROOT.glob("docs/guides/*.md"))]:
        for shown in re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
            config = tmp_path / "driftbus.yaml"
            config.write_text(yaml.safe_dump(yaml.safe_load(shown)))
            load(config, {})

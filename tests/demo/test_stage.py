"""Where the demo runs is written down for its processes, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import yaml

from driftbus.demo.run import Options, _stage
from driftbus.demo.stage import Stage


def test_a_kafka_is_reached_as_the_configuration_says_and_secrets_stay_private(tmp_path: Path) -> None:
    properties = {"bootstrap.servers": "elsewhere:1", "sasl.password": "secret"}
    stage = _stage(Options(1, kafka="here:2", properties=properties), tmp_path)
    stage.save(8711)
    expected = {"bootstrap.servers": "here:2", "sasl.password": "secret"}
    assert Stage.load(tmp_path).kafka == expected
    assert yaml.safe_load(stage.configuration.read_text())["kafka"] == expected
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and "secret" in path.read_text()]
    assert len(holding) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in holding)


def test_without_a_kafka_its_properties_are_left_alone(tmp_path: Path) -> None:
    assert _stage(Options(1, properties={"sasl.password": "secret"}), tmp_path).kafka is None

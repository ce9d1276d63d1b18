"""A password shows up in nothing that driftbus says, whichever way it came in."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest
import yaml

from driftbus.client import Emitter
from driftbus.config import load
from driftbus.errors import ConfigError, Unavailable
from driftbus.wiring import open_bus
from tests.cli.commands import driftbus
from tests.security.conftest import PASSWORD, World

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("security")]

# librdkafka in its most talkative mood about what secrets pass through: its own settings, SASL, TLS.
TALKATIVE = {"DRIFTBUS_KAFKA__DEBUG": "security,broker,conf"}


def test_of_a_password_from_the_environment_nothing_is_shown(world: World) -> None:
    bare = world.config("worker", included=False)
    assert PASSWORD not in bare.read_text()
    environ = {"DRIFTBUS_KAFKA__SASL_PASSWORD": PASSWORD, **TALKATIVE}
    for arguments in (["check"], ["check", "--json"]):
        done = driftbus(*arguments, "--config", bare, environ=environ)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "permissions" in said
        assert PASSWORD not in said
    settings = load(bare, environ)
    assert settings.kafka["sasl.password"] == PASSWORD
    for shown in (
        repr(settings),
        str(settings),
        str(settings.kafka),
        orjson.dumps(settings.shown()).decode(),
    ):
        assert PASSWORD not in shown


def test_a_worker_shows_nothing_of_one_from_a_file(world: World) -> None:
    """Neither its log, nor its page, metrics and API."""
    assert PASSWORD in world.secret.read_text()
    assert world.pages.keys() == {"/", "/metrics", "/api/streams", "/api/streams/fraud"}
    for path, page in world.pages.items():
        assert page, path
        assert PASSWORD not in page, path
    log = world.worker.log.read_text()
    assert "assigned partitions" in log
    assert PASSWORD not in log


def test_a_wrong_one_is_said_at_once_and_not_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = f"{PASSWORD}-but-wrong"
    environ = {"DRIFTBUS_KAFKA__SASL_PASSWORD": wrong}
    bare = world.config("worker", included=False)
    checked = driftbus("check", "--config", bare, environ=environ)
    assert checked.returncode == 1
    assert "turns this client away" in checked.stdout
    assert "invalid credentials" in checked.stdout
    with pytest.raises(Unavailable, match="invalid credentials") as refused:
        open_bus(load(bare, environ)).partitions("driftbus.state")
    emitter = Emitter(kafka={**world.client("emitter"), "sasl.password": wrong})
    emitter.prediction("fraud", "never", prediction=1)
    assert not emitter.flush(0.5)
    emitter.close(0.1)
    assert sum(emitter.lost.values()) == 1
    said = f"{emitter!r} {emitter.lost}"
    assert PASSWORD not in checked.stdout + checked.stderr + str(refused.value) + caplog.text + said


def test_who_does_not_trust_the_certificate_is_told(world: World, tmp_path: Path) -> None:
    """The broker's certificate is looked at: one signed by nobody we know ends the connection."""
    file = tmp_path / "driftbus.yaml"
    kafka = {k: v for k, v in world.client("worker").items() if k != "ssl.ca.location"}
    file.write_text(yaml.safe_dump({"kafka": kafka}))
    checked = driftbus("check", "--config", file)
    assert checked.returncode == 1
    assert "certificate verify failed" in checked.stdout
    assert PASSWORD not in checked.stdout + checked.stderr


def test_a_refused_property_is_named_without_its_value(world: World) -> None:
    settings = load(world.config("worker"), {"DRIFTBUS_KAFKA__SSL_KEY_PEM": f"{PASSWORD} is no key"})
    with pytest.raises(ConfigError) as refused:
        open_bus(settings)
    assert "ssl.key" in str(refused.value)
    assert PASSWORD not in str(refused.value)

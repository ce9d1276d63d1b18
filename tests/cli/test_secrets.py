"""No secret of the configuration is ever written: not by a log, a check, an error, at the chattiest level."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from driftbus.config import load
from driftbus.errors import ConfigError
from tests.cli.commands import clean_environ, driftbus

SECRETS = {
    "sasl.password": "pw-Geheim-1",
    "ssl.key.password": "pw-Geheim-2",
    "ssl.keystore.password": "pw-Geheim-3",
    "sasl.oauthbearer.client.secret": "pw-Geheim-4",
}
TOKEN = "token-Geheim-56789"  # noqa: S105 - not one of anybody
ALL = (*SECRETS.values(), TOKEN)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """SASL to a broker that is not there, a token from a file."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    document = {
        "kafka": {
            "bootstrap.servers": "127.0.0.1:9",
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "ana",
            "debug": "all",
            **SECRETS,
        },
        "http": {"port": 0, "token_file": str(tmp_path / "token")},
    }
    path = tmp_path / "driftbus.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def none_in(text: str) -> bool:
    return not any(secret in text for secret in ALL)


def test_a_worker_at_its_chattiest(config: Path) -> None:
    """With librdkafka's own debugging on top, until it has tried to reach the broker."""
    log = config.parent / "log"
    with open(log, "wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "driftbus", "worker", "--log-level", "debug", "--config", config],
            stdout=out, stderr=out, env=clean_environ(),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while b"trying again" not in log.read_bytes():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGTERM)
        code = child.wait(60)
    said = log.read_text()
    assert code == 0
    assert "CONNECT" in said  # librdkafka has said what it does
    assert none_in(said)


def test_check_says_what_it_read_and_no_secret(config: Path) -> None:
    commands = (["check"], ["check", "--json"], ["topics", "create"], ["dead-letters", "list"])
    with ThreadPoolExecutor() as pool:  # each waits ten seconds for the broker
        for done in pool.map(lambda command: driftbus(*command, "--config", config), commands):
            assert done.returncode == 1
            assert none_in(done.stdout + done.stderr)


def test_no_dump_shows_one(config: Path) -> None:
    settings = load(config, {})
    assert settings.http.token == TOKEN
    assert none_in(repr(settings) + str(settings.shown()))
    by_environment = load(None, {"DRIFTBUS_HTTP__TOKEN": TOKEN, "DRIFTBUS_KAFKA__SASL_PASSWORD": ALL[0]})
    assert by_environment.http.token == TOKEN
    assert none_in(repr(by_environment) + str(by_environment.shown()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"http": {"token": f"{TOKEN} with spaces"}},
        {"http": {"token": [TOKEN]}},
        {"http": {"token": TOKEN[:15]}},
        {"http": {"tokn": 1}, "kafka": SECRETS},
        {"kafka": {"sasl.password": [SECRETS["sasl.password"]]}},
        {"kafka": {**SECRETS, "sasl.nonsense": 1, "ssl.key.location": "/no/such"}},
    ],
    ids=["spaces", "list", "short", "misspelt", "kafka list", "kafka nonsense"],
)
def test_an_error_about_one_does_not_show_it(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(wrong))
    done = driftbus("check", "--config", path)
    assert done.returncode == 2, done.stdout
    text = done.stdout + done.stderr
    assert none_in(text)
    assert TOKEN[:15] not in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("", "16 to 1024"), ("short", "16 to 1024"), (f"{TOKEN}\n{TOKEN}", "16 to 1024"),
     ("schlüssel-der-lang-genug-ist", "not plain text")],
)  # fmt: skip
def test_a_token_file_that_cannot_be_used_is_said(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    (tmp_path / "c.yaml").write_text(f"http: {{token_file: {tmp_path / 'token'}}}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:1: http\.token_file") as found:
        load(tmp_path / "c.yaml", {})
    assert reason in str(found.value)
    assert none_in(str(found.value))


def test_only_one_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    environ = {"DRIFTBUS_HTTP__TOKEN": TOKEN, "DRIFTBUS_HTTP__TOKEN_FILE": str(tmp_path / "token")}
    with pytest.raises(ConfigError, match="one of token and token_file"):
        load(None, environ)


def test_an_open_door_is_warned_of() -> None:
    open_door = load(None, {"DRIFTBUS_HTTP__HOST": "0.0.0.0"})  # noqa: S104
    assert ["not loopback" in each for each in open_door.warnings] == [True]
    for environ in (
        {"DRIFTBUS_HTTP__HOST": "0.0.0.0", "DRIFTBUS_HTTP__TOKEN": TOKEN},  # noqa: S104
        {"DRIFTBUS_HTTP__HOST": "0.0.0.0", "DRIFTBUS_HTTP__ENABLED": "false"},  # noqa: S104
        {"DRIFTBUS_HTTP__HOST": "::1"},
        {"DRIFTBUS_HTTP__HOST": "localhost"},
        {},
    ):
        assert load(None, environ).warnings == ()


def test_a_loop_that_waits_for_the_broker_has_not_stalled() -> None:
    environ = {"DRIFTBUS_KAFKA__TRANSACTION_TIMEOUT_MS": "85000"}
    with pytest.raises(ConfigError, match=r"worker\.stall_timeout"):
        load(None, environ)
    assert load(None, {**environ, "DRIFTBUS_WORKER__STALL_TIMEOUT": "91s"}).worker.stall_timeout_ms == 91_000

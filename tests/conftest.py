"""What every test may ask for: one real Kafka for the whole run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.integration.broker import NEVER_RESTARTED, Broker

# Timing never decides a test: on a loaded machine any single example may take long.
settings.register_profile("driftbus", deadline=None)
settings.load_profile("driftbus")

SHARED_BROKER = pytest.StashKey[Broker]()


def pytest_configure(config: pytest.Config) -> None:
    """A run over several processes has one broker too: the process that starts the others owns it."""
    # A shell that starts something in the background has it ignore Ctrl-C, and so would all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_parallel = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    is_wanted = "not kafka" not in config.getoption("markexpr") and not config.getoption("collectonly")
    if is_parallel and is_wanted and not os.environ.get("KAFKA_BOOTSTRAP"):
        broker = config.stash[SHARED_BROKER] = Broker(overrides=NEVER_RESTARTED).start()
        os.environ["KAFKA_BOOTSTRAP"] = broker.bootstrap


def pytest_unconfigure(config: pytest.Config) -> None:
    broker = config.stash.get(SHARED_BROKER, None)
    if broker is not None:
        broker.stop(remove=True)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """`bootstrap.servers` of a real Kafka: the one of KAFKA_BOOTSTRAP, else a broker started for this run.

    A broker that cannot be installed or started is an error; `-m "not kafka"` leaves out who needs it.
    """
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with Broker(overrides=NEVER_RESTARTED) as broker:
        yield broker.bootstrap

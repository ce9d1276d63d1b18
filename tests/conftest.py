"""What every test may ask for: one real Kafka for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.integration.broker import Broker

# Timing never decides a test: on a loaded machine any single example may take long.
settings.register_profile("driftbus", deadline=None)
settings.load_profile("driftbus")


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """`bootstrap.servers` of a real Kafka: the one of KAFKA_BOOTSTRAP, else a broker started for this run.

    A broker that cannot be installed or started is an error; `-m "not kafka"` leaves out who needs it.
    """
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with Broker() as broker:
        yield broker.bootstrap

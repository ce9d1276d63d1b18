"""The grants of docs/guides/security.md on a real broker: they suffice, and none is too many."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from driftbus.cli.checks import Finding, bus_findings
from driftbus.client import Emitter, RetrainRequests
from driftbus.config import load
from driftbus.errors import BusError, Fenced, Unavailable
from driftbus.ingest import Ingest
from driftbus.ports import Bus, TopicSpec
from driftbus.wiring import open_bus
from driftbus.worker import Worker
from tests.cli.commands import driftbus
from tests.security.conftest import LIMIT_S, SOURCES, World, of, without
from tests.security.secured import Grant

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("security")]


def permissions(bus: Bus, world: World, user: str) -> Finding:
    found = {finding.name: finding for finding in bus_findings(bus, load(world.config(user), {}))}
    return found["permissions"]


def refused_within_limit(service: Worker | Ingest) -> None:
    impatience = threading.Timer(LIMIT_S, service.stop)
    impatience.start()
    try:
        with pytest.raises(BusError) as refused:
            service.run()
    finally:
        impatience.cancel()
    # Within a transaction librdkafka says the cause or, a moment later, only "erroneous state".
    assert isinstance(refused.value, Fenced) or "AUTHORIZATION_FAILED" in str(refused.value)


@pytest.mark.parametrize("grant", of("worker"), ids=str)
def test_a_worker_is_refused_without(grant: Grant, world: World) -> None:
    user = without(grant)
    settings = load(world.config(user), {})
    before = world.written("driftbus.outcomes")
    with closing(open_bus(settings)) as bus:
        finding = permissions(bus, world, user)
        assert finding.ok is False
        name = grant.name.removesuffix("*")
        assert finding.mend is not None
        assert f"{grant.operation}" in finding.mend
        assert name in finding.mend
        # Nothing else is asked for: what is granted is not named.
        others = {g.name.removesuffix("*") for g in of("worker")} - {name}
        assert not [other for other in others if f" {other}," in f"{finding.mend.replace(' and', ',')},"]
        refused_within_limit(Worker(bus, settings, "w"))
    assert world.written("driftbus.outcomes") == before


@pytest.mark.parametrize("grant", of("emitter"), ids=str)
def test_an_emitter_is_refused_without(grant: Grant, world: World) -> None:
    """It counts what it lost, and what is granted goes through."""
    with Emitter(kafka=world.client(without(grant))) as emitter:
        emitter.prediction("fraud", f"without-{grant.name}", prediction=1)
        emitter.label("fraud", f"without-{grant.name}", 1)
        assert emitter.flush(LIMIT_S)
        assert emitter.lost == {"delivery": 1}


@pytest.mark.parametrize("grant", of("trainer"), ids=str)
def test_a_trainer_is_refused_without(grant: Grant, world: World) -> None:
    kafka = world.client(without(grant))
    with RetrainRequests(kafka=kafka, timeout_s=LIMIT_S) as requests:
        if grant.name in ("driftbus.retrain-requests", "trainer"):
            with pytest.raises(BusError, match="AUTHORIZATION_FAILED"):
                next(requests)
            return
        request = next(requests)
        if grant.operation == "Read":
            with pytest.raises(BusError, match=grant.name):
                list(request.rows())
        else:
            assert len(list(request.rows())) == request.window.rows
            with pytest.raises(Unavailable):
                request.started()


WRITTEN_BY_INGEST = ("predictions", "labels", "dead-letters", "ingest-halves")


def by_ingest(world: World) -> dict[str, int]:
    return {name: world.written(f"driftbus.{name}") for name in WRITTEN_BY_INGEST}


@pytest.mark.parametrize("grant", of("ingest"), ids=str)
def test_ingest_is_refused_without(grant: Grant, world: World) -> None:
    """And has written nothing: what it may write goes with what it may not."""
    world.serve()
    settings = load(world.config(without(grant), ingest=SOURCES), {})
    before = by_ingest(world)
    with closing(open_bus(settings)) as bus:
        refused_within_limit(Ingest(bus, settings, "w"))
    assert by_ingest(world) == before


def test_ingest_works_with_just_these(world: World) -> None:
    world.serve()
    settings = load(world.config("ingest", ingest=SOURCES), {})
    before = by_ingest(world)
    with closing(open_bus(settings)) as bus:
        ingest = Ingest(bus, settings, "w")
        running = threading.Thread(target=ingest.run)
        running.start()
        until = time.monotonic() + LIMIT_S
        while any(by_ingest(world)[name] == before[name] for name in WRITTEN_BY_INGEST):
            assert running.is_alive()
            assert time.monotonic() < until
            time.sleep(0.1)
        ingest.stop()
        running.join(LIMIT_S)
        assert not running.is_alive()


@pytest.mark.parametrize("grant", of("operator"), ids=str)
def test_an_operator_is_refused_without(grant: Grant, world: World) -> None:
    topic = f"driftbus.new-{grant.operation}"
    with closing(world.bus(without(grant))) as bus, pytest.raises(BusError, match="AUTHORIZATION_FAILED"):
        bus.create_topics([TopicSpec(topic, 1)])


def test_everybody_works_with_just_these(world: World) -> None:
    """The worker goes on after its crash, the trainer trains, and the worker takes over what it deployed."""
    checked = driftbus("check", "--config", world.config("worker"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with RetrainRequests(kafka=world.client("trainer"), timeout_s=LIMIT_S) as requests:
        request = next(requests)
        assert request.stream == "fraud"
        assert len(list(request.rows())) == request.window.rows
        request.started()
        request.deployed(model_version="v2")
    settings = load(world.config("worker"), {})
    before = world.written("driftbus.outcomes")
    with closing(open_bus(settings)) as bus:
        worker = Worker(bus, settings, "w")
        running = threading.Thread(target=worker.run)
        running.start()
        while world.left() and running.is_alive():
            time.sleep(0.1)
        worker.stop()
        running.join(LIMIT_S)
        assert not running.is_alive()
    assert world.left() == 0
    assert world.written("driftbus.outcomes") > before

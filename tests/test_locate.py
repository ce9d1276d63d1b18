"""Outcomes are found by `seq`, also behind what another worker left open."""

from __future__ import annotations

import random

import orjson
import pytest

from driftbus import locate
from driftbus.core.encode import outcome_bytes
from driftbus.core.records import Outcome
from driftbus.errors import Fenced, StateError
from driftbus.locate import offset_of
from driftbus.ports import Bus, TopicSpec, Transaction
from tests.core.test_join import prediction
from tests.simulation.broker import Broker
from tests.simulation.bus import MemoryBus
from tests.simulation.nature import RealTime

TOPIC = "outcomes"


class PassingTime:
    """`time`, in which waiting lets something happen."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.happens: list[Transaction] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += 5.0
        if self.happens:
            self.happens.pop().abort()


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> PassingTime:
    time = PassingTime()
    monkeypatch.setattr(locate, "time", time)
    return time


@pytest.fixture
def bus() -> Bus:
    made = MemoryBus(Broker(lambda: 0), RealTime(1), "test")
    made.create_topics([TopicSpec(TOPIC, 1)])
    return made


def row(seq: int) -> bytes:
    value = outcome_bytes(Outcome(seq, prediction(f"p{seq}", 1000 + seq), 1, 2000 + seq, "event"), 0)
    assert orjson.loads(value)["seq"] == seq
    return value


def write(bus: Bus, name: str, *seqs: int) -> Transaction:
    transaction = bus.transaction(name)
    transaction.begin()
    for seq in seqs:
        transaction.produce(TOPIC, key=b"s", value=row(seq), partition=0, want_offset=True)
    transaction.flush()
    return transaction


def test_every_outcome_is_found_whatever_gaps_there_are(bus: Bus) -> None:
    places = {}
    rng = random.Random(3)
    for seq in range(40):
        write(bus, "aborted", *range(seq, seq + rng.randrange(3))).abort()
        places[seq] = bus.end_offset(TOPIC, 0, committed=False)
        write(bus, "worker", seq).commit()
    assert {seq: offset_of(bus, TOPIC, 0, seq) for seq in places} == places
    with pytest.raises(StateError, match="ends before seq 40"):
        offset_of(bus, TOPIC, 0, 40)


def test_what_is_hidden_by_an_open_transaction_is_waited_for(bus: Bus, passing: PassingTime) -> None:
    write(bus, "worker", 0).commit()
    left_open = write(bus, "zombie", 1, 2)
    where = bus.end_offset(TOPIC, 0, committed=False)
    write(bus, "worker", 1, 2).commit()
    passing.happens.append(left_open)
    assert offset_of(bus, TOPIC, 0, 1) == where
    write(bus, "zombie", 3)
    write(bus, "worker", 3).commit()
    with pytest.raises(Fenced, match="stays behind an open transaction"):
        offset_of(bus, TOPIC, 0, 3)

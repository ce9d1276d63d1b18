"""A group's committed offsets, also at the moments at which its coordinator cannot say them."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import pytest

from driftbus.adapters.kafka import KafkaBus
from driftbus.ports import TopicPartition, TopicSpec
from tests.adapters.coordinator_child import MOMENTS
from tests.integration.broker import ROOT

# Ends what would hang for ever.
LIMIT_S = 60


def test_a_coordinator_that_moves_is_asked_again() -> None:
    """Seen: `driftbus check` on a broker just started ended with a segmentation fault (librdkafka#5315)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.coordinator_child"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=ROOT,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stdout.splitlines() == [f"{error} {{}}" for error in MOMENTS]


@pytest.mark.kafka
def test_asking_does_not_disturb_the_group(kafka_bootstrap: str) -> None:
    """Who asks is no member: the members keep their partitions, also when the asking bus closes."""
    topic, group = f"topic-{uuid.uuid4().hex}", f"group-{uuid.uuid4().hex}"
    here = TopicPartition(topic, 0)
    bus = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    bus.create_topics([TopicSpec(topic, 1)])
    revoked: list[list[TopicPartition]] = []
    consumer = bus.consumer(group, [topic], assigned=lambda _: None, revoked=revoked.append)
    while consumer.assignment() != [here]:
        consumer.poll(1, 1.0)
    assert bus.committed(group, [here]) == {}
    consumer.commit({here: 0})
    for _ in range(3):
        other = KafkaBus({"bootstrap.servers": kafka_bootstrap})
        assert other.committed(group, [here]) == {here: 0}
        other.close()
        consumer.poll(1, 0.2)
    consumer.commit({here: 0})
    assert not revoked
    bus.close()


@pytest.mark.kafka
def test_a_pending_transaction_is_waited_for_longer_than_a_broker_that_is_away(kafka_bootstrap: str) -> None:
    """A worker killed in a transaction holds its offsets back for 15 s; a request's own limit is shorter."""
    topic, group = f"topic-{uuid.uuid4().hex}", f"group-{uuid.uuid4().hex}"
    here = TopicPartition(topic, 0)
    bus = KafkaBus({"bootstrap.servers": kafka_bootstrap})
    impatient = KafkaBus({"bootstrap.servers": kafka_bootstrap}, timeout_s=3.0)
    bus.create_topics([TopicSpec(topic, 1)])
    consumer = bus.consumer(group, [topic])
    while consumer.assignment() != [here]:
        consumer.poll(1, 1.0)
    transaction = bus.transaction(f"tx-{group}")
    transaction.begin()
    transaction.send_offsets(consumer, {here: 0})
    ending = threading.Timer(5.0, transaction.commit)
    ending.start()
    assert impatient.committed(group, [here]) == {here: 0}
    ending.join()
    impatient.close()
    bus.close()

"""Fixtures of the contract suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from driftbus.ports import Bus, TopicSpec

from .buses import Cluster, EmbeddedCluster, KafkaCluster, MemoryCluster, unique

MakeTopic = Callable[..., str]


@pytest.fixture(params=["embedded", "memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Each bus in turn. Without a broker the Kafka runs fail; `-m 'not kafka'` leaves them out."""
    made: Cluster
    if request.param == "embedded":
        made = EmbeddedCluster(tmp_path / "bus")
    elif request.param == "memory":
        made = MemoryCluster()
    else:
        # Asked for by name, so that the embedded runs need no broker.
        made = KafkaCluster(request.getfixturevalue("kafka_bootstrap"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def bus(cluster: Cluster) -> Bus:
    return cluster.open()


@pytest.fixture
def make_topic(bus: Bus) -> MakeTopic:
    """Creates a topic under a name that no other test has."""

    def make(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = unique("topic")
        assert bus.create_topics([TopicSpec(name, partitions, config or {})]) == [name]
        return name

    return make


@pytest.fixture
def group() -> str:
    return unique("group")

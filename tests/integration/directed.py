"""What directed tests share: one partition on either bus, and the mishaps that befall it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from driftbus.config import Settings, load
from driftbus.ports import Bus, TopicSpec
from driftbus.wiring import open_bus
from tests.contracts.buses import Cluster, EmbeddedCluster, KafkaCluster, unique
from tests.integration.workers import create_topics

# A limit for what hangs, never part of a result.
LIMIT_S = 60.0
# Small steps, quickly: a ring turns over within seconds.
WORKER = {"max_records": 20, "commit_interval": "10ms"}
RULES = {"retrain": {"cooldown": "30m", "min_rows": 100, "timeout": "2h"}}


class Site(NamedTuple):
    """One bus with the nine topics, all of whose state is kept, and a group on it."""

    cluster: Cluster
    bus: Bus
    settings: Settings
    folder: Path

    def with_settings(self, **more: Any) -> Settings:
        """The same installation under other settings."""
        return _settings(self.folder, self.settings, more)

    def forget(self, name: str, before: int) -> None:
        """Retention removes the records of a topic (short name) before this offset, partition 0."""
        topic = self.settings.topics[name]
        if isinstance(self.cluster, KafkaCluster):
            self.cluster.forget(topic, before)
        else:
            # As the bus's own cleaning does once records are old enough.
            self._execute(
                "DELETE FROM records WHERE id >> 40 = (SELECT first_pid FROM topics WHERE name = ?)"
                " AND id & 0xFFFFFFFFFF < ?",
                (topic, before),
            )
            self._execute(
                "UPDATE partitions SET first = ? WHERE pid = (SELECT first_pid FROM topics WHERE name = ?)",
                (before, topic),
            )
        until(lambda: self.bus.begin_offset(topic, 0) == before)

    def expire_group(self) -> None:
        """The group had no member for longer than its offsets are kept."""
        if isinstance(self.cluster, KafkaCluster):
            self.administer(lambda admin: admin.delete_consumer_groups([self.settings.group]))
        else:
            self._execute("DELETE FROM positions WHERE consumer_group = ?", (self.settings.group,))

    def _execute(self, sql: str, values: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.settings.embedded_path / "bus.sqlite3", timeout=LIMIT_S)) as file:
            file.execute(sql, values)
            file.commit()

    def administer(self, request: Callable[[Any], dict[Any, Any]]) -> None:
        """What an administrator asks of Kafka."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.settings.kafka["bootstrap.servers"]})
        for done in request(admin).values():
            done.result(LIMIT_S)

    def make_anew(self, name: str) -> None:
        """Delete a topic (short name) and create it again. Kafka only."""
        topic = self.settings.topics[name]
        self.administer(lambda admin: admin.delete_topics([topic]))
        until(lambda: topic in self.bus.create_topics([TopicSpec(topic, 1)]))


def make_site(
    cluster: Cluster,
    folder: Path,
    bootstrap: str | None,
    partitions: int = 1,
    protocol: str = "classic",
) -> Site:
    """`bootstrap`: of a real Kafka; None: the embedded bus. `protocol`: of Kafka's group."""
    bus: dict[str, Any] = {"bus": "embedded", "embedded": {"path": str(folder / "bus")}}
    if bootstrap is not None:
        kafka: dict[str, Any] = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
        kafka["group.protocol"] = protocol
        bus = {"bus": "kafka", "kafka": {"bootstrap.servers": bootstrap, **kafka}}
    document = {
        **bus,
        "group": unique("directed"),
        "topic_prefix": unique("directed") + ".",
        "worker": WORKER,
        "stream_defaults": RULES,
    }
    path = folder / "driftbus.yaml"
    path.write_bytes(orjson.dumps(document))
    settings = load(path, {})
    site = Site(cluster, open_bus(settings), settings, folder)
    create_topics(site.bus, settings, partitions)
    return site


def _settings(folder: Path, like: Settings, more: dict[str, Any]) -> Settings:
    document = orjson.loads((folder / "driftbus.yaml").read_bytes())
    path = folder / "other.yaml"
    path.write_bytes(orjson.dumps({**document, **more}))
    return load(path, {})


def until(true: Callable[[], bool]) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def clusters(kind: str, folder: Path, bootstrap: str | None) -> Cluster:
    if kind == "kafka":
        assert bootstrap is not None
        return KafkaCluster(bootstrap)
    return EmbeddedCluster(folder / "bus")

"""One secured broker for all tests of this folder, with the world in which grants are tried."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from urllib.request import urlopen

import orjson
import pytest
import yaml

from driftbus.client import Emitter
from driftbus.config import load
from driftbus.ports import Bus, TopicPartition, TopicSpec
from driftbus.wiring import open_bus
from tests.cli.commands import driftbus
from tests.integration.workers import WorkerProcess, wait_until
from tests.ports import free_port
from tests.security.secured import Grant, SecuredKafka

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "security.md"
WHO = ("worker", "emitter", "trainer", "ingest", "operator")
# As it is shipped, but for what is the cluster's.
SOURCES = yaml.safe_load((ROOT / "deploy/kustomize/components/ingest/sources.yaml").read_text())["ingest"]
# Shows up wherever a password is printed, and nowhere else.
PASSWORD = "open-sesame-7f3a"  # noqa: S105 - of a broker that lives as long as the test
# Rows before and after the change, of one stream: enough to be sure of it and to train on.
ROWS, ONSET = 1_200, 700
LIMIT_S = 60.0


def grants() -> list[Grant]:
    """The rows of the guide's table: nothing else is granted."""
    rows = [line.split("|")[1:5] for line in GUIDE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows]
    return [Grant(*row) for row in cells if row[0] in WHO]


GRANTS = grants()


def of(who: str) -> list[Grant]:
    return [grant for grant in GRANTS if grant.who == who]


def without(grant: Grant) -> str:
    """The user who has all of its kind's grants but this one."""
    return f"{grant.who}-{GRANTS.index(grant)}"


def logged(known: str, kind: str, **data: object) -> dict[str, object]:
    """An event of KServe's logger, structured."""
    return {
        "specversion": "1.0", "id": known, "source": "http://localhost:9081/",
        "type": f"org.kubeflow.serving.{kind}", "inferenceservicename": "iris", "data": data,
    }  # fmt: skip


class World:
    """A broker, its users, and a configuration file for each of them."""

    def __init__(self, kafka: SecuredKafka, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        users = {who: of(who) for who in WHO}
        users |= {without(grant): [g for g in of(grant.who) if g != grant] for grant in GRANTS}
        kafka.add_users(users, PASSWORD)
        # As an orchestrator mounts a secret.
        self.secret = folder / "secret.yaml"
        self.secret.write_text(yaml.safe_dump({"kafka": {"sasl.password": PASSWORD}}))
        self.worker = WorkerProcess(self.config("worker"), "worker", free_port())
        self.pages: dict[str, str] = {}
        self.emitted = self.served = 0

    def config(self, user: str, *, included: bool = True, **more: object) -> Path:
        """A configuration for this user; its password in an included file, or else nowhere."""
        kafka = {k: v for k, v in self.kafka.client(user, "").items() if k != "sasl.password"}
        # The killed worker's successor waits for so long: the broker's own minimum.
        kafka |= {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500"}
        document = {
            "bus": "kafka",
            "kafka": kafka,
            "worker": {"commit_interval": "50ms", "max_records": 200},
            "stream_defaults": {"retrain": {"cooldown": "0s", "min_rows": 200}},
            **({"include": "secret.yaml"} if included else {}),
            **more,
        }
        file = self.folder / f"{user}{'' if included else '-bare'}.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    def bus(self, user: str) -> Bus:
        return open_bus(load(self.config(user), {}))

    def client(self, user: str) -> dict[str, str]:
        return self.kafka.client(user, PASSWORD)

    def emit(self, rows: int, drift_at: int | None = None) -> None:
        """Predictions and their labels of one stream, as the emitter."""
        rng = random.Random(self.emitted)
        with Emitter(kafka=self.client("emitter")) as emitter:
            for i in range(rows):
                pid, label = f"p-{self.emitted + i}", rng.randrange(2)
                rate = 0.05 if drift_at is None or i < drift_at else 0.5
                said = label ^ int(rng.random() < rate)
                emitter.prediction("fraud", pid, prediction=said, model_version="v1")
                emitter.label("fraud", pid, label)
            assert emitter.flush(LIMIT_S)
            assert emitter.lost == {}
        self.emitted += rows

    def super_user(self) -> AbstractContextManager[Bus]:
        """The bus through the broker's own listener."""
        return closing(
            open_bus(load(None, {"DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS": self.kafka.broker.bootstrap}))
        )

    def written(self, topic: str) -> int:
        """Records written and committed so far in a topic of one partition."""
        with self.super_user() as bus:
            return sum(1 for _ in bus.read_from(topic, 0, 0))

    def left(self) -> int:
        """Input that the worker has not committed yet, as the super user sees it."""
        with self.super_user() as bus:
            places = [TopicPartition(f"driftbus.{name}", 0) for name in ("predictions", "labels")]
            done = bus.committed("driftbus", places)
            # Counted one by one: the ends of ingest's transactions take offsets as well.
            return sum(1 for place in places for _ in bus.read_from(*place, done.get(place, 0)))

    def serve(self) -> None:
        """What other services write: an inference and its truth, a request whose response has not come, and
        a truth that says nothing."""
        self.served += 1
        asked, answered = "inference.request", "inference.response"
        whole, half = f"whole-{self.served}", f"half-{self.served}"
        records = [
            ("kserve-logger", logged(whole, asked, instances=[[6.8, 2.8, 4.8, 1.4]])),
            ("kserve-logger", logged(whole, answered, predictions=[1])),
            ("kserve-logger", logged(half, asked, instances=[[5.1, 3.5, 1.4, 0.2]])),
            ("shop.chargebacks", {"inference_id": whole, "class": 1}),
            ("shop.chargebacks", {"inference_id": f"none-{self.served}"}),
        ]
        with self.super_user() as bus:
            producer = bus.producer()
            for topic, value in records:
                assert producer.produce(topic, key=None, value=orjson.dumps(value))
            assert producer.flush(LIMIT_S) == 0
            producer.close(LIMIT_S)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everybody has worked once, with just their grants: a drift is found, a request waits for its trainer.
    Then the worker was killed, with input that it has not read."""
    folder = tmp_path_factory.mktemp("secured")
    kafka = SecuredKafka(folder)
    kafka.start()
    try:
        world = World(kafka, folder)
        operator = world.config("operator", ingest=SOURCES)
        made = driftbus("topics", "create", "--partitions", "1", "--config", operator)
        assert made.returncode == 0, made.stdout + made.stderr
        with world.super_user() as bus:  # they are other services'
            bus.create_topics([TopicSpec(topic, 1) for topic in ("kserve-logger", "shop.chargebacks")])
        world.emit(ROWS, drift_at=ONSET)
        world.worker.start()
        try:
            wait_until(lambda: world.left() == 0, LIMIT_S, "all input committed", [world.worker])
            for path in ("/", "/metrics", "/api/streams", "/api/streams/fraud"):
                with urlopen(f"http://127.0.0.1:{world.worker.port}{path}", timeout=LIMIT_S) as answer:
                    world.pages[path] = answer.read().decode()
        finally:
            world.worker.kill()
        world.emit(50)
        yield world
    finally:
        kafka.stop()

"""What the demo's processes agree on: the data folder, the bus, the names. Written once, read by each.

DATA/
├── stage.json       this
├── driftbus.yaml    the worker's configuration, as a user would write it
├── bus/             the embedded bus (with --kafka: not there)
├── models/          what is deployed, a JSON file per stream
└── logs/            what each process said
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from driftbus.client.opening import Address
from driftbus.ports import Bus


@dataclass(frozen=True)
class Stage:
    """One run of the demo. `kafka` is None on the embedded bus."""

    folder: str
    seed: int
    kafka: Mapping[str, str] | None
    topic_prefix: str
    group: str

    @property
    def data(self) -> Path:
        return Path(self.folder)

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def configuration(self) -> Path:
        return self.data / "driftbus.yaml"

    @property
    def client_arguments(self) -> dict[str, Any]:
        """For `Emitter` and `RetrainRequests`."""
        where = {"embedded": self.data / "bus"} if self.kafka is None else {"kafka": self.kafka}
        return where | {"topic_prefix": self.topic_prefix}

    def open_bus(self) -> Bus:
        """For the director and the judge, who look on; the services use the clients."""
        return self._address.open()

    def topic(self, short_name: str) -> str:
        """A topic's name on the bus."""
        return self._address.topic(short_name)

    @property
    def _address(self) -> Address:
        embedded = self.data / "bus" if self.kafka is None else None
        return Address(self.kafka, embedded, self.topic_prefix)

    def save(self, http_port: int) -> None:
        """Make the folders, write `stage.json` and the worker's configuration."""
        for folder in (self.models, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        for private in (self.data / "stage.json", self.configuration):
            private.touch(mode=0o600)  # a password of Kafka's may stand in it
        (self.data / "stage.json").write_bytes(orjson.dumps(asdict(self)))
        text = yaml.safe_dump(self._worker_configuration(http_port), sort_keys=False)
        self.configuration.write_text(f"# Written by `driftbus demo`, seed {self.seed}.\n{text}")

    def _worker_configuration(self, http_port: int) -> dict[str, Any]:
        if self.kafka is None:
            bus: dict[str, Any] = {"bus": "embedded", "embedded": {"path": str(self.data / "bus")}}
        else:
            bus = {"bus": "kafka", "kafka": dict(self.kafka)}
        return bus | {
            "group": self.group,
            "instance": "demo",
            "topic_prefix": self.topic_prefix,
            "http": {"host": "127.0.0.1", "port": http_port},
            "stream_defaults": {
                "labels": {"team": "demo"},
                # An event every 15 s of simulated time: 600 rows are two and a half hours.
                "retrain": {"cooldown": "1h", "min_rows": 600},
            },
        }

    @classmethod
    def load(cls, data: Path) -> Stage:
        """What `save` wrote."""
        return cls(**orjson.loads((data / "stage.json").read_bytes()))

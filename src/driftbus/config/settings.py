"""The whole configuration as one frozen value."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import orjson

from driftbus.config.kafka import KafkaProperties
from driftbus.config.model import TOPICS, Stream
from driftbus.config.streams import StreamRules
from driftbus.core.settings import Limits, StreamSettings
from driftbus.redaction import HIDDEN
from driftbus.sources import IngestSettings


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files: the certificate (with its chain), and its key where that stands in a file of its own."""

    cert: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where `/metrics`, `/livez`, `/readyz`, the page and its API are served; loopback by default.

    `tls` None: in clear text. `token`: what whoever asks has to show, but at `/livez` and `/readyz`. `peers`:
    where the group's other workers serve the same.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8711
    tls: TlsSettings | None = None
    token: str | None = field(default=None, repr=False)
    peers: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        """As plain JSON values, the token hidden."""
        tls = self.tls and {"cert": os.fspath(self.tls.cert), "key": self.tls.key and os.fspath(self.tls.key)}
        return {
            "enabled": self.enabled,
            "host": self.host,
            "port": self.port,
            "tls": tls,
            "token": self.token and HIDDEN,
            "peers": list(self.peers),
        }


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How the worker's loop runs. None of it changes what is decided.

    `max_records`: records per step at most. `commit_interval_ms`: how long a step gathers records when
    few come. `restart`: a fenced worker begins anew in the same process, after `restart_wait_ms`,
    instead of ending with exit code 1. `stall_timeout_ms`: a loop that has not moved for so long is ended
    from outside. `max_dead_letter_ratio`: where more of an input cannot be used, the worker stops.
    """

    # The larger a step, the longer the blocks that each stream's detectors, metrics and challenger take at
    # once: with 200 streams 33 instead of 44 µs of CPU per pair at 20,000 instead of 5,000. Only a backlog
    # fills a step; it then takes a few tenths of a second.
    max_records: int = 20_000
    # A tenth of the second that people perceive as at once; a transaction costs 5 to 25 ms.
    commit_interval_ms: int = 100
    restart: bool = True
    restart_wait_ms: int = 1_000
    # Longer than Kafka's 45 s session timeout: when this strikes, others have taken the partitions already.
    # Longer also than what a healthy loop may wait in one call: the transaction's timeout (15 s) and 5 s, and
    # the 30 s in which a broker loads its transactions after a start; a step's own work takes about a second.
    stall_timeout_ms: int = 90_000
    # A topic of which most is poison is another topic than the one that was meant. One producer of many that
    # is broken stays below.
    max_dead_letter_ratio: float = 0.5


@dataclass(frozen=True)
class Settings:
    """Everything a configuration says, validated, with the defaults filled in.

    `kafka` holds librdkafka's properties as text and never shows its secrets. `sources` are the files
    read, `warnings` what should be said to the user about them.
    """

    bus: Literal["kafka", "embedded"] = "kafka"
    kafka: KafkaProperties = field(
        default_factory=lambda: KafkaProperties({"bootstrap.servers": "127.0.0.1:9092"})
    )
    embedded_path: Path = Path("driftbus-data")
    group: str = "driftbus"
    instance: str | None = None
    worker_id: str | None = None
    topic_prefix: str = "driftbus."
    topic_names: Mapping[str, str] = field(default_factory=dict)
    partitioner: Literal["murmur2_random", "consistent_random"] = "murmur2_random"
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: Limits = field(default_factory=Limits)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    streams: StreamRules = field(default_factory=lambda: StreamRules(Stream(), {}))
    sources: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def stream(self, name: str) -> StreamSettings:
        """The rules of one stream, whether it has an entry or not. Cached, bounded."""
        return self.streams.stream(name)

    def fingerprint(self, stream: str) -> Mapping[str, str]:
        """A hash of each part of one stream's models: another one means that this part begins anew."""
        return self.streams.fingerprint(stream)

    @cached_property
    def topics(self) -> Mapping[str, str]:
        """The name on the bus of each of the contract's topics, by its short name."""
        return {
            name: self.topic_names.get(name.replace("-", "_"), self.topic_prefix + name) for name in TOPICS
        }

    @property
    def halves_topic(self) -> str:
        """The name on the bus of the topic in which halves of inferences wait."""
        return self.ingest.halves_topic or f"{self.topic_prefix}ingest-halves"

    @property
    def source(self) -> str:
        """The `source` of CloudEvents: `instance`, or the group where none is named."""
        return self.instance or self.group

    @cached_property
    def fold_document(self) -> Mapping[str, Any]:
        """What the fold depends on, as plain JSON values: streams and limits; no bus, no names, no HTTP."""
        return {**self.streams.document(), "limits": dataclasses.asdict(self.limits)}

    def with_fold_document(self, document: Mapping[str, Any]) -> Settings:
        """These settings with the streams and limits that `fold_document` wrote. Limits that did not exist
        then have their defaults. Raises `pydantic.ValidationError` when it is none."""
        known = {each.name for each in dataclasses.fields(Limits)}
        limits = Limits(**{name: n for name, n in document["limits"].items() if name in known})
        return dataclasses.replace(self, streams=StreamRules.load(document), limits=limits)

    @cached_property
    def config_hash(self) -> str:
        """A hash of `fold_document`; 32 hexadecimal digits."""
        canonical = orjson.dumps(self.fold_document, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:32]

    def shown(self) -> dict[str, Any]:
        """All of it as plain JSON values for logs and pages; secrets hidden."""
        return {
            "bus": self.bus,
            "kafka": self.kafka.shown(),
            "embedded": {"path": os.fspath(self.embedded_path)},
            "group": self.group,
            "instance": self.instance,
            "worker_id": self.worker_id,
            "topics": dict(self.topics),
            "partitioner": self.partitioner,
            "http": self.http.shown(),
            "worker": dataclasses.asdict(self.worker),
            "ingest": self.ingest.shown(),
            **self.fold_document,
        }

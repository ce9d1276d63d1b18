"""One `kafka:` section → the properties of each client, with driftbus's own settings on top.

The section mixes consumer's and producer's properties and is handed to librdkafka as it stands. librdkafka
warns about a property of the other kind of client, so those are left out; everything it does not know it
refuses, which becomes a `ConfigError` that names the key.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from driftbus.adapters.kafka.property_names import ALIASES, COMMON, CONSUMER_ONLY, PRODUCER_ONLY
from driftbus.errors import ConfigError
from driftbus.redaction import HIDDEN, is_secret

Value = Any  # text, number, boolean; callables (oauth_cb) where a program configures the client
Client = TypeVar("Client")

# librdkafka's log lines and driftbus's own about Kafka.
LOGGER = logging.getLogger("driftbus.kafka")

_ADDRESSES = ("bootstrap.servers", "metadata.broker.list")

# What both kinds of client start from; the user's section may say otherwise.
_COMMON: dict[str, Value] = {
    "client.id": "driftbus",
    # librdkafka's 10 s would keep a worker idle long after a broker is back.
    "reconnect.backoff.max.ms": 1000,
    # Re-bootstrapping clients of an absent broker knock at it some 40 times a second, a log line each, and
    # answer "unknown topic" meanwhile; producers may not do it at all (below).
    "metadata.recovery.strategy": "none",
    # Records near 1 MB, plus headers and framing, pass the client; topics and broker have their own limits.
    "message.max.bytes": 10_000_000,
    # Connections that brokers close for idleness are not worth a line.
    "log.connection.close": False,
    "socket.keepalive.enable": True,
    # KIP-714 would have closing clients push metrics first.
    "enable.metrics.push": False,
}

_CONSUMER: dict[str, Value] = {
    # 45 s is Kafka's own default; 3 s thrashes rebalances on a loaded machine.
    "session.timeout.ms": 45_000,
    # librdkafka's 1000 stalls a fast consumer 3.5-5x.
    "fetch.queue.backoff.ms": 5,
    # librdkafka tells that a partition is read to its end only after one empty fetch: 500 ms by default,
    # during which a topic does not count as idle. An idle worker then fetches ten times a second.
    "fetch.wait.max.ms": 100,
}

_PRODUCER: dict[str, Value] = {
    # Halves what goes over the wire at a cost that does not show; zstd quarters it for more CPU.
    "compression.type": "lz4",
    # Batches fill while a step is produced; `flush` does not wait for it.
    "linger.ms": 5,
}

_TRANSACTION: dict[str, Value] = {
    # A worker killed in a transaction holds back its successor for this long.
    "transaction.timeout.ms": 15_000,
    # A step's records; librdkafka's 100,000 would make a large step wait for the broker in between.
    "queue.buffering.max.messages": 500_000,
}

_EMITTER: dict[str, Value] = {
    # librdkafka's 1 GB is too much to take from an inference service while its broker is away.
    "queue.buffering.max.kbytes": 65_536,
}

# The Python client reads this one itself, and wants a real boolean: successes need no callback.
_ONLY_FAILURES = {"delivery.report.only.error": True}

_READER: dict[str, Value] = {
    # How long a reader that reaches its end waits to know so.
    "fetch.wait.max.ms": 10,
    # Most ranges are short: fetching 64 MB ahead, 1 MB at a time, makes one record cost 9 ms instead of 5.
    "fetch.message.max.bytes": 262_144,
    "queued.max.messages.kbytes": 4096,
}


def _text(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return value


class KafkaProperties:
    """The user's section, split by kind of client. Its repr shows no secrets.

    Raises `ConfigError` for what driftbus cannot work with.
    """

    def __init__(self, section: Mapping[str, Value], *, partitioner: str) -> None:
        self._section = {key: _text(value) for key, value in section.items() if value is not None}
        self._partitioner = partitioner
        protocol = self._section.get("group.protocol", "classic")
        if protocol not in ("classic", "consumer"):
            raise ConfigError("kafka.group.protocol", protocol, "classic or consumer")
        # Whether members are given and lose single partitions (KIP-848, brokers ≥ 4.0).
        self.incremental = protocol == "consumer"
        servers = self._section.get("bootstrap.servers") or self._section.get("metadata.broker.list")
        if not servers:
            raise ConfigError("kafka.bootstrap.servers", None, "a list host:port[,host:port …]")
        self.bootstrap = str(servers)

    def __repr__(self) -> str:
        shown = {key: HIDDEN if is_secret(key) else value for key, value in self._section.items()}
        return f"KafkaProperties({shown})"

    def admin(self) -> dict[str, Value]:
        """For administration: an AdminClient is a producer to librdkafka."""
        return _merge(_COMMON, self._without(CONSUMER_ONLY | PRODUCER_ONLY))

    def group_consumer(self, group: str, *, reset: str) -> dict[str, Value]:
        """For a member of a group; `reset` is `earliest` or `error` (stop loudly)."""
        own = {"group.id": group, "auto.offset.reset": reset, "isolation.level": "read_committed"}
        return self._consumer({}, own)

    def reader(self, *, committed: bool) -> dict[str, Value]:
        """For a client that is assigned by hand; its group never exists on the broker."""
        isolation = "read_committed" if committed else "read_uncommitted"
        own = {"group.id": "driftbus-reader", "auto.offset.reset": "error", "isolation.level": isolation}
        return self._consumer(_READER, own)

    def _consumer(self, defaults: dict[str, Value], own: dict[str, Value]) -> dict[str, Value]:
        always: dict[str, Value] = {
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
        }
        # Co-partitioned topics: partition p of every topic goes to the same member.
        if self.incremental:
            always |= {"group.protocol": "consumer", "group.remote.assignor": "range"}
        else:
            always |= {"partition.assignment.strategy": "range"}
        # By KIP-848 these times are the broker's; librdkafka refuses them.
        not_ours = {"session.timeout.ms", "heartbeat.interval.ms"} if self.incremental else set()
        user = self._without(PRODUCER_ONLY | not_ours)
        ours = {key: value for key, value in _CONSUMER.items() if key not in not_ours}
        return _merge(_COMMON, ours, user, defaults, always, own)

    def emitter(self) -> dict[str, Value]:
        """For a producer outside transactions."""
        user = self._without(CONSUMER_ONLY | {"transactional.id", "transaction.timeout.ms", *_ONLY_FAILURES})
        return _merge(_COMMON, _PRODUCER, _EMITTER, user, self._producer_always()) | _ONLY_FAILURES

    def transaction(self, transactional_id: str) -> dict[str, Value]:
        """For a transactional producer."""
        # librdkafka derives these times from the transaction's timeout and refuses longer ones.
        derived = {"socket.timeout.ms", "message.timeout.ms", "delivery.timeout.ms"}
        user = self._without(CONSUMER_ONLY | derived | _ONLY_FAILURES.keys())
        always = self._producer_always() | {"transactional.id": transactional_id}
        return _merge(_COMMON, _PRODUCER, _TRANSACTION, user, always)

    def _producer_always(self) -> dict[str, Value]:
        return {
            "enable.idempotence": True,
            # librdkafka#5511: after a re-bootstrap send_offsets_to_transaction() can hang for ever.
            "metadata.recovery.strategy": "none",
            "partitioner": self._partitioner,
            "allow.auto.create.topics": False,
        }

    def _without(self, names: frozenset[str] | set[str]) -> dict[str, Value]:
        return {key: value for key, value in self._section.items() if key not in names}

    def check(self) -> None:
        """Raises `ConfigError` for what librdkafka would refuse once one of the clients is opened."""
        kinds: list[tuple[Callable[[dict[str, Value]], object], dict[str, Value]]] = [
            (Consumer, self.group_consumer("check", reset="error")),
            (Producer, self.emitter()),
            (Producer, self.transaction("check")),
        ]
        for kind, settings in kinds:
            # Without an address to connect to, and let go of at once.
            offline = {key: value for key, value in settings.items() if key not in _ADDRESSES}
            self.build(kind, offline)

    def build(self, kind: Callable[[dict[str, Value]], Client], properties: dict[str, Value]) -> Client:
        """`kind(properties)`; what librdkafka refuses becomes a `ConfigError`."""
        try:
            return kind(properties | {"logger": LOGGER})
        except KafkaException as error:
            raise self._refused(error.args[0]) from None

    def _refused(self, error: KafkaError) -> ConfigError:
        reason = error.str()
        # Quoted in most messages; some name two properties, or the one that ours is an alias of.
        mentioned = re.findall(r"[a-z_]+(?:\.[a-z_]+)*", reason)
        given = [key for key in self._section if key in mentioned or ALIASES.get(key) in mentioned]
        named = sorted(given, key=lambda key: mentioned.index(key if key in mentioned else ALIASES[key]))
        if not named:
            return ConfigError("kafka", "…", f"what librdkafka takes ({reason})")
        key = named[0]
        value = self._section[key]
        if is_secret(key):
            return ConfigError(f"kafka.{key}", HIDDEN, "what librdkafka takes")
        known = [*CONSUMER_ONLY, *PRODUCER_ONLY, *COMMON]
        nearest = None if key in known else next(iter(difflib.get_close_matches(key, known, 1)), None)
        return ConfigError(f"kafka.{key}", value, f"what librdkafka takes ({reason})", nearest)


def _merge(*layers: Mapping[str, Value]) -> dict[str, Value]:
    """Later layers win, and come later in the result: librdkafka lets the last of two aliases win."""
    merged: dict[str, Value] = {}
    for layer in layers:
        for key, value in layer.items():
            merged.pop(key, None)
            merged[key] = _text(value)
    return merged

"""librdkafka's errors → driftbus's, with a message that a person can act on."""

from __future__ import annotations

from confluent_kafka import KafkaError

from driftbus.errors import BusError, MissingTopic, Unavailable

# Said by librdkafka from its own memory, which may be empty for other reasons.
_NOT_KNOWN_HERE = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})

# Nothing answers, or not yet: trying again can help, and nothing was begun.
_UNREACHABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_CACHE,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REBOOTSTRAP_REQUIRED,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)

# The broker, or TLS on the way to it, turned this client away: trying later may help, at once it does not.
_TURNED_AWAY = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})

_NO_SUCH_TOPIC = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)

# Kafka measures batches, not records, so a topic of smaller ones takes nothing at all from us.
_ROOM = "a topic of driftbus needs max.message.bytes of 1048588 at least, Kafka's own default"


def is_unreachable(error: KafkaError) -> bool:
    """Whether trying again can help."""
    return error.code() in _UNREACHABLE or error.retriable()


def is_turned_away(error: KafkaError) -> bool:
    """Whether user, password or certificate do not fit."""
    return error.code() in _TURNED_AWAY


def is_missing(error: KafkaError) -> bool:
    """Whether the broker says that the topic or partition does not exist."""
    return error.code() in _NO_SUCH_TOPIC


def is_unknown(error: KafkaError) -> bool:
    """Whether the client does not know the topic or partition: ask the broker."""
    return error.code() in _NOT_KNOWN_HERE or is_missing(error)


def describe(error: KafkaError) -> str:
    """Name and text of an error: `_TRANSPORT: Connection refused`."""
    hint = f" ({_ROOM})" if error.code() == KafkaError.MSG_SIZE_TOO_LARGE else ""
    return f"{error.name()}: {error.str()}{hint}"


def translate(error: KafkaError, doing: str, bootstrap: str, topic: str | None = None) -> BusError:
    """The driftbus error for a failed request. `doing` says what was tried, for people."""
    if topic is not None and is_missing(error):
        return MissingTopic(topic)
    if is_turned_away(error):
        return Unavailable(f"{doing}: Kafka at {bootstrap} turns this client away ({describe(error)})")
    if is_unreachable(error):
        return Unavailable(f"{doing}: no answer from Kafka at {bootstrap} ({describe(error)})")
    return BusError(f"{doing}: Kafka at {bootstrap} refused ({describe(error)})")

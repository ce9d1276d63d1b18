"""The `kafka:` section: librdkafka's properties as they stand, secrets kept out of every dump.

Which names librdkafka knows is asked of itself, when the Kafka adapter opens.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

from driftbus.config.values import checked_text, refuse, refuse_all, text_of
from driftbus.redaction import HIDDEN, is_secret

# What exactly-once rests on; a configuration that set it would be overruled, so it is refused.
_OURS = {
    "group.id": "`group` outside of `kafka:` sets it",
    "transactional.id": "it is made from group, host and port, or `worker_id`",
    "isolation.level": "driftbus reads committed records only",
    "enable.auto.commit": "offsets are committed in the step's transaction",
    "auto.commit.enable": "offsets are committed in the step's transaction",
    "auto.commit.interval.ms": "offsets are committed in the step's transaction",
    "enable.auto.offset.store": "offsets are committed in the step's transaction",
    "offset.store.method": "offsets are committed in the step's transaction",
    "auto.offset.reset": "a new group begins at the beginning of its topics, a known one where it stopped",
    "partitioner": "`partitioner` outside of `kafka:` sets it",
}


class KafkaProperties(dict[str, str]):
    """librdkafka's properties; shown without their secrets, also inside other things' dumps."""

    def shown(self) -> dict[str, str]:
        return {name: HIDDEN if is_secret(name) else value for name, value in self.items()}

    def __repr__(self) -> str:
        return repr(self.shown())

    __str__ = __repr__


def checked_properties(value: Any) -> KafkaProperties:
    """All values as text: numbers as they were written, booleans as `true` and `false`."""
    if value is None:
        return KafkaProperties()
    if not isinstance(value, dict):
        raise refuse(value, "librdkafka's properties, such as {bootstrap.servers: 'host:9092'}")
    result = KafkaProperties()
    refusals = []
    for name, each in value.items():
        try:
            result[name] = _checked(name, each)
        except PydanticCustomError as error:
            refusals.append((f".{name}", error))
    refuse_all(refusals)
    return result


def _checked(name: str, value: object) -> str:
    if name in _OURS:
        raise refuse(name, f"properties that driftbus does not set itself ({_OURS[name]})")
    text = text_of(value)
    if text is None:
        example = "text, a number, true or false"
        if isinstance(value, dict) and value:
            example += f", with the property's whole name as the key ({name}.{next(iter(value))})"
        raise refuse(HIDDEN if is_secret(name) else value, example)
    return checked_text(text)

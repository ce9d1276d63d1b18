"""What a schedule left on the brokers, as a judge of it sees it."""

from __future__ import annotations

from driftbus.config import Settings
from driftbus.ports import Record, TopicPartition

from .broker import Broker
from .process import Violation


def require(holds: object, text: str, *details: object) -> None:
    """Raises `Violation` unless it holds."""
    if not holds:
        raise Violation(" ".join([text, *map(repr, details)]))


class Seen:
    """Everything that was ever committed, per partition and topic (short name)."""

    def __init__(self, broker: Broker, settings: Settings, partitions: int) -> None:
        self.settings, self.partitions = settings, partitions
        self.broker = broker

    def __call__(self, topic: str, number: int) -> list[Record]:
        return self.broker.log(TopicPartition(self.settings.topics[topic], number)).everything()

    def all(self, topic: str) -> list[Record]:
        return [record for number in range(self.partitions) for record in self(topic, number)]

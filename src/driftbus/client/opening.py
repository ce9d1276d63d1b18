"""Which bus a client speaks to, and what the topics are called on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driftbus.adapters.partitioner import Partitioner
from driftbus.ports import Bus


@dataclass(frozen=True)
class Address:
    """Where the bus is: `kafka` (librdkafka's properties) or `embedded` (a folder), exactly one of them.

    `prefix` and `names` are the configuration's `topic_prefix` and `topics` (keys in snake_case),
    `partitioner` its `partitioner`.
    Raises `TypeError` at once when neither or both are given: a mistake in the program, not an event.
    """

    kafka: Mapping[str, Any] | None
    embedded: str | Path | None
    prefix: str = "driftbus."
    names: Mapping[str, str] = field(default_factory=dict)
    partitioner: Partitioner = "murmur2_random"

    def __post_init__(self) -> None:
        if (self.kafka is None) == (self.embedded is None):
            raise TypeError("give exactly one of kafka={...} and embedded=PATH")

    def open(self) -> Bus:
        """A connection of one's own. Only the adapter that is asked for is imported."""
        if self.kafka is not None:
            from driftbus.adapters.kafka.bus import KafkaBus

            return KafkaBus(self.kafka, partitioner=self.partitioner)
        from driftbus.adapters.embedded.bus import EmbeddedBus

        assert self.embedded is not None  # noqa: S101 - said in __post_init__, for the type checker
        return EmbeddedBus(Path(self.embedded), partitioner=self.partitioner)

    def topic(self, short_name: str) -> str:
        """The name on the bus of one of the contract's topics, e.g. `retrain-requests`."""
        return self.names.get(short_name.replace("-", "_"), self.prefix + short_name)

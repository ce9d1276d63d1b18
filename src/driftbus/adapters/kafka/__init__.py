"""The Kafka bus."""

from driftbus.adapters.kafka.bus import KafkaBus

__all__ = ["KafkaBus"]

"""The embedded bus: one machine, one file, the same promises as Kafka."""

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.adapters.embedded.producer import BufferPolicy

__all__ = ["BufferPolicy", "EmbeddedBus"]

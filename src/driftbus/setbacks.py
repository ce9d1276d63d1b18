"""What a worker had to give up of its streams, told in the log: a stream set aside, a custom metric off.

Both are shown as long as they last, by `/metrics` and the API; the log says it once, with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from driftbus.core.partition import Partition
from driftbus.core.stream_views import failed_metrics

log = logging.getLogger("driftbus.worker")


class Setbacks:
    """What was told already."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, partition: Partition, touched: Iterable[str]) -> set[str]:
        """Log what is new since the last step, and name its streams. A stream set aside comes with its
        traceback."""
        streams = set(partition.defects)
        for stream, error in partition.defects.items():
            log.critical(
                "stream %r is set aside, its outcomes go on without being watched: a defect of driftbus or "
                "of a class that its configuration names; please report it with this traceback",
                stream,
                exc_info=error,
            )
        partition.defects.clear()
        for stream in touched:
            monitor = partition.streams.get(stream)
            if monitor is None or not monitor.settings.custom_metrics:
                continue
            for name in failed_metrics(monitor):
                if (stream, name) not in self._told:
                    self._told.add((stream, name))
                    streams.add(stream)
                    log.error("stream %r: the custom metric %s raised and is switched off", stream, name)
        return streams

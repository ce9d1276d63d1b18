"""A stream's outcomes by the time of their predictions, where no request names a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from driftbus.client.window import Row, corrected_labels, epoch_ms, outcomes_of, with_label
from driftbus.ports import Bus


@dataclass(frozen=True)
class Span:
    """Outcomes of `stream` with `from_ms` ≤ `ts` < `to_ms` (None: no bound), as far as they are held.

    Outcomes stand in the order of their completion and record timestamps promise nothing, so a partition is
    read through. `partitions`: the stream's own, or all where producers may have used another partitioner.
    """

    stream: str
    topic: str
    partitions: tuple[int, ...]
    from_ms: int | None = None
    to_ms: int | None = None

    def rows(self, bus: Bus, corrections_topic: str | None) -> Iterator[Row]:
        """Labels as corrected up to now (`corrections_topic` None: as first given), `error` recomputed."""
        for partition in self.partitions:
            # In this order every correction of a row that is read is known.
            end = bus.end_offset(self.topic, partition, committed=True)
            labels = {}
            if corrections_topic is not None:
                last = bus.end_offset(corrections_topic, partition, committed=True)
                labels = corrected_labels(bus, self.stream, corrections_topic, partition, last)
            regression = bool(labels) and _is_regression(self._raw(bus, partition, end))
            for row in self._raw(bus, partition, end):
                if row["seq"] in labels:
                    row = with_label(row, labels[row["seq"]], regression=regression)
                yield row

    def _raw(self, bus: Bus, partition: int, end: int) -> Iterator[Row]:
        begin = bus.begin_offset(self.topic, partition)
        for row in outcomes_of(bus, self.stream, self.topic, partition, begin, end):
            ts = epoch_ms(row["ts"])
            if (self.from_ms is None or ts >= self.from_ms) and (self.to_ms is None or ts < self.to_ms):
                yield row


def _is_regression(rows: Iterable[Row]) -> bool:
    """By the first row whose error says so; where none does, both rules give the same."""
    for row in rows:
        label, prediction, error = row["label"], row["prediction"], row["error"]
        if error is None:
            continue
        if isinstance(label, str) or isinstance(prediction, str):
            return False
        if int(label != prediction) != error:
            return True
        if abs(label - prediction) != error:
            return False
    return False

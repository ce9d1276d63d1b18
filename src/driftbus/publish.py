"""One step's results → records in the running transaction.

Events that cite outcomes need offsets, which exist only once a record was delivered: so outcomes and
corrections go first, then, if anything was decided, the transaction is flushed and the decisions follow.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from driftbus.config import Settings
from driftbus.core.encode import CLOUDEVENT_HEADERS, drift_event, dumps, label_bytes, retrain_request
from driftbus.core.partition import StepResult
from driftbus.core.records import DriftEvent, Label, RetrainRequest
from driftbus.errors import StateError
from driftbus.intake import DeadLetter
from driftbus.journal import StateRecord
from driftbus.locate import offset_of
from driftbus.ports import Bus, Transaction


class Publisher:
    """Writes the steps of one worker. `published` counts records by short topic name."""

    def __init__(self, bus: Bus, transaction: Transaction, settings: Settings) -> None:
        self._bus = bus
        self._transaction = transaction
        self._settings = settings
        self._topics = settings.topics
        self.published: dict[str, int] = {}

    def outcomes(self, partition: int, result: StepResult) -> None:
        """Queue the outcomes and corrections of a step; decisions and state follow with their own calls."""
        produce, cited = self._transaction.produce, bool(result.decisions)
        topic = self._topics["outcomes"]
        for row in result.outcomes:
            produce(topic, key=row.stream.encode(), value=row.value, partition=partition, want_offset=cited)
        topic = self._topics["label-corrections"]
        for row in result.corrections:
            produce(topic, key=row.stream.encode(), value=row.value, partition=partition, want_offset=cited)
        self._count("outcomes", len(result.outcomes))
        self._count("label-corrections", len(result.corrections))

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self._transaction.produce(
                self._topics["dead-letters"],
                key=letter.key,
                value=letter.value,
                headers=letter.headers(),
            )
        self._count("dead-letters", len(letters))

    def unmatched(self, labels: Sequence[tuple[Label, str]]) -> None:
        """Late and orphan labels of streams that ask for them; written anew, their record is long gone."""
        for label, reason in labels:
            headers = (
                ("__connect.errors.topic", self._topics["labels"].encode()),
                ("__connect.errors.exception.class.name", f"driftbus.{reason}".encode()),
                ("__connect.errors.exception.message", f"{reason} label".encode()),
                ("__connect.errors.stage", b"JOIN"),
            )
            self._transaction.produce(
                self._topics["dead-letters"],
                key=label.stream.encode(),
                value=label_bytes(label),
                headers=headers,
            )
        self._count("dead-letters", len(labels))

    def state(self, partition: int, records: Sequence[StateRecord]) -> None:
        for key, value in records:
            self._transaction.produce(
                self._topics["state"], key=key.encode(), value=value, partition=partition
            )
        self._count("state", len(records))

    def decisions(self, results: Mapping[int, StepResult]) -> None:
        """Queue what the steps decided, with the offsets of what it cites. Flushes if there is anything."""
        if not any(result.decisions for result in results.values()):
            return
        delivered = iter(self._transaction.flush())
        for partition, result in results.items():
            if not result.decisions:
                continue
            outcome_offsets = [next(delivered) for _ in result.outcomes]
            correction_offsets = [next(delivered) for _ in result.corrections]
            places = _Places(self._bus, self._topics, partition, result, outcome_offsets, correction_offsets)
            for pos, decision in result.decisions:
                if isinstance(decision, DriftEvent):
                    value = drift_event(decision, self._settings.source, places.of_onset(decision))
                    self._event("drift-events", decision.stream, value)
                else:
                    value = retrain_request(decision, self._settings.source, places.of_window(decision, pos))
                    self._event("retrain-requests", decision.stream, value)

    def _event(self, name: str, stream: str, value: dict[str, Any]) -> None:
        self._transaction.produce(
            self._topics[name], key=stream.encode(), value=dumps(value), headers=CLOUDEVENT_HEADERS
        )
        self._count(name, 1)

    def _count(self, name: str, n: int) -> None:
        if n:
            self.published[name] = self.published.get(name, 0) + n


class _Places:
    """Offsets of what the decisions of one step cite."""

    def __init__(
        self,
        bus: Bus,
        topics: Mapping[str, str],
        partition: int,
        result: StepResult,
        outcome_offsets: list[int],
        correction_offsets: list[int],
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._partition = partition
        self._result = result
        self._outcome_offsets = outcome_offsets
        self._correction_offsets = correction_offsets

    def _offset(self, seq: int) -> int:
        """Of the outcome with this seq, or past the last one."""
        first = self._result.first_seq
        if seq < first:
            try:
                return offset_of(self._bus, self._topics["outcomes"], self._partition, seq)
            except StateError:
                # Retention has removed it: what is left begins here; readers find the window expired.
                return self._bus.begin_offset(self._topics["outcomes"], self._partition)
        if seq < self._result.next_seq:
            return self._outcome_offsets[seq - first]
        return self._end()

    def _end(self) -> int:
        if self._outcome_offsets:
            return self._outcome_offsets[-1] + 1
        # Nor is more of this partition on its way; the committed end may lie before what others left open.
        return self._bus.end_offset(self._topics["outcomes"], self._partition, committed=False)

    def of_onset(self, event: DriftEvent) -> dict[str, Any]:
        onset = event.onset
        name = "outcomes" if onset.labelled else "predictions"
        offset = self._offset(onset.seq) if onset.labelled else onset.seq
        return {"topic": self._topics[name], "partition": self._partition, "offset": offset}

    def of_window(self, request: RetrainRequest, pos: int) -> dict[str, Any]:
        window = request.window
        if window.end_seq > window.start_seq:
            start, end = self._offset(window.start_seq), self._offset(window.end_seq - 1) + 1
        else:
            start = end = self._offset(window.end_seq)
        return {
            "topic": self._topics["outcomes"],
            "partition": self._partition,
            "start_offset": start,
            "end_offset": end,
            "corrections_offset": self._corrections(pos),
        }

    def _corrections(self, pos: int) -> int:
        """Past the last correction known when the decision at `pos` was taken."""
        known = bisect_right(self._result.correction_rows, pos, key=lambda row: row[0])
        if known:
            return self._correction_offsets[known - 1] + 1
        if self._correction_offsets:
            return self._correction_offsets[0]
        # A transaction that another worker left open may hold the committed end back, before known ones.
        return self._bus.end_offset(self._topics["label-corrections"], self._partition, committed=False)

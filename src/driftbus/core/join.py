"""Predictions meet labels, once each: a step's runs in, a block per stream out. `fates` has the rules.

Event time is the watermark: the slower of predictions and labels; a topic counts as idle only when its reader
says that it was read to its end.

Ids do not see each other, so a run is taken stream by stream (`batches`), and only the few records that are
not plain go one by one. Runs too short for that go one by one as a whole, to the same result.

Remembered ids need no state of their own: they are the newest `outcomes`, so a restore reads them back
from there, beginning with `remembered_from`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from driftbus.core.batches import Batches
from driftbus.core.block import CLOCK_SKEW_MS, FEW_RECORDS, Block, Run
from driftbus.core.fates import FOREVER, Early
from driftbus.core.read_back import Recalled
from driftbus.core.records import Label
from driftbus.core.remembered import Matched
from driftbus.core.settings import Limits, StreamSettings

# What `dump` gives, for whoever checks before `load` (`core.shape`).
SHAPE = {
    "next_seq": int,
    "watermark": int,
    "highest": {"predictions": int, "labels": int},
    "remembered_from": int,
    "corrected": [list],
    "early": [list],
    "expired": [list],
    "pending": [list],
}


class Join(Batches):
    """The join of one partition. `next_seq` is the `seq` of the next outcome."""

    # -- one step ------------------------------------------------------------------------------------

    def step(self, runs: Iterable[Run], idle: frozenset[str], tick_ms: int | None) -> dict[str, Block]:
        """Fold the runs in order; the touched streams' blocks.

        `rejected` then holds the offsets of the predictions that were not accepted, `unmatched` the labels
        whose stream wants them in the dead letters, with the reason.
        """
        self.rejected, self.unmatched = [], []
        pos = 0
        if "predictions" in idle and "labels" in idle and tick_ms is not None:
            self._reach(max(self.watermark, tick_ms), -1)
        for run in runs:
            if run.topic == "predictions":
                other = FOREVER if "labels" in idle else self._highest["labels"]
                if len(run.events) < FEW_RECORDS or not self._predictions_together(run, pos, other):
                    self._predictions(run, pos, other)
            elif run.topic == "labels":
                other = FOREVER if "predictions" in idle else self._highest["predictions"]
                if len(run.events) < FEW_RECORDS:
                    self._labels(run, pos, other)
                else:
                    self._labels_together(run, pos, other)
            else:
                self._model_events(run, pos)
            pos += len(run.events)
        # Where nobody asks for the state (a replay) nothing else would.
        self.remembered.give_back(self.next_seq, self.watermark)
        blocks = {s.name: s.block for s in self._touched if s.block is not None}
        for s in self._touched:
            s.block = None
        self._touched.clear()
        return blocks

    def _predictions(self, run: Run, pos: int, other: int) -> None:
        """One by one; `other`: how far the labels are."""
        streams, store, limit = self._streams, self.pending, self._limits.max_pending
        for p, offset, time in zip(run.events, run.offsets, run.times, strict=True):
            self._rise("predictions", p.ts, time, other, pos)
            s = streams.get(p.stream) or self.admit(p.stream)
            block = s.block or self._touch(s)
            if self._prediction(s, block, p, pos, offset):
                if store.alive >= limit:
                    self._make_room()
                store.add(p, p.ts + s.horizon_ms)
            pos += 1

    def _labels(self, run: Run, pos: int, other: int) -> None:
        streams = self._streams
        for label, time in zip(run.events, run.times, strict=True):
            self._rise("labels", label.ts, time, other, pos)
            s = streams.get(label.stream) or self.admit(label.stream)
            block = s.block or self._touch(s)
            block.last_label_ts = max(block.last_label_ts, min(label.ts, time + CLOCK_SKEW_MS))
            self._label(s, block, label, pos)
            pos += 1

    def _rise(self, topic: str, ts: int, time: int, other: int, pos: int) -> None:
        """A record's event time; the other topic stands at `other`."""
        seen = min(ts, time + CLOCK_SKEW_MS)
        if seen > self._highest[topic]:
            self._highest[topic] = seen
            if min(seen, other) > self.watermark:
                self._reach(min(seen, other), pos)

    def _model_events(self, run: Run, pos: int) -> None:
        for event in run.events:
            s = self._streams.get(event.stream) or self.admit(event.stream)
            (s.block or self._touch(s)).model_events.append((pos, event))
            pos += 1

    def take_over(self, settings_of: Callable[[str], StreamSettings], limits: Limits) -> None:
        """Go on under other rules, as if what is held had come under them. Bounds that shrank are kept to by
        what comes from now on."""
        self._settings_of, self._limits = settings_of, limits
        self.remembered.most = limits.max_remembered
        later = []
        for s in self._numbered:
            kept_ms = s.kept_ms
            s.rule(settings_of(s.name))
            later.append(s.kept_ms - kept_ms)
            for pid, early in s.early.items():
                s.early[pid] = early._replace(expiry=early.label.ts + s.horizon_ms)
        self.remembered.reschedule(self.watermark, np.array(later, np.int64))
        self._rules_changed()
        self.pending.reschedule()
        self._wake = 0

    # -- state ---------------------------------------------------------------------------------------

    @property
    def remembered_from(self) -> int:
        """`seq` of the oldest outcome still remembered."""
        return self.remembered.oldest(self.next_seq, self.watermark)

    def sizes(self) -> dict[str, int]:
        """How many are held, per bound."""
        return {
            "max_pending": len(self.pending),
            "max_early_labels": self._early_count,
            "max_remembered": self.next_seq - self.remembered_from,
        }

    def highest(self, topic: str) -> int:
        """The newest event time read from a topic (`predictions` or `labels`)."""
        return self._highest[topic]

    def compact(self) -> tuple[dict[int, bytes], list[int]]:
        """Before `dump`: the blocks to write, by number, and those to delete."""
        return self.pending.compact()

    def dump(self) -> dict[str, Any]:
        """Everything but pending rows (their blocks are written apart) and remembered outcomes."""
        remembered_from = self.remembered_from
        early = ((s, self._early(s, label)) for s, label in self._early_order)
        return {
            "next_seq": self.next_seq,
            "watermark": self.watermark,
            "highest": self._highest,
            "remembered_from": remembered_from,
            "corrected": sorted([seq, label] for seq, label in self.remembered.corrected.items()),
            "early": [
                [s.name, list(e.label), None if e.correction is None else list(e.correction)]
                for s, e in early
                if e is not None
            ],
            "expired": [[s.name, pid, s.expired[pid]] for s, pid in self._expired_order],
            "pending": self.pending.dump(),
        }

    def loading(
        self, state: dict[str, Any], blocks: dict[int, bytes], remembered: Iterable[Recalled]
    ) -> Iterator[None]:
        """Take over a dumped state, a piece at a time; done when the iterator is.

        `remembered`: the outcomes from `remembered_from` to `next_seq`."""
        self.watermark = state["watermark"]
        self._highest = dict(state["highest"])
        yield from self.pending.loading(state["pending"], blocks)
        for name, label, correction in state["early"]:
            s = self.admit(name)
            first = Label(*label)
            later = None if correction is None else Label(*correction)
            s.early[first.prediction_id] = Early(first, first.ts + s.horizon_ms, later)
            self._early_order.append((s, first))
            self._mark(first.prediction_id)
            self._early_count += 1
        for name, pid, forget_ts in state["expired"]:
            s = self.admit(name)
            s.expired[pid] = forget_ts
            self._mark(pid)
            self._expired_order.append((s, pid))
        self.remembered.corrected = dict(state["corrected"])
        for rows in remembered:
            self.remembered.extend(self._matched(rows))
            yield
        self.next_seq = state["next_seq"]

    def _matched(self, rows: Recalled) -> Matched:
        numbers = self._numbers(rows.streams)
        return Matched(
            *(numbers, rows.prediction_ids, np.array(rows.seqs, np.int64), rows.labels, rows.predictions),
            *(rows.scores, rows.versions, rows.roles, rows.weights),
            np.array(rows.tss, np.int64) + self._kept[numbers],
        )

"""Predictions meet labels, once each.

    state of an id              prediction comes       label comes              watermark passes
    --------------              ----------------       -----------              ----------------
    unknown                     → pending              → early                  -
    early (label first)         → outcome              same: duplicate          horizon: orphan
                                                       other: will correct
    pending (prediction first)  duplicate              → outcome                horizon: expired, or an
                                                                                outcome (`expired_label`)
    remembered (has an outcome) duplicate              same: duplicate          horizon + grace: forgotten
                                                       other: correction
    expired (has none)          duplicate              late                     horizon + grace: forgotten

Every bound forgets the oldest first and counts it. Event time is the watermark: the slower of predictions
and labels; a topic counts as idle only when its reader says that it was read to its end.

Remembered ids need no state of their own: they are the newest `outcomes`, so a restore reads them back
from there (`remember`), beginning with `remembered_from`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

from driftbus.core.block import CLOCK_SKEW_MS, Block, Run
from driftbus.core.encode import prediction_fragment
from driftbus.core.pending import PendingStore
from driftbus.core.records import Correction, Json, Label, Outcome, Prediction
from driftbus.core.settings import Limits, StreamSettings

FOREVER = 1 << 62

# A row's own constructor is a Python function; this one saves 0.2 µs a record.
_new = tuple.__new__


class Remembered(NamedTuple):
    """What a matched id is remembered by: enough for its correction to put the metrics right."""

    seq: int
    label: Json
    prediction: Json
    score: Any
    model_version: str | None
    role: str
    weight: float | None
    forget_ts: int


class Early(NamedTuple):
    """A label that came before its prediction, and the newest one after it, if that is another."""

    label: Label
    expiry: int
    correction: Label | None


class StreamJoin:
    """One stream's ids. `block` collects what the running step brings to the stream."""

    __slots__ = (
        "block",
        "early",
        "expired",
        "horizon_ms",
        "kept_ms",
        "name",
        "pending",
        "policy",
        "remembered",
        "sample",
    )

    def __init__(self, name: str, settings: StreamSettings) -> None:
        self.name = name
        self.rule(settings)
        self.pending: dict[str, int] = {}
        self.remembered: dict[str, Remembered] = {}
        self.early: dict[str, Early] = {}
        self.expired: dict[str, int] = {}
        self.block: Block | None = None

    def rule(self, settings: StreamSettings) -> None:
        """Take the rules for what comes from now on."""
        self.policy = settings.join
        self.horizon_ms = self.policy.horizon_ms
        self.kept_ms = self.policy.horizon_ms + self.policy.grace_ms
        self.sample = settings.sample if settings.sample < 1.0 else None


class Join:
    """The join of one partition. `next_seq` is the `seq` of the next outcome."""

    def __init__(self, settings_of: Callable[[str], StreamSettings], limits: Limits) -> None:
        self._settings_of = settings_of
        self._limits = limits
        self._streams: dict[str, StreamJoin] = {}
        self._touched: list[StreamJoin] = []
        self._order: deque[tuple[StreamJoin, str]] = deque()
        self._early_order: deque[tuple[StreamJoin, str]] = deque()
        self._expired_order: deque[tuple[StreamJoin, str]] = deque()
        self.pending = PendingStore()
        self.next_seq = 0
        self.watermark = 0
        self.rejected: list[int] = []
        self.unmatched: list[tuple[Label, str]] = []
        self._highest = {"predictions": 0, "labels": 0}
        self._early_count = 0
        self._corrected: dict[int, Json] = {}
        # No early, remembered or expired id is due before the watermark reaches this (it may well be later).
        self._wake = 0

    # -- one step ------------------------------------------------------------------------------------

    def step(self, runs: Iterable[Run], idle: frozenset[str], tick_ms: int | None) -> dict[str, Block]:
        """Fold the runs in order; the touched streams' blocks.

        `rejected` then holds the offsets of the predictions that were not accepted, `unmatched` the labels
        whose stream wants them in the dead letters, with the reason.
        """
        self.rejected, self.unmatched = [], []
        pos = 0
        if "predictions" in idle and "labels" in idle and tick_ms is not None:
            self._advance(max(self.watermark, tick_ms), -1)
        for run in runs:
            if run.topic == "predictions":
                self._predictions(run, pos, "labels" in idle)
            elif run.topic == "labels":
                self._labels(run, pos, "predictions" in idle)
            else:
                self._model_events(run, pos)
            pos += len(run.events)
        blocks = {s.name: s.block for s in self._touched if s.block is not None}
        for s in self._touched:
            s.block = None
        self._touched.clear()
        return blocks

    def _predictions(self, run: Run, pos: int, others_idle: bool) -> None:
        streams, store, limit = self._streams, self.pending, self._limits.max_pending
        highest = self._highest["predictions"]
        other = FOREVER if others_idle else self._highest["labels"]
        for p, offset, time in zip(run.events, run.offsets, run.times, strict=True):
            pid, ts = p.prediction_id, p.ts
            seen = ts if ts <= time + CLOCK_SKEW_MS else time + CLOCK_SKEW_MS
            if seen > highest:
                highest = seen
                if (seen if seen <= other else other) > self.watermark:
                    self._reach(seen if seen <= other else other, pos)
            s = streams.get(p.stream) or self.admit(p.stream)
            block = s.block or self._touch(s)
            if s.sample is not None and not sampled(pid, s.sample):
                block.count("sampled_out")
                self.rejected.append(offset)
            elif pid in s.pending or pid in s.remembered or pid in s.expired:
                block.count("duplicate_prediction")
                self.rejected.append(offset)
            else:
                early = s.early.pop(pid, None) if s.early else None
                if early is None:
                    if store.alive >= limit:
                        self._evict_pending()
                    s.pending[pid] = store.add(p, ts + s.horizon_ms)
                    block.predictions.append(p)
                else:
                    self._early_count -= 1
                    self._wake = 0  # it may have been the first to fall due
                    self._complete(s, block, p, early.label, "event", pos)
                    block.predictions.append(p)
                    if early.correction is not None:
                        self._correct(s, block, early.correction, s.remembered[pid], pos)
                block.prediction_pos.append(pos)
                block.prediction_offsets.append(offset)
            pos += 1
        self._highest["predictions"] = highest

    def _labels(self, run: Run, pos: int, others_idle: bool) -> None:
        streams, take, order = self._streams, self.pending.take, self._order
        most = self._limits.max_remembered
        highest = self._highest["labels"]
        other = FOREVER if others_idle else self._highest["predictions"]
        for label, time in zip(run.events, run.times, strict=True):
            pid, name, ts, y, signals = label
            seen = ts if ts <= time + CLOCK_SKEW_MS else time + CLOCK_SKEW_MS
            if seen > highest:
                highest = seen
                if (seen if seen <= other else other) > self.watermark:
                    self._reach(seen if seen <= other else other, pos)
            s = streams.get(name) or self.admit(name)
            block = s.block or self._touch(s)
            if ts > block.last_label_ts:
                block.last_label_ts = ts
            if s.sample is not None and not sampled(pid, s.sample):
                pos += 1
                continue
            code = s.pending.pop(pid, None)
            if code is None:
                self._unmatched(s, block, label, pos)
            elif signals:
                self._complete(s, block, take(code), label, "event", pos)
            else:
                # What `_complete` does, spelled out for the usual case: its calls cost 0.4 µs.
                p = take(code)
                seq = self.next_seq
                self.next_seq = seq + 1
                block.outcomes.append(_new(Outcome, (seq, p, y, ts, "event")))
                block.outcome_pos.append(pos)
                forget_ts = p.ts + s.kept_ms
                s.remembered[pid] = _new(
                    Remembered,
                    (seq, y, p.prediction, p.score, p.model_version, p.role, p.weight, forget_ts),
                )
                order.append((s, pid))
                if forget_ts < self._wake:
                    self._wake = forget_ts
                if len(order) > most:
                    self._forget_remembered()
            pos += 1
        self._highest["labels"] = highest

    def _model_events(self, run: Run, pos: int) -> None:
        for event in run.events:
            s = self._streams.get(event.stream) or self.admit(event.stream)
            (s.block or self._touch(s)).model_events.append((pos, event))
            pos += 1

    def _touch(self, s: StreamJoin) -> Block:
        s.block = block = Block()
        self._touched.append(s)
        return block

    def admit(self, name: str) -> StreamJoin:
        """The join's part of a stream, made when it is first seen."""
        s = self._streams.get(name)
        if s is None:
            s = self._streams[name] = StreamJoin(name, self._settings_of(name))
        return s

    # -- fates ---------------------------------------------------------------------------------------

    def _complete(
        self, s: StreamJoin, block: Block, p: Prediction, label: Label, source: str, pos: int
    ) -> None:
        if label.signals:
            p = with_signals(p, label.signals)
        seq = self.next_seq
        self.next_seq = seq + 1
        block.outcomes.append(Outcome(seq, p, label.label, label.ts, source))
        block.outcome_pos.append(pos)
        self._remember(s, p, seq, label.label)

    def _remember(self, s: StreamJoin, p: Prediction, seq: int, label: Json) -> None:
        forget_ts = p.ts + s.kept_ms
        s.remembered[p.prediction_id] = Remembered(
            seq, label, p.prediction, p.score, p.model_version, p.role, p.weight, forget_ts
        )
        self._order.append((s, p.prediction_id))
        self._wake = min(self._wake, forget_ts)
        if len(self._order) > self._limits.max_remembered:
            self._forget_remembered()

    def _forget_remembered(self) -> None:
        s, pid = self._order.popleft()
        known = s.remembered.pop(pid)
        if self._corrected:
            self._corrected.pop(known.seq, None)
        if self._order:
            s, pid = self._order[0]
            self._wake = min(self._wake, s.remembered[pid].forget_ts)

    def _unmatched(self, s: StreamJoin, block: Block, label: Label, pos: int) -> None:
        pid = label.prediction_id
        known = s.remembered.get(pid)
        if known is not None:
            if label.label is None or same_class(label.label, known.label):
                block.count("duplicate")
            elif label.ts > known.forget_ts:
                self._give_up(s, block, label, "late")
            else:
                self._correct(s, block, label, known, pos)
        elif pid in s.expired:
            self._give_up(s, block, label, "late")
        elif pid in s.early:
            early = s.early[pid]
            newest = early.correction or early.label
            if label.label is None or same_class(label.label, newest.label):
                block.count("duplicate")
            elif same_class(label.label, early.label.label):
                s.early[pid] = early._replace(correction=None)  # taken back
            else:
                s.early[pid] = early._replace(correction=label)
        else:
            while self._early_count >= self._limits.max_early_labels:
                self._forget_early()
            s.early[pid] = Early(label, label.ts + s.horizon_ms, None)
            self._early_order.append((s, pid))
            self._wake = min(self._wake, label.ts + s.horizon_ms)
            self._early_count += 1
            if len(self._early_order) > 2 * self._early_count + 1024:
                # Those that met their prediction leave the queue when they are the larger part of it.
                self._early_order = deque(e for e in self._early_order if e[1] in e[0].early)

    def _correct(self, s: StreamJoin, block: Block, label: Label, known: Remembered, pos: int) -> None:
        correction = Correction(
            label.prediction_id,
            s.name,
            known.seq,
            label.ts,
            known.label,
            label.label,
            known.prediction,
            known.score,
            known.model_version,
            known.role,
            known.weight,
        )
        block.corrections.append((pos, correction))
        s.remembered[label.prediction_id] = known._replace(label=label.label)
        self._corrected[known.seq] = label.label

    # -- event time ----------------------------------------------------------------------------------

    def _reach(self, watermark: int, pos: int) -> None:
        """The watermark rises to `watermark` with the record at `pos`."""
        if watermark >= self._wake or watermark >= self.pending.next_expiry:
            self._advance(watermark, pos)
        else:
            self.watermark = watermark

    def _advance(self, watermark: int, pos: int) -> None:
        """The same, and whatever falls due by it."""
        self.watermark = watermark
        if watermark >= self.pending.next_expiry:
            for p in self.pending.expire(watermark):
                self._expire(p, pos)
        wake = FOREVER
        while self._early_order:
            s, pid = self._early_order[0]
            early = s.early.get(pid)
            if early is not None and early.expiry > watermark:
                wake = early.expiry
                break
            self._forget_early()
        while self._order:
            s, pid = self._order[0]
            forget_ts = s.remembered[pid].forget_ts
            if forget_ts > watermark:
                wake = min(wake, forget_ts)
                break
            self._forget_remembered()
        while self._expired_order:
            s, pid = self._expired_order[0]
            if s.expired[pid] > watermark:
                wake = min(wake, s.expired[pid])
                break
            self._expired_order.popleft()
            del s.expired[pid]
        self._wake = wake

    def _expire(self, p: Prediction, pos: int) -> None:
        s = self._streams[p.stream]
        del s.pending[p.prediction_id]
        block = s.block or self._touch(s)
        expired_label = s.policy.expired_label
        if expired_label is not None:
            label = Label(p.prediction_id, p.stream, p.ts + s.horizon_ms, expired_label, None)
            self._complete(s, block, p, label, "expired", pos)
            return
        block.count("expired")
        s.expired[p.prediction_id] = p.ts + s.kept_ms
        self._expired_order.append((s, p.prediction_id))
        self._wake = 0
        if len(self._expired_order) > self._limits.max_remembered:
            old, pid = self._expired_order.popleft()
            del old.expired[pid]

    def _forget_early(self) -> None:
        """Drop the oldest early label: nobody will predict it any more, or there is no room."""
        s, pid = self._early_order.popleft()
        early = s.early.pop(pid, None)
        self._wake = 0  # the next one may fall due before it
        if early is not None:
            self._early_count -= 1
            self._give_up(s, s.block or self._touch(s), early.label, "orphan")

    def _give_up(self, s: StreamJoin, block: Block, label: Label, reason: str) -> None:
        block.count(reason)
        if s.policy.dead_letter_unmatched:
            self.unmatched.append((label, reason))

    def _evict_pending(self) -> None:
        p = self.pending.evict_oldest()
        s = self._streams[p.stream]
        del s.pending[p.prediction_id]
        (s.block or self._touch(s)).count("evicted")

    def take_over(self, settings_of: Callable[[str], StreamSettings], limits: Limits) -> None:
        """Go on under other rules, as if what is held had come under them. Bounds that shrank are kept to by
        what comes from now on."""
        self._settings_of, self._limits = settings_of, limits
        for s in self._streams.values():
            kept_ms = s.kept_ms
            s.rule(settings_of(s.name))
            for pid, known in s.remembered.items():
                forget_ts = known.forget_ts - kept_ms + s.kept_ms
                s.remembered[pid] = known._replace(forget_ts=forget_ts)
            for pid, early in s.early.items():
                s.early[pid] = early._replace(expiry=early.label.ts + s.horizon_ms)
        self.pending.reschedule(self._expiry)
        self._wake = 0

    # -- state ---------------------------------------------------------------------------------------

    @property
    def remembered_from(self) -> int:
        """`seq` of the oldest outcome still remembered."""
        if not self._order:
            return self.next_seq
        s, pid = self._order[0]
        return s.remembered[pid].seq

    def sizes(self) -> dict[str, int]:
        """How many are held, per bound."""
        return {
            "max_pending": len(self.pending),
            "max_early_labels": self._early_count,
            "max_remembered": len(self._order),
        }

    def highest(self, topic: str) -> int:
        """The newest event time read from a topic (`predictions` or `labels`)."""
        return self._highest[topic]

    def compact(self) -> tuple[dict[int, list[bytes]], list[int]]:
        """Before `dump`: the blocks to write (number → rows), and those to delete."""
        blocks, dropped, moved = self.pending.compact()
        for name, pid, code in moved:
            self._streams[name].pending[pid] = code
        return blocks, dropped

    def dump(self) -> dict[str, Any]:
        """Everything but pending rows (their blocks are written apart) and remembered outcomes."""
        early = ((s, s.early.get(pid)) for s, pid in self._early_order)
        return {
            "next_seq": self.next_seq,
            "watermark": self.watermark,
            "highest": self._highest,
            "remembered_from": self.remembered_from,
            "corrected": [[seq, label] for seq, label in self._corrected.items()],
            "early": [
                [s.name, list(e.label), None if e.correction is None else list(e.correction)]
                for s, e in early
                if e is not None
            ],
            "expired": [[s.name, pid, s.expired[pid]] for s, pid in self._expired_order],
            "pending": self.pending.dump(),
        }

    def load(
        self, state: dict[str, Any], blocks: dict[int, list[bytes]], remembered: Iterable[Outcome]
    ) -> None:
        """Take over a dumped state; `remembered` are the outcomes from `remembered_from` to `next_seq`."""
        self.watermark = state["watermark"]
        self._highest = dict(state["highest"])
        for row, code in self.pending.load(state["pending"], blocks, self._expiry):
            self.admit(row.stream).pending[row.prediction_id] = code
        for name, label, correction in state["early"]:
            s = self.admit(name)
            first = Label(*label)
            later = None if correction is None else Label(*correction)
            s.early[first.prediction_id] = Early(first, first.ts + s.horizon_ms, later)
            self._early_order.append((s, first.prediction_id))
            self._early_count += 1
        for name, pid, forget_ts in state["expired"]:
            s = self.admit(name)
            s.expired[pid] = forget_ts
            self._expired_order.append((s, pid))
        corrected = dict(state["corrected"])
        for outcome in remembered:
            p, seq = outcome.prediction, outcome.seq
            label = corrected.get(seq, outcome.label) if corrected else outcome.label
            self._remember(self.admit(p.stream), p, seq, label)
        self._corrected = corrected
        self.next_seq = state["next_seq"]

    def _expiry(self, stream: str, ts: int) -> int:
        return ts + self.admit(stream).horizon_ms


def sampled(prediction_id: str, share: float) -> bool:
    """Whether an id belongs to the kept share: by a hash, so that both events of a pair share their fate."""
    digest = blake2b(prediction_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def same_class(a: Json, b: Json) -> bool:
    """Contract: `true`, `1` and `1.0` are the same class, `"1"` is another: Python's own equality."""
    return bool(a == b)


def with_signals(p: Prediction, signals: dict[str, float]) -> Prediction:
    """The prediction with the signals that came with its label."""
    merged = {**(p.signals or {}), **signals}
    return p._replace(
        signals=merged,
        fragment=prediction_fragment(*p[:9], merged, p.weight),
    )

"""What becomes of an id, one record at a time.

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

Every bound forgets the oldest first and counts it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from driftbus.core.block import Block
from driftbus.core.encode import prediction_fragment
from driftbus.core.pending import PendingStore
from driftbus.core.records import Correction, Json, Label, Outcome, Prediction
from driftbus.core.remembered import Known, RememberedIds
from driftbus.core.settings import Limits, StreamSettings

FOREVER = 1 << 62


class Early(NamedTuple):
    """A label that came before its prediction, and the newest one after it, if that is another."""

    label: Label
    expiry: int
    correction: Label | None


class StreamJoin:
    """One stream's rules and ids. `block` collects what the running step brings to the stream."""

    __slots__ = (
        *("block", "early", "expired", "horizon_ms", "kept_ms", "name", "number", "policy", "sample"),
    )

    def __init__(self, name: str, number: int, settings: StreamSettings) -> None:
        self.name = name
        self.number = number
        self.rule(settings)
        self.early: dict[str, Early] = {}
        self.expired: dict[str, int] = {}
        self.block: Block | None = None

    def rule(self, settings: StreamSettings) -> None:
        """Take the rules for what comes from now on."""
        self.policy = settings.join
        self.horizon_ms = self.policy.horizon_ms
        self.kept_ms = self.policy.horizon_ms + self.policy.grace_ms
        self.sample = settings.sample if settings.sample < 1.0 else None


class Fates:
    """The ids of one partition. `next_seq` is the `seq` of the next outcome."""

    def __init__(self, settings_of: Callable[[str], StreamSettings], limits: Limits) -> None:
        self._settings_of = settings_of
        self._limits = limits
        self._streams: dict[str, StreamJoin] = {}
        self._numbered: list[StreamJoin] = []
        # How many early and expired ids are called so, in all streams: most predictions are neither.
        self._marked: dict[str, int] = {}
        self._touched: list[StreamJoin] = []
        self._early_order: deque[tuple[StreamJoin, Label]] = deque()
        self._expired_order: deque[tuple[StreamJoin, str]] = deque()
        self._early_count = 0
        self.pending = PendingStore(self._expiry)
        self.remembered = RememberedIds(limits.max_remembered)
        self.next_seq = 0
        self.watermark = 0
        self.rejected: list[int] = []
        self.unmatched: list[tuple[Label, str]] = []
        # No early or expired id is due before the watermark reaches this (it may well be later).
        self._wake = 0

    def admit(self, name: str) -> StreamJoin:
        """The join's part of a stream, made when it is first seen."""
        s = self._streams.get(name)
        if s is None:
            s = self._streams[name] = StreamJoin(name, len(self._numbered), self._settings_of(name))
            self._numbered.append(s)
        return s

    def _mark(self, prediction_id: str) -> None:
        self._marked[prediction_id] = self._marked.get(prediction_id, 0) + 1

    def _unmark(self, prediction_id: str) -> None:
        if self._marked[prediction_id] == 1:
            del self._marked[prediction_id]
        else:
            self._marked[prediction_id] -= 1

    def _expiry(self, stream: str, ts: int) -> int:
        return ts + self.admit(stream).horizon_ms

    def _touch(self, s: StreamJoin) -> Block:
        s.block = block = Block()
        self._touched.append(s)
        return block

    # -- one record ----------------------------------------------------------------------------------

    def _prediction(self, s: StreamJoin, block: Block, p: Prediction, pos: int, offset: int) -> bool:
        """One prediction; whether it waits now (the store is still to be told)."""
        pid = p.prediction_id
        if s.sample is not None and not sampled(pid, s.sample):
            block.count("sampled_out")
            self.rejected.append(offset)
            return False
        if self._is_known(s, pid):
            block.count("duplicate_prediction")
            self.rejected.append(offset)
            return False
        early = s.early.pop(pid, None) if s.early else None
        if early is not None:
            self._unmark(pid)
            self._early_count -= 1
            self._wake = 0  # it may have been the first to fall due
            self._complete(s, block, p, early.label, "event", pos)
            if early.correction is not None:
                known = self._recall(s, pid, self.next_seq)
                if known is not None:
                    self._correct(s, block, early.correction, known, pos)
        else:
            self.pending.put(p)
        block.predictions.append(p)
        block.prediction_pos.append(pos)
        block.prediction_offsets.append(offset)
        return early is None

    def _is_known(self, s: StreamJoin, prediction_id: str) -> bool:
        """Whether there was such a prediction."""
        return (
            prediction_id in s.expired
            or self.pending.holds(s.name, prediction_id)
            or self._recall(s, prediction_id, self.next_seq) is not None
        )

    def _label(self, s: StreamJoin, block: Block, label: Label, pos: int) -> None:
        pid = label.prediction_id
        if s.sample is not None and not sampled(pid, s.sample):
            return
        p = self.pending.take(s.name, pid)
        if p is None:
            self._unmatched(s, block, label, pos, self.next_seq)
        else:
            self._complete(s, block, p, label, "event", pos)

    def _recall(self, s: StreamJoin, prediction_id: str, next_seq: int) -> Known | None:
        return self.remembered.find(s.number, prediction_id, next_seq, self.watermark)

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
        known = Known(
            *(seq, label, p.prediction, p.score, p.model_version, p.role, p.weight, p.ts + s.kept_ms)
        )
        self.remembered.note(s.number, p.prediction_id, known)

    def _unmatched(self, s: StreamJoin, block: Block, label: Label, pos: int, next_seq: int) -> None:
        """A label whose prediction does not wait, the next outcome being `next_seq`."""
        pid = label.prediction_id
        known = self._recall(s, pid, next_seq)
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
            self._mark(pid)
            self._early_order.append((s, label))
            self._wake = min(self._wake, label.ts + s.horizon_ms)
            self._early_count += 1
            if len(self._early_order) > 2 * self._early_count + 1024:
                # Those that met their prediction leave the queue when they are the larger part of it.
                self._early_order = deque(e for e in self._early_order if self._early(*e) is not None)

    def _correct(self, s: StreamJoin, block: Block, label: Label, known: Known, pos: int) -> None:
        correction = Correction(
            *(label.prediction_id, s.name, known.seq, label.ts, known.label, label.label),
            *(known.prediction, known.score, known.model_version, known.role, known.weight),
        )
        block.corrections.append((pos, correction))
        self.remembered.corrected[known.seq] = label.label

    # -- event time ----------------------------------------------------------------------------------

    def _reach(self, watermark: int, pos: int) -> None:
        """The watermark rises to `watermark` with the record at `pos`."""
        if watermark >= self.pending.next_expiry:
            for p in self.pending.expire(watermark):
                self._expire(p, pos)
        self._forget_until(watermark)

    def _forget_until(self, watermark: int) -> None:
        """The same, for ids that do not wait."""
        self.watermark = watermark
        if watermark < self._wake:
            return
        wake = FOREVER
        while self._early_order:
            early = self._early(*self._early_order[0])
            if early is not None and early.expiry > watermark:
                wake = early.expiry
                break
            self._forget_early()
        while self._expired_order:
            s, pid = self._expired_order[0]
            if s.expired[pid] > watermark:
                wake = min(wake, s.expired[pid])
                break
            self._expired_order.popleft()
            del s.expired[pid]
            self._unmark(pid)
        self._wake = wake

    def _expire(self, p: Prediction, pos: int) -> None:
        """A prediction that no longer waits got no label within its horizon."""
        s = self._streams[p.stream]
        block = s.block or self._touch(s)
        expired_label = s.policy.expired_label
        if expired_label is not None:
            label = Label(p.prediction_id, p.stream, p.ts + s.horizon_ms, expired_label, None)
            self._complete(s, block, p, label, "expired", pos)
            return
        block.count("expired")
        s.expired[p.prediction_id] = p.ts + s.kept_ms
        self._mark(p.prediction_id)
        self._expired_order.append((s, p.prediction_id))
        self._wake = 0
        if len(self._expired_order) > self._limits.max_remembered:
            old, pid = self._expired_order.popleft()
            del old.expired[pid]
            self._unmark(pid)

    def _forget_early(self) -> None:
        """Drop the oldest early label: nobody will predict it any more, or there is no room."""
        s, label = self._early_order.popleft()
        early = self._early(s, label)
        self._wake = 0  # the next one may fall due before it
        if early is not None:
            del s.early[label.prediction_id]
            self._unmark(label.prediction_id)
            self._early_count -= 1
            self._give_up(s, s.block or self._touch(s), label, "orphan")

    @staticmethod
    def _early(s: StreamJoin, label: Label) -> Early | None:
        """What is known of an early label; None where it has met its prediction."""
        early = s.early.get(label.prediction_id)
        return early if early is not None and early.label is label else None

    def _give_up(self, s: StreamJoin, block: Block, label: Label, reason: str) -> None:
        block.count(reason)
        if s.policy.dead_letter_unmatched:
            self.unmatched.append((label, reason))

    def _make_room(self) -> None:
        """Evict the predictions that wait longest until one more has room."""
        while self.pending.alive >= self._limits.max_pending:
            s = self._streams[self.pending.evict_oldest().stream]
            (s.block or self._touch(s)).count("evicted")


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

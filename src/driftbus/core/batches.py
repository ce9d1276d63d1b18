"""A run of the join at once: what is plain in passes at C speed, the rest one by one.

Ids do not see each other, so order counts within an id alone. What couples them is taken care of here: event
time (`Rise` knows the watermark at every record), the order of `seq` (that of the records that complete
outcomes), and the bounds (a run that would reach `max_pending` goes one by one).

Passes go over the records as they came: rows that were decoded one after another lie so in memory, and going
through them by stream costs two to four times as much (measured: 130 ns instead of 33 to find a prediction).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from operator import eq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftbus.core.block import Run
from driftbus.core.fates import Fates, sampled, with_signals
from driftbus.core.ids import hashes_of
from driftbus.core.records import Json, Outcome, Prediction
from driftbus.core.remembered import Matched
from driftbus.core.run_columns import Groups, Numbers, Rise

# A row's own constructor is a Python function.
_outcome = partial(tuple.__new__, Outcome)
_PLAIN = {Prediction}


class Batches(Fates):
    """Runs of predictions and of labels."""

    def __init__(self, *rules: Any) -> None:
        super().__init__(*rules)
        self._highest = {"predictions": 0, "labels": 0}
        self._rules_changed()

    def _rules_changed(self) -> None:
        self._number_of = {s.name: s.number for s in self._numbered}
        self._horizons = np.array([s.horizon_ms for s in self._numbered], np.int64)
        self._kept = np.array([s.kept_ms for s in self._numbered], np.int64)
        self._some_are_sampled = any(s.sample is not None for s in self._numbered)

    def _numbers(self, names: Sequence[str]) -> Numbers:
        """The streams of rows, by number."""
        try:
            return np.fromiter(map(self._number_of.__getitem__, names), np.int64, len(names))
        except KeyError:
            for name in dict.fromkeys(names):
                self.admit(name)
            self._rules_changed()
            return self._numbers(names)

    def _due(self, rise: Rise) -> list[tuple[int, Prediction]]:
        """What expires during a run, in order, with the index of the record by which it does."""
        if rise.end == rise.start or rise.end < self.pending.next_expiry:
            return []
        return [(rise.reaches(self._expiry(p.stream, p.ts)), p) for p in self.pending.expire(rise.end)]

    def _rise_to(self, watermark: int) -> None:
        """What falls due of ids that do not wait, if the watermark rises: only then are they looked at."""
        if watermark > self.watermark:
            self._forget_until(watermark)

    # -- predictions ---------------------------------------------------------------------------------

    def _predictions_together(self, run: Run, pos: int, other: int) -> bool:
        """False, and nothing done, where the run is to go one by one. `other`: how far the labels are."""
        events, store = run.events, self.pending
        tss = np.array([p[2] for p in events], np.int64)
        rise = Rise(tss, run.times, self.watermark, self._highest["predictions"], other)
        numbers = self._numbers([p[1] for p in events])
        soonest = int((tss + self._horizons[numbers]).min())
        if store.alive + len(events) > self._limits.max_pending or soonest <= rise.end:
            return False
        self._highest["predictions"] = rise.highest
        ids = [p[0] for p in events]
        hashes = hashes_of(ids)
        self.remembered.settle()
        perhaps = self.remembered.perhaps(hashes) | store.packed(hashes)
        fresh = dict(zip(ids, events, strict=True))
        odd: list[int] = []
        out: list[int] = []
        if (
            len(fresh) == len(events)
            and not self._some_are_sampled
            and not store.apart
            and store.shared.keys().isdisjoint(fresh.keys())
            and self._marked.keys().isdisjoint(fresh.keys())
            and not perhaps.any()
        ):
            store.shared.update(fresh)
        else:
            self._sort_out(events, numbers, perhaps, odd, out)
        due = self._due(rise)
        if not odd and not out:
            self._lay(run, pos, numbers, None)
            for until, p in due:
                self._expire(p, pos + until)
            accepted = events
        else:
            gone = {*odd, *out}
            self._lay(run, pos, numbers, [i for i in range(len(events)) if i not in gone])
            for i in out:
                s = self._numbered[numbers[i]]
                (s.block or self._touch(s)).count("sampled_out")
                self.rejected.append(run.offsets[i])
            gone.difference_update(self._odd_predictions(run, pos, rise, odd, due))
            self.rejected.sort()
            accepted = [p for i, p in enumerate(events) if i not in gone]
        self._rise_to(rise.end)
        if accepted:
            store.extend(accepted, soonest)
        return True

    def _sort_out(
        self,
        events: Sequence[Prediction],
        numbers: Numbers,
        perhaps: NDArray[np.bool_],
        odd: list[int],
        out: list[int],
    ) -> None:
        """Let wait whatever is surely unknown; the rest are `odd`, or `out` of their stream's sample."""
        store, marked = self.pending, self._marked
        for i, (p, number, known) in enumerate(zip(events, numbers.tolist(), perhaps.tolist(), strict=True)):
            pid = p.prediction_id
            s = self._numbered[number]
            if s.sample is not None and not sampled(pid, s.sample):
                out.append(i)
                continue
            young = store.young(p.stream)
            if known or pid in marked or pid in young:
                odd.append(i)
            else:
                young[pid] = p

    def _lay(self, run: Run, pos: int, numbers: Numbers, kept: list[int] | None) -> None:
        """Put predictions into their streams' blocks; of all records, or of some."""
        events, offsets = run.events, np.array(run.offsets, np.int64)
        if kept is not None:
            events, offsets, numbers = [events[i] for i in kept], offsets[kept], numbers[kept]
        groups = Groups(numbers, self._numbered)
        order = groups.order
        rows = [events[i] for i in order.tolist()]
        places = (order if kept is None else np.array(kept, np.int64)[order]) + pos
        at, where = places.tolist(), offsets[order].tolist()
        for s, start, stop in zip(groups.streams, groups.bounds, groups.bounds[1:], strict=False):
            block = s.block or self._touch(s)
            block.predictions += rows[start:stop]
            block.prediction_pos += at[start:stop]
            block.prediction_offsets += where[start:stop]

    def _odd_predictions(
        self, run: Run, pos: int, rise: Rise, odd: list[int], due: list[tuple[int, Prediction]]
    ) -> list[int]:
        """Records that are not plain, and what falls due, in order; which of the records wait now."""
        waits_until = {(p.stream, p.prediction_id): index for index, p in due}
        late = []
        done = 0
        touched = set()
        for index in (*odd, len(run.events)):
            while done < len(due) and due[done][0] <= index:
                self._expire(due[done][1], pos + due[done][0])
                done += 1
            if index == len(run.events):
                break
            self._rise_to(rise.at(index))
            event = run.events[index]
            s = self._streams[event.stream]
            block = s.block or self._touch(s)
            touched.add(s)
            if waits_until.get((event.stream, event.prediction_id), 0) > index:
                block.count("duplicate_prediction")
                self.rejected.append(run.offsets[index])
            elif self._prediction(s, block, event, pos + index, run.offsets[index]):
                late.append(index)
        for s in touched:
            if s.block is not None:
                s.block.in_order()
        return late

    # -- labels --------------------------------------------------------------------------------------

    def _labels_together(self, run: Run, pos: int, other: int) -> None:
        """`other`: how far the predictions are."""
        ids, names, tss, said, signals = zip(*run.events, strict=True)
        numbers = self._numbers(names)
        times = np.array(tss, np.int64)
        rise = Rise(times, run.times, self.watermark, self._highest["labels"], other)
        self._highest["labels"] = rise.highest
        found: list[Any] = list(map(self.pending.shared.pop, ids, repeat(None)))
        all_met = set(map(type, found)) == _PLAIN and all(map(eq, names, [p[1] for p in found]))
        if all_met:
            self.pending.alive -= len(found)
        else:
            self._match_others(ids, names, found)
        due = self._due_of_labels(rise, found)
        if any(signals):
            for i, given in enumerate(signals):
                if given and found[i] is not None:
                    found[i] = with_signals(found[i], given)
        groups = self._touch_all(numbers, rise.seen)
        odd = [] if all_met and not due else [i for i, row in enumerate(found) if row is None]
        expiring = [(i, p) for i, p in due if self._streams[p.stream].policy.expired_label is not None]
        first = self.next_seq
        if odd or expiring:
            places = np.array([i for i, row in enumerate(found) if row is not None], np.int64)
            kept, ends = places.tolist(), np.array([i for i, _ in expiring], np.int64)
            seqs = np.arange(len(kept)) + np.searchsorted(ends, places, "right") + first
            rows, labels, label_tss = ([column[i] for i in kept] for column in (found, said, tss))
            numbers = numbers[places]
            groups = Groups(numbers, self._numbered)
            self._complete_all(rows, labels, label_tss, seqs, places + pos, numbers, groups)
            before = np.searchsorted(places, ends).tolist()
            self._complete_expired(expiring, [first + k + n for k, n in enumerate(before)], pos)
            completed = sorted([*places.tolist(), *ends.tolist()])
            self._odd_labels(run, pos, rise, odd, due, completed)
        else:
            seqs = np.arange(first, first + len(found))
            self._complete_all(found, said, tss, seqs, seqs - first + pos, numbers, groups)
            for until, p in due:
                self._expire(p, pos + until)
        self._rise_to(rise.end)

    def _touch_all(self, numbers: Numbers, times: Numbers) -> Groups:
        """A block for each stream of a run of labels, with its newest time; the run by stream."""
        groups = Groups(numbers, self._numbered)
        newest = np.maximum.reduceat(times[groups.order], groups.bounds[:-1]).tolist()
        for s, ts in zip(groups.streams, newest, strict=True):
            block = s.block or self._touch(s)
            block.last_label_ts = max(block.last_label_ts, ts)
        return groups

    def _match_others(self, ids: Sequence[str], names: Sequence[str], found: list[Any]) -> None:
        """Find what waits elsewhere, is packed, or was taken for another stream's label."""
        store = self.pending
        for i, row in enumerate(found):
            if row is not None and row.stream != names[i]:
                store.shared[ids[i]] = row
                found[i] = None
        missing = [i for i, row in enumerate(found) if row is None]
        store.alive -= len(found) - len(missing)
        packed = store.packed(hashes_of([ids[i] for i in missing])).tolist()
        for i, is_packed in zip(missing, packed, strict=True):
            if is_packed or ids[i] in store.young(names[i]):
                found[i] = store.take(names[i], ids[i])

    def _due_of_labels(self, rise: Rise, found: list[Any]) -> list[tuple[int, Prediction]]:
        """What expires during a run of labels, in order; taken out of `found` where its label came later."""
        if rise.end == rise.start or rise.end < self.pending.next_expiry:
            return []
        due = []
        for i, p in enumerate(found):
            if p is not None:
                expiry = p.ts + self._streams[p.stream].horizon_ms
                if expiry <= rise.end and rise.reaches(expiry) <= i:
                    due.append((rise.reaches(expiry), p))
                    found[i] = None
        due += self._due(rise)
        due.sort(key=lambda row: (self._expiry(row[1].stream, row[1].ts), *row[1][1::-1]))
        return due

    def _complete_all(
        self,
        rows: list[Prediction],
        labels: Sequence[Json],
        label_tss: Sequence[int],
        seqs: Numbers,
        places: Numbers,
        numbers: Numbers,
        groups: Groups,
    ) -> None:
        """Outcomes of matched rows, in order of `seq`; `places` are their positions in the step."""
        if not rows:
            return
        made = list(map(_outcome, zip(seqs.tolist(), rows, labels, label_tss, repeat("event"), strict=False)))
        outcomes, at = [made[i] for i in groups.order.tolist()], places[groups.order].tolist()
        for s, start, stop in zip(groups.streams, groups.bounds, groups.bounds[1:], strict=False):
            block = s.block or self._touch(s)
            block.outcomes += outcomes[start:stop]
            block.outcome_pos += at[start:stop]
        self.next_seq += len(rows)
        self.remembered.extend(self._to_remember(rows, seqs, labels, numbers))

    def _complete_expired(self, expiring: list[tuple[int, Prediction]], seqs: list[int], pos: int) -> None:
        """Outcomes of predictions that expire into one, among those of a run of labels."""
        for (i, p), seq in zip(expiring, seqs, strict=True):
            s = self._streams[p.stream]
            block = s.block or self._touch(s)
            label = s.policy.expired_label
            block.outcomes.append(Outcome(seq, p, label, p.ts + s.horizon_ms, "expired"))
            block.outcome_pos.append(pos + i)
            self._remember(s, p, seq, label)
        self.next_seq += len(expiring)
        for s in {self._streams[p.stream] for _, p in expiring}:
            if s.block is not None:
                s.block.in_order()

    def _odd_labels(
        self,
        run: Run,
        pos: int,
        rise: Rise,
        odd: list[int],
        due: list[tuple[int, Prediction]],
        completed: list[int],
    ) -> None:
        """Labels that met no prediction, and what expires without an outcome, in order."""
        first = self.next_seq - len(completed)
        rest = [(i, p) for i, p in due if self._streams[p.stream].policy.expired_label is None]
        done = 0
        for index in (*odd, len(run.events)):
            while done < len(rest) and rest[done][0] <= index:
                self._expire(rest[done][1], pos + rest[done][0])
                done += 1
            if index < len(run.events):
                label = run.events[index]
                s = self._streams[label.stream]
                if s.sample is None or sampled(label.prediction_id, s.sample):
                    self._rise_to(rise.at(index))
                    next_seq = first + bisect_right(completed, index)
                    self._unmatched(s, s.block or self._touch(s), label, pos + index, next_seq)

    def _to_remember(
        self,
        rows: list[Prediction],
        seqs: Numbers,
        labels: Sequence[Json],
        numbers: Numbers | None = None,
    ) -> Matched:
        if numbers is None:
            numbers = self._numbers([p[1] for p in rows])
        return Matched(
            numbers,
            [p[0] for p in rows],
            seqs,
            labels,
            [p[4] for p in rows],
            [p[5] for p in rows],
            [p[6] for p in rows],
            [p[7] for p in rows],
            [p[10] for p in rows],
            np.array([p[2] for p in rows], np.int64) + self._kept[numbers],
        )

"""Rows and errors of each slice over a version's outcomes, in bounded memory: what its episodes go by.

Turns of 64 outcomes (`slices`) come in as bins; older bins are merged pairwise, so n rows take O(log n) bins,
the same ones for all slices: a slice can be held against everything else, before a change and after it.

    level 2: ▇▇▇▇ …   level 1: ▇▇ ▇▇ …   level 0: ▇ ▇ ▇ ▇    a bin: seq, ts, rows, errors, by slice

A turn waits (`promise`) until its last outcome is taken up (`reach`): detectors look at whole blocks, and
what is decided at a row must not know of later ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from driftbus.core.bins import merge_oldest
from driftbus.core.history import Columns
from driftbus.core.mantel_haenszel import Table
from driftbus.core.packed import pack, steps, unpack

# Bins per level before its oldest two are merged. A slice is found after some hundred rows of the stream, and
# its onset is no finer than its own rows: 100,000 rows take about 120 bins, and a slice 250 bytes.
LEVEL_BINS = 16

# A slice: the name of a declared slice or a feature, and its value as text.
Key = tuple[str, str]


class Turn(NamedTuple):
    """What a turn counted. `seq`, `ts`: of its first outcome, `last`: the seq of its last; `counts`: rows and
    errors by slice; `met`: slices that are new in it; `dropped`: those not watched any more."""

    last: int
    seq: int
    ts: int
    rows: int
    errors: int
    counts: dict[int, tuple[int, int]]
    met: dict[int, Key]
    dropped: list[int]


class _Bin:
    __slots__ = ("counts", "errors", "rows", "seq", "ts")

    def __init__(self, seq: int, ts: int, rows: int, errors: int, counts: dict[int, tuple[int, int]]) -> None:
        self.seq, self.ts, self.rows, self.errors, self.counts = seq, ts, rows, errors, counts

    def take(self, later: _Bin) -> None:
        self.rows += later.rows
        self.errors += later.errors
        mine = self.counts
        for number, (rows, errors) in later.counts.items():
            known = mine.get(number)
            mine[number] = (rows, errors) if known is None else (known[0] + rows, known[1] + errors)


class SliceCounts:
    """`keys`: what each slice, by its number, is. `floors`: the seq from which a slice is judged, where it is
    not the version's; `told`: the onset of the last change that was told of a slice and has become normal."""

    __slots__ = ("_levels", "_promised", "floors", "keys", "told")

    def __init__(self) -> None:
        self.keys: dict[int, Key] = {}
        self.floors: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self._levels: list[list[_Bin]] = [[]]
        self._promised: deque[Turn] = deque()

    def promise(self, turn: Turn) -> None:
        """A turn whose rows have been looked at."""
        self._promised.append(turn)

    def reach(self, seq: int) -> None:
        """Outcomes up to this one have been taken up: turns that end by then count."""
        promised = self._promised
        while promised and promised[0].last <= seq:
            self._add(promised.popleft())

    def _add(self, turn: Turn) -> None:
        for number in turn.dropped:
            for known in (self.keys, self.floors, self.told):
                known.pop(number, None)
            for held in self._bins():
                held.counts.pop(number, None)
        self.keys |= turn.met
        self._levels[0].append(_Bin(turn.seq, turn.ts, turn.rows, turn.errors, dict(turn.counts)))
        merge_oldest(self._levels, (LEVEL_BINS,))

    def _bins(self) -> Iterator[_Bin]:
        """The oldest first."""
        for level in reversed(self._levels):
            yield from level

    def columns(self, number: int, from_seq: int) -> Columns:
        """The bins from `from_seq` on that have rows of a slice, as a history would give them."""
        found = [(b, *b.counts[number]) for b in self._bins() if b.seq >= from_seq and number in b.counts]
        errors = np.array([errors for _, _, errors in found], np.float64)
        return Columns(
            np.array([held.seq for held, _, _ in found], np.int64),
            np.array([held.ts for held, _, _ in found], np.int64),
            np.array([rows for _, rows, _ in found], np.float64),
            errors,
            errors,
        )

    def rows_since(self, seq: int, number: int | None = None) -> int:
        """Outcomes in the bins from `seq` on: all of them, or those of a slice."""
        bins = [held for held in self._bins() if held.seq >= seq]
        if number is None:
            return sum([held.rows for held in bins])
        return sum([held.counts.get(number, (0, 0))[0] for held in bins])

    def tables(self, from_seq: int, onset_seq: int) -> tuple[Table, dict[int, Table]]:
        """Everything, and each slice, before and after an onset; a bin that it divides is left out."""
        whole = [0, 0, 0, 0]
        slices: dict[int, list[int]] = {number: [0, 0, 0, 0] for number in self.keys}
        bins = [held for held in self._bins() if held.seq >= from_seq]
        for index, held in enumerate(bins):
            side = 2 if held.seq >= onset_seq else 0
            if not side and (index + 1 == len(bins) or bins[index + 1].seq > onset_seq):
                continue
            whole[side] += held.rows
            whole[side + 1] += held.errors
            for number, (rows, errors) in held.counts.items():
                table = slices[number]
                table[side] += rows
                table[side + 1] += errors
        return _table(whole), {number: _table(table) for number, table in slices.items()}

    def number_of(self, key: Key) -> int | None:
        """The number of a slice that is watched."""
        return next((number for number, known in self.keys.items() if known == key), None)

    def dump(self) -> Any:
        """As JSON-able values; nothing is promised between two folds."""
        bins, numbers = list(self._bins()), list(self.keys)
        columns: list[Sequence[int]] = [
            steps([held.seq for held in bins]),
            steps([held.ts for held in bins]),
            [held.rows for held in bins],
            [held.errors for held in bins],
        ]
        for number in numbers:
            pairs = [held.counts.get(number, (0, 0)) for held in bins]
            columns += [[rows for rows, _ in pairs], [errors for _, errors in pairs]]
        return {
            "keys": [[number, *self.keys[number]] for number in numbers],
            "floors": list(self.floors.items()),
            "told": list(self.told.items()),
            "levels": [len(level) for level in self._levels],
            "bins": pack(columns),
        }

    @classmethod
    def load(cls, state: Any) -> SliceCounts:
        """What `dump` was called on."""
        self = cls()
        self.keys = {number: (name, value) for number, name, value in state["keys"]}
        self.floors, self.told = dict(state["floors"]), dict(state["told"])
        seqs, tss, rows, errors, *pairs = unpack(state["bins"])
        bins, seq, ts = [], 0, 0
        for index, (seq_step, ts_step) in enumerate(zip(seqs, tss, strict=True)):
            seq, ts = seq + seq_step, ts + ts_step
            counts = {
                number: (pairs[2 * place][index], pairs[2 * place + 1][index])
                for place, number in enumerate(self.keys)
                if pairs[2 * place][index]
            }
            bins.append(_Bin(seq, ts, rows[index], errors[index], counts))
        self._levels = []
        for length in reversed(state["levels"]):
            self._levels.insert(0, bins[:length])
            del bins[:length]
        return self


def _table(counts: Sequence[int]) -> Table:
    before, wrong_before, after, wrong_after = counts
    return before, wrong_before, after, wrong_after

"""A sliding window as a ring of about twenty-five chunks.

Of N outcomes: cut so that at every `ceil(N / 25)`-th outcome, counted back from the N-th, the ring holds
exactly the last N; between, a little less. Of T time: the twenty-five chunks of T/25 of event time up to the
latest label, so never more than T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

from driftbus.core.packed import steps
from driftbus.core.settings import MetricWindow

# A window moves in twenty-five steps: with a twenty-fifth of it missing its sampling error is 2 % larger, and
# fifty steps cost .1 µs more an outcome and twice the memory (some 13 kB for a window of a thousand).
CHUNKS = 25


class Chunk(Protocol):
    """Counts of some consecutive outcomes."""

    def add(self, block: Any, start: int, end: int) -> None:
        """Take the rows start … end of a block."""

    def move(self, old: Any, new: Any) -> None:
        """Take a row out and put another in: a correction."""


class Window:
    """The ring of one window; a slot is the number of a chunk's first row, or its time // step."""

    def __init__(self, rule: MetricWindow) -> None:
        self.rule = rule
        self.counts = rule.outcomes is not None
        size = rule.outcomes if rule.outcomes is not None else rule.span_ms
        if size is None or size < 1:
            raise ValueError(f"a window needs a number of outcomes or a time: {rule!r}")
        self.size = size
        self.step = -(-size // CHUNKS)
        self.begun: tuple[int, int] | None = None  # row number and event time of its first outcome
        self.slots: list[int] = []
        self.firsts: list[int] = []  # the seq of each chunk's first outcome
        self.chunks: list[Any] = []
        self._marks: list[tuple[int, int, int]] = []  # (pending row, slot, seq) where a chunk begins

    def mark_rows(self, row: int, pending: int, seqs: Sequence[int]) -> None:
        """Note where chunks begin in a block of outcomes whose first is the `row`-th (from 0)."""
        cut = self._next_cut(row) if self.slots or self._marks else row
        while cut < row + len(seqs):
            self._marks.append((pending + cut - row, cut, seqs[cut - row]))
            cut = self._next_cut(cut + 1)

    def mark_times(self, clock: int, pending: int, seqs: Sequence[int], times: Sequence[int]) -> int:
        """The same by event time, `clock` being its maximum before; when the next chunk begins."""
        last = self._marks[-1][1] if self._marks else self.slots[-1] if self.slots else None
        end = min(clock, times[0]) if last is None else (last + 1) * self.step  # of the chunk being filled
        for offset, time in enumerate(times):
            if time > clock:
                clock = time
            if clock >= end:
                slot = clock // self.step
                end = (slot + 1) * self.step
                self._marks.append((pending + offset, slot, seqs[offset]))
        return end

    def add(self, block: Any, count: int, new_chunk: Callable[[], Chunk]) -> None:
        """Put the pending rows, `count` of them, into their chunks."""
        start = 0
        for row, slot, seq in self._marks:
            if row > start:
                self.chunks[-1].add(block, start, row)
            start = row
            self._open(slot, seq, new_chunk())
        self._marks.clear()
        if count > start:
            self.chunks[-1].add(block, start, count)

    def boundary_in(self, n: int) -> int:
        """How many further outcomes (>= 1) after `n` until this window of outcomes is exact."""
        return (self.size - n - 1) % self.step + 1

    def exact(self, n: int) -> bool:
        """Whether this window of outcomes, once complete, holds exactly the last N of `n`."""
        return (self.size - n) % self.step == 0

    def complete(self, n: int, clock: int) -> bool:
        """Whether N outcomes, or time T, have passed since it began."""
        if self.begun is None:
            return False
        row, time = self.begun
        return n - row >= self.size if self.counts else clock - time >= self.size

    def _open(self, slot: int, seq: int, chunk: Chunk) -> None:
        """Begin a chunk and forget those that no longer belong when it is full."""
        oldest = self._next_cut(slot + 1) - self.size if self.counts else slot - CHUNKS + 1
        keep = next((i for i, s in enumerate(self.slots) if s >= oldest), len(self.slots))
        del self.slots[:keep], self.firsts[:keep], self.chunks[:keep]
        self.slots.append(slot)
        self.firsts.append(seq)
        self.chunks.append(chunk)

    def _next_cut(self, row: int) -> int:
        """The first row number >= `row` at which a chunk of a window of outcomes begins."""
        return row + min(-row % self.step, (self.size - row) % self.step)

    def steps(self) -> tuple[list[int], list[int]]:
        """Slots and first seqs of the chunks, each less the one before it, with nothing pending."""
        return steps(self.slots), steps(self.firsts)

    def restore(self, begun: Any, places: Sequence[Sequence[int]], chunks: Sequence[Chunk]) -> None:
        """Continue from `begun`, what `steps` gave and the chunks."""
        self.begun = None if begun is None else (begun[0], begun[1])
        self.slots, self.firsts = (list(accumulate(numbers)) for numbers in places)
        self.chunks = list(chunks)

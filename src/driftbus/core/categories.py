"""A categorical feature as one signal, whatever its cardinality: the distance of its frequencies.

Per turn of 64 rows the total-variation distance between the turn's frequencies and the reference's: half
the sum of absolute differences, 0 (the same) to 1 (nothing in common). It is never 0 by chance, the less
so the more categories there are; a change raises it. Sums are of whole numbers, so exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum, sqrt
from typing import Any

from driftbus.core.probes import SignalHit, probes
from driftbus.core.reference_start import FirstTurns, usual_distance
from driftbus.core.settings import Detectors, DetectorSpec
from driftbus.core.shares import RECENT, REFERENCE_TURNS, TURN

# Distances of the reference's own turns from the turns before them count from this one on: with fewer
# rows before it (320) the distance is mostly the reference's own chance.
RELIABLE_TURNS = 5
# A turn with fewer values than this is joined to the next one.
LEAST_VALUES = 32
# The chance variation of a distance over 64 rows, rounded up: .038 for two equal categories, .037 for five,
# .034 for fifty. A reference that varied more (values that come in runs) is measured by its own variation.
CHANCE = 0.04
# What watches distances under `auto`: a cumulative sum, tolerance .03, threshold .6. Measured: no alarm in
# 7.5 million rows of five equal categories, nor of a Zipf law over 200; .16 per 100,000 rows where a category
# stays with probability .8. Rows to an alarm, median (90 %): a true distance of .3 among five categories
# 199 (327), two 263 (263), fifty 263 (327); of .15 among five 551 (1,031).
DISTANCE_DETECTORS = (
    DetectorSpec(
        "page_hinkley", {"mode": "both", "delta": 0.03, "threshold": 0.6, "min_instances": RELIABLE_TURNS}
    ),
)
# A distance that rose by less than this is not worth an alarm.
MATERIAL = 0.05
# Reference and recent distance are called different from here on.
MOVED = 0.1
# Longer texts are told apart by this much of their beginning: what is kept per category is bounded.
LONGEST = 64

# Rows that the shares of a reference from elsewhere stand for: counts are whole numbers, and one in a million
# is the least that is told.
KNOWN = 1_000_000

Category = str | int | float | bool


def distance(counts: Mapping[Category, int], reference: Mapping[Category, int], total: int) -> float:
    """Total-variation distance of two frequency tables; `total` is the sum of the reference's counts."""
    n = sum(counts.values())
    get = reference.get
    surplus = 0
    for category, count in counts.items():
        excess = count * total - get(category, 0) * n
        if excess > 0:
            surplus += excess
    return surplus / (n * total)


class Categories:
    """Frequencies of one categorical feature against its reference, and which categories are new.

    At most `limit` categories are kept; the rest is one more ("other", kept under None), and then nothing
    counts as unseen.
    """

    __slots__ = (
        "_counts",
        "_distances",
        "_first",
        "_limit",
        "_probes",
        "_reference",
        "_shrink",
        "_total",
        "_turns",
        "recent",
        "reliable_from",
        "usual",
    )

    def __init__(self, signal: str, specs: Detectors, limit: int, state: Any = None) -> None:
        self._limit = limit
        self._counts: dict[Any, int] = {}
        self._reference: dict[Any, int] = {}
        self._total = 0
        self._turns = 0
        self._distances: list[float] = []
        self._shrink = 1.0
        self.reliable_from = 0  # the turn from which on distances and unseen categories count
        self.usual = 0.0  # the mean distance of the reference's own turns
        self.recent = 0.0
        self._first: FirstTurns | None = None
        inner = None
        if state is not None:
            counts, reference, self._turns, self.reliable_from, self._distances, *rest = state
            self._shrink, self.usual, self.recent, inner, *first = rest
            self._first = FirstTurns.load(first[0]) if first else None
            self._counts = dict(counts)
            self._reference = dict(reference)
            self._total = sum(self._reference.values())
            self._distances = list(self._distances)
        self._probes = probes(signal, DISTANCE_DETECTORS if specs is None else specs, "both", inner)

    def refer(self, turn: int, shares: Mapping[Any, float], total: int, unseen: float) -> None:
        """Begin with turn `turn` as if `total` values had come before it: `shares` of them per category
        (None: all others), `unseen` of those to come expected to be of none of these."""
        kept = sorted(shares, key=lambda category: (category is None, -shares[category]))
        for category in kept:
            place = category if category is not None and len(self._reference) < self._limit else None
            count = max(round(shares[category] * KNOWN), 1)
            self._reference[place] = self._reference.get(place, 0) + count
            self._total += count
        self._turns = REFERENCE_TURNS
        self.reliable_from = turn
        known = {category: count / self._total for category, count in self._reference.items()}
        self.usual = self.recent = usual_distance(
            known, TURN, total, 0.0 if None in self._reference else unseen
        )
        for probe in self._probes:
            probe.anchor = self.usual
        self._first = FirstTurns(self.usual, total // TURN)

    @property
    def live(self) -> bool:
        """Whether the reference is complete."""
        return self._turns >= REFERENCE_TURNS

    def take(self, values: Sequence[Category]) -> None:
        """Texts, booleans and finite numbers of one bin."""
        counts = self._counts
        if self._first is not None:
            self._first.see(values)
        for value in values:
            if value in counts:
                counts[value] += 1
            else:
                kept = value[:LONGEST] if isinstance(value, str) else value
                counts[kept] = counts.get(kept, 0) + 1

    def close(self, turn: int, index: int, hits: list[SignalHit]) -> tuple[int, int]:
        """End of turn `turn`; `index` is the row that completed it. How many values were of unseen
        categories, and how many there were (0, 0 while the turn goes on for want of values)."""
        counts = self._counts
        n = sum(counts.values())
        if n < LEAST_VALUES:
            return 0, 0
        self._counts = {}
        reference = self._reference
        overflowed = None in reference
        new = [category for category in counts if category not in reference]
        unseen = 0 if overflowed else sum([counts[category] for category in new])
        if overflowed and new:
            counts[None] = sum([counts.pop(category) for category in new])
        reliable = self._turns >= RELIABLE_TURNS
        far = distance(counts, reference, self._total) if reliable else 0.0
        if self.live:
            self.recent += (far - self.recent) * RECENT
            if self._first is None:
                self._judge(far, index, hits)
            else:
                self._first.take(far, counts.values(), n)
                self._judge_first(self._first, index, hits)
            return unseen, n
        self._learn(counts, far)
        if self._turns == RELIABLE_TURNS:
            self.reliable_from = turn + 1
        return (unseen, n) if reliable else (0, n)

    def _learn(self, counts: Mapping[Any, int], far: float) -> None:
        """A turn of the reference."""
        reference, limit = self._reference, self._limit
        for category, count in counts.items():
            kept = category if category in reference or len(reference) < limit else None
            reference[kept] = reference.get(kept, 0) + count
            self._total += count
        if self._turns >= RELIABLE_TURNS:
            self._distances.append(far)
        self._turns += 1
        if not self.live:
            return
        distances, self._distances = self._distances, []
        self.usual = self.recent = fsum(distances) / len(distances)
        spread = sqrt(fsum([(x - self.usual) ** 2 for x in distances]) / (len(distances) - 1))
        self._shrink = min(1.0, CHANCE / spread) if spread > 0.0 else 1.0
        for probe in self._probes:
            probe.anchor = self.usual
            probe.update_block([x * self._shrink for x in distances])  # the reference is normal by definition

    def _judge(self, far: float, index: int, hits: list[SignalHit]) -> None:
        shrink = self._shrink
        for probe in self._probes:
            hit = probe.update(far * shrink)
            if hit is not None:
                found = probe.judge(
                    hit, index, hit.before / shrink, hit.after / shrink, least=MATERIAL, rows_per_value=TURN
                )
                if found is not None:
                    hits.append(found)

    def _judge_first(self, first: FirstTurns, index: int, hits: list[SignalHit]) -> None:
        """The first turns against a reference from elsewhere, judged anew by how much turns are known to vary
        now."""
        factor = first.factor()
        self._shrink = shrink = 1.0 / factor
        self.usual = usual = min(first.usual * factor, 1.0)
        changed = False
        for probe, begun in zip(self._probes, first.begun(self._probes), strict=True):
            probe.restart(begun)
            probe.anchor = usual
            # Only one can be new; an earlier one shows now that turns vary less than was thought.
            for hit in probe.update_block([x * shrink for x in first.distances])[:1]:
                changed = True
                since = None if hit.since is None else hit.since + len(first.distances) - 1 - hit.index
                levels = hit.before / shrink, hit.after / shrink
                found = probe.judge(
                    replace(hit, since=since), index, *levels, least=MATERIAL, rows_per_value=TURN
                )
                if found is not None:
                    hits.append(found)
        if changed or len(first.distances) >= REFERENCE_TURNS:
            self._first = None

    def moved(self) -> bool:
        """Whether the recent frequencies are away from the reference's."""
        return self.live and self.recent - self.usual > MOVED

    def dump(self) -> Any:
        """The state as JSON-able values."""
        state = [
            [[category, count] for category, count in self._counts.items()],
            [[category, count] for category, count in self._reference.items()],
            *(self._turns, self.reliable_from, list(self._distances)),
            *(self._shrink, self.usual, self.recent),
            [probe.dump() for probe in self._probes],
        ]
        if self._first is not None:
            state.append(self._first.dump())
        return state

"""A day's season of a 0/1 error, as exposure: how many ordinary rows a row of this hour stands for.

    hour       0  1  2 … 11 12 13 … 23
    exposure  .3 .3 .4 … 1.7 1.8 1.7 … .5        1 on average: a rise is one over what the hour makes expected

Per hour of the day, by prediction time, rows and errors are counted. At the end of each day (of several,
until there are `GROUP_ERRORS` errors) the profile of the days before is asked how well it told which rows of
the day would be wrong, given how many: the likelihood of the errors' hours under the profile over that under
none. So neither the level nor one bad afternoon makes a season; what comes again at the same hours does.
While the last `KEPT` answers add up to enough, exposures are in use: detectors and the error's history count
rows by them, and learn anew what is usual where that begins or ends.

Exposures are whole numbers of `UNIT`ths, so their sums do not depend on where blocks are cut, and they change
at ends of days only, by rows in order. Cost: 30 to 80 ns a row without a season.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import log
from typing import Any

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SLOTS = 24
# Parts of a row: finer than the profile is known.
UNIT = 64
# No hour counts for less or more: a row is at least a sixteenth and at most eight.
LEAST, MOST = UNIT // 16, 8 * UNIT
# Errors until a day is asked about: fewer say nothing about 24 hours.
GROUP_ERRORS = 24
# So many errors' worth of no season are mixed into each hour, so that rare ones do not make one.
SHRINK = 8.0
# A day counts half of the newest after 23 more: seasons change with the year.
FADE = 0.97
# Answers remembered. The profile is used when they add up to so many nats, and without the best of them to
# half of it (one day is no habit), unless they are beyond doubt; no longer when they add up to less than
# nothing. Measured over 700 days each of independent errors (p .02, .2), chains with correlation .5, .9 and
# AR(.9), AR(.99), AR(.999) cut into 0/1: no day with a season but 13 of the last, which wanders for hours.
KEPT = 7
ENOUGH, ENOUGH_WITHOUT_BEST, ENOUGH_AT_ONCE = 12.0, 6.0, 25.0
# Nats by which whole days have become worse, from which on what is open is more than a season.
WORSE = 8.0

Exposures = list[int]


class Season:
    """`take` the rows of outcomes in order; `spans` says which exposures hold from which row on."""

    __slots__ = (
        "_ends",
        "_errors",
        "_expected",
        "_gains",
        "_on",
        "_ones",
        "_rows",
        "exposures",
        "levels",
        "seen",
        "spans",
    )

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self.seen = 0  # rows so far, as the caller numbers them: set by it whenever it goes on
        self._ends = 0  # when the day under way ends, ms; 0: no row yet
        # Of the days under way: rows and errors per hour.
        self._rows, self._errors = [0] * SLOTS, [0] * SLOTS
        # Of all days before, faded: errors per hour, and how many there would be without a season.
        self._ones, self._expected = [0.0] * SLOTS, [0.0] * SLOTS
        self._gains: list[float] = []
        self.levels: list[list[int]] = []  # of the last days: day, rows, errors
        self.exposures: Exposures | None = None  # that hold for the next row; None: no season
        # What has held since which row, for whoever takes rows up later; the first holds since ever.
        self.spans: list[tuple[int, Exposures | None]] = [(0, None)]

    def part(self, tss: Sequence[int], most: int) -> tuple[int, bool]:
        """How many of these rows, `most` at most and at least one, are of one day, and whether a season
        begins or ends with the first of them. `take` is to be called for these next."""
        if not self._on:
            return most, False
        turned = False
        if tss[0] >= self._ends:
            if self._ends:
                turned = self._turn()
            self._ends = (tss[0] // DAY_MS + 1) * DAY_MS
        if max(tss) < self._ends:
            return most, turned
        return min(next(i for i, ts in enumerate(tss) if ts >= self._ends), most), turned

    def _turn(self) -> bool:
        """A day is over; whether a season begins or ends."""
        if sum(self._errors) < GROUP_ERRORS:
            return False
        before = self.exposures
        day = self._ends // DAY_MS - 1
        self.levels = [*self.levels, [day, sum(self._rows), sum(self._errors)]][-KEPT:]
        self._close()
        if self.exposures is None and before is None:
            return False
        self.spans.append((self.seen, self.exposures))
        return self.exposures is None or before is None

    def take(self, tss: Sequence[int], errors: Sequence[float]) -> list[int] | None:
        """Rows that `part` gave; their exposures, None without a season."""
        if not self._on:
            return None
        self.seen += len(tss)
        hour = tss[0] // HOUR_MS
        least = hour * HOUR_MS
        if min(tss) >= least and max(tss) < least + HOUR_MS:
            slot = hour % SLOTS
            self._rows[slot] += len(tss)
            self._errors[slot] += errors.count(1.0)
            return None if self.exposures is None else [self.exposures[slot]] * len(tss)
        rows, wrong = self._rows, self._errors
        slots = [ts // HOUR_MS % SLOTS for ts in tss]
        for slot in slots:
            rows[slot] += 1
        for slot in compress(slots, errors):
            wrong[slot] += 1
        exposures = self.exposures
        return None if exposures is None else [exposures[slot] for slot in slots]

    def exposures_of(self, first: int, tss: Sequence[int]) -> list[int] | None:
        """Exposures of rows taken before, from number `first` on (never of earlier ones again); None: each
        stands for itself."""
        spans = self.spans
        while len(spans) > 1 and spans[1][0] <= first:
            del spans[0]
        if len(spans) == 1 or spans[1][0] >= first + len(tss):
            held = spans[0][1]
            return None if held is None else [held[ts // HOUR_MS % SLOTS] for ts in tss]
        found: list[int] = []
        for at, (since, held) in enumerate(spans):
            until = spans[at + 1][0] if at + 1 < len(spans) else first + len(tss)
            part = tss[max(since - first, 0) : max(until - first, 0)]
            found += [UNIT] * len(part) if held is None else [held[ts // HOUR_MS % SLOTS] for ts in part]
        return found

    def _close(self) -> None:
        """The day (or days) under way: ask, decide, learn."""
        rows, errors = self._rows, self._errors
        count, wrong = sum(rows), sum(errors)
        shares = self._shares(rows)
        if shares is not None:
            self._gains = [*self._gains, _gain(rows, errors, shares)][-KEPT:]
        for slot in range(SLOTS):
            self._ones[slot] = FADE * self._ones[slot] + errors[slot]
            self._expected[slot] = FADE * self._expected[slot] + rows[slot] * wrong / count
        learned = self._shares(rows)
        self._rows, self._errors = [0] * SLOTS, [0] * SLOTS
        if not self._believed() or learned is None:
            self.exposures = None
            return
        self.exposures = [min(max(round(UNIT * share), LEAST), MOST) for share in learned]

    def _believed(self) -> bool:
        total = 0.0
        for gain in self._gains:
            total += gain
        if self.exposures is not None:
            return total >= 0.0
        if total < ENOUGH:
            return False
        return total >= ENOUGH_AT_ONCE or total - max(self._gains) >= ENOUGH_WITHOUT_BEST

    def _shares(self, rows: Sequence[int]) -> list[float] | None:
        """Per hour, errors expected over those without a season; 1 on average over these rows. None while
        nothing is learned."""
        total = mean = 0.0
        shares = [
            (ones + SHRINK) / (expected + SHRINK)
            for ones, expected in zip(self._ones, self._expected, strict=True)
        ]
        for n, share, expected in zip(rows, shares, self._expected, strict=True):
            total += expected
            mean += n * share
        if not total:
            return None
        mean /= sum(rows)
        return [share / mean for share in shares]

    def dump(self) -> Any:
        """As JSON-able values; of what held before only what holds now."""
        return [
            *(self._on, self._ends, list(self._rows), list(self._errors)),
            *(list(self._ones), list(self._expected), self._gains, self.levels, self.exposures),
        ]

    @classmethod
    def load(cls, state: Any) -> Season:
        """What `dump` was called on."""
        self = cls()
        self._on, self._ends, rows, errors, ones, expected, gains, levels, exposures = state
        self._rows, self._errors = list(rows), list(errors)
        self._ones, self._expected = list(map(float, ones)), list(map(float, expected))
        self._gains, self.levels = list(map(float, gains)), [list(level) for level in levels]
        self.exposures = exposures
        self.spans = [(0, exposures)]
        return self


def _gain(rows: Sequence[int], errors: Sequence[int], shares: Sequence[float]) -> float:
    """Nats that a profile says more of a day's errors than none does, over the dispersion that is left:
    errors that come in storms are at other hours every day, and far more at some than any profile has it."""
    level = sum(errors) / sum(rows)
    gain = wide = 0.0
    hours = -1
    for n, k, share in zip(rows, errors, shares, strict=True):
        if n:
            expected = n * level * share
            wide += (k - expected) * (k - expected) / expected
            hours += 1
        if k:
            gain += k * log(share)
    return gain / max(1.0, wide / hours) if hours > 0 else 0.0


def is_seasonal(levels: Sequence[Sequence[int]], onset_ts: int) -> bool:
    """Whether whole days, (day, rows, errors) each, have not become worse since the day of an onset."""
    day = onset_ts // DAY_MS
    n0 = e0 = n1 = e1 = 0
    for first, rows, errors in levels:
        if first < day:
            n0, e0 = n0 + rows, e0 + errors
        else:
            n1, e1 = n1 + rows, e1 + errors
    if not n0 or not n1 or e1 * n0 <= e0 * n1:
        return True
    return _entropy(e0, n0) + _entropy(e1, n1) - _entropy(e0 + e1, n0 + n1) < WORSE


def _entropy(ones: int, rows: int) -> float:
    others = rows - ones
    return ones * log(ones / rows) + others * log(others / rows) if ones and others else 0.0

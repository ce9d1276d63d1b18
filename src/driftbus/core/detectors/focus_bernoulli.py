"""FOCuS for 0/1 values: the exact sequential likelihood ratio of two rates against one, over every onset.

Idea: for each moment τ ask how much likelier the values are with one rate up to τ and another since, both
unknown. Of all τ only corners of the curve (rows, ones) can ever be the likeliest: a rise begins at a corner
of its lower hull, a fall at one of its upper hull. Rows add points at the end only, so a hull is kept by
dropping its last corners: amortised O(1).

Formula: LR(τ) = l(s, m) + l(S - s, n - m) - l(S, n), l(k, j) = k ln(k/j) + (j - k) ln((j - k)/j), where s of
the m newest and S of all n values are 1. Alarm when LR(τ) / φ(τ) ≥ h(m), with h of `detectors.budget` and φ
of `detectors.dispersion` as it was at τ, so that a change does not widen what is expected.

Input: numbers; above one half counts as 1, else 0. `rate`: the budget, false alarms per value and direction;
`min_before`: values before an onset; `min_errors`: ones after the onset of a rise; `min_rise`, `min_ratio`:
a smaller rise, or one by less than this part of the level before, matters to nobody; `mode` up, down or both.
Guaranteed: no crossing at a corner of a rise is missed or late (`_look`). Falls begin and are found at ends
of batches of 32, as nobody waits for one. After an alarm the world begins at its onset. All sums that grow
are whole numbers, so cuts change nothing.
Cost: .25 µs a value in blocks of 25 at 10 % ones; memory O(log n).

Papers: Romano, Eckley, Fearnhead & Rigaill, Fast online changepoint detection via functional pruning CUSUM
statistics, JMLR 24, 2023; Ward, Romano, Eckley & Fearnhead, A constant-per-iteration likelihood ratio test
for online changepoint detection for exponential family models, Statistics and Computing 34, 2024. Corners
of a hull: Pishchagina et al., Online multivariate changepoint detection, arXiv 2311.01174.

>>> detector = FocusBernoulli()
>>> detector.update_block(([0.0] * 9 + [1.0]) * 100 + [1.0] * 20)
[Hit(index=1008, direction=1, before=0.099..., after=1.0, since=10, evidence=16.49...)]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import ceil, log
from operator import mul
from typing import Any

from driftbus.core.detectors.base import LIMIT, Hit
from driftbus.core.detectors.budget import FLOOR, MOST, at_least
from driftbus.core.detectors.dispersion import BATCH, Dispersion

MODES = ("up", "down", "both")
# `budget.at_least`'s constant. With it 27 false alarms in 75 million independent values (p = .02 to .5,
# endless streams and streams of 25,000): .036 per 100,000, at most .052 with 95 % confidence.
CONSTANT = 0.6
# Falls get this part of the budget: nobody is told of one, but a false one makes the next rise seem greater.
FALL_SHARE = 0.05
# 512 values before the first alarm: bursts and correlation cannot be told from a change earlier (of AR(.9)
# cut into 0/1, five of six false alarms came in these).
WARM_BATCHES = 16
# A corner: rows before it, ones among them, φ there, and l(ones, rows) once it was asked for (else 1.0, which
# it never is), and the number of ones (of a fall: rows) at which it is to be looked at.
Corner = list[Any]
_UNKNOWN = 1.0


def _entropy(ones: int, rows: int) -> float:
    """l(k, j): the greatest log-likelihood of `ones` among `rows`, never above 0."""
    others = rows - ones
    if not ones or not others:
        return 0.0
    return ones * log(ones / rows) + others * log(others / rows)


def _needs(rate: float) -> tuple[float, float]:
    """What `budget.at_least` asks of rises and of falls."""
    return at_least(rate, CONSTANT), at_least(rate * FALL_SHARE, CONSTANT)


class FocusBernoulli:
    """See the module's text."""

    def __init__(
        self,
        rate: float = MOST,
        min_before: int = 128,
        min_errors: int = 3,
        min_rise: float = 0.01,
        min_ratio: float = 0.1,
        mode: str = "both",
    ) -> None:
        if not 0.0 < rate <= 0.1:
            raise ValueError(f"rate: {rate!r} must lie between 0 and 0.1")
        if min_before < 1 or min_errors < 1:
            raise ValueError("min_before and min_errors must be positive whole numbers")
        if not 0.0 <= min_rise <= 1.0 or not 0.0 <= min_ratio <= LIMIT:
            raise ValueError("min_rise must lie between 0 and 1, min_ratio must not be negative")
        if mode not in MODES:
            raise ValueError(f"mode: {mode!r} must be one of {', '.join(MODES)}")
        self.name = "focus_bernoulli"
        self._need, self._need_down = _needs(rate)
        self._min_before, self._min_errors = min_before, min_errors
        self._min_rise, self._min_ratio = min_rise, min_ratio
        self._up, self._down = mode != "down", mode != "up"
        self._rows = self._ones = 0  # of the world, which begins at the last alarm's onset
        self._rises: list[Corner] = []
        self._falls: list[Corner] = []
        # Rises are looked at when there are `look_at` ones, all of them at `until` rows, a new one after
        # `young` ones; falls at `next_fall` rows.
        self._look_at = self._until = self._next_fall = 0
        self._young = 1
        # The batch under way: its rows, ones among them, ones right behind another, whether the last is one.
        self._batch = self._batch_ones = self._batch_behind = 0
        self._last = False
        self._dispersion = Dispersion()

    def keep_to(self, rate: float) -> None:
        """Another budget, false alarms per value, from the next value on."""
        need, self._need_down = _needs(rate)
        if need < self._need:  # corners that were far from it may be near now
            self._look_at = self._until = self._next_fall = 0
            for corner in self._falls:
                corner[4] = 0
        self._need = need

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        hits = self.update_block((value,))
        return hits[0] if hits else None

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values in order; the alarms with their positions."""
        hits: list[Hit] = []
        if values.count(1.0) + values.count(0.0) == len(values):
            self._take(values, 0, hits)
            return hits
        for index, value in enumerate(values):
            if value - value == 0.0:
                self._take((1.0 if value > 0.5 else 0.0,), index, hits)
        return hits

    def _take(self, values: Sequence[float], offset: int, hits: list[Hit]) -> None:
        """0/1 values, the first of them at `offset` of the block; worked off up to ends of batches."""
        start, stop = 0, len(values)
        while start < stop:
            end = min(stop, start + BATCH - self._batch)
            part = values if end - start == stop else values[start:end]
            if self._up and 1.0 in part:
                hit = self._take_ones(part)
                if hit is not None:
                    end = start + hit.index + 1
                    part = part[: hit.index + 1]
                    hits.append(_placed(hit, offset + end - 1))
            else:
                self._rows += end - start
                self._ones += part.count(1.0)
            self._batch += end - start
            count = part.count(1.0)
            if count:
                self._batch_ones += count
                if self._last and part[0]:
                    self._batch_behind += 1
                if count > 1:
                    self._batch_behind += int(sum(map(mul, part, part[1:])))
            self._last = part[-1] != 0.0
            if self._batch == BATCH:
                self._close_batch(offset + end - 1, hits)
            start = end

    def _take_ones(self, values: Sequence[float]) -> Hit | None:
        """Values within one batch, up to the first alarm."""
        begun, ones, look_at, until = self._rows, self._ones, self._look_at, self._until
        rises, least, factor = self._rises, self._min_before, self._dispersion.factor
        for rows in compress(range(begun, begun + len(values)), values):
            # The corner before this one; what lies above the line from its predecessor to it is dropped.
            if rows >= least:
                if len(rises) > 1:
                    last = rises[-1]
                    first = rises[-2]
                    while (last[1] - first[1]) * (rows - last[0]) >= (ones - last[1]) * (last[0] - first[0]):
                        rises.pop()
                        if len(rises) == 1:
                            break
                        last, first = first, rises[-2]
                rises.append([rows, ones, factor, _UNKNOWN, ones + self._young])
            ones += 1
            if ones >= look_at or rows >= until:
                found = self._look(rows + 1, ones)
                if found is not None:
                    return self._begin_anew(found, rows + 1, ones, rows - begun, 1)
                look_at, until = self._look_at, self._until
        self._rows, self._ones = begun + len(values), ones
        return None

    def _look(self, rows: int, ones: int) -> tuple[Corner, float] | None:
        """The most striking rise that crosses, with LR / φ; without one, when to look again is set.

        With p = S / n and q = 9/8 / p, what holds for up to k ones and while n has not grown by 1/8:
        a one adds at most ln(q (s + k) / (m + k)) to LR and takes ln((m + 1) / m) off h. A zero takes
        more off LR than off h, unless fewer than φ ones are too many; then LR / φ - h rises towards
        -h(s / p) at most. So it is after k ones at most k times (that) above the nearer of now and
        -h((s + k) q), and a corner need not be looked at before this reaches 0.
        """
        whole, need, least = _entropy(ones, rows), self._need, self._min_errors
        warm = self._dispersion.batches >= WARM_BATCHES
        every = rows >= self._until
        q = 1.125 * rows / ones
        base = need - log(q)
        next_look = ones + 1000
        best, most, evidence = None, 0.0, 0.0
        for corner in self._rises:
            if corner[4] > ones and not every:
                if corner[4] < next_look:
                    next_look = corner[4]
                continue
            before, ones_before, factor, part, _ = corner
            m, s = rows - before, ones - ones_before
            ahead = 4 + s // 4
            over = log(m) - need
            if over > -FLOOR:
                over = -FLOOR
            if s * rows > ones * m:
                if part == _UNKNOWN:
                    part = corner[3] = _entropy(ones_before, before)
                ratio = (part + _entropy(s, m) - whole) / factor
                over += ratio
                if over >= most and s >= least and warm:
                    level = ones_before / before
                    if s / m - level >= max(self._min_rise, self._min_ratio * level):
                        best, most, evidence = corner, over, ratio
            margin = max(base - log(s + ahead), FLOOR)
            if margin > -over:
                margin = -over
            k = margin / (log(q * (s + ahead) / (m + ahead)) / factor + 1.0 / m) if margin > 0.0 else 1
            check = corner[4] = ones + (ahead if k >= ahead else ceil(k) or 1)
            if check < next_look:
                next_look = check
        if best is not None:
            return best, evidence
        self._young = max(1, int((base - 2.0) / (log(q) + 0.7)))
        self._look_at = min(next_look, ones + self._young)
        if every:
            self._until = rows + rows // 8
        return None

    def _close_batch(self, index: int, hits: list[Hit]) -> None:
        """Rows make a whole batch: the dispersion learns it, and falls are looked for."""
        self._dispersion.add(self._batch_ones, self._batch_behind)
        self._batch = self._batch_ones = self._batch_behind = 0
        self._last = False
        rows, ones, falls = self._rows, self._ones, self._falls
        if not self._down or rows < self._min_before:
            return
        if rows >= self._next_fall and self._dispersion.batches >= WARM_BATCHES:
            found = self._look_down(rows, ones)
            if found is not None:
                hits.append(self._begin_anew(found, rows, ones, index, -1))
                return
        while len(falls) > 1:
            last, first = falls[-1], falls[-2]
            if (last[1] - first[1]) * (rows - last[0]) > (ones - last[1]) * (last[0] - first[0]):
                break
            falls.pop()
        falls.append([rows, ones, self._dispersion.factor, _UNKNOWN, rows + 2 * BATCH])

    def _look_down(self, rows: int, ones: int) -> tuple[Corner, float] | None:
        """As `_look`, for falls, but rows are what is waited for."""
        whole, kept = _entropy(ones, rows), (rows - ones) / rows
        need, floor = self._need_down, FLOOR - log(FALL_SHARE)
        next_look = rows + 2 * BATCH
        best, most, evidence = None, 0.0, 0.0
        for corner in self._falls:
            if corner[4] <= rows:
                before, ones_before, factor, part, _ = corner
                m, s = rows - before, ones - ones_before
                over = min(log(m) - need, -floor)
                if s * rows < ones * m:
                    if part == _UNKNOWN:
                        part = corner[3] = _entropy(ones_before, before)
                    ratio = (part + _entropy(s, m) - whole) / factor
                    over += ratio
                    if over >= most:
                        best, most, evidence = corner, over, ratio
                ahead = m // 4 + BATCH
                growth = log((1.0 - s / (m + ahead)) / kept) if kept else 1.0
                k = min(-over, FLOOR) / (max(growth, 0.0) / factor + 1.0 / m)
                corner[4] = rows + (ahead if k >= ahead else max(1, int(k)))
            if corner[4] < next_look:
                next_look = corner[4]
        if best is not None:
            return best, evidence
        self._next_fall = next_look
        return None

    def _begin_anew(
        self, found: tuple[Corner, float], rows: int, ones: int, index: int, direction: int
    ) -> Hit:
        """The alarm; the world begins at its onset, with the corners since."""
        (start, ones_before, _, _, _), evidence = found
        least = start + self._min_before
        self._rises = [
            [r - start, o - ones_before, f, _UNKNOWN, 0] for r, o, f, _, _ in self._rises if r >= least
        ]
        self._falls = [
            [r - start, o - ones_before, f, _UNKNOWN, 0] for r, o, f, _, _ in self._falls if r >= least
        ]
        self._rows, self._ones = rows - start, ones - ones_before
        self._look_at = self._until = self._next_fall = 0
        self._young = 1
        after = self._ones / self._rows
        return Hit(index, direction, ones_before / start, after, self._rows, evidence)

    def dump(self) -> Any:
        """Rows, ones, when to look, the batch; rises, falls as [rows, ones, φ, when to look]; dispersion."""
        return [
            *(self._rows, self._ones, self._look_at, self._until, self._next_fall, self._young),
            *(self._batch, self._batch_ones, self._batch_behind, int(self._last)),
            [[r, o, f, at] for r, o, f, _, at in self._rises],
            [[r, o, f, at] for r, o, f, _, at in self._falls],
            self._dispersion.dump(),
        ]

    @classmethod
    def load(cls, state: Any, **params: Any) -> FocusBernoulli:
        """Continue from `dump`. Raises ValueError when the state cannot be read."""
        detector = cls(**params)
        try:
            *numbers, rises, falls, dispersion = state
            (
                detector._rows,
                detector._ones,
                detector._look_at,
                detector._until,
                detector._next_fall,
                detector._young,
                detector._batch,
                detector._batch_ones,
                detector._batch_behind,
                last,
            ) = map(int, numbers)
            detector._last = last == 1
            detector._rises = [[int(r), int(o), float(f), _UNKNOWN, int(at)] for r, o, f, at in rises]
            detector._falls = [[int(r), int(o), float(f), _UNKNOWN, int(at)] for r, o, f, at in falls]
        except TypeError as error:
            raise ValueError(f"focus_bernoulli: a state that cannot be read: {error}") from error
        if not 0 <= detector._batch < BATCH or not 0 <= detector._ones <= detector._rows:
            raise ValueError("focus_bernoulli: a state whose numbers contradict each other")
        detector._dispersion = Dispersion.load(dispersion)
        return detector


def _placed(hit: Hit, index: int) -> Hit:
    return Hit(index, hit.direction, hit.before, hit.after, hit.since, hit.evidence)

"""The first rows against a reference from a training set, whose rows had no order.

A training set tells where a signal lies and how much its values vary, but not how much the mean of 16 rows in
a row does: that depends on how alike neighbours are. So it is learned from the first rows of production,
in ways that a change of level does not touch, and all bins so far are judged anew with each further one.

Numbers. Of independent rows a mean of 16 varies by σ²/16. In any world, whatever its order, the variance of
all values is that within runs of 16 and that between their means (law of total variance):

    between = σ² - 15/16 · W        σ² of the training set, W within the bins of production

That is right for neighbours however alike, slow waves included; but W also falls when the level has fallen
and the spread with it, and then the change would hide itself. Which of the two it is the steps from row to
row tell: D, half their mean square, is W for independent rows and .18 W where each row hardly differs from
the one before. So `between` counts as far as D / W is below 1.

Categories. The chance that a row has the category of the one before, against that of any two rows of the
turn, tells how long values stay (λ); a turn of n rows then varies as n (1 - λ) / (1 + λ) independent ones do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import exp, fsum, lgamma, log, log1p, sqrt
from typing import Any

from driftbus.core.probes import Probe
from driftbus.core.scaling import BIN, MEAN_BINS

# A training set counts as that many bins (16,000 rows) or turns at most: from there on a detector's mean is
# far from moved, and to begin costs .2 ms a feature.
MOST_BINS = 1_000
# D / W of an autoregression that keeps half from row to row is .57: from .7 on neighbours are alike enough
# for all of `between` to count. Two standard errors of independent rows count for nothing.
ALIKE = 0.3
ERRORS = 2.0
# Runs longer than a turn cannot be told from ever: λ beyond this (√ of 39: six times the variation) says no
# more.
LONGEST_STAY = 0.95


class FirstBins:
    """The bins so far (`means`), and how much means of 16 vary. `deviation` is that of the reference's
    values, `of_means` that of their means where the training set had an order (else None), `bins` how many
    its rows would make."""

    __slots__ = (
        "_begun",
        "_bins",
        "_free",
        "_of_means",
        "_pairs",
        "_squares",
        "_steps",
        "deviation",
        "means",
    )

    def __init__(self, deviation: float, of_means: float | None, bins: int) -> None:
        self.deviation = deviation
        self.means: list[float] = []
        self._of_means = of_means
        self._bins = min(max(bins, 1), MOST_BINS)
        self._squares = self._steps = 0.0  # squared deviations from each bin's mean; squared steps
        self._free = self._pairs = 0  # how many of each there were
        self._begun: list[Any] = []

    def take(self, mean: float, values: Sequence[float]) -> None:
        """One bin: its mean and its values, all within the reference's fences."""
        self.means.append(mean)
        self._squares += fsum([(x - mean) ** 2 for x in values])
        self._free += len(values) - 1
        self._steps += fsum([(b - a) ** 2 for a, b in pairwise(values)])
        self._pairs += len(values) - 1

    def deviation_of_means(self) -> float:
        """The standard deviation that means of 16 are expected to have, by what is known so far."""
        variance = self.deviation**2
        known = variance / BIN
        if self._of_means is not None:
            known = max(known, self._of_means**2)
        if self._free and self._squares > 0.0:
            within = self._squares / self._free
            if variance > 0.0:  # what never moved has no spread, and any move is a whole one
                known = max(known, within / BIN)
            apart = self._steps / (2.0 * self._pairs) / within
            alike = (1.0 - apart - ERRORS / sqrt(self._pairs)) / ALIKE
            between = variance - within * (BIN - 1) / BIN - variance / BIN
            known = max(known, variance / BIN + min(max(alike, 0.0), 1.0) * max(between, 0.0))
        if len(self.means) >= MEAN_BINS:
            # As many as a reference is learned from tell it themselves, too: the greater, as W is not exact.
            center = fsum(self.means) / MEAN_BINS
            known = max(known, fsum([(x - center) ** 2 for x in self.means]) / (MEAN_BINS - 1))
        return sqrt(known)

    def begun(self, probes: Sequence[Probe]) -> list[Any]:
        """Each probe's detector after the reference's own bins, whose means are all the center."""
        if not self._begun:
            for probe in probes:
                probe.restart()
                probe.update_block([0.5] * self._bins)
                self._begun.append(probe.detector_state())
        return self._begun

    def dump(self) -> Any:
        """The state as JSON-able values."""
        sums = [self._squares, self._free, self._steps, self._pairs]
        return [self.deviation, self._of_means, self._bins, list(self.means), sums]

    @classmethod
    def load(cls, state: Any) -> FirstBins:
        """What `dump` was called on."""
        deviation, of_means, bins, means, sums = state
        first = cls(deviation, of_means, bins)
        first.means = list(means)
        first._squares, first._free, first._steps, first._pairs = sums
        return first


class FirstTurns:
    """The turns so far of a categorical feature (`distances` from the reference), and how much more they vary
    than turns of independent rows. `usual`: the distance these have; `turns`: how many the training set
    counts as."""

    __slots__ = ("_alike", "_begun", "_chances", "_pairs", "_same", "_turns", "distances", "usual")

    def __init__(self, usual: float, turns: int) -> None:
        self.usual = usual
        self.distances: list[float] = []
        self._turns = min(max(turns, 1), MOST_BINS)
        self._same = self._pairs = 0  # neighbours of the same category, of how many
        self._alike = self._chances = 0  # two rows of a turn of the same category, of how many
        self._begun: list[Any] = []

    def see(self, values: Sequence[Any]) -> None:
        """One bin's values, in their order."""
        self._same += sum([a == b for a, b in pairwise(values)])
        self._pairs += max(len(values) - 1, 0)

    def take(self, distance: float, counts: Iterable[int], n: int) -> None:
        """One turn: its distance, and its `n` values as counts per category."""
        self.distances.append(distance)
        self._alike += sum([count * (count - 1) for count in counts])
        self._chances += n * (n - 1)

    def factor(self) -> float:
        """How many times more a turn varies than one of independent rows, by what is known so far."""
        if not self._pairs or self._alike >= self._chances:
            return 1.0
        chance = self._alike / self._chances
        stays = min(max((self._same / self._pairs - chance) / (1.0 - chance), 0.0), LONGEST_STAY)
        return sqrt((1.0 + stays) / (1.0 - stays))

    def begun(self, probes: Sequence[Probe]) -> list[Any]:
        """Each probe's detector after the reference's own turns, all at the usual distance."""
        if not self._begun:
            for probe in probes:
                probe.restart()
                probe.update_block([self.usual] * self._turns)
                self._begun.append(probe.detector_state())
        return self._begun

    def dump(self) -> Any:
        """The state as JSON-able values."""
        counts = [self._same, self._pairs, self._alike, self._chances]
        return [self.usual, self._turns, list(self.distances), counts]

    @classmethod
    def load(cls, state: Any) -> FirstTurns:
        """What `dump` was called on."""
        usual, turns, distances, counts = state
        first = cls(usual, turns)
        first.distances = list(distances)
        first._same, first._pairs, first._alike, first._chances = counts
        return first


def usual_distance(shares: Mapping[Any, float], rows: int, total: int, unseen: float) -> float:
    """The expected distance of the frequencies of `rows` independent rows from the shares they are drawn
    from, which `total` rows have told; a part `unseen` of them is of other categories.

    The mean absolute deviation of a binomial count is De Moivre's: 2 (m + 1) C(n, m + 1) pᵐ⁺¹ (1 - p)ⁿ⁻ᵐ with
    m = ⌊n p⌋; half their sum over n is the distance. (Diaconis & Zabell, Statistical Science 6, 1991.)
    """
    deviations = []
    for p in shares.values():
        if 0.0 < p < 1.0:
            m = min(int(rows * p), rows - 1)
            chosen = lgamma(rows + 1) - lgamma(m + 2) - lgamma(rows - m)
            deviations.append(2.0 * (m + 1) * exp(chosen + (m + 1) * log(p) + (rows - m) * log1p(-p)))
    distance = fsum(deviations) / (2.0 * rows) * sqrt(1.0 + rows / total)
    return min(unseen + (1.0 - unseen) * distance, 1.0)

"""Where did the error rise: in one slice alone, or elsewhere too? A pure comparison of counts.

Errors beyond what the rates before and after together make expected, E with variance V (`mantel_haenszel`),
in a slice and in all the rest. E² / 2V is about a log-likelihood ratio for a rise, and one shift of all has
(E + E')² / 2(V + V'). One slice explains the change where it alone does better than that shift, and the rest
has not risen of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import NamedTuple

from driftbus.core.mantel_haenszel import Table, excess, nats
from driftbus.core.slices_counted import SliceCounts

# Nats by which one slice has to do better than a shift of everything, beside the logarithm of how many slices
# were tried; what was told stands while it does by 2.
MARGIN, KEPT = 4.0, 2.0
# Nats for a rise of the rest, from which it is no change of one slice: 3 come by chance once in 140 tries,
# and a great change in a slice leaves a little in the rest, as its onset is not known to the row.
REST, REST_SHARE = 3.0, 0.05


class Located(NamedTuple):
    """A slice, by its number, that explains a rise; the whole's levels before and after it, and the nats it
    has by itself."""

    number: int
    before: float
    after: float
    nats: float


def locate(
    counts: SliceCounts, from_seq: int, onset_seq: int, dispersion: float, told: int | None = None
) -> Located | None:
    """The slice in which the error has risen since `onset_seq`, held against the outcomes from `from_seq` on;
    None where no one slice explains it. `told`: the one that was told."""
    if not counts.keys:
        return None
    whole, slices = counts.tables(from_seq, onset_seq)
    if not whole[0] or not whole[2]:
        return None
    margin = MARGIN + log(len(slices))
    best: Located | None = None
    for number, table in slices.items():
        rest = _rest(whole, table)
        if not table[0] and table[2]:  # a new slice: held against what was usual
            table = (whole[0], whole[1], table[2], table[3])
        beyond, variance = excess(table)
        more, spread = excess(rest)
        if beyond <= 0.0 or variance <= 0.0:
            continue
        alone = nats(beyond, variance) / dispersion
        common = nats(beyond + more, variance + spread) / dispersion
        risen = nats(more, spread) / dispersion
        least = KEPT if number == told else margin
        fits = alone - common >= least and risen <= max(REST, REST_SHARE * alone)
        if fits and (best is None or alone > best.nats):
            best = Located(number, whole[1] / whole[0], whole[3] / whole[2], alone)
    return best


def explains(
    counts: SliceCounts,
    numbers: Sequence[int],
    from_seq: int,
    onset_seq: int,
    dispersion: float,
    least: float,
) -> bool:
    """Whether what is known of these slices will do for a rise of the whole that is dated to `onset_seq`: the
    rest, by itself, has not risen by `least` nats, and none that has a level of its own (`floors`) has risen
    from it. The onset of a small rise of the whole is vague, so `locate` may miss the slice."""
    if not numbers:
        return False
    rest, slices = counts.tables(from_seq, onset_seq)
    for number in numbers:
        rest = _rest(rest, slices[number])
        floor = counts.floors.get(number, 0)
        if floor and nats(*excess(counts.tables(floor, onset_seq)[1][number])) / dispersion >= REST:
            return False
    return nats(*excess(rest)) / dispersion < least


def _rest(whole: Table, part: Table) -> Table:
    return whole[0] - part[0], whole[1] - part[1], whole[2] - part[2], whole[3] - part[3]

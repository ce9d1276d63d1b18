"""What an episode says of a slice: found in one, or explained by one. Between counts and `episodes`."""

from __future__ import annotations

from typing import NamedTuple

from driftbus.core.episode import Episode, figure, slice_of, slice_signal
from driftbus.core.history import Columns
from driftbus.core.outlook import EpisodePolicy, better_since
from driftbus.core.records import SignalEvidence
from driftbus.core.slices_counted import Key, SliceCounts
from driftbus.core.slices_located import Located, locate
from driftbus.core.steps import scan
from driftbus.core.verdict import Verdict, judge

# Rows of a slice on its new level after which this is normal: a slice of 4 % has a thousand of them in 25,000
# outcomes, and three thousand, as the whole waits for, in 75,000.
SETTLE_ROWS = 1_000
# Of the strength that an alarm of the whole which decides nothing has to have, what a slice's history has to
# show: more than the half that does for the whole, as false alarms of slices were found to be weak.
AGREES = 0.75


class Rise(NamedTuple):
    """A rise within one slice: the fit, the slice's bins, and how much its errors waver."""

    verdict: Verdict
    columns: Columns
    dispersion: float

    @property
    def onset(self) -> int:
        """The seq at which it begins."""
        return int(self.columns.first_seq[self.verdict.onset])


def rise_in(counts: SliceCounts, number: int, reference: int, policy: EpisodePolicy) -> Rise | None:
    """The rise that a slice's rows do not contradict, judged from `reference` or the slice's own floor on."""
    floor = max(reference, counts.floors.get(number, 0))
    columns = counts.columns(number, floor)
    if len(columns.n) > 1:
        floor = better_since(columns, floor)
        columns = counts.columns(number, floor)
    step = scan(columns)
    if step is None or step.strength < AGREES * policy.confirm_strength:
        return None
    verdict = judge(columns)
    return None if verdict is None else Rise(verdict, columns, step.dispersion)


def found_in(
    counts: SliceCounts, number: int, reference: int, policy: EpisodePolicy
) -> tuple[Rise, Located | None] | None:
    """After an alarm in slice `number`: the rise there, or in the slice that explains it better, and that
    slice; None for it where the rest has risen, too. None where there is no rise."""
    rise = rise_in(counts, number, reference, policy)
    if rise is None:
        return None
    floor = max(reference, counts.floors.get(number, 0))
    located = locate(counts, floor, rise.onset, rise.dispersion)
    if located is not None and located.number != number:
        other = rise_in(counts, located.number, reference, policy)
        return (rise, None) if other is None else (other, located)
    return rise, located


def explain(episode: Episode, located: Located | None, counts: SliceCounts, reference: int, seq: int) -> None:
    """Say of an episode of the whole which slice explains it since `seq`; None: none does."""
    if episode.slice is not None:
        episode.signals.pop(slice_signal(episode.slice), None)
    if located is None:
        episode.slice = None
        return
    episode.slice = slice_of(counts.keys[located.number])
    name = slice_signal(episode.slice)
    n0, e0, n1, e1 = counts.tables(reference, seq)[1][located.number]
    before = e0 / n0 if n0 else located.before
    after = e1 / n1 if n1 else located.after
    detector = episode.signals["error"].detector
    episode.signals[name] = SignalEvidence(
        name, figure(before), figure(after), detector, figure(located.nats)
    )


def signals_of(key: Key, located: Located, detector: str) -> dict[str, SignalEvidence]:
    """The signals of an episode found in a slice: its error, to be filled in, and the whole's."""
    name = slice_signal(slice_of(key))
    return {
        name: SignalEvidence(name, 0.0, 0.0, detector, 0.0),
        "error": SignalEvidence(
            "error", figure(located.before), figure(located.after), detector, figure(located.nats)
        ),
    }


def key_of(episode: Episode) -> Key:
    """The slice that an episode tells."""
    ((name, value),) = (episode.slice or {}).items()
    return name, value

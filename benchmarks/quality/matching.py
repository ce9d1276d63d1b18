"""The protocol's rules: which alarms are one episode, which episode found which change. Pure.

A stream has changes (`start` ≤ row < `end`; sudden: `end` = `start` + 1) and rows at which a new model
took over (`replaced`). An episode finds a change when it starts in [start − opening, end + max_delay], before
the next replacement. Each change takes one episode; every other episode is false: *early* when no change had
begun since the last replacement, else a *duplicate*. A change that does not count (it hardly raises the
error) takes what lies in its window, and this is neither right nor false.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

# Share of a smooth change's width by which its window opens before the stated start: there the logistic
# curve of the published streams has come to 1 %.
OPENING = 0.65


@dataclass(frozen=True, slots=True)
class Change:
    """One true change. `smooth`: a logistic mixture, whose window opens early; `counts`: it raises the error
    enough; `kind` as a verdict should name it (None: not to be judged); `recurrent`: back to a state that the
    stream was in before."""

    start: int
    end: int
    smooth: bool = False
    counts: bool = True
    kind: str | None = None
    recurrent: bool = False

    @property
    def width(self) -> int:
        """Rows from start to end; 0 for a sudden change."""
        return 0 if self.end - self.start <= 1 else self.end - self.start


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode as it was told. Rows count from 0; None: not said.

    `start`: the row that opened it. `onset` (`earliest`, `latest`): as estimated then; `last_*`: when it was
    told last. `kind`: `typed_after` rows later; `last_kind` in the end.
    """

    start: int
    onset: int | None = None
    earliest: int | None = None
    latest: int | None = None
    kind: str | None = None
    last_kind: str | None = None
    last_onset: int | None = None
    last_earliest: int | None = None
    last_latest: int | None = None
    category: str = "concept"
    resolution: str | None = None


@dataclass(slots=True)
class Score:
    """Sums over streams. `pairs`: changes with the episodes that found them."""

    pairs: list[tuple[Change, Episode]] = field(default_factory=list)
    missed: list[Change] = field(default_factory=list)
    early: int = 0
    duplicates: int = 0

    def add(self, other: Score) -> None:
        """Take in another stream's score."""
        self.pairs += other.pairs
        self.missed += other.missed
        self.early += other.early
        self.duplicates += other.duplicates

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall over changes; None without any change or episode."""
        found, false = len(self.pairs), self.early + self.duplicates
        whole = 2 * found + false + len(self.missed)
        return 2 * found / whole if whole else None

    def delays(self, max_delay: int) -> list[int]:
        """Rows from each change's start to its episode; a miss counts as the most that was allowed."""
        found = [episode.start - change.start for change, episode in self.pairs]
        return found + [change.width + max_delay for change in self.missed]

    def onset_errors(self, last: bool = False) -> list[int]:
        """|estimate − start| of the changes found, as first told or (`last`) as told in the end."""
        errors = []
        for change, episode in self.pairs:
            onset = episode.last_onset if last else episode.onset
            if onset is not None:
                errors.append(abs(onset - change.start))
        return errors


def merged(
    alarms: Sequence[int], onsets: Sequence[int | None], gap: int, replaced: Sequence[int]
) -> list[Episode]:
    """Alarms (rows, ascending) as episodes: one ≤ `gap` rows after the last joins, a replacement closes."""
    episodes: list[Episode] = []
    last, model = 0, -1
    for row, onset in zip(alarms, onsets, strict=True):
        now = bisect_right(replaced, row)
        if not episodes or now != model or row - last > gap:
            episodes.append(Episode(row, onset))
        last, model = row, now
    return episodes


def match(
    episodes: Sequence[Episode],
    changes: Sequence[Change],
    replaced: Sequence[int],
    max_delay: int,
    opening: float = OPENING,
) -> Score:
    """Which episode found which change, each at most once; `opening` in widths, of smooth changes only.

    An episode that could have found several takes the one whose window closes first: no other assignment
    finds more.
    """
    windows = []
    for change in changes:
        after = bisect_right(replaced, change.start)
        closes = replaced[after] - 1 if after < len(replaced) else change.end + max_delay
        opens = change.start - (round(opening * change.width) if change.smooth else 0)
        windows.append((opens, min(closes, change.end + max_delay), change))
    score = Score()
    taken: set[int] = set()
    for episode in sorted(episodes, key=lambda one: one.start):
        fits = [
            (closes, index)
            for index, (opens, closes, _) in enumerate(windows)
            if opens <= episode.start <= closes
        ]
        free = [fit for fit in fits if fit[1] not in taken and windows[fit[1]][2].counts]
        if free:
            index = min(free)[1]
            taken.add(index)
            score.pairs.append((windows[index][2], episode))
        elif any(not windows[index][2].counts for _, index in fits):
            continue
        elif _began(episode.start, windows, replaced):
            score.duplicates += 1
        else:
            score.early += 1
    score.missed = [
        change for index, (_, _, change) in enumerate(windows) if change.counts and index not in taken
    ]
    return score


def _began(row: int, windows: Sequence[tuple[int, int, Change]], replaced: Sequence[int]) -> bool:
    """Whether a change that counts had begun since the last replacement."""
    model = bisect_right(replaced, row)
    since = replaced[model - 1] if model else 0
    return any(since <= opens <= row for opens, _, change in windows if change.counts)

"""How an open episode of the error stands: going on, settled on a new level, or passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from driftbus.core.episode import Episode, figure
from driftbus.core.history import Columns
from driftbus.core.records import Onset, Resolution, SignalEvidence
from driftbus.core.settings import DAY_MS
from driftbus.core.steps import Step, is_binary, scan
from driftbus.core.verdict import Verdict, judge

# A kind that was told is taken back when its posterior falls below this: the verdict is renewed so often
# that it would else flicker about the 0.9 at which a kind is told.
KEPT = 0.6
# A fall that makes what was before it another world: twice the evidence a rise needs, the level down by a
# third, and rows enough on the new level to tell its dispersion. Wandering errors fall so far, less clearly.
FALL_STRENGTH, FALL_RATIO, FALL_ROWS = 16.0, 0.67, 512
# A sudden change can take some dozens of rows (those of the recorded `tornado_*` files take 50), and a step
# is fitted to its middle: the interval reaches so many rows back at least.
SOFT_ROWS = 32.0
# A logistic curve and the line that fits it best do not begin at one row: a third of the line's length holds
# the difference (of curves over 1,000 rows the line began 70 to 290 rows early, and took 1,300).
SHAPE_RATIO = 1.0 / 3.0


@dataclass(frozen=True, slots=True)
class EpisodePolicy:
    """When a change is real, the same, or over. Rows are outcomes or predictions of one version.

    `confirm_strength`: for alarms of detectors that keep to no budget themselves, least log-likelihood ratio
    of a rise, dispersion and log(n/m) taken off. With 8, ADWIN and Page-Hinkley alarms on 9.6 million
    independent 0/1 errors opened no episode (at most .03 per 100,000 with 95 % confidence), and 1 in a
    million rows on bursty and on strongly correlated errors.
    `min_rise` (0/1 errors only) and `min_rise_ratio`: a rise below either matters to nobody.
    `retry_rows`: how long an alarm awaits confirmation. `settle_rows`: rows on the new level after which
    it is the reference. `pass_rows`: rows back near the old level after which a change has passed.
    `quiet_predictions`: predictions without an alarm after which a label-free episode is settled.
    `max_updates`: events between opening and closing. `limit_ms`: event time after which it ends anyway.
    """

    confirm_strength: float = 8.0
    min_rise: float = 0.01
    min_rise_ratio: float = 0.10
    retry_rows: int = 2_000
    settle_rows: int = 3_000
    pass_rows: int = 200
    quiet_predictions: int = 5_000
    max_updates: int = 8
    limit_ms: int = 30 * DAY_MS

    def believes(self, step: Step | None, columns: Columns, decided: bool, caution: float) -> bool:
        """Whether an alarm of a detector that decides by itself, or of another, opens an episode."""
        return (decided and self.agrees(step, columns)) or self.confirms(step, columns, caution)

    def confirms(self, step: Step | None, columns: Columns, caution: float = 0.0) -> bool:
        """Whether a rise is real and large enough to matter; `caution`: nats that are asked for beyond."""
        if step is None or step.strength < self.confirm_strength + caution:
            return False
        least = self.min_rise if is_binary(columns) else 0.0
        return step.after - step.before >= max(least, self.min_rise_ratio * abs(step.before))

    def agrees(self, step: Step | None, columns: Columns) -> bool:
        """Whether the history at least does not contradict a detector that decides by itself. Of real values
        it sees means only, which outliers drown, where the detector sees ranks."""
        least = self.confirm_strength / (2.0 if is_binary(columns) else 8.0)
        return step is not None and step.strength >= least

    def agrees_still(self, strength: float, columns: Columns) -> bool:
        """Whether the rise of an open episode has not thinned out to nothing."""
        return strength >= (self.confirm_strength / 4.0 if is_binary(columns) else 0.0)


class Outlook(NamedTuple):
    """How an episode stands. `verdict`: the fit to take over (None: keep what stands). `resolution`: why it
    is over (None: it is not). `level_from`: first bin of the level that holds now. `since_onset`: rows.
    `falling`: the error seems to come down again, so that what was seen may be about to pass."""

    verdict: Verdict | None
    resolution: Resolution | None
    level_from: int
    since_onset: int
    falling: bool = False


def look(columns: Columns, onset_seq: int, before: float, policy: EpisodePolicy) -> Outlook:
    """Judge anew an episode whose onset was put at `onset_seq`, with the level `before` it."""
    length = len(columns.n)
    started = min(int(np.searchsorted(columns.first_seq, onset_seq)), length - 1)
    left = np.cumsum(columns.n[::-1])[::-1]  # rows from each bin's start to now
    since_onset = int(left[started])
    verdict = judge(columns)
    if verdict is None or (
        not policy.agrees_still(verdict.strength, columns) and since_onset >= policy.pass_rows
    ):
        return Outlook(None, "passed", 0, since_onset)  # what was seen has thinned out to nothing
    level_from = verdict.end
    fall = scan(columns.part(started), -1)
    # Much less than what shows that it has passed is a reason to wait and see.
    falling = fall is not None and fall.strength >= policy.confirm_strength / 4.0
    if fall is not None and fall.strength >= policy.confirm_strength / 2.0:
        # The error is coming down: a rise fitted now would mix both, so the episode keeps what it has.
        level_from, verdict = started + fall.start, None
        back = fall.after <= before + 0.5 * (fall.before - before)
        certain = fall.strength >= policy.confirm_strength and left[level_from] >= policy.pass_rows
        if back and certain:
            return Outlook(None, "passed", level_from, since_onset)
    held = float(left[level_from]) if level_from < length else 0.0
    # A rise so small that its end cannot be told must not stay open for ever.
    if held >= policy.settle_rows or since_onset >= 10 * policy.settle_rows:
        return Outlook(verdict, "settled", min(level_from, length - 1), since_onset)
    return Outlook(verdict, None, level_from, since_onset, falling)


def improved_since(columns: Columns, reference: int, policy: EpisodePolicy) -> int:
    """The seq from which to judge after an alarm that the error has fallen: the fall's, if that is sure."""
    step = scan(columns, -1)
    if step is None or step.strength < policy.confirm_strength:
        return reference
    return int(columns.first_seq[step.start])


def better_since(columns: Columns, reference: int) -> int:
    """The seq from which to judge: that of a fall to another world, if there is one."""
    fall = scan(columns, -1)
    if fall is None or fall.strength < FALL_STRENGTH or fall.after > FALL_RATIO * fall.before:
        return reference
    enough = float(columns.n[fall.start :].sum()) >= FALL_ROWS
    return int(columns.first_seq[fall.start]) if enough else reference


def fitted_onset(verdict: Verdict, columns: Columns) -> Onset:
    """A fit's onset in `outcomes`, with its interval in order whatever the order of the rows.

    A change within a bin shows at either of its ends: the interval reaches a bin further to both sides, and
    further where the shape of the change, which nobody knows, decides when it began (`SOFT_ROWS`,
    `SHAPE_RATIO`). A rise that goes on may just be beginning.
    """
    rows = np.concatenate(([0.0], np.cumsum(columns.n)))
    last = len(columns.n) - 1
    early, late = max(verdict.earliest - 1, 0), min(verdict.latest + 1, last)
    if verdict.moving and verdict.kind != "sudden":
        late = last
    elif verdict.kind == "gradual":
        reach = rows[verdict.onset] + SHAPE_RATIO * (rows[verdict.end] - rows[verdict.onset])
        late = min(max(late, int(np.searchsorted(rows, reach))), last)
    early = min(early, max(int(np.searchsorted(rows, rows[verdict.onset] - SOFT_ROWS, "right")) - 1, 0))
    places = (verdict.onset, early, late)
    first, earliest, latest = (int(columns.first_ts[index]) for index in places)
    return Onset(first, min(earliest, first), max(latest, first), True, int(columns.first_seq[verdict.onset]))


def take_verdict(episode: Episode, verdict: Verdict, columns: Columns) -> None:
    """Bring an episode up to date. A kind once told is kept while it stays the likelier one by far."""
    told = {"sudden": 1.0 - verdict.gradual, "gradual": verdict.gradual}.get(episode.shape, 0.0)
    if verdict.kind != "undetermined" or told < KEPT:
        episode.shape, episode.shape_confidence = verdict.kind, figure(verdict.confidence)
    else:
        episode.shape_confidence = figure(told)
    episode.lasting = figure(verdict.lasting)
    onset = fitted_onset(verdict, columns)
    known = episode.onset
    # Bins grow coarser with age: what was told more finely, and is not contradicted, stands.
    if not (onset.earliest <= known.earliest and known.latest <= onset.latest):
        episode.onset = onset
    episode.moving = verdict.moving
    name = episode.judged
    detector = episode.signals[name].detector
    episode.signals[name] = SignalEvidence(
        name, figure(verdict.before), figure(verdict.after), detector, figure(verdict.llr)
    )


def is_news(episode: Episode, seen: int, now: int, policy: EpisodePolicy) -> bool:
    """Whether an open episode has changed enough to be told again, after `seen` rows, at `now` (ms)."""
    told, error = episode.told, episode.signals[episode.judged]
    if told is None or (episode.kind != told.kind and episode.kind != "undetermined"):
        return True
    if seen < episode.quiet_until:
        return False
    # The interval itself is an estimate, and bins grow coarser with their age.
    slack = max((told.latest - told.earliest) // 2, (now - episode.onset.ts) // 10)
    moved = not told.earliest - slack <= episode.onset.ts <= told.latest + slack
    rise = max(abs(told.after - error.before), policy.min_rise)
    grown = abs(error.after - told.after) > 0.5 * rise
    return episode.news or moved or grown or episode.kind != told.kind or episode.slice != told.slice

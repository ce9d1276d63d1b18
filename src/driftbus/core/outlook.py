"""How an open episode of the error stands: going on, settled on a new level, or passed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from driftbus.core.history import Columns
from driftbus.core.records import Resolution
from driftbus.core.settings import DAY_MS
from driftbus.core.steps import Step, is_binary, scan
from driftbus.core.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class EpisodePolicy:
    """When a change is real, the same, or over. Rows are outcomes or predictions of one version.

    `confirm_strength`: least log-likelihood ratio of a rise, dispersion and log(n/m) taken off. 8 leaves
    under .05 false episodes per 100,000 independent 0/1 errors (measured: tests/core/test_episodes.py).
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
    settle_rows: int = 2_000
    pass_rows: int = 200
    quiet_predictions: int = 5_000
    max_updates: int = 8
    limit_ms: int = 30 * DAY_MS

    def confirms(self, step: Step | None, columns: Columns) -> bool:
        """Whether a rise is real and large enough to matter."""
        if step is None or step.strength < self.confirm_strength:
            return False
        least = self.min_rise if is_binary(columns) else 0.0
        return step.after - step.before >= max(least, self.min_rise_ratio * abs(step.before))


class Outlook(NamedTuple):
    """How an episode stands. `verdict`: the fit to take over (None: keep what stands). `resolution`: why it
    is over (None: it is not). `level_from`: first bin of the level that holds now. `since_onset`: rows."""

    verdict: Verdict | None
    resolution: Resolution | None
    level_from: int
    since_onset: int


def look(columns: Columns, onset_seq: int, before: float, policy: EpisodePolicy) -> Outlook:
    """Judge anew an episode whose onset was put at `onset_seq`, with the level `before` it."""
    length = len(columns.n)
    started = min(int(np.searchsorted(columns.first_seq, onset_seq)), length - 1)
    left = np.cumsum(columns.n[::-1])[::-1]  # rows from each bin's start to now
    since_onset = int(left[started])
    verdict = judge(columns)
    if verdict is None or (
        verdict.strength < policy.confirm_strength / 4.0 and since_onset >= policy.pass_rows
    ):
        return Outlook(None, "passed", 0, since_onset)  # what was seen has thinned out to nothing
    level_from = verdict.end
    fall = scan(columns.part(started), -1)
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
    return Outlook(verdict, None, level_from, since_onset)

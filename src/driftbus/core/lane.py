"""One version's rows of one block, taken up in the order of their positions.

Detectors look at whole blocks; what they find is decided upon in record order. A lane holds the rows that
were looked at and absorbs them into the version's memory up to the position of each decision.
"""

from __future__ import annotations

from bisect import bisect_right

from driftbus.core.columns import OutcomeColumns, PredictionColumns
from driftbus.core.version import VersionMonitor

NEVER = 1 << 62
# While something waits upon outcomes, it is looked at after each 16th: a few rows late at most, and
# cheap enough to forget (a look takes 20 to 100 µs).
LOOK_EVERY = 16


class Lane:
    """`absorb` moves on; `next_stop` says where the version must be looked at next.

    `opened` is the position of the version's first prediction, if it is in this block; `met` those at which
    predictions of this block first brought custom signals, by name.
    """

    __slots__ = ("_at_o", "_at_p", "met", "opened", "outcomes", "predictions", "version")

    def __init__(self, version: VersionMonitor, opened: int = -1) -> None:
        self.version = version
        self.opened = opened
        self.met: dict[str, int] = {}
        self.predictions: PredictionColumns | None = None
        self.outcomes: OutcomeColumns | None = None  # those that can be compared
        self._at_p = 0
        self._at_o = 0

    def absorb(self, pos: int) -> None:
        """Take up all rows at positions ≤ `pos`."""
        rows = self.predictions
        if rows is not None and self._at_p < len(rows.pos):
            stop = bisect_right(rows.pos, pos, self._at_p)
            if stop > self._at_p:
                cut = slice(self._at_p, stop)
                self.version.absorb_predictions(rows.offsets[cut], rows.tss[cut])
                self._at_p = stop
        found = self.outcomes
        if found is not None and self._at_o < len(found.pos):
            stop = bisect_right(found.pos, pos, self._at_o)
            if stop > self._at_o:
                self.version.absorb_outcomes(found.cut(self._at_o, stop))
                self._at_o = stop

    def next_stop(self, wanted: bool) -> int:
        """The position of the next row after which the version must be looked at; NEVER if none here.

        `wanted`: the policy waits upon this version's outcomes.
        """
        version = self.version
        stop = NEVER
        due = version.episodes.due_predictions
        if due is not None and self.predictions is not None:
            index = self._at_p + max(1, due - version.rows.predictions.seen) - 1
            if index < len(self.predictions.pos):
                stop = self.predictions.pos[index]
        rows = self.outcomes
        if rows is None or self._at_o >= len(rows.pos):
            return stop
        ahead = NEVER
        due = version.episodes.due_outcomes
        if due is not None:
            ahead = max(1, due - version.rows.outcomes.seen)
        if wanted:
            ahead = min(ahead, LOOK_EVERY - version.outcomes % LOOK_EVERY)
            if version.setup.settings.retrain.rules:
                ahead = min(ahead, version.performance.next_boundary() or NEVER)
        index = self._at_o + ahead - 1
        if index < len(rows.pos) and rows.pos[index] < stop:
            stop = rows.pos[index]
        return stop

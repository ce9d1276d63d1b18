"""How often outcomes of a version come, and so how many false alarms a budget in time allows for each.

`1 per 90d` is a rate per outcome once it is known how many outcomes 90 days bring: the mean over all of the
version's so far, by the times of their predictions, so that labels which come late or all at once change
nothing. It is reckoned anew at certain rows, each twice as far as the one before, wherever blocks are cut.

    outcomes    0 ─── 512 ─── 1,024 ─── 2,048 ─── …
    rate        MOST    └ reckoned      └ anew
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from driftbus.core.detectors.budget import MOST
from driftbus.core.settings import AlarmBudget

# Outcomes before the pace is first reckoned: as many as come before the first alarm of a detector that
# keeps to a budget.
FIRST_ROWS = 512
# Ten million outcomes a second would come to 1 in 10^14 with one false alarm in 90 days; what is rarer is a
# clock that stands nearly still.
LEAST = 1e-14


class Pace:
    """`take` the times of outcomes in order, at most `left` at a time. `rate`: false alarms per outcome that
    are allowed now, `MOST` at most; `first_ts`, `newest_ts`: the first outcome's, and the greatest so far."""

    __slots__ = (
        "_budget",
        "_earlier",
        "_gap_ms",
        "_since",
        "_spent",
        "first_ts",
        "newest_ts",
        "rate",
        "rows",
    )

    def __init__(self, budget: AlarmBudget) -> None:
        self._budget = budget
        self.rows = self._since = 0  # so far, and when the rate was reckoned last
        self.rate = MOST
        self._gap_ms = 0.0  # from one outcome to the next, then; 0: not known
        self.first_ts = self.newest_ts = 0
        self._spent = 0.0
        # What was before each reckoning: decisions are about a row, and its whole block is taken already.
        self._earlier: list[tuple[int, float, float]] = []

    @property
    def left(self) -> int:
        """Outcomes until the rate is reckoned anew."""
        return max(2 * self._since, FIRST_ROWS) - self.rows

    @property
    def caution(self) -> float:
        """Nats of evidence that are asked for beyond what `MOST` needs."""
        return log(MOST / self.rate)

    @property
    def expected(self) -> float:
        """How many false alarms the rates allowed for, over all outcomes so far."""
        return self.expected_of(self.rows)

    def expected_of(self, rows: int) -> float:
        """The same over the first `rows` outcomes, those taken before a restart included."""
        reckoned = [*self._earlier, (self._since, self._spent, self.rate)]
        since, spent, rate = next((one for one in reversed(reckoned) if one[0] <= rows), reckoned[0])
        return spent + rate * (rows - since)

    def take(self, tss: Sequence[int]) -> bool:
        """Prediction times, ms, of the next outcomes; whether the rate may be another from now on."""
        if not self.rows:
            self.first_ts = self.newest_ts = tss[0]
        newest = max(tss)
        if newest > self.newest_ts:
            self.newest_ts = newest
        self.rows += len(tss)
        if self.left:
            return False
        self._earlier.append((self._since, self._spent, self.rate))
        self._spent, self._since = self.expected, self.rows
        self._gap_ms = (self.newest_ts - self.first_ts) / self.rows
        self.rate = self._allowed()
        return True

    def _allowed(self) -> float:
        if not self._gap_ms:  # all of one time: there is no pace to know
            return MOST
        budget = self._budget
        return min(max(budget.count * self._gap_ms / budget.span_ms / budget.among, LEAST), MOST)

    def dump(self) -> Any:
        """As JSON-able values."""
        return [self.rows, self._since, self.first_ts, self.newest_ts, self._gap_ms, self._spent]

    @classmethod
    def load(cls, state: Any, budget: AlarmBudget) -> Pace:
        """What `dump` was called on; another budget than then acts from now on."""
        self = cls(budget)
        self.rows, self._since, self.first_ts, self.newest_ts, self._gap_ms, self._spent = state
        self.rate = self._allowed()
        return self

"""The label-free watch over one model version's features: a block of rows in, hits out.

    watch = FeatureWatch(policy, plan)
    for hit in watch.observe([{"amount": 12.5, "country": "DE"}, …]):   # a row per prediction, oldest first
        hit.signal                                                       # "feature/amount", "missing/country" …
    FeatureWatch.load(watch.dump(), policy, plan)                        # goes on bit for bit

Signals: `feature/<name>` (the level of a number, the frequencies of a category), `missing/<name>` (null or
absent), `unseen/<name>` (a category that the reference did not have), `range/<name>` (a number far outside
the reference's range). Where blocks are cut changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driftbus.core.records import Features
from driftbus.core.settings import FeaturePolicy, SignalPlan
from driftbus.core.signals import SignalHit
from driftbus.core.views import FeatureView


class FeatureWatch:
    """The memory over one version's features.

    `seen` counts rows; `dropped` values of features beyond `policy.max`; `unwatched` arrays and objects;
    `rejected` values that do not fit their feature's kind (text in a number, not finite).
    A hit's `index` is the row of the block that decided it, `since` counts rows of this watch. Levels of
    redacted features are given in standard deviations from the reference, never by value.
    """

    def __init__(self, policy: FeaturePolicy, plan: SignalPlan, *, max_categories: int = 1_000) -> None:
        self.policy = policy
        self.plan = plan
        self.seen = 0
        self.dropped = 0
        self.unwatched = 0
        self.rejected = 0

    def observe(self, rows: Sequence[Features | None]) -> list[SignalHit]:
        """Take a block of rows; hits in the order of the rows that decided them. Rows are not kept changed."""
        raise NotImplementedError

    def summary(self) -> tuple[FeatureView, ...]:
        """One view per watched feature, in the order they were first seen."""
        raise NotImplementedError

    def dump(self) -> Any:
        """The memory as JSON-able values."""
        raise NotImplementedError

    @classmethod
    def load(
        cls, state: Any, policy: FeaturePolicy, plan: SignalPlan, *, max_categories: int = 1_000
    ) -> FeatureWatch:
        """The watch that `dump` was called on; policy and plan as they were then."""
        raise NotImplementedError

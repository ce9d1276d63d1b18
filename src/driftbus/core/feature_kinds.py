"""One feature: a number or a category, with its data quality. A bin of 16 values in, hits out.

Both kinds answer the same calls: `take` a bin (None = missing), `close` a turn of 64 rows, `view`, `dump`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf
from typing import Any

from driftbus.core.categories import RELIABLE_TURNS, Categories
from driftbus.core.levels import Level
from driftbus.core.probes import SignalHit
from driftbus.core.reference import CategorySummary, NumberSummary
from driftbus.core.scaling import BIN, HUGE
from driftbus.core.settings import SignalPlan
from driftbus.core.shares import MADE_UP, REFERENCE_TURNS, TURN, Share
from driftbus.core.views import FeatureView

CONTAINERS = (list, dict)
NUMBERS = frozenset({int, float, bool})
# What a category may be of without a closer look at each value.
_TEXT = frozenset({str})
_TEXT_OR_MISSING = frozenset({str, type(None)})


def is_scalar(value: Any) -> bool:
    """Text, a finite number, true or false: what can be watched."""
    kind = type(value)
    return kind is str or (kind in NUMBERS and value - value == 0)


class Feature:
    """What both kinds share. `first` is the turn it was first seen in; `fresh` says that its first bin is
    still to come (rows before its first value are not missing ones). `unwatched` counts arrays and objects,
    `rejected` values that do not fit; both count as missing too, as the model cannot have used them."""

    kind: str

    __slots__ = ("_plan", "_shares", "first", "fresh", "hidden", "name", "rejected", "unwatched")

    def __init__(self, name: str, plan: SignalPlan, first: int, *, hidden: bool, state: Any = None) -> None:
        self.name = name
        self.hidden = hidden
        self._plan = plan
        self.first = first
        self.fresh = True
        self.unwatched = 0
        self.rejected = 0
        self._shares: dict[str, Share] = {}
        if state is not None:
            self.first, self.fresh, self.unwatched, self.rejected, shares = state
            for kind, kept in shares:
                self._shares[kind] = self._share(kind, kept)

    def _share(self, kind: str, state: Any = None) -> Share:
        return Share(f"{kind}/{self.name}", self._plan.quality, self.first, REFERENCE_TURNS, state)

    def _refer(self, count: int, missing: float) -> int:
        """Begin with a reference from elsewhere, of so many values; the turns these are worth. Its rows count
        as the turns before this one, so that what they did not have alarms at once."""
        turn, turns = self.first, min(max(count // TURN, REFERENCE_TURNS), MADE_UP)
        self.first, self.fresh = turn - turns, False
        if missing > 0.0 and self._plan.quality != ():
            share = self._shares["missing"] = self._share("missing")
            share.refer(turn, missing, turns)
        return turns

    def _count(self, kind: str, n: int) -> None:
        """`n` more in this turn, of `missing` or `range`; the share is made on the first."""
        if self._plan.quality == ():
            return
        share = self._shares.get(kind)
        if share is None:
            share = self._shares[kind] = self._share(kind)
        share.count += n

    def _close_shares(self, turn: int, index: int, hits: list[SignalHit]) -> None:
        normal = turn - self.first < REFERENCE_TURNS
        for share in self._shares.values():
            if share.count:
                share.close(turn, index, hits, normal=normal)

    def _lately(self, kind: str, turn: int) -> float:
        share = self._shares.get(kind)
        return 0.0 if share is None else share.lately(turn)

    def _dump_shared(self) -> list[Any]:
        shares = [[kind, share.dump()] for kind, share in self._shares.items()]
        return [self.first, self.fresh, self.unwatched, self.rejected, shares]

    def take(self, values: Sequence[Any], index: int, hits: list[SignalHit]) -> None:
        """One bin of values as they came; `index` is the row that completes it."""
        raise NotImplementedError

    def close(self, turn: int, index: int, hits: list[SignalHit]) -> None:
        """The end of turn number `turn`."""
        raise NotImplementedError

    def view(self, turn: int) -> FeatureView:
        """What is shown, as of the end of turn `turn`."""
        raise NotImplementedError

    def dump(self) -> Any:
        """The state as JSON-able values, its kind first."""
        raise NotImplementedError


class Number(Feature):
    """A numeric feature (true and false are 1 and 0): its level, missing values, values out of range."""

    kind = "numeric"

    __slots__ = ("_level",)

    def __init__(
        self,
        name: str,
        plan: SignalPlan,
        first: int,
        *,
        hidden: bool,
        state: Any = None,
        reference: NumberSummary | None = None,
    ) -> None:
        super().__init__(name, plan, first, hidden=hidden, state=None if state is None else state[0])
        inner = None if state is None else state[1]
        signal = f"feature/{name}"
        self._level = Level(signal, plan.features, "both", hidden=hidden, state=inner, reference=reference)
        if reference is not None:
            self._refer(reference.count, reference.missing)

    def take(self, values: Sequence[Any], index: int, hits: list[SignalHit]) -> None:
        """One bin; the plain cases (all numbers; none clipped once live) decided by two comparisons."""
        level = self._level
        scale = level.scale
        try:
            # Anything that is no number fails to compare or to add; infinities are out of bounds.
            least, most = min(values), max(values)
            if scale.low <= least and most <= scale.high:
                mean = fsum(values) / BIN
                if mean == mean:  # no NaN among them
                    level.push(mean, values, index, hits)
                    return
            elif not scale.live and least >= -HUGE and most <= HUGE and fsum(values) < inf:  # no NaN here too
                self.fresh = False
                level.learn(values, least, most)
                return
        except TypeError:
            values = [value for value in values if value is not None]
        self._take_some(values, index, hits)

    def _take_some(self, values: Sequence[Any], index: int, hits: list[SignalHit]) -> None:
        """One bin without its nulls, which may be anything else."""
        scale = self._level.scale
        numbers = values
        low, high = scale.range_low, scale.range_high
        try:
            plain = scale.live and low <= min(values) and max(values) <= high and fsum(values) < inf
        except (TypeError, ValueError):  # something else than numbers; nothing left
            plain = False
        if not plain:
            numbers = [value for value in values if type(value) in NUMBERS and value - value == 0]
            containers = sum([isinstance(value, CONTAINERS) for value in values])
            self.unwatched += containers
            self.rejected += len(values) - len(numbers) - containers
            if scale.live:
                outside = sum([not low <= x <= high for x in numbers])
                if outside:
                    self._count("range", outside)
        missing = BIN - len(numbers)
        if missing and not self.fresh:
            self._count("missing", missing)
        self.fresh = False
        if numbers:
            self._level.take(numbers, index, hits)

    def close(self, turn: int, index: int, hits: list[SignalHit]) -> None:
        """The end of turn number `turn`."""
        if self._shares:
            self._close_shares(turn, index, hits)

    def view(self, turn: int) -> FeatureView:
        """What is shown, as of the end of turn `turn`."""
        before, after = (None, None) if self.hidden else self._level.levels()
        return FeatureView(
            name=self.name,
            kind=self.kind,
            moved=self._level.moved(),
            missing_ratio=self._lately("missing", turn),
            before=before,
            after=after,
            out_of_range_ratio=self._lately("range", turn),
            redacted=self.hidden,
        )

    def dump(self) -> Any:
        """The state as JSON-able values, its kind first."""
        return [self.kind, self._dump_shared(), self._level.dump()]


class Category(Feature):
    """A categorical feature: its frequencies, missing values, unseen categories."""

    kind = "categorical"

    __slots__ = ("_categories", "_unseen")

    def __init__(
        self,
        name: str,
        plan: SignalPlan,
        first: int,
        *,
        hidden: bool,
        limit: int,
        state: Any = None,
        reference: CategorySummary | None = None,
    ) -> None:
        super().__init__(name, plan, first, hidden=hidden, state=None if state is None else state[0])
        inner = None if state is None else state[1]
        self._categories = Categories(f"feature/{name}", plan.features, limit, inner)
        self._unseen = None if state is None or state[2] is None else self._new_unseen(state[2])
        if reference is not None:
            self._begin(reference)

    def _begin(self, reference: CategorySummary) -> None:
        turn = self.first
        turns = self._refer(reference.count, reference.missing)
        shares: dict[Any, float] = dict(reference.shares)
        if reference.other > 0.0:
            shares[None] = reference.other
        self._categories.refer(turn, shares, reference.count, reference.unseen)
        self._categories.reliable_from = turn - turns
        if reference.unseen > 0.0 and self._plan.quality != ():
            self._unseen = self._new_unseen()
            self._unseen.refer(turn, reference.unseen, turns)

    def take(self, values: Sequence[Any], index: int, hits: list[SignalHit]) -> None:
        """One bin; in the plain case all are texts."""
        types = set(map(type, values))
        kept = values
        if types != _TEXT:
            given = [value for value in values if value is not None]
            kept = given
            if not types <= _TEXT_OR_MISSING:
                kept = [value for value in given if is_scalar(value)]
                containers = sum([isinstance(value, CONTAINERS) for value in given])
                self.unwatched += containers
                self.rejected += len(given) - containers - len(kept)
            missing = BIN - len(kept)
            if missing and not self.fresh:
                self._count("missing", missing)
        self.fresh = False
        self._categories.take(kept)

    def close(self, turn: int, index: int, hits: list[SignalHit]) -> None:
        """The end of turn number `turn`."""
        # Categories that are new while the reference is learned say how usual new ones are.
        learning = not self._categories.live
        unseen, values = self._categories.close(turn, index, hits)
        if unseen and self._plan.quality != ():
            if self._unseen is None:
                self._unseen = self._new_unseen()
            # Of the values there were, so that missing ones do not dilute it; as if it were of all rows.
            self._unseen.count = (unseen * TURN + values // 2) // values
            self._unseen.close(turn, index, hits, normal=learning)
        if self._shares:
            self._close_shares(turn, index, hits)

    def _new_unseen(self, state: Any = None) -> Share:
        first, turns = self._categories.reliable_from, REFERENCE_TURNS - RELIABLE_TURNS
        return Share(f"unseen/{self.name}", self._plan.quality, first, turns, state)

    def view(self, turn: int) -> FeatureView:
        """What is shown, as of the end of turn `turn`."""
        return FeatureView(
            name=self.name,
            kind=self.kind,
            moved=self._categories.moved(),
            missing_ratio=self._lately("missing", turn),
            unseen_ratio=0.0 if self._unseen is None else self._unseen.lately(turn),
            redacted=self.hidden,
        )

    @staticmethod
    def holds_text(state: Sequence[Any]) -> bool:
        """Whether what `dump` gave (its kind left out) has texts among its categories."""
        counts, reference, *_ = state[1]
        return any(isinstance(category, str) for category, _ in (*counts, *reference))

    def dump(self) -> Any:
        """The state as JSON-able values, its kind first."""
        unseen = None if self._unseen is None else self._unseen.dump()
        return [self.kind, self._dump_shared(), self._categories.dump(), unseen]


def without(kind: str, state: Sequence[Any], anew: frozenset[str], turn: int) -> list[Any]:
    """What `dump` gave (its kind left out) without the parts that begin anew at `turn`: the level
    (`features`), with which unseen categories are others too; the shares (`quality`)."""
    shared, level, *unseen = state
    if "quality" in anew:
        _, fresh, *counts, _ = shared
        shared, unseen = [turn, fresh, *counts, []], [None] * len(unseen)
    if "features" in anew:
        level, unseen = None, [None] * len(unseen)
    return [shared, level, *unseen]

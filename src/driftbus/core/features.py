"""The label-free watch over one model version's features: a block of rows in, hits out.

    watch = FeatureWatch(policy, plan)
    for hit in watch.observe([{"amount": 12.5, "country": "DE"}, …]):  # a row per prediction, oldest first
        hit.signal                                                      # "feature/amount", "missing/country"
    FeatureWatch.load(watch.dump(), policy, plan)                       # goes on bit for bit

Signals: `feature/<name>` (the level of a number, the frequencies of a category), `missing/<name>` (null or
absent), `unseen/<name>` (a category that the reference did not have), `range/<name>` (a number far outside
the reference's range).

Rows are held until there are 16; every bin of 16 is then worked through on its own. So where blocks are cut
changes nothing, and what costs is paid per bin, not per row: when all rows have the same keys in the same
order, which is the usual case, a column is a slice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from itertools import chain
from typing import Any

from driftbus.core.categories import LONGEST
from driftbus.core.feature_kinds import CONTAINERS, Category, Feature, Number, is_scalar, without
from driftbus.core.records import Features
from driftbus.core.reference import NumberSummary, Summary
from driftbus.core.reference_checks import summary_of
from driftbus.core.scaling import BIN
from driftbus.core.settings import FeaturePolicy, SignalPlan
from driftbus.core.shares import TURN
from driftbus.core.signals import SignalHit
from driftbus.core.views import FeatureView

_BINS_PER_TURN = TURN // BIN
_ABSENT = [None] * BIN
_NO_FEATURES: Features = {}
# How a non-finite number among held rows is written; an object there is written as {}, so never this.
_NOT_FINITE = {"": "not finite"}


def globs(patterns: Sequence[str]) -> re.Pattern[str]:
    """One expression for several globs; none at all match nothing."""
    return re.compile("|".join(map(translate, patterns)) if patterns else r"(?!)")


class _Layout:
    """Rows with the same keys in the same order: which column is which feature."""

    __slots__ = ("keys", "strays", "watched", "width")

    def __init__(self, keys: Sequence[str], features: dict[str, Feature], ignored: re.Pattern[str]) -> None:
        places = {key: place for place, key in enumerate(keys)}
        self.width = len(keys)
        self.keys = [*keys] * BIN
        self.watched = [(places.get(name, -1), feature) for name, feature in features.items()]
        self.strays = [
            place for key, place in places.items() if key not in features and not ignored.match(key)
        ]


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
        self._stray_unwatched = 0
        self._stray_rejected = 0
        self._max_categories = max_categories
        self._features: dict[str, Feature] = {}
        self._expected: dict[str, Summary] = {}  # of a given reference, not met yet
        self._held: list[Features | None] = []
        self._bins = 0
        self._layout: _Layout | None = None
        self._watch = globs(policy.watch)
        self._categorical = globs(policy.categorical)
        self._redacted = globs(policy.redact)
        # What is not watched by the policy: not in `watch`, or in `ignore`.
        ignore = globs(policy.ignore).pattern
        self._ignored = re.compile(f"(?!{self._watch.pattern})|{ignore}")

    @property
    def unwatched(self) -> int:
        """Arrays and objects among the values so far."""
        return self._stray_unwatched + sum([feature.unwatched for feature in self._features.values()])

    @property
    def rejected(self) -> int:
        """Values so far that do not fit their feature's kind, or are not finite."""
        return self._stray_rejected + sum([feature.rejected for feature in self._features.values()])

    def refer(self, references: Mapping[str, Summary]) -> None:
        """From now on hold features against these instead of their own first rows. One of another kind than
        the feature has or is configured to have is left out."""
        self._expected = {}
        for name, reference in references.items():
            named = self._categorical.match(name) is not None
            if self._ignored.match(name) or (named and reference.kind != Category.kind):
                continue
            known = self._features.get(name)
            if known is None:
                self._expected[name] = reference
            elif known.kind == reference.kind:
                made = self._features[name] = self._make(name, reference)
                made.unwatched, made.rejected = known.unwatched, known.rejected
        self._layout = None

    def observe(self, rows: Sequence[Features | None]) -> list[SignalHit]:
        """Take a block of rows; hits in the order of the rows that decided them.

        Rows are kept (until their bin is full) and must not be changed afterwards; a row that is None has
        no features, so all known ones are missing in it.
        """
        self.seen += len(rows)
        held = self._held
        before = len(held)
        held.extend(rows)
        hits: list[SignalHit] = []
        full = len(held) - len(held) % BIN
        if not full:
            return hits
        for start in range(0, full, BIN):
            self._take(held[start : start + BIN], start + BIN - 1 - before, hits)
        del held[:full]
        return hits

    def _take(self, rows: list[Features | None], index: int, hits: list[SignalHit]) -> None:
        """One bin; `index` is the row that completed it."""
        layout = self._layout
        whole: list[Features]
        try:
            whole = rows  # type: ignore[assignment]
            keys = list(chain.from_iterable(whole))
        except TypeError:  # a row that is None
            whole = [_NO_FEATURES if row is None else row for row in rows]
            keys = list(chain.from_iterable(whole))
        if layout is None or keys != layout.keys or not self._take_columns(layout, whole, index, hits):
            self._take_by_name(whole, index, hits)
            first = list(whole[0])
            self._layout = (
                _Layout(first, self._features, self._ignored) if keys == first * BIN and first else None
            )
        self._bins += 1
        if self._bins % _BINS_PER_TURN == 0:
            turn = self._bins // _BINS_PER_TURN - 1
            for feature in self._features.values():
                feature.close(turn, index, hits)
            if self._expected:
                self._miss()

    def _take_columns(self, layout: _Layout, rows: list[Any], index: int, hits: list[SignalHit]) -> bool:
        """A bin in the known layout. False, and nothing done, when a new feature is to be met in it."""
        values = list(chain.from_iterable(map(dict.values, rows)))
        width = layout.width
        if layout.strays:
            strays = [value for place in layout.strays for value in values[place::width]]
            if len(self._features) < self.policy.max and any(map(is_scalar, strays)):
                return False
            self._count_strays(strays)
        for place, feature in layout.watched:
            feature.take(_ABSENT if place < 0 else values[place::width], index, hits)
        return True

    def _take_by_name(self, rows: Sequence[Features], index: int, hits: list[SignalHit]) -> None:
        """A bin in any form: meet what is new, then look every feature up in every row."""
        features, ignored = self._features, self._ignored
        for row in rows:
            for name, value in row.items():
                if (
                    name not in features
                    and len(features) < self.policy.max
                    and is_scalar(value)
                    and not ignored.match(name)
                ):
                    features[name] = self._meet(name, value)
        self._count_strays(
            [
                value
                for row in rows
                for name, value in row.items()
                if name not in features and not ignored.match(name)
            ]
        )
        for name, feature in features.items():
            feature.take([row.get(name) for row in rows], index, hits)

    def _meet(self, name: str, value: Any) -> Feature:
        """A feature by its first value: text is a category, and what the policy says is one."""
        turn = self._bins // _BINS_PER_TURN
        hidden = self._redacted.match(name) is not None
        categorical = isinstance(value, str) or self._categorical.match(name)
        reference = self._expected.pop(name, None)
        if reference is not None and reference.kind == (Category.kind if categorical else Number.kind):
            return self._make(name, reference)
        if categorical:
            return Category(name, self.plan, turn, hidden=hidden, limit=self._max_categories)
        return Number(name, self.plan, turn, hidden=hidden)

    def _make(self, name: str, reference: Summary) -> Feature:
        """A feature that begins with a reference."""
        turn = self._bins // _BINS_PER_TURN
        hidden = self._redacted.match(name) is not None
        if isinstance(reference, NumberSummary):
            return Number(name, self.plan, turn, hidden=hidden, reference=reference)
        limit = self._max_categories
        return Category(name, self.plan, turn, hidden=hidden, limit=limit, reference=reference)

    def _miss(self) -> None:
        """What the training set had and a turn of rows has not: missing from now on."""
        for name, reference in self._expected.items():
            if len(self._features) < self.policy.max:
                self._features[name] = self._make(name, reference)
        self._expected, self._layout = {}, None

    def _count_strays(self, values: list[Any]) -> None:
        """Values that belong to no feature: arrays and objects, not finite, or beyond the bound."""
        for value in values:
            if isinstance(value, CONTAINERS):
                self._stray_unwatched += 1
            elif value is None:
                continue
            elif is_scalar(value):
                self.dropped += 1
            else:
                self._stray_rejected += 1

    def summary(self) -> tuple[FeatureView, ...]:
        """One view per watched feature, in the order they were first seen."""
        turn = self._bins // _BINS_PER_TURN - 1
        return tuple([feature.view(turn) for feature in self._features.values()])

    def dump(self) -> Any:
        """The memory as JSON-able values; of held rows only what can still be watched."""
        state = {
            "seen": self.seen,
            "bins": self._bins,
            "counts": [self.dropped, self._stray_unwatched, self._stray_rejected],
            "held": [None if row is None else self._packed(row) for row in self._held],
            "features": [[name, feature.dump()] for name, feature in self._features.items()],
        }
        if self._expected:
            state["expected"] = {name: summary.as_json() for name, summary in self._expected.items()}
        return state

    def _packed(self, row: Features) -> Features:
        return {name: _packed(value) for name, value in row.items() if not self._ignored.match(name)}

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are watched, in the order they were first seen."""
        return tuple(self._features)

    @classmethod
    def load(
        cls,
        state: Any,
        policy: FeaturePolicy,
        plan: SignalPlan,
        *,
        max_categories: int = 1_000,
        anew: frozenset[str] = frozenset(),
    ) -> FeatureWatch:
        """The watch that `dump` was called on; policy and plan as they were then, but for the parts
        (`core.parts`) in `anew`: levels (`features`) and shares (`quality`) are learned again, and of another
        policy (`feature_policy`) those features go on that are watched as the same kind."""
        watch = cls(policy, plan, max_categories=max_categories)
        watch.seen, watch._bins = state["seen"], state["bins"]
        watch.dropped, watch._stray_unwatched, watch._stray_rejected = state["counts"]
        watch._held = [
            None if row is None else {name: _unpacked(value) for name, value in row.items()}
            for row in state["held"]
        ]
        for name, kept in state.get("expected", {}).items():
            if not watch._ignored.match(name):
                watch._expected[name] = summary_of(kept, name)
        for name, (kind, *inner) in state["features"]:
            if "feature_policy" in anew and not watch._stays(name, kind, inner):
                continue
            if anew:
                inner = without(kind, inner, anew, watch._bins // _BINS_PER_TURN)
            hidden = watch._redacted.match(name) is not None
            watch._features[name] = (
                Number(name, plan, 0, hidden=hidden, state=inner)
                if kind == Number.kind
                else Category(name, plan, 0, hidden=hidden, limit=max_categories, state=inner)
            )
        return watch

    def _stays(self, name: str, kind: str, state: Sequence[Any]) -> bool:
        """Whether the policy watches a feature as the kind that it was."""
        if self._ignored.match(name) or len(self._features) >= self.policy.max:
            return False
        named = self._categorical.match(name) is not None
        return not named if kind == Number.kind else named or Category.holds_text(state)


def _packed(value: Any) -> Any:
    """A held value for the state: what is not watched by value loses its content."""
    if isinstance(value, str):
        return value[: LONGEST + 1]
    if isinstance(value, CONTAINERS):
        return type(value)()
    return value if value is None or is_scalar(value) else _NOT_FINITE


def _unpacked(value: Any) -> Any:
    return float("nan") if value == _NOT_FINITE else value

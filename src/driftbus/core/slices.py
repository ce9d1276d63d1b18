"""Detectors on the error of each slice of a stream: of declared slices, and of features of few categories.

    watch = SliceWatch(settings, limits, counts)
    for hit in watch.observe(rows, 0, len(rows.pos), rate): …       # where blocks are cut changes nothing
        hit.number                                                  # which slice, as `counts.keys` has it

Outcomes are taken in turns of 64; a turn is worked through when its last outcome has come. That outcome is
also where slices are met: a name it declares, a feature of it that is text, true or false, or configured as a
category. A feature is watched while it has shown at most 20 categories, a name from its second value on.

The slices of one name share the outcomes, so with `names` names every outcome is looked at that many times:
each detector keeps to a `names`-th of the budget per outcome, and all slices together to what the whole has.

A stream without slices and categories costs a look at one outcome in 64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from driftbus.core.categories import LONGEST
from driftbus.core.columns import OutcomeColumns
from driftbus.core.detectors.base import Hit
from driftbus.core.detectors.budget import MOST
from driftbus.core.detectors.focus_bernoulli import FocusBernoulli
from driftbus.core.settings import FeaturePolicy, Limits, StreamSettings
from driftbus.core.slices_counted import Key, SliceCounts, Turn

# Outcomes of a turn: of a slice with 4 % of them two or three, so waiting for its end delays nothing, and a
# detector's call has a dozen values to share among.
TURN = 64
# A feature with more categories is no way to divide a stream: hours of a day and weekdays are fewer or nearly
# so, customers and postcodes more.
MOST_CATEGORIES = 20
# Names that are looked at: each costs a third of a microsecond an outcome, and takes a part of the budget.
MOST_NAMES = 16
# Names remembered for having shown too many values, so that they are not looked at again. When there are more
# of them, no further name is.
MOST_REFUSED = 200

Kind = Literal["declared", "feature"]


class SliceHit(NamedTuple):
    """The row of the block that ended the turn, the slice's number, and what its detector found."""

    row: int
    number: int
    found: Hit


class _Name:
    """A declared slice or a feature, and the number of each value it has shown (None: not watched, as it is
    the only one or there is no room)."""

    __slots__ = ("kind", "name", "values")

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind = kind
        self.name = name
        self.values: dict[str, int | None] = {}


class SliceWatch:
    """One version's detectors on slices of its 0/1 errors. Turns are promised to `counts`."""

    def __init__(self, settings: StreamSettings, limits: Limits, counts: SliceCounts) -> None:
        self._policy = settings.features
        self._room = limits.max_slices
        self._counts = counts
        self._names: list[_Name] = []
        self._refused: set[str] = set()
        self._detectors: dict[int, FocusBernoulli] = {}
        self._rate = MOST
        self._next = 0  # the number of the next slice
        # The turn under way: outcomes so far, seq and ts of the first; their columns, if any are watched.
        self._rows = self._seq = self._ts = 0
        self._errors: list[float] = []
        self._declared: list[Mapping[str, Any] | None] = []
        self._features: list[Mapping[str, Any] | None] = []

    def observe(self, rows: OutcomeColumns, start: int, stop: int, rate: float) -> list[SliceHit]:
        """Take the outcomes start ≤ i < stop; `rate`: false alarms per outcome that the whole is allowed."""
        hits: list[SliceHit] = []
        while start < stop:
            end = min(stop, start + TURN - self._rows)
            if not self._rows:
                self._seq, self._ts = rows.seqs[start], rows.tss[start]
            self._rows += end - start
            if self._names:
                self._errors += rows.errors[start:end]
                self._declared += rows.slices[start:end]
                self._features += rows.features[start:end]
            if self._rows == TURN:
                if self._names:
                    self._close(end - 1, rows.seqs[end - 1], rate, hits)
                self._meet(rows.slices[end - 1], rows.features[end - 1])
                self._rows = 0
            start = end
        return hits

    def _close(self, index: int, last: int, rate: float, hits: list[SliceHit]) -> None:
        """A turn is complete: count its slices, and give each its errors."""
        errors, met, dropped = self._errors, dict[int, Key](), list[int]()
        groups: list[tuple[int, list[float]]] = []
        for one in list(self._names):
            column = self._declared if one.kind == "declared" else self._features
            name = one.name
            found = _by_value([None if row is None else row.get(name) for row in column], errors)
            if not self._admit(one, found, met):
                self._refuse(one, met, dropped)
            elif len(one.values) > 1:
                for value, members in found.items():
                    number = one.values.get(value)
                    if number is not None:
                        groups.append((number, members))
        self._keep_to(rate)
        counts = {}
        for number, members in groups:
            detector = self._detectors.get(number)
            if detector is None:
                detector = self._detectors[number] = FocusBernoulli(rate=self._rate)
            hits += [SliceHit(index, number, hit) for hit in detector.update_block(members)]
            counts[number] = (len(members), int(members.count(1.0)))
        self._counts.promise(
            Turn(last, self._seq, self._ts, TURN, int(errors.count(1.0)), counts, met, dropped)
        )
        self._errors, self._declared, self._features = [], [], []

    def _admit(self, one: _Name, found: Mapping[str, Any], met: dict[int, Key]) -> bool:
        """Number the values that are new; False where a feature has shown too many, or texts."""
        values = one.values
        for value in found:
            if value not in values:
                if one.kind == "feature" and (len(values) >= MOST_CATEGORIES or len(value) > LONGEST):
                    return False
                if self._room > 0 or len(values) < MOST_CATEGORIES:
                    values[value] = None
        if len(values) > 1 and self._room > 0 and None in values.values():
            for value, number in values.items():
                if number is None and self._room > 0:
                    values[value] = self._next
                    met[self._next] = (one.name, value)
                    self._next += 1
                    self._room -= 1
        return True

    def _refuse(self, one: _Name, met: dict[int, Key], dropped: list[int]) -> None:
        self._names.remove(one)
        self._refused.add(one.name)
        for number in one.values.values():
            if number is not None:
                self._room += 1
                self._detectors.pop(number, None)
                if met.pop(number, None) is None:
                    dropped.append(number)

    def _keep_to(self, rate: float) -> None:
        """Share the budget among the names that divide the stream."""
        rate /= max(1, sum([len(one.values) > 1 for one in self._names]))
        if rate != self._rate:
            self._rate = rate
            for detector in self._detectors.values():
                detector.keep_to(rate)

    def _meet(self, declared: Mapping[str, Any] | None, features: Mapping[str, Any] | None) -> None:
        """Names that an outcome brings, from the next one on."""
        for kind, row in (("declared", declared), ("feature", features)):
            for name, value in (row or {}).items():
                if self._is_new(name) and (kind == "declared" or self._is_category(name, value)):
                    self._names.append(_Name("declared" if kind == "declared" else "feature", name))

    def _is_category(self, name: str, value: Any) -> bool:
        if type(value) not in _TEXTS and not (type(value) in _NUMBERS and self._policy.categorical):
            return False
        return may_be_shown(self._policy, name, named=type(value) in _NUMBERS)

    def _is_new(self, name: str) -> bool:
        full = len(self._names) >= MOST_NAMES or len(self._refused) >= MOST_REFUSED
        return not full and name not in self._refused and all(one.name != name for one in self._names)

    def dump(self) -> Any:
        """The memory as JSON-able values; of outcomes of a turn under way only what is read of them."""
        held = [
            [_text(None if row is None else row.get(one.name)) for row in column]
            for one in self._names
            for column in (self._declared if one.kind == "declared" else self._features,)
        ]
        return {
            "names": [[one.kind, one.name, list(one.values.items())] for one in self._names],
            "refused": sorted(self._refused),
            "detectors": [[number, detector.dump()] for number, detector in self._detectors.items()],
            "rate": self._rate,
            "next": self._next,
            "turn": [self._rows, self._seq, self._ts],
            "held": [self._errors, held],
        }

    @classmethod
    def load(cls, state: Any, settings: StreamSettings, limits: Limits, counts: SliceCounts) -> SliceWatch:
        """The watch that `dump` was called on, settings as they were then."""
        self = cls(settings, limits, counts)
        for kind, name, values in state["names"]:
            one = _Name(kind, name)
            one.values = dict(values)
            self._room -= sum([number is not None for number in one.values.values()])
            self._names.append(one)
        self._refused, self._rate, self._next = set(state["refused"]), state["rate"], state["next"]
        self._detectors = {
            number: FocusBernoulli.load(kept, rate=self._rate) for number, kept in state["detectors"]
        }
        self._rows, self._seq, self._ts = state["turn"]
        self._errors, held = list(state["held"][0]), state["held"][1]
        self._declared = [{} for _ in self._errors]
        self._features = [{} for _ in self._errors]
        for one, column in zip(self._names, held, strict=True):
            rows: Any = self._declared if one.kind == "declared" else self._features
            for row, value in zip(rows, column, strict=True):
                row[one.name] = value
        return self


def may_be_shown(policy: FeaturePolicy, name: str, *, named: bool = False) -> bool:
    """Whether a feature may be told by value; `named`: only if the configuration calls it a category."""

    def is_in(globs: Sequence[str]) -> bool:
        return any(fnmatchcase(name, glob) for glob in globs)

    if named and not is_in(policy.categorical):
        return False
    return is_in(policy.watch) and not is_in(policy.ignore) and not is_in(policy.redact)


_TEXTS = frozenset({str, bool})
_NUMBERS = frozenset({int, float})
_TEXT_OR_NONE = frozenset({str, type(None)})


def _text(value: Any) -> str | None:
    """A category as text; None for what is none."""
    kind = type(value)
    if kind is str or value is None:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if value else "false"
    if kind in _NUMBERS and value - value == 0:
        return str(int(value)) if value == int(value) else repr(value)
    return None


def _by_value(column: list[Any], errors: Sequence[float]) -> dict[str, list[float]]:
    """The errors of each value, in order; values that are none are left out."""
    if not _TEXT_OR_NONE.issuperset(map(type, column)):
        column = [_text(value) for value in column]
    groups: dict[Any, list[float]] = {}
    if column.count(column[0]) == len(column):
        groups[column[0]] = list(errors)
    else:
        for value, error in zip(column, errors, strict=True):
            if value in groups:
                groups[value].append(error)
            else:
                groups[value] = [error]
    groups.pop(None, None)
    return groups

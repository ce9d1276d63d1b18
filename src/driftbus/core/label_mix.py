"""Is it the model that has become worse, or have only other labels come? The errors of each class.

Where one class is labelled sooner than another, the outcomes that arrive are no fair sample: while a version
is young, when labelling pauses for one class, when what was held back arrives at once. The error then rises
although it has risen in no class. So the rows before and after a rise's onset are compared within classes
(`mantel_haenszel`). Where the model errs more this is about as much as the same rows say when classes are not
told apart; where the mix of labels is another, next to nothing.

A class without a row before says nothing if its first row belongs to a prediction nearly as old as the
version: its labels were late. If to a new one, the class is new, and what is wrong about it counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from typing import Any

from driftbus.core.classes import label_text
from driftbus.core.history import History
from driftbus.core.mantel_haenszel import Table, excess, nats
from driftbus.core.records import Json

# What the class of a row that was wrong begins with; no label is likely to.
WRONG = "\x00"
# A rise is one of the mix when within classes there is less evidence than this, and less than this part of
# what there is without them. Measured: of 93 alarms on recorded drifts (S3) the least had .38 and 7.4 nats;
# of 32 alarms while labels of one class were late or held back the most had .28 and 4.0 nats.
LEAST_NATS, LEAST_SHARE = 5.0, 0.5
# A class was labelled late at first if its first row was predicted in this first part of the time so far.
OLD = 0.5


def marked(labels: Sequence[Json], errors: Sequence[float]) -> list[Json]:
    """Labels for a history to count, those of wrong rows as classes of their own. `errors`: 0 or 1."""
    found = list(labels)
    for place in compress(range(len(found)), errors):
        found[place] = WRONG + (label_text(found[place]) or "")
    return found


class Classes:
    """The classes that a version has met. `new`: at which seq those that came into the world meanwhile were
    met first, by their text; those that were there, and were labelled late, are not among them."""

    __slots__ = ("_known", "_limit", "new")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[Json, None] = {}
        self.new: dict[str, int] = {}

    def meet(
        self, seqs: Sequence[int], labels: Sequence[Json], tss: Sequence[int], first_ts: int, newest_ts: int
    ) -> None:
        """Outcomes in order: seq, label, prediction time (ms); the version's first time and newest so far."""
        try:
            if self._known.keys() >= set(labels) or len(self._known) >= self._limit:
                return
        except TypeError:  # no class at all: an array, an object
            return
        for seq, label, ts in zip(seqs, labels, tss, strict=True):
            newest_ts = max(newest_ts, ts)
            if label not in self._known and len(self._known) < self._limit:
                self._known[label] = None
                if ts - first_ts >= OLD * (newest_ts - first_ts):
                    self.new[label_text(label) or ""] = seq

    def dump(self) -> Any:
        """As JSON-able values."""
        return [list(self._known), self.new]

    @classmethod
    def load(cls, state: Any, limit: int) -> Classes:
        """What `dump` was called on."""
        self = cls(limit)
        known, new = state
        self._known, self.new = dict.fromkeys(known), dict(new)
        return self


def is_of_the_mix(history: History, since_seq: int, onset_seq: int, new: Mapping[str, int]) -> bool:
    """Whether a rise from `onset_seq` on, after the rows from `since_seq`, is one of which labels came."""
    after = history.classes_since(onset_seq)
    both = history.classes_since(since_seq)
    before = {text: n - after.get(text, 0) for text, n in both.items()}
    plain, within = _evidence(before, after, {name for name, seq in new.items() if seq >= since_seq})
    return within < LEAST_NATS and within < LEAST_SHARE * plain


def _evidence(
    before: Mapping[str, int], after: Mapping[str, int], new: Collection[str]
) -> tuple[float, float]:
    """Nats for a rise: of all classes together, and within classes."""
    names = {text.removeprefix(WRONG) for text in (*before, *after)}
    tables = {}
    for name in sorted(names):
        wrong0, wrong1 = before.get(WRONG + name, 0), after.get(WRONG + name, 0)
        tables[name] = (before.get(name, 0) + wrong0, wrong0, after.get(name, 0) + wrong1, wrong1)
    whole = _sums(tables.values())
    plain = nats(*excess(whole))
    beyond = variance = 0.0
    for name, (n0, e0, n1, e1) in tables.items():
        if not n0 and name in new:  # held against what was usual
            n0, e0 = whole[:2]
        more, spread = excess((n0, e0, n1, e1))
        beyond += more
        variance += spread
    return plain, nats(beyond, variance)


def _sums(tables: Collection[Table]) -> Table:
    n0 = e0 = n1 = e1 = 0
    for table in tables:
        n0, e0, n1, e1 = n0 + table[0], e0 + table[1], n1 + table[2], e1 + table[3]
    return n0, e0, n1, e1

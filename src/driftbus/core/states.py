"""The states of the world that a stream has been in, remembered so that one is known when it comes again.

    a state holds ──────► a change opens ───► is the world like an earlier one? ──► the change closes
    a sample of its rows  what held is        every row goes into a table for       the earlier one goes on,
    makes its own table   remembered          each state that is remembered         or a new one has begun

A state is what labels go with what features (`relation`), whatever model was in production: a few hundred
bytes with its model version and its rows' place in `outcomes`. At most `MOST_STATES` are kept. Nothing here
reads errors: whether there was a change, and when, is the episodes' affair. No row is kept, only counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np

from driftbus.core.census import LEAST, Census, Current, Known, dump_current, dump_earlier, load_current
from driftbus.core.columns import OutcomeColumns
from driftbus.core.cutting import GROUPS, Cutting
from driftbus.core.likeness import compare
from driftbus.core.records import DriftEvent, EarlierState, Features, Json
from driftbus.core.relation import Counts, Table, dump_columns, empty, load_columns

# One row in four is looked at, by a hash of its number: where labels alternate, every fourth is the same.
ONE_IN = 4
_PERIOD, _HASH, _RANGE = 4_096, 0x9E3779B1, 1 << 32
# Rows after which the world is compared, since the change was found: each time with about the newer half, or
# with all if they are alike. Fewer than 256 tell noise for likeness; after 4,096 nothing new is learned.
TRIALS = (256, 256, 512, 1_024, 2_048)
# When a state is the same: weight of evidence; nats in all by which it must know labels better than the state
# just left; distance, standard errors added, as a share of that to the state just left. Measured on 56
# returns and 78 other changes of River's generators, 5,000 rows each: see docs/adr/earlier-states.md.
SAME, KNOWS, NEAR = 2.5, 10.0, 0.125
# Where the state just left was too short to be known: a distance at which states usually are.
APART = 0.08
# No surer than the share of right ones in that measurement.
SUREST = 0.96
# States kept, the one that ended longest ago forgotten first: 300 bytes each.
MOST_STATES = 6


# Rows that are learned together.
_TOGETHER = 64

_SAMPLED = [n for n in range(_PERIOD) if (n * _HASH) % _RANGE < _RANGE // ONE_IN]


@dataclass(slots=True)
class Trial:
    """The world since a change was found, against each state known: `tables` are being filled, `before` are
    what was compared last. `left`: the number of the state just left. `found`: of the one that has returned;
    `unchanged`: features and labels go together as before the change."""

    left: int | None
    tables: list[Table]
    before: list[Table] | None = None
    rows: int = 0
    turn: int = 0
    found: int | None = None
    confidence: float = 0.0
    unchanged: bool = False


class States:
    """`amounts`: labels are numbers, else classes. Rows of production go in by `take`, in order."""

    def __init__(self, amounts: bool) -> None:
        self._cutting = Cutting(amounts)
        self._known: list[Known] = []
        self._current: Current | None = None
        self._trial: Trial | None = None
        self._rows = 0  # before it is known where to cut
        self._measures, self._groups = array("d"), list[int]()  # of rows that are still to be learned
        self._first: tuple[int, int, str | None] = (0, 0, None)  # seq, ts, version of the very first
        self._numbers = 0

    # -- rows ----------------------------------------------------------------------------------------

    def take(self, rows: OutcomeColumns) -> None:
        """Outcomes, in order; those of other roles are passed over. Where blocks are cut changes nothing."""
        roles = rows.roles
        if roles.count("production") != len(roles):
            members = [index for index, role in enumerate(roles) if role == "production"]
            if not members:
                return
            rows = rows.part(members)
        current, count = self._current, len(rows.seqs)
        if current is None:
            if not self._rows:
                self._first = rows.seqs[0], rows.tss[0], rows.versions[0]
        elif current.start_seq is None:
            current.start_seq, current.start_ts, current.begun_by = (
                rows.seqs[0],
                rows.tss[0],
                rows.versions[0],
            )
        features, labels, start = rows.features, rows.labels, 0
        while start < count:
            current, trial = self._current, self._trial
            seen = self._rows if current is None else current.rows
            stop = count
            if trial is not None and trial.turn < len(TRIALS):
                # Up to where the next comparison is due: what is found there may end the trial.
                stop = min(count, start + TRIALS[trial.turn] - trial.rows)
                chosen: Sequence[int] = range(start, stop)
                trial.rows += stop - start
            elif current is not None and current.left <= len(self._groups):
                chosen = ()
            else:
                chosen = [start + index for index in _chosen(seen, count - start)]
            self._look([(features[index], labels[index]) for index in chosen])
            if current is None:
                self._rows += stop - start
                if self._current is not None:
                    self._current.rows, self._rows = self._rows, 0
            else:
                current.rows += stop - start
            if trial is not None and trial.turn < len(TRIALS) and trial.rows == TRIALS[trial.turn]:
                self._learn()
                self._compare(trial)
            start = stop

    def _look(self, rows: Sequence[tuple[Features | None, Json]]) -> None:
        """Measure rows, which are learned when there are many: numpy's calls cost as much for one as for
        fifty. What is held is numbers, as rows would be large."""
        cutting = self._cutting
        whole = [(these, label) for these, label in rows if these and cutting.takes(label)]
        if self._current is None:
            whole = self._learn_to_cut(whole)
        if self._current is None or not whole:
            return
        if self._trial is None or self._trial.turn == len(TRIALS):
            # Texts that come later are not admitted any more, wherever blocks are cut.
            whole = whole[: max(0, self._current.left - len(self._groups))]
        self._measures.extend(cutting.measure([these for these, _ in whole]))
        self._groups.extend([cutting.group(label) for _, label in whole])
        if len(self._groups) >= _TOGETHER:
            self._learn()

    def _learn_to_cut(self, rows: list[tuple[Features, Json]]) -> list[tuple[Features, Json]]:
        """Learn where to cut; the rows that are left when that is known."""
        for at, (features, label) in enumerate(rows, 1):
            self._cutting.learn(features, label)
            if self._cutting.ready:
                begun = self._begin(self._next_number())
                begun.start_seq, begun.start_ts, begun.begun_by = self._first
                return rows[at:]
        return []

    def _learn(self) -> None:
        """Learn what has been measured."""
        if not self._groups or self._current is None:
            return
        places, groups = self._cutting.places(self._measures), np.array(self._groups)
        self._measures, self._groups = array("d"), []
        if self._trial is not None and self._trial.turn < len(TRIALS):
            for known, table in zip(self._known, self._trial.tables, strict=True):
                for cell in (known.census.probe.cells(places) * GROUPS + groups).tolist():
                    table[cell] += 1
        left = self._current.left
        self._current.take(places[:left], groups[:left], self._cutting.smooth)

    def _begin(self, number: int) -> Current:
        self._current = Current(number, Counts(len(self._cutting.smooth)))
        return self._current

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    # -- changes -------------------------------------------------------------------------------------

    def hear(self, event: DriftEvent) -> None:
        """What is told of a change of production's error."""
        self._learn()
        if event.status == "opened":
            self._leave(event)
        elif event.status == "closed":
            self._settle(event)

    def _leave(self, event: DriftEvent) -> None:
        """A change was found: what held until its onset is a state that has ended."""
        current = self._current
        if current is None:
            return
        ripe = current.census is not None and current.census.rows >= LEAST
        if ripe and current.census is not None and current.start_seq is not None:
            version = current.version
            if current.number == 0 or event.model_version != current.begun_by:
                version = event.model_version
            end_seq, end_ts = max(event.onset.seq, current.start_seq), max(event.onset.ts, current.start_ts)
            place = (current.start_seq, end_seq, current.start_ts, end_ts)
            census = Census(current.census.probe, current.census.table, rows=current.census.rows)
            self._known.append(Known(EarlierState(current.number, version, *place), census))
            del self._known[:-MOST_STATES]
        self._trial = Trial(current.number if ripe else None, [empty() for _ in self._known])
        self._begin(self._next_number())

    def _settle(self, event: DriftEvent) -> None:
        """The change is over: which state holds from now on."""
        trial, current = self._trial, self._current
        self._trial = None
        if trial is None or current is None:
            return
        over = event.resolution in ("passed", "dismissed")
        number = trial.found
        if number is None and (over or trial.unchanged):
            number = trial.left
        if number is not None:
            self._resume(number, event, over)
        elif over or event.kind in ("gradual", "incremental"):
            self._begin(current.number)  # the rows since the change was found are of many worlds
        else:
            current.start_seq, current.start_ts = event.onset.seq, event.onset.ts

    def _resume(self, number: int, event: DriftEvent, over: bool) -> None:
        """A known state goes on: where it began once when the change is `over`, else since the change."""
        known = next(one for one in self._known if one.earlier.number == number)
        self._known.remove(known)
        earlier, onset = known.earlier, event.onset
        self._current = Current(
            number,
            None,
            known.census,
            start_seq=earlier.start_seq if over else onset.seq,
            start_ts=earlier.start_ts if over else onset.ts,
            begun_by=event.model_version,
            version=earlier.model_version,
        )

    def found(self) -> tuple[EarlierState, float] | None:
        """The earlier state that holds since the change that is open, and how sure that is."""
        trial = self._trial
        if trial is None or trial.found is None:
            return None
        known = next(one for one in self._known if one.earlier.number == trial.found)
        return known.earlier, trial.confidence

    def _compare(self, trial: Trial) -> None:
        """The rows are complete: has a known state returned?"""
        tables = trial.tables
        if trial.before is not None and all(
            sum(old) and sum(new) and compare(old, new).same > 0.0
            for old, new in zip(trial.before, tables, strict=True)
        ):
            tables = [
                [a + b for a, b in zip(old, new, strict=True)]
                for old, new in zip(trial.before, tables, strict=True)
            ]
        trial.before, trial.tables = tables, [empty() for _ in tables]
        trial.turn, trial.rows = trial.turn + 1, 0
        if not any(map(sum, tables)):
            return
        likeness = {
            known.earlier.number: compare(known.census.table, table)
            for known, table in zip(self._known, tables, strict=True)
        }
        left = None if trial.left is None else likeness.pop(trial.left)
        trial.unchanged = left is not None and left.same >= SAME and left.distance <= left.error
        base, apart = (0.0, APART) if left is None else (left.known, max(left.distance, 0.0))
        best, told = None, trial.found
        for number, one in likeness.items():
            margin = 0.0 if number == told else one.error  # what was told is taken back more slowly
            if (
                one.same >= SAME
                and one.rows * (one.known - base) >= KNOWS
                and one.distance + margin <= NEAR * apart
                and (best is None or one.known > likeness[best].known)
            ):
                best = number
        trial.found = best
        if best is not None:
            trial.confidence = min(SUREST, 1.0 - exp(-likeness[best].same))

    # -- state ---------------------------------------------------------------------------------------

    def dump(self) -> Any:
        """As JSON-able values."""
        self._learn()
        current, trial = self._current, self._trial
        return {
            "cutting": self._cutting.dump(),
            "known": [[dump_earlier(one.earlier), one.census.dump()] for one in self._known],
            "current": None if current is None else dump_current(current),
            "trial": None
            if trial is None
            else [
                trial.left,
                dump_columns(*trial.tables),
                trial.before and dump_columns(*trial.before),
                *(trial.rows, trial.turn, trial.found, trial.confidence, trial.unchanged),
            ],
            "counts": [self._rows, list(self._first), self._numbers],
        }

    @classmethod
    def load(cls, state: Any) -> States:
        """What `dump` was called on."""
        self = cls(False)
        self._cutting = Cutting.load(state["cutting"])
        smooth = self._cutting.smooth
        self._known = [
            Known(EarlierState(*earlier), Census.load(census, smooth)) for earlier, census in state["known"]
        ]
        if state["current"] is not None:
            self._current = load_current(state["current"], smooth)
        if state["trial"] is not None:
            left, tables, before, *rest = state["trial"]
            self._trial = Trial(left, load_columns(tables), before and load_columns(before), *rest)
        self._rows, first, self._numbers = state["counts"]
        self._first = tuple(first)
        return self


def _chosen(seen: int, count: int) -> list[int]:
    """Which of the next `count` rows are looked at, after `seen` rows of this state."""
    chosen: list[int] = []
    at, end = seen, seen + count
    while at < end:
        turn = at - at % _PERIOD
        stop = min(end, turn + _PERIOD)
        low, high = bisect_left(_SAMPLED, at - turn), bisect_left(_SAMPLED, stop - turn)
        chosen += [turn + place - seen for place in _SAMPLED[low:high]]
        at = stop
    return chosen

"""One stream: what it is watched by, put together.

    predictions ─► label-free signals ─┐
    outcomes ────► error signals ──────┴► alarms ─► episodes ─► policy ─► decisions
             └───► metrics, history, challenger

A fold of a block looks at all its rows first (detectors never learn of episodes), then takes them up in
record order, stopping wherever something is to be decided. So where blocks are cut changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from driftbus.core import challenger as challengers
from driftbus.core import model_events, parts
from driftbus.core.benefit import benefit
from driftbus.core.block import Block, Rises
from driftbus.core.columns import OutcomeColumns, PredictionColumns, VersionKey, by_version
from driftbus.core.course import Course
from driftbus.core.episodes import Alarm, Episode, Episodes, Moment
from driftbus.core.episodes import Rows as Histories
from driftbus.core.history import Columns, History
from driftbus.core.labelled import challenger_errors, errors_of
from driftbus.core.lane import NEVER, Lane
from driftbus.core.ledger import Ledger
from driftbus.core.linear import Said
from driftbus.core.people import People
from driftbus.core.places import Places
from driftbus.core.policy import Policy
from driftbus.core.records import (
    Benefit,
    Correction,
    DriftEvent,
    ModelEvent,
    RetrainRequest,
    SignalEvidence,
)
from driftbus.core.references import References, begin
from driftbus.core.settings import Limits, Rule, StreamSettings
from driftbus.core.states import States
from driftbus.core.task import TaskDecision
from driftbus.core.together import Turn
from driftbus.core.version import Setup, VersionMonitor
from driftbus.core.walk import ALARM, CORRECTION, OPENED, OUTCOME_ALARM, Decisions, Mark, Rows, walk


class Folded(NamedTuple):
    """A fold's result: decisions with their positions, and the error of each outcome of the block."""

    decisions: Decisions
    errors: list[float | None]


class Production:
    """What the policy reads of the version in production; rows are those of the whole stream."""

    __slots__ = ("_course", "_version", "outcomes")

    def __init__(self, version: VersionMonitor, outcomes: History, course: Course) -> None:
        self._version = version
        self._course = course
        self.outcomes = outcomes

    @property
    def model_version(self) -> str | None:
        return self._version.model_version

    @property
    def classification(self) -> bool:
        return self._version.setup.task == "classification"

    @property
    def reference_seq(self) -> int:
        """`seq` of the version's first outcome."""
        first = self._version.first_seq
        return self.outcomes.end_seq if first is None else first

    @property
    def open_episodes(self) -> Sequence[Episode]:
        return self._version.episodes.open

    def rows_of(self, which: Mapping[str, str], from_seq: int) -> int | None:
        return self._version.slice_rows(which, from_seq)

    def errors(self, from_seq: int) -> Columns:
        return self._version.rows.outcomes.columns(from_seq)

    def benefit(self, onset_ts: int | None, signals: Sequence[SignalEvidence]) -> Benefit | None:
        return benefit(self._course.points(), self._version.first_seen, onset_ts, signals)

    def metric(self, rule: Rule) -> float | None:
        return self._version.rule_values.get(rule.text)


class StreamMonitor:
    """The state of one stream. `fold` is the only thing that changes it."""

    def __init__(self, stream: str, settings: StreamSettings, limits: Limits) -> None:
        self.stream = stream
        self.settings = settings
        self.limits = limits
        self.clock = 0  # the newest event time of this stream's own records
        self.anchor = 0  # the partition's clock when the newest of them was read
        self.prediction_clock = (
            0  # the newest of the predictions taken up, and of the labels: what a decision
        )
        self.label_clock = 0  # about them is dated by, however far a step has read ahead of the other
        self.folds = 0  # how often it changed: views are kept until then
        self.defect: str | None = None  # why it is set aside
        # Episodes that were open when what judged them began anew, as dumped: (version, role, episodes).
        self.left_open: list[list[Any]] = []
        self.ledger = Ledger()
        self.people = People()
        self.decision = TaskDecision(settings.task)
        self.setup = Setup(stream, settings, limits, self.decision.task)
        self.versions: dict[VersionKey, VersionMonitor] = {}
        self.current: VersionKey | None = None
        self.references = References()
        self.rows = History(limits.max_classes)
        self.course = Course()
        self.policy = Policy(stream, settings.retrain, settings.labels, settings.sample)
        self.challenger = self._new_challenger()
        self.states = self._new_states()
        self._turn: Turn | None = None  # of the block being folded
        self._due: int | None = None  # what `next_due` answers, where known
        self._due_known = False

    def _new_challenger(self) -> challengers.Challenger | None:
        spec = self.settings.challenger
        if spec is None or self.setup.task == "none":
            return None
        return challengers.make(spec, self.setup.task, self.settings.positive_label, self.limits)

    def _new_states(self) -> States | None:
        return None if self.setup.task == "none" else States(amounts=self.setup.task == "regression")

    @property
    def production(self) -> VersionMonitor | None:
        """The version in production; None before the first prediction."""
        return None if self.current is None else self.versions.get(self.current)

    @property
    def false_alarms_allowed(self) -> float:
        """How many false alarms the budget allowed for, over all outcomes so far."""
        allowed = self.ledger.allowed
        for version in self.versions.values():
            allowed += version.pace.expected
        return allowed

    def next_due(self) -> int | None:
        """The event time at which time alone has something to decide."""
        if self._due_known:
            return self._due
        dues = [due for v in self.versions.values() if (due := v.episodes.next_due()) is not None]
        due = self.policy.next_due(self.in_production())
        if due is not None:
            dues.append(due)
        self._due = min(dues, default=None)
        # A schedule counts from the first outcome, which no decision announces.
        self._due_known = self.settings.retrain.every_ms is None
        return self._due

    @property
    def schedule_begins(self) -> bool:
        """Whether the next outcome is the first one, from which the schedule counts."""
        return self.settings.retrain.every_ms is not None and self.rows.oldest_ts is None

    def waits_for_nothing(self) -> bool:
        """Whether rows alone, without an alarm, a correction or a model event, decide nothing."""
        if self.next_due() is not None or self.wanted() is not None or self.schedule_begins:
            return False
        return all(version.episodes.quiet for version in self.versions.values())

    def decided(self) -> None:
        """Something was decided, so what is waited for may be another."""
        self._due_known = False

    def in_production(self) -> Production | None:
        version = self.production
        return None if version is None else Production(version, self.rows, self.course)

    # -- fold ----------------------------------------------------------------------------------------

    def turn(self, block: Block) -> Turn | None:
        """What the challenger is to learn, before the fold: production's outcomes."""
        outcomes = block.outcomes
        if (
            not outcomes
            or self.challenger is None
            or self.defect is not None
            or self.decision.would_change(outcomes)
        ):
            return None
        labels = [row.label if row.prediction.role == "production" else None for row in outcomes]
        return Turn(self.challenger, [row.prediction.features for row in outcomes], labels)

    def fold(self, block: Block, rises: Rises, turn: Turn | None = None) -> Folded:
        """Fold what a step brings to this stream, `rises` being the partition's clock over the step; in
        `turn` what the challenger said, if it has learned the block."""
        self.folds += 1
        self._turn = turn
        self.ledger.take(block, rises)
        if self.defect is not None:
            self.ledger.predictions += len(block.predictions)
            self.ledger.outcomes += len(block.outcomes)
            return Folded([], [None] * len(block.outcomes))
        out = Folded([], [])
        if self.left_open:
            self._close_left_open(out.decisions)
        cuts: list[tuple[int, ModelEvent | None]] = list(block.model_events)
        if not self.decision.decided:
            cuts.extend(self._task_changes(block))
            cuts.sort(key=lambda cut: cut[0])
        p0 = o0 = c0 = 0
        for pos, event in cuts:
            p1, o1 = bisect_left(block.prediction_pos, pos), bisect_left(block.outcome_pos, pos)
            c1 = bisect_left(block.corrections, pos, key=lambda c: c[0])
            self._fold_part(block, (p0, p1), (o0, o1), (c0, c1), rises, pos - 1, out)
            p0, o0, c0 = p1, o1, c1
            if event is None:
                self._change_task()
            else:
                self.anchor = rises.at(pos)
                self.clock = max(self.clock, min(event.ts, self.anchor))
                model_events.take(self, event, pos, out.decisions)
            self.decided()
        p1, o1, c1 = len(block.predictions), len(block.outcomes), len(block.corrections)
        self._fold_part(block, (p0, p1), (o0, o1), (c0, c1), rises, NEVER, out)
        self._turn = None
        return out

    def _task_changes(self, block: Block) -> list[tuple[int, None]]:
        changes: list[tuple[int, None]] = []
        for outcome, pos in zip(block.outcomes, block.outcome_pos, strict=True):
            p = outcome.prediction
            if self.decision.decided:
                break
            if self.decision.take(outcome.label, p.prediction, p.score is not None):
                changes.append((pos, None))
        return changes

    def _change_task(self) -> None:
        """What was taken for a classifier predicts amounts: what was learned of its outcomes begins anew."""
        self.setup = replace(self.setup, task=self.decision.task)
        for version in self.versions.values():
            version.change_task(self.setup)
        self.challenger = self._new_challenger()
        self.states = self._new_states()
        self.course = Course()

    def _fold_part(
        self,
        block: Block,
        predictions: tuple[int, int],
        outcomes: tuple[int, int],
        corrections: tuple[int, int],
        rises: Rises,
        last_pos: int,
        out: Folded,
    ) -> None:
        """Fold the rows of these ranges (start, stop); a row whose new version drives out another, alone."""
        (p0, p1), (o0, o1), (c0, c1) = predictions, outcomes, corrections
        while (
            crowded := self._fold_rows(
                block, (p0, p1), (o0, o1), block.corrections[c0:c1], rises, last_pos, out
            )
        ) is not None:
            pos = block.prediction_pos[crowded]
            for p, last in ((crowded, pos - 1), (crowded + 1, pos)):
                o = bisect_right(block.outcome_pos, last, o0, o1)
                c = bisect_right(block.corrections, last, c0, c1, key=lambda row: row[0])
                self._fold_rows(block, (p0, p), (o0, o), block.corrections[c0:c], rises, last, out)
                p0, o0, c0 = p, o, c

    def _fold_rows(
        self,
        block: Block,
        predictions: tuple[int, int],
        outcomes: tuple[int, int],
        corrections: Sequence[tuple[int, Correction]],
        rises: Rises,
        last_pos: int,
        out: Folded,
    ) -> int | None:
        """Fold the rows. Where one of several opens a version for which there is no room: that row, and
        nothing is done."""
        marks: list[Mark] = []
        lanes: dict[VersionKey, Lane] = {}
        p0, p1 = predictions
        o0, o1 = outcomes
        said = found = None
        if p1 > p0:
            pos, offsets = block.prediction_pos[p0:p1], block.prediction_offsets[p0:p1]
            said = PredictionColumns.of(block.predictions[p0:p1], pos, offsets)
            groups = by_version(said.versions, said.roles)
            if len(groups) + len(self.versions) > self.limits.max_versions and p1 - p0 > 1:
                unseen = [members for key, members in groups.items() if key not in self.versions]
                room = max(0, self.limits.max_versions - len(self.versions))
                if len(unseen) > room:
                    return p0 + (unseen[room] or (0,))[0]
            self._look_at_predictions(said, groups, lanes, marks)
        if o1 > o0:
            rows = OutcomeColumns.of(block.outcomes[o0:o1], block.outcome_pos[o0:o1])
            found = self._compare(rows, self._challenge(rows, o0))
            out.errors.extend(found.errors)
            self._look_at_outcomes(found, lanes, marks)
        if corrections:
            marks.extend(Mark(pos, CORRECTION, None, correction) for pos, correction in corrections)
        if len(marks) > 1:
            marks.sort(key=lambda mark: mark[:2])
        walk(self, Rows(said, found), lanes, marks, rises, last_pos, out.decisions)
        return None

    def _look_at_predictions(
        self,
        rows: PredictionColumns,
        groups: dict[VersionKey, list[int] | None],
        lanes: dict[VersionKey, Lane],
        marks: list[Mark],
    ) -> None:
        for key, members in groups.items():
            mine = rows if members is None else rows.part(members)
            version = self.versions.get(key)
            if version is None:
                version = self.open_version(key, mine.tss[0])
                marks.append(Mark(mine.pos[0], OPENED, key, None))
                lane = lanes[key] = Lane(version, opened=mine.pos[0])
            else:
                lane = lanes[key] = Lane(version)
            lane.predictions = mine
            for pos, alarm in version.watch_predictions(mine, lane.met):
                marks.append(Mark(pos, ALARM, version, alarm))

    def _look_at_outcomes(
        self, rows: OutcomeColumns, lanes: dict[VersionKey, Lane], marks: list[Mark]
    ) -> None:
        for key, members in by_version(rows.versions, rows.roles).items():
            mine = rows if members is None else rows.part(members)
            version = self.versions.get(key)
            if version is None:
                # Its prediction was read before the version was forgotten: joined, no longer watched.
                continue
            lane = lanes.get(key) or lanes.setdefault(key, Lane(version))
            if mine.pos[0] < lane.opened:  # likewise, and then a new prediction opened it again
                mine = mine.part([i for i, pos in enumerate(mine.pos) if pos >= lane.opened])
                if not mine.pos:
                    continue
            compared = mine.comparable()
            lane.outcomes = compared
            for pos, alarm in version.watch_outcomes(mine, compared, lane.met):
                marks.append(Mark(pos, OUTCOME_ALARM, version, alarm))

    def _compare(self, rows: OutcomeColumns, said: Said | None) -> OutcomeColumns:
        """The rows with their errors and what the challenger said to them."""
        task, labels = self.setup.task, rows.labels
        errors = errors_of(task, labels, rows.predictions)
        if said is None:
            return rows._replace(errors=errors)
        theirs = challenger_errors(task, labels, errors, said.guesses)
        return rows._replace(
            errors=errors,
            challenger_predictions=said.guesses,
            challenger_scores=said.scores,
            challenger_errors=theirs,
        )

    def _challenge(self, rows: OutcomeColumns, start: int) -> Said | None:
        """What the challenger says to the block's outcomes from `start` on, before it learns them; it does
        so from production's outcomes alone."""
        turn = self._turn
        if turn is not None:
            if turn.defect is not None:
                raise turn.defect
            stop = start + len(rows.pos)
            return Said(turn.said.guesses[start:stop], turn.said.scores[start:stop])
        if self.challenger is None:
            return None
        labels = [
            label if role == "production" else None
            for label, role in zip(rows.labels, rows.roles, strict=True)
        ]
        return Said(*self.challenger.predict_then_learn(rows.features, labels))

    def _draw(self, rows: OutcomeColumns) -> None:
        """Put production's rows on the chart, with the challenger's error on the same."""
        roles = rows.roles
        if roles.count("production") != len(roles):
            rows = rows.part([i for i, role in enumerate(roles) if role == "production"])
        compared = rows.comparable()
        if compared is not None:
            self.course.extend(compared.tss, compared.errors, compared.challenger_errors)

    def _close_left_open(self, out: Decisions) -> None:
        """Whoever heard of an episode hears of its end. What it asked for, the policy still owes."""
        for version, role, state in self.left_open:
            episodes = Episodes.load(state, self.stream, version, role, self.settings.labels)
            closed = episodes.close_all("replaced", self.moment(), Histories(History(), Places()))
            for event in map(self.people.mark, closed):
                self.ledger.drift(event, role)
                self.people.closed(event.episode_id)
                out.append((-1, event))
        self.left_open = []

    def set_aside(self, defect: str) -> None:
        """Watch nothing any more, only count: a defect of driftbus itself must not stop other streams.

        The stream's outcomes go on, without errors; a new configuration of the stream, or a new version of
        the fold, begins it anew.
        """
        self.defect = defect
        self.versions.clear()
        self.current = self.challenger = self.states = None
        self.course = Course()
        self.rows = History(self.limits.max_classes)
        self.policy = Policy(self.stream, self.settings.retrain, self.settings.labels, self.settings.sample)
        self.decided()

    # -- decisions -----------------------------------------------------------------------------------

    def open_version(self, key: VersionKey, ts: int) -> VersionMonitor:
        version = self.versions[key] = VersionMonitor(self.setup, key[0], key[1], ts)
        if (reference := self.references.of(key, first=self.current is None)) is not None:
            begin(version, reference)
        return version

    def moment(self, ts: int = 0) -> Moment:
        """Now, as decisions are dated."""
        return Moment(max(self.clock, ts), self.ledger.outcomes, self.ledger.predictions)

    def record_moment(self, labelled: bool) -> Moment:
        """Now, as the newest outcome (else prediction) taken up has it."""
        ts = self.label_clock if labelled else self.prediction_clock
        return Moment(ts, self.ledger.outcomes, self.ledger.predictions)

    def first_prediction(self, key: VersionKey, pos: int, out: Decisions) -> None:
        """The first prediction of an unseen version."""
        model_events.first_prediction(self, key, pos, out)

    def take_alarm(
        self, alarm: Alarm, version: VersionMonitor, labelled: bool, pos: int, out: Decisions
    ) -> None:
        """A detector cried at the row just taken up, an outcome (`labelled`) or a prediction."""
        moment = self.record_moment(labelled)
        self.tell(version.episodes.on_alarm(alarm, moment, version.rows), version, pos, out)

    def look(self, lane: Lane, pos: int, out: Decisions) -> None:
        """A version has reached a row where it is to be looked at."""
        version = lane.version
        episodes, rows = version.episodes, version.rows
        outcomes_due = episodes.due_outcomes is not None and rows.outcomes.seen >= episodes.due_outcomes
        predictions_due = (
            episodes.due_predictions is not None and rows.predictions.seen >= episodes.due_predictions
        )
        if outcomes_due or predictions_due:
            watched = version is self.production and self.states is not None
            episodes.returned = self.states.found() if watched and self.states is not None else None
            moment = self.record_moment(outcomes_due)
            self.tell(episodes.checkpoint(moment, rows), version, pos, out)
        if version is self.production:
            version.read_rules()
            self.consider(pos, out)

    def on_time(self, ts: int, pos: int, out: Decisions) -> None:
        """Event time has reached `ts`."""
        for version in list(self.versions.values()):
            due = version.episodes.next_due()
            if due is not None and due <= ts:
                self.tell(version.episodes.on_time(self.moment(ts), version.rows), version, pos, out)
        self.consider(pos, out, ts)

    def consider(self, pos: int, out: Decisions, ts: int = 0) -> None:
        """Ask the policy whether a retrain is due."""
        production = self.in_production()
        if production is not None:
            moment = self.moment(ts)
            muted = self.people.is_muted(moment.ts)
            self.ask(self.policy.consider(moment, production, muted=muted), pos, out)

    def wanted(self) -> VersionMonitor | None:
        """The version upon whose outcomes the policy waits."""
        production = self.in_production()
        if production is None or not self.policy.wants_outcomes(production):
            return None
        return self.production

    def ask(self, requests: Sequence[RetrainRequest], pos: int, out: Decisions) -> None:
        for request in requests:
            self.ledger.request(request)
            out.append((pos, request))

    def tell(self, events: Sequence[DriftEvent], version: VersionMonitor, pos: int, out: Decisions) -> None:
        for event in map(self.people.mark, events):
            self.ledger.drift(event, version.role)
            out.append((pos, event))
            # A change that was found in a slice is no other state of the world.
            whole = event.category == "concept" and event.signals[0].name == "error"
            if version is self.production and whole and self.states is not None:
                self.states.hear(event)
            if version is self.production and self.people.asks(event):
                self.policy.on_drift_event(event)
            if event.status == "closed":
                self.people.closed(event.episode_id)
        if events and version is self.production:
            self.consider(pos, out)

    def take_rows(self, rows: OutcomeColumns) -> None:
        """Outcomes of any version and role, taken up: the rows that a training window counts."""
        classes = self.setup.task == "classification"
        self.rows.extend(rows.seqs, rows.tss, None, rows.labels if classes else None)
        self._draw(rows)
        if self.states is not None:
            self.states.take(rows)

    def correct(self, correction: Correction) -> None:
        """Put metrics and history right; nobody learns twice."""
        version = self.versions.get((correction.model_version, correction.role))
        if version is not None:
            version.correct(correction)

    # -- state ---------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "defect": self.defect,
            "left_open": self.left_open,
            "clock": [self.clock, self.anchor, self.prediction_clock, self.label_clock],
            "ledger": self.ledger.dump(),
            "people": self.people.dump(),
            "decision": self.decision.dump(),
            "current": self.current,
            "rows": self.rows.dump(),
            "course": self.course.dump(),
            "policy": self.policy.dump(),
            "challenger": None if self.challenger is None else self.challenger.dump(),
            "states": None if self.states is None else self.states.dump(),
            "versions": [version.dump() for version in self.versions.values()],
            **self.references.dump(),
        }

    @classmethod
    def load(
        cls,
        state: dict[str, Any],
        stream: str,
        settings: StreamSettings,
        limits: Limits,
        anew: frozenset[str] = frozenset(),
        why: str = "configuration",
    ) -> StreamMonitor:
        """The stream that `dump` was called on; the parts (`core.parts`) in `anew` begin anew, which the
        ledger notes, with `why`. Episodes that nothing judges any more are left to be closed."""
        self = cls(stream, settings, limits)
        self.clock, self.anchor, self.prediction_clock, self.label_clock = state["clock"]
        self.ledger = Ledger.load(state["ledger"])
        self.people = People.load(state["people"])
        if settings.task == "auto" and state["decision"][0] != "none":
            self.decision.load(state["decision"])
        self.setup = replace(self.setup, task=self.decision.task)
        if state["defect"] is not None and not anew:
            self.left_open = state["left_open"]
            self.set_aside(state["defect"])
            return self
        if state["decision"][0] != self.setup.task:
            anew |= parts.LABELLED
            self.course = Course()
        else:
            self.course = Course.load(state["course"])
        self.current = None if state["current"] is None else tuple(state["current"])
        self.rows = History.load(state["rows"])
        self.policy = Policy.load(state["policy"], stream, settings.retrain, settings.labels, settings.sample)
        if settings.challenger is not None and self.setup.task != "none" and "challenger" not in anew:
            self.challenger = challengers.load(
                settings.challenger, self.setup.task, settings.positive_label, limits, state["challenger"]
            )
        else:
            self.challenger = self._new_challenger()
        self.states = self._new_states()
        if self.states is not None and state["states"] is not None and "states" not in anew:
            self.states = States.load(state["states"])
        self.left_open = list(state["left_open"])
        self.references = References.load(state)
        lost: list[str] = []
        for row in state["versions"]:
            version, left, dropped = VersionMonitor.resume(row, self.setup, anew)
            self.versions[version.model_version, version.role] = version
            self.references.go_on(version, anew)
            lost += dropped
            if left is not None:
                self.left_open.append([version.model_version, version.role, left])
        if what := sorted({*anew, *lost} - {"feature_policy"}):
            self.ledger.begun_anew(self.clock, what, why)
        return self

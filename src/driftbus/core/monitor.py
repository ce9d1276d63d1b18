"""One stream: what it is watched by, put together.

    predictions ─► label-free signals ─┐
    outcomes ────► error signals ──────┴► alarms ─► episodes ─► policy ─► decisions
             └───► metrics, history, challenger

A fold of a block looks at all its rows first (detectors never learn of episodes), then takes them up in
record order, stopping wherever something is to be decided. So where blocks are cut changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from driftbus.core import challenger as challengers
from driftbus.core.block import Block, Rises
from driftbus.core.course import Course, challenger_errors
from driftbus.core.episodes import Alarm, Episode, Moment
from driftbus.core.history import History
from driftbus.core.labelled import labelled
from driftbus.core.lane import NEVER, Lane
from driftbus.core.ledger import Ledger
from driftbus.core.policy import Policy
from driftbus.core.records import (
    Correction,
    DriftEvent,
    ModelEvent,
    Outcome,
    RetrainRequest,
)
from driftbus.core.settings import Limits, Rule, StreamSettings
from driftbus.core.task import TaskDecision, outcome_error
from driftbus.core.version import Setup, VersionMonitor
from driftbus.core.views import DeploymentView
from driftbus.core.walk import ALARM, CORRECTION, OPENED, Decisions, Mark, Rows, walk

VersionKey = tuple[str | None, str]


class Folded(NamedTuple):
    """A fold's result: decisions with their positions, and the error of each outcome of the block."""

    decisions: Decisions
    errors: list[float | None]


class Production:
    """What the policy reads of the version in production; rows are those of the whole stream."""

    __slots__ = ("_version", "outcomes")

    def __init__(self, version: VersionMonitor, outcomes: History) -> None:
        self._version = version
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
        self.folds = 0  # how often it changed: views are kept until then
        self.ledger = Ledger()
        self.decision = TaskDecision(settings.task)
        self.setup = Setup(stream, settings, limits, self.decision.task)
        self.versions: dict[VersionKey, VersionMonitor] = {}
        self.current: VersionKey | None = None
        self.rows = History(limits.max_classes)
        self.course = Course()
        self.policy = Policy(stream, settings.retrain, settings.labels, settings.sample)
        self.challenger = self._new_challenger()

    def _new_challenger(self) -> challengers.Challenger | None:
        spec = self.settings.challenger
        if spec is None or self.setup.task == "none":
            return None
        return challengers.make(spec, self.setup.task, self.settings.positive_label, self.limits)

    @property
    def production(self) -> VersionMonitor | None:
        """The version in production; None before the first prediction."""
        return None if self.current is None else self.versions.get(self.current)

    def next_due(self) -> int | None:
        """The event time at which time alone has something to decide."""
        dues = [due for v in self.versions.values() if (due := v.episodes.next_due()) is not None]
        due = self.policy.next_due(self._production())
        if due is not None:
            dues.append(due)
        return min(dues, default=None)

    def _production(self) -> Production | None:
        version = self.production
        return None if version is None else Production(version, self.rows)

    # -- fold ----------------------------------------------------------------------------------------

    def fold(self, block: Block, rises: Rises) -> Folded:
        """Fold what a step brings to this stream, `rises` being the partition's clock over the step."""
        self.folds += 1
        self.ledger.take(block)
        out = Folded([], [])
        cuts: list[tuple[int, ModelEvent | None]] = list(block.model_events)
        if not self.decision.decided:
            cuts.extend(self._task_changes(block))
            cuts.sort(key=lambda cut: cut[0])
        p0 = o0 = c0 = 0
        for pos, event in cuts:
            p1, o1 = bisect_left(block.prediction_pos, pos), bisect_left(block.outcome_pos, pos)
            c1 = bisect_left(block.corrections, pos, key=lambda c: c[0])
            self._fold_rows(block, (p0, p1), (o0, o1), block.corrections[c0:c1], rises, pos - 1, out)
            p0, o0, c0 = p1, o1, c1
            if event is None:
                self._change_task()
            else:
                self.clock, self.anchor = max(self.clock, event.ts), rises.at(pos)
                self._take_model_event(event, pos, out.decisions)
        ends = (len(block.predictions), len(block.outcomes))
        self._fold_rows(block, (p0, ends[0]), (o0, ends[1]), block.corrections[c0:], rises, NEVER, out)
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
        self.course = Course()

    def _fold_rows(
        self,
        block: Block,
        predictions: tuple[int, int],
        outcomes: tuple[int, int],
        corrections: Sequence[tuple[int, Correction]],
        rises: Rises,
        last_pos: int,
        out: Folded,
    ) -> None:
        marks: list[Mark] = []
        lanes: dict[VersionKey, Lane] = {}
        p0, p1 = predictions
        o0, o1 = outcomes
        if p1 > p0:
            self._look_at_predictions(block, p0, p1, lanes, marks)
        if o1 > o0:
            self._look_at_outcomes(block, o0, o1, lanes, marks, out.errors)
        marks.extend(Mark(pos, CORRECTION, None, correction) for pos, correction in corrections)
        marks.sort(key=lambda mark: mark[:2])
        rows = Rows(block, predictions, outcomes, out.errors)
        walk(self, rows, lanes, marks, rises, last_pos, out.decisions)

    def _look_at_predictions(
        self,
        block: Block,
        p0: int,
        p1: int,
        lanes: dict[VersionKey, Lane],
        marks: list[Mark],
    ) -> None:
        rows = block.predictions[p0:p1]
        pos, offsets = block.prediction_pos[p0:p1], block.prediction_offsets[p0:p1]
        columns = list(zip(*rows, strict=True))
        keys = list(zip(columns[6], columns[7], strict=True))
        if keys.count(keys[0]) == len(keys):
            groups = [(keys[0], rows, columns, pos, offsets)]
        else:
            groups = []
            for key in dict.fromkeys(keys):
                members = [i for i, k in enumerate(keys) if k == key]
                some = [rows[i] for i in members]
                groups.append(
                    (
                        key,
                        some,
                        list(zip(*some, strict=True)),
                        [pos[i] for i in members],
                        [offsets[i] for i in members],
                    )
                )
        for key, some, cols, at, offs in groups:
            version = self.versions.get(key)
            if version is None:
                version = self._open_version(key, some[0].ts)
                marks.append(Mark(at[0], OPENED, key, None))
            lane = lanes[key] = Lane(version)
            lane.pos, lane.offsets, lane.tss = at, offs, cols[2]
            for at_pos, alarm in version.watch_predictions(some, cols, at):
                marks.append(Mark(at_pos, ALARM, version, alarm))

    def _look_at_outcomes(
        self,
        block: Block,
        o0: int,
        o1: int,
        lanes: dict[VersionKey, Lane],
        marks: list[Mark],
        errors: list[float | None],
    ) -> None:
        outcomes, pos = block.outcomes[o0:o1], block.outcome_pos[o0:o1]
        found = self._errors(outcomes)
        errors.extend(found)
        guesses = self._challenge(outcomes)
        keys = [(o.prediction.model_version, o.prediction.role) for o in outcomes]
        self._draw(outcomes, found, None if guesses is None else guesses[0], keys)
        for key in dict.fromkeys(keys):
            version = self.versions.get(key)
            if version is None:
                # Its prediction was read before the version was forgotten: joined, no longer watched.
                continue
            if keys.count(key) == len(keys):
                mine, at, errs, guess = outcomes, pos, found, guesses
            else:
                members = [i for i, k in enumerate(keys) if k == key]
                mine, at = [outcomes[i] for i in members], [pos[i] for i in members]
                errs = [found[i] for i in members]
                guess = None if guesses is None else tuple([c[i] for i in members] for c in guesses)  # type: ignore[assignment]
            lane = lanes.get(key) or lanes.setdefault(key, Lane(version))
            lane.rows = labelled(mine, at, errs, guess)
            for at_pos, alarm in version.watch_outcomes(mine, at, lane.rows):
                marks.append(Mark(at_pos, ALARM, version, alarm))

    def _errors(self, outcomes: Sequence[Outcome]) -> list[float | None]:
        task = self.setup.task
        return [outcome_error(task, o.label, o.prediction.prediction) for o in outcomes]

    def _challenge(self, outcomes: Sequence[Outcome]) -> tuple[list[Any], list[Any]] | None:
        """The challenger's predictions (and scores) for production's outcomes, before it learns them."""
        if self.challenger is None:
            return None
        features = [o.prediction.features for o in outcomes]
        labels = [o.label if o.prediction.role == "production" else None for o in outcomes]
        return self.challenger.predict_then_learn(features, labels)

    def _draw(
        self,
        outcomes: Sequence[Outcome],
        errors: Sequence[float | None],
        guesses: Sequence[Any] | None,
        keys: Sequence[VersionKey],
    ) -> None:
        """Put production's rows on the chart, with the challenger's error on the same."""
        theirs = challenger_errors(self.setup.task, outcomes, errors, guesses)
        if errors.count(None) or any(role != "production" for _, role in set(keys)):
            kept = [i for i, (_, role) in enumerate(keys) if role == "production" and errors[i] is not None]
            outcomes, errors = [outcomes[i] for i in kept], [errors[i] for i in kept]
            theirs = None if theirs is None else [theirs[i] for i in kept]
        self.course.extend([o.prediction.ts for o in outcomes], errors, theirs)  # type: ignore[arg-type]

    # -- decisions -----------------------------------------------------------------------------------

    def _open_version(self, key: VersionKey, ts: int) -> VersionMonitor:
        version = self.versions[key] = VersionMonitor(self.setup, key[0], key[1], ts)
        return version

    def moment(self, ts: int = 0) -> Moment:
        """Now, as decisions are dated."""
        return Moment(max(self.clock, ts), self.ledger.outcomes, self.ledger.predictions)

    def first_prediction(self, key: VersionKey, pos: int, out: Decisions) -> None:
        """The first prediction of an unseen version: in production it takes over."""
        version = self.versions[key]
        if key[1] == "production":
            if self.current is None:
                self.current = key
                self.ledger.deployments.append(DeploymentView(version.first_seen, key[0]))
            elif self.current != key:
                event = ModelEvent(self.stream, self.clock, "model-deployed", key[0], None, None, None)
                self._put_in_production(key, retire=False, rolled_back=False, pos=pos, out=out)
                self._ask(self.policy.on_model_event(event, self.moment(), self._production()), pos, out)
                self.ledger.request_ended("deployed", self.clock)
        self._forget_versions(pos, out)

    def _forget_versions(self, pos: int, out: Decisions) -> None:
        while len(self.versions) > self.limits.max_versions:
            key = next(k for k in self.versions if k != self.current)
            version = self.versions.pop(key)
            self.tell(version.episodes.close_all("replaced", self.moment(), version.rows), version, pos, out)

    def _put_in_production(
        self, key: VersionKey, *, retire: bool, rolled_back: bool, pos: int, out: Decisions
    ) -> None:
        old = self.production
        if old is not None:
            closed = old.episodes.close_all("replaced", self.moment(), old.rows)
            self.tell(closed, old, pos, out)
            old.retired = retire and self.current != key
        if key not in self.versions or self.current == key or rolled_back:
            self._open_version(key, self.clock)
        self.current = key
        self.versions[key].retired = False
        self.ledger.deployments.append(DeploymentView(self.clock, key[0], rolled_back))

    def _take_model_event(self, event: ModelEvent, pos: int, out: Decisions) -> None:
        if event.type in ("model-deployed", "model-rolled-back"):
            self._deploy(event, pos, out)
            self.ledger.request_ended("deployed", self.clock)
        elif event.type == "training-failed":
            self.ledger.request_ended("failed", self.clock)
        requests = self.policy.on_model_event(event, self.moment(), self._production())
        self._ask(requests, pos, out)
        self._forget_versions(pos, out)

    def _deploy(self, event: ModelEvent, pos: int, out: Decisions) -> None:
        """A deployment opens a new reference, unless this version's own predictions opened it already."""
        current = self.production
        rolled_back = event.type == "model-rolled-back"
        key: VersionKey = (event.model_version, "production")
        if current is not None and (current.model_version is None or event.model_version is None):
            key = (current.model_version, "production")  # predictions carry no version: it stays the same
        elif current is not None and key == self.current and not current.deployed and not rolled_back:
            asked = self.ledger.requests[-1] if self.ledger.requests else None
            if asked is None or asked.ended is not None or current.first_seen >= asked.requested_ms:
                current.deployed = True
                return
        self._put_in_production(key, retire=True, rolled_back=rolled_back, pos=pos, out=out)
        self.versions[key].deployed = True

    def take_alarm(self, alarm: Alarm, version: VersionMonitor, pos: int, out: Decisions) -> None:
        self.tell(version.episodes.on_alarm(alarm, self.moment(), version.rows), version, pos, out)

    def look(self, lane: Lane, pos: int, out: Decisions) -> None:
        """A version has reached a row where it is to be looked at."""
        version = lane.version
        episodes, rows = version.episodes, version.rows
        outcomes_due = episodes.due_outcomes is not None and rows.outcomes.seen >= episodes.due_outcomes
        predictions_due = (
            episodes.due_predictions is not None and rows.predictions.seen >= episodes.due_predictions
        )
        if outcomes_due or predictions_due:
            self.tell(episodes.checkpoint(self.moment(), rows), version, pos, out)
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
        production = self._production()
        if production is not None:
            self._ask(self.policy.consider(self.moment(ts), production), pos, out)

    def wanted(self) -> VersionMonitor | None:
        """The version upon whose outcomes the policy waits."""
        production = self._production()
        if production is None or not self.policy.wants_outcomes(production):
            return None
        return self.production

    def _ask(self, requests: Sequence[RetrainRequest], pos: int, out: Decisions) -> None:
        for request in requests:
            self.ledger.request(request)
            out.append((pos, request))

    def tell(self, events: Sequence[DriftEvent], version: VersionMonitor, pos: int, out: Decisions) -> None:
        for event in events:
            self.ledger.drift(event, version.role)
            out.append((pos, event))
            if version is self.production:
                self.policy.on_drift_event(event)
        if events and version is self.production:
            self.consider(pos, out)

    def take_rows(self, outcomes: Sequence[Outcome], errors: Sequence[float | None]) -> None:
        """Outcomes of any version and role, taken up: the rows that a training window counts."""
        classes = self.setup.task == "classification"
        self.rows.extend(
            [row.seq for row in outcomes],
            [row.prediction.ts for row in outcomes],
            [error or 0.0 for error in errors],
            [row.label for row in outcomes] if classes else None,
        )

    def correct(self, correction: Correction) -> None:
        """Put metrics and history right; nobody learns twice."""
        version = self.versions.get((correction.model_version, correction.role))
        if version is not None:
            version.correct(correction)

    # -- state ---------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "clock": [self.clock, self.anchor],
            "ledger": self.ledger.dump(),
            "decision": self.decision.dump(),
            "current": self.current,
            "rows": self.rows.dump(),
            "course": self.course.dump(),
            "policy": self.policy.dump(),
            "challenger": None if self.challenger is None else self.challenger.dump(),
            "versions": [version.dump() for version in self.versions.values()],
        }

    @classmethod
    def load(
        cls, state: dict[str, Any], stream: str, settings: StreamSettings, limits: Limits
    ) -> StreamMonitor:
        """The stream that `dump` was called on, under the same settings."""
        self = cls.load_ledger(state, stream, settings, limits)
        if settings.challenger is not None and self.setup.task != "none":
            self.challenger = challengers.load(
                settings.challenger, self.setup.task, settings.positive_label, limits, state["challenger"]
            )
        for row in state["versions"]:
            version = VersionMonitor.load(row, self.setup)
            self.versions[version.model_version, version.role] = version
        return self

    @classmethod
    def load_ledger(
        cls, state: dict[str, Any], stream: str, settings: StreamSettings, limits: Limits
    ) -> StreamMonitor:
        """What outlives a change of settings or of the fold: counters, rows, policy; models begin anew."""
        self = cls(stream, settings, limits)
        self.clock, self.anchor = state["clock"]
        self.ledger = Ledger.load(state["ledger"])
        self.decision.load(state["decision"])
        self.setup = replace(self.setup, task=self.decision.task)
        self.current = None if state["current"] is None else tuple(state["current"])
        self.rows = History.load(state["rows"])
        self.course = Course.load(state["course"])
        self.policy = Policy.load(state["policy"], stream, settings.retrain, settings.labels, settings.sample)
        self.challenger = self._new_challenger()
        return self

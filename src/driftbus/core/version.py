"""One model version of one stream: its signals, metrics, histories and episodes, from its reference on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from driftbus.core.challenger import restorable
from driftbus.core.columns import OutcomeColumns, PredictionColumns
from driftbus.core.common_class import WINDOW, CommonClass
from driftbus.core.episodes import Alarm, Episodes, Rows
from driftbus.core.estimate import Estimate
from driftbus.core.features import FeatureWatch
from driftbus.core.history import History
from driftbus.core.label_mix import Classes, marked
from driftbus.core.labelled import gaps_of, log_losses
from driftbus.core.metrics import Performance
from driftbus.core.pace import Pace
from driftbus.core.parts import SLICED, begins_anew, left_open
from driftbus.core.places import Places
from driftbus.core.records import Category, Correction
from driftbus.core.season import Season
from driftbus.core.settings import Limits, SignalPlan, StreamSettings
from driftbus.core.signals import (
    SignalHit,
    SignalRule,
    SignalWatch,
    challenger_gap_rule,
    error_rule,
    log_loss_rule,
    regression_rule,
    score_rule,
)
from driftbus.core.slices import SliceHit, SliceWatch, may_be_shown
from driftbus.core.slices_counted import SliceCounts
from driftbus.core.task import outcome_error
from driftbus.core.views import Estimated
from driftbus.core.watched import LABEL_SIGNAL, named_rule, rule_of, squared_error_rule

PosAlarm = tuple[int, Alarm]

NEVER = 1 << 62
# Custom signals that predictions bring, and as many that labels do: each costs a few kilobytes, and whoever
# sends a new name with every record does not fill the memory.
MAX_CUSTOM_SIGNALS = 100

_NUMBERS = frozenset({float, int})


@dataclass(frozen=True, slots=True)
class Setup:
    """What every version of a stream is made from; `task` is the (provisional) decision."""

    stream: str
    settings: StreamSettings
    limits: Limits
    task: str


class VersionMonitor:
    """Detectors never learn of episodes, so what they find depends on their signal's values alone."""

    def __init__(self, setup: Setup, model_version: str | None, role: str, first_seen: int) -> None:
        settings, limits = setup.settings, setup.limits
        self.setup = setup
        self.model_version = model_version
        self.role = role
        self.first_seen = first_seen
        self.first_seq: int | None = None
        self.deployed = False  # a model event named it
        self.retired = False  # a model event put another in its place
        self.predictions = 0
        self.outcomes = 0
        self.features = FeatureWatch(
            settings.features, settings.signals, max_categories=limits.max_categories
        )
        self.common_class = CommonClass()
        self.pace = Pace(settings.false_alarms)
        self.classes = Classes(limits.max_classes)
        self.season = _season_of(setup)
        self.estimate = Estimate()
        self.watches: dict[str, SignalWatch] = {}
        # Names of custom signals, by what brings them; the first ones up to a bound.
        self.prediction_signals: set[str] = set()
        self.label_signals: set[str] = set()
        self.rows = Rows(self._new_history(), Places())
        self.slice_watch = self._new_slice_watch()
        rule_windows = tuple(rule.window for rule in settings.retrain.rules)
        self.windows = tuple(dict.fromkeys(settings.windows + rule_windows))
        self.performance = self._performance(self.windows)
        # Shown since deployment only: a window would cost as much as production's, and nobody reads it.
        self.challenger_performance = self._performance(())
        self.slices: dict[str, Performance] = {}
        self.slices_dropped = 0
        self.rule_values: dict[str, float] = {}
        self.episodes = Episodes(setup.stream, model_version, role, settings.labels)
        self.episodes.new_classes = self.classes.new

    def _new_history(self) -> History:
        """Its classes are labels, and labels that were predicted wrongly."""
        return History(2 * self.setup.limits.max_classes, windows=False)

    def _new_slice_watch(self) -> SliceWatch | None:
        """Of 0/1 errors of a version in production, under `auto`; `rows` is to hold their counts."""
        settings, limits = self.setup.settings, self.setup.limits
        watched = self.setup.task == "classification" and settings.signals.error is None
        if not watched or self.role != "production" or not limits.max_slices:
            self.rows = self.rows._replace(slices=None)
            return None
        counts = SliceCounts()
        self.rows = self.rows._replace(slices=counts)
        return SliceWatch(settings, limits, counts)

    def _performance(self, windows: tuple[Any, ...], custom: bool = True) -> Performance:
        settings = self.setup.settings
        return Performance(
            self.setup.task,
            settings.positive_label,
            windows,
            settings.custom_metrics if custom else (),
            self.setup.limits.max_classes,
        )

    # -- signals -------------------------------------------------------------------------------------

    def watch_predictions(self, rows: PredictionColumns, met: dict[str, int]) -> list[PosAlarm]:
        """Fold predictions into the label-free signals; `met` takes the positions at which names of custom
        signals are first seen."""
        alarms: list[PosAlarm] = []
        pos, scores, signals = rows.pos, rows.scores, rows.signals
        self.predictions += len(pos)
        for hit in self.features.observe(rows.features):
            alarms.append((pos[hit.index], _alarm(hit, _feature_category(hit.signal))))
        if scores.count(None) != len(scores):
            self._watch("score", score_rule, scores, pos, "prediction", alarms)
            if self.setup.task == "classification":
                self.estimate.predicted(scores, rows.predictions, self.setup.settings.positive_label)
        if signals.count(None) != len(signals):
            names = {name for row in signals if row for name in row}
            known = self.prediction_signals
            if not known.issuperset(names):
                for at, row in zip(pos, signals, strict=True):
                    for name in row or ():
                        if name not in known and len(known) < MAX_CUSTOM_SIGNALS:
                            known.add(name)
                            met[name] = at
            for name in sorted(names & known):
                column = [row.get(name) if row else None for row in signals]
                self._watch(f"custom/{name}", partial(named_rule, name), column, pos, "prediction", alarms)
        return alarms

    def watch_outcomes(
        self, rows: OutcomeColumns, compared: OutcomeColumns | None, met: Mapping[str, int]
    ) -> list[PosAlarm]:
        """Fold outcomes, and those of them that can be compared, into the signals that need a label. `met`:
        see `watch_predictions`."""
        alarms: list[PosAlarm] = []
        if self.retired:
            return alarms
        if compared is not None:
            self._watch_errors(compared, alarms)
        if rows.signals.count(None) != len(rows.signals):
            self._watch_label_signals(rows, met, alarms)
        return alarms

    def _watch_errors(self, rows: OutcomeColumns, alarms: list[PosAlarm]) -> None:
        pos, errors, scores, settings = rows.pos, rows.errors, rows.scores, self.setup.settings
        if self.setup.task == "classification":
            for row in self.common_class.observe(errors, rows.labels, rows.predictions):
                alarms.append((pos[row], _NO_COMMON_CLASS))
            self._observe_error(error_rule, rows, alarms)
            if scores.count(None) != len(scores):
                losses = log_losses(rows.labels, scores, settings.positive_label)
                self._watch("log_loss", log_loss_rule, losses, pos, "concept", alarms)
                self.estimate.came(scores, rows.predictions, rows.labels, settings.positive_label)
        else:
            self._observe_error(regression_rule, rows, alarms)
            squared = [float(e) * e for e in errors]  # an integer would outgrow the 64 bits of the state
            self._observe("squared_error", squared_error_rule, squared, pos, "concept", alarms)
        if rows.challenger_errors is not None and restorable(settings.challenger):
            gaps = gaps_of(errors, rows.challenger_errors)
            self._watch("challenger_gap", challenger_gap_rule, gaps, pos, "concept", alarms)

    def _observe_error(
        self, rule: Callable[[SignalPlan], SignalRule], rows: OutcomeColumns, alarms: list[PosAlarm]
    ) -> None:
        """The error, up to each row at which the budget's rate is reckoned anew."""
        pos, errors, tss, pace, watch = rows.pos, rows.errors, rows.tss, self.pace, self.slice_watch
        start = 0
        if self.setup.task == "classification":
            first = pace.first_ts if pace.rows else tss[0]
            self.classes.meet(rows.seqs, rows.labels, tss, first, pace.newest_ts)
        self.season.seen = self.rows.outcomes.seen
        while errors:
            count, turned = self.season.part(tss, min(pace.left, len(errors)))
            if turned:
                self._begin_season()
            self._observe("error", rule, errors[:count], pos[:count], "concept", alarms, tss[:count])
            if watch is not None:
                self._hear_slices(watch.observe(rows, start, start + count, pace.rate), rows.pos, alarms)
            if pace.take(tss[:count]):
                self._keep_to_budget()
            start += count
            pos, errors, tss = pos[count:], errors[count:], tss[count:]

    def _begin_season(self) -> None:
        """From the next row on rows stand for something else: what was usual is learned anew."""
        self.watches["error"].restart()
        self._keep_to_budget()
        self.episodes.seasons.append((self.season.seen + 1, self.season.levels))

    def _hear_slices(self, hits: Sequence[SliceHit], pos: Sequence[int], alarms: list[PosAlarm]) -> None:
        for row, number, hit in hits:
            found = SignalHit(
                *(row, "error", "focus_bernoulli", hit.direction, hit.before, hit.after, hit.since),
                evidence=hit.evidence,
                standing="decides",
            )
            alarms.append((pos[row], replace(_alarm(found, "concept", self.pace.caution), slice=number)))

    def _keep_to_budget(self) -> None:
        if "error" in self.watches:
            self.watches["error"].keep_to(self.pace.rate)

    def estimated(self) -> Estimated | None:
        """How well it does on predictions whose labels have not come; None where scores do not tell."""
        return self.estimate.read() if self.performance.classes <= 2 else None

    def _watch_label_signals(
        self, rows: OutcomeColumns, met: Mapping[str, int], alarms: list[PosAlarm]
    ) -> None:
        """Custom signals that come with labels: those that no prediction up to that row has brought."""
        known, kept = self.prediction_signals, self.label_signals
        names: set[str] = set()
        for at, row in zip(rows.pos, rows.signals, strict=True):
            for name in row or ():
                if name not in known or at < met.get(name, -1):
                    if name not in kept and len(kept) < MAX_CUSTOM_SIGNALS:
                        kept.add(name)
                    names.add(name)
        for name in sorted(names & kept):
            until = met.get(name, NEVER)
            column = [
                row.get(name) if row and at < until else None
                for at, row in zip(rows.pos, rows.signals, strict=True)
            ]
            key = LABEL_SIGNAL + name
            self._watch(key, partial(named_rule, name), column, rows.pos, "prediction", alarms)

    def _watch(
        self,
        name: str,
        rule: Callable[[SignalPlan], SignalRule],
        column: Sequence[Any],
        pos: Sequence[int],
        category: Category,
        alarms: list[PosAlarm],
    ) -> None:
        """Observe a column with gaps: what is no number is not of this signal."""
        if not _NUMBERS.issuperset(map(type, column)):
            kept = [
                (v if type(v) is not dict else max(v.values(), default=0.0), at)
                for v, at in zip(column, pos, strict=True)
                if v is not None
            ]
            if not kept:
                return
            column, pos = zip(*kept, strict=True)
        self._observe(name, rule, column, pos, category, alarms)

    def _observe(
        self,
        name: str,
        rule: Callable[[SignalPlan], SignalRule],
        column: Sequence[float],
        pos: Sequence[int],
        category: Category,
        alarms: list[PosAlarm],
        tss: Sequence[int] = (),
    ) -> None:
        watch = self.watches.get(name)
        if watch is None:
            watch = self.watches[name] = SignalWatch(rule(self.setup.settings.signals))
            self._keep_to_budget()
        exposures = self.season.take(tss, column) if tss else None
        for hit in watch.observe(column, exposures):
            caution = self.pace.caution if name == "error" else 0.0
            alarms.append((pos[hit.index], _alarm(hit, category, caution)))

    def change_task(self, setup: Setup) -> None:
        """The task was decided otherwise: what was learned of outcomes begins anew."""
        self.setup = setup
        for name in ("error", "log_loss", "squared_error", "challenger_gap"):
            self.watches.pop(name, None)
        self.common_class = CommonClass()
        self.pace = Pace(setup.settings.false_alarms)
        self.classes = Classes(setup.limits.max_classes)
        self.episodes.new_classes = self.classes.new
        self.season = _season_of(setup)
        self.episodes.seasons.clear()
        self.estimate = Estimate()
        self.rows = Rows(self._new_history(), self.rows.predictions)
        self.slice_watch = self._new_slice_watch()
        self.performance = self._performance(self.windows)
        self.challenger_performance = self._performance(())
        self.slices.clear()

    def slice_rows(self, which: Mapping[str, str], from_seq: int) -> int | None:
        """Outcomes of a slice from about `from_seq` on; None where it is not watched any more."""
        counts = self.rows.slices
        number = None if counts is None else counts.number_of(next(iter(which.items())))
        return None if counts is None or number is None else counts.rows_since(from_seq, number)

    # -- memory --------------------------------------------------------------------------------------

    def absorb_predictions(self, offsets: Sequence[int], tss: Sequence[int]) -> None:
        """Rows that are decided upon: their places, by input offset."""
        self.rows.predictions.extend(offsets, tss)

    def absorb_outcomes(self, rows: OutcomeColumns) -> None:
        """Rows that are decided upon: history and metrics."""
        seqs, labels, label_tss = rows.seqs, rows.labels, rows.label_tss
        if self.first_seq is None:
            self.first_seq = seqs[0]
        self.outcomes += len(seqs)
        by_class = marked(labels, rows.errors) if self.setup.task == "classification" else None
        exposures = self.season.exposures_of(self.rows.outcomes.seen, rows.tss)
        self.rows.outcomes.extend(seqs, rows.tss, rows.errors, by_class, exposures)
        if self.rows.slices is not None:
            self.rows.slices.reach(seqs[-1])
        scores, weights, slices = _present(rows.scores), _present(rows.weights), rows.slices
        self.performance.add(seqs, label_tss, labels, rows.predictions, scores, weights)
        if rows.challenger_predictions is not None:
            self._add_challenger(
                seqs, label_tss, labels, rows.challenger_predictions, rows.challenger_scores, rows.weights
            )
        if slices.count(None) != len(slices):
            self._add_slices(slices, seqs, label_tss, labels, rows.predictions, scores, weights)

    def _add_challenger(self, *columns: Any) -> None:
        """`columns`: seqs, times, labels, the challenger's predictions and scores, weights."""
        if columns[3].count(None):
            kept = [row for row in zip(*columns, strict=True) if row[3] is not None]
            if not kept:
                return
            columns = tuple(zip(*kept, strict=True))
        seqs, times, labels, guesses, scores, weights = columns
        self.challenger_performance.add(seqs, times, labels, guesses, _present(scores), _present(weights))

    def _add_slices(
        self,
        slices: Sequence[dict[str, str] | None],
        *columns: Any,
    ) -> None:
        groups: dict[str, list[int]] = {}
        for index, parts in enumerate(slices):
            for name, value in (parts or {}).items():
                groups.setdefault(f"{name}={value}", []).append(index)
        for key, members in groups.items():
            performance = self.slices.get(key)
            if performance is None:
                if len(self.slices) >= self.setup.limits.max_slices:
                    self.slices_dropped += len(members)
                    continue
                performance = self.slices[key] = self._performance((), custom=False)
            some: list[Any] = [None if c is None else [c[i] for i in members] for c in columns]
            performance.add(*some)

    def read_rules(self) -> None:
        """Take the metrics of the rules whose windows are exact at the newest outcome absorbed.

        Between its boundaries a window of N outcomes holds up to a twenty-fifth less than N: what it says
        there is not what the rule asks about.
        """
        for rule in self.setup.settings.retrain.rules:
            if self.performance.exact(rule.window):
                value = self.performance.read(rule.window).get(rule.metric)
                if value is not None:
                    self.rule_values[rule.text] = value

    def correct(self, correction: Correction) -> None:
        """Put the metrics and the history right; detectors and challenger have learned once and for all."""
        c, task = correction, self.setup.task
        if self.first_seq is None or c.seq < self.first_seq:
            return  # of the version of this name that was forgotten before: nothing here has counted it
        old = outcome_error(task, c.previous_label, c.prediction)
        new = outcome_error(task, c.label, c.prediction)
        if old is not None and new is not None:
            self.performance.correct(c.seq, c.prediction, c.score, c.weight, c.previous_label, c.label)
            self.rows.outcomes.correct(c.seq, old, new)

    # -- state ---------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """The ledger of this version and its models, as JSON-able values."""
        return {
            "version": self.model_version,
            "role": self.role,
            "first_seen": self.first_seen,
            "first_seq": self.first_seq,
            "flags": [self.deployed, self.retired],
            "counts": [self.predictions, self.outcomes, self.slices_dropped],
            "task": self.setup.task,
            "features": self.features.dump(),
            "common_class": self.common_class.dump(),
            "pace": self.pace.dump(),
            "classes": self.classes.dump(),
            "season": self.season.dump(),
            "estimate": self.estimate.dump(),
            "watches": {name: watch.dump() for name, watch in self.watches.items()},
            "custom_signals": [sorted(self.prediction_signals), sorted(self.label_signals)],
            "outcome_history": self.rows.outcomes.dump(),
            "prediction_places": self.rows.predictions.dump(),
            "performance": self.performance.dump(),
            "challenger_performance": self.challenger_performance.dump(),
            "slices": {name: p.dump() for name, p in self.slices.items()},
            "slice_watch": self.slice_watch and self.slice_watch.dump(),
            "slice_counts": self.rows.slices and self.rows.slices.dump(),
            "rule_values": self.rule_values,
            "episodes": self.episodes.dump(),
        }

    @classmethod
    def resume(
        cls, state: dict[str, Any], setup: Setup, anew: frozenset[str]
    ) -> tuple[VersionMonitor, Any, list[str]]:
        """The version that `dump` was called on, but for the parts (`core.parts`) in `anew`; those of its
        episodes that nothing judges any more, as dumped; what is not watched any more, as `feature/x`."""
        settings, limits = setup.settings, setup.limits
        self = cls(setup, state["version"], state["role"], state["first_seen"])
        self.first_seq = state["first_seq"]
        self.deployed, self.retired = state["flags"]
        self.predictions, self.outcomes, self.slices_dropped = state["counts"]
        self.features = FeatureWatch.load(
            state["features"],
            settings.features,
            settings.signals,
            max_categories=limits.max_categories,
            anew=anew,
        )
        watched = set(self.features.names)
        lost = [f"feature/{name}" for name, _ in state["features"]["features"] if name not in watched]
        named = settings.signals.custom
        if "history" not in anew:
            self.common_class = CommonClass.load(state["common_class"])
        self.watches = {
            name: SignalWatch.load(watch, rule_of(name, settings.signals, setup.task))
            for name, watch in state["watches"].items()
            if not begins_anew(name, anew, named)
        }
        self.prediction_signals, self.label_signals = map(set, state["custom_signals"])
        self.pace = Pace.load(state["pace"], settings.false_alarms)
        self.classes = Classes.load(state["classes"], limits.max_classes)
        if not anew & {"error", "history"}:
            self.season = Season.load(state["season"])
        outcomes = self._new_history()
        if "history" not in anew:
            outcomes = History.load(state["outcome_history"])
        self.rows = Rows(outcomes, Places.load(state["prediction_places"]))
        self._resume_slices(state, anew)
        if "metrics" not in anew:
            self.estimate = Estimate.load(state["estimate"])
            self.performance = self._load_performance(state["performance"], self.windows)
            self.slices = {
                name: self._load_performance(p, (), custom=False) for name, p in state["slices"].items()
            }
            self.rule_values = dict(state["rule_values"])
        if not anew & {"metrics", "challenger"}:
            self.challenger_performance = self._load_performance(state["challenger_performance"], ())
        known, left = state["episodes"], None
        if anew:
            known, left = left_open(known, anew, named, lost)
        self.episodes = Episodes.load(known, setup.stream, self.model_version, self.role, settings.labels)
        self.episodes.new_classes = self.classes.new
        self._keep_to_budget()
        return self, left, lost

    def _resume_slices(self, state: dict[str, Any], anew: frozenset[str]) -> None:
        """Slices as they were watched, where they still are and may be told by value."""
        self.slice_watch = self._new_slice_watch()
        kept, policy = state["slice_watch"], self.setup.settings.features
        if self.slice_watch is None or kept is None or anew & SLICED:
            return
        if all(kind == "declared" or may_be_shown(policy, name) for kind, name, _ in kept["names"]):
            counts = SliceCounts.load(state["slice_counts"])
            self.rows = self.rows._replace(slices=counts)
            self.slice_watch = SliceWatch.load(kept, self.setup.settings, self.setup.limits, counts)

    def _load_performance(self, state: Any, windows: tuple[Any, ...], custom: bool = True) -> Performance:
        settings = self.setup.settings
        return Performance.load(
            state,
            self.setup.task,
            settings.positive_label,
            windows,
            settings.custom_metrics if custom else (),
            self.setup.limits.max_classes,
        )


# Every prediction is wrong, from the first one on.
_NO_COMMON_CLASS = Alarm("error", "common_class", "labelling", 0, 0.0, 1.0, WINDOW, float(WINDOW))


def _season_of(setup: Setup) -> Season:
    """Of 0/1 errors that the default detectors watch; of others nothing is learned."""
    return Season(setup.task == "classification" and setup.settings.signals.error is None)


def _present(column: Sequence[Any]) -> Sequence[Any] | None:
    """The column, or None where it holds nothing but None."""
    return None if column.count(None) == len(column) else column


def _feature_category(signal: str) -> Category:
    return "data" if signal.startswith("feature/") else "quality"


def _alarm(hit: SignalHit, category: Category, caution: float = 0.0) -> Alarm:
    direction: Literal[-1, 0, 1] = 1 if hit.direction > 0 else -1 if hit.direction < 0 else 0
    return Alarm(
        *(hit.signal, hit.detector, category, direction, hit.before, hit.after, hit.since, hit.evidence),
        standing=hit.standing,
        caution=caution,
    )

"""Many alarms, one episode: opened when the history confirms it, updated, closed once.

    alarm ──(concept: confirmed by the error's history)──► opened ──► updated* ──► closed
      └─ not confirmed within 2,000 outcomes: dropped       settled · passed · replaced · timed_out

A **concept** episode opens when FOCuS decides or the error's history confirms another alarm; from then on the
history alone judges. It is settled when the new level has held, which is then the reference, and has passed
when the error fell back; a further alarm is a second change where no ramp explains both (`core.splits`).
One found in a slice (`local`) is judged by the slice's rows, and is one of the whole if the rest rises, too.
**Other** categories open on the alarm, and are settled when none has come for a while. One open per category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from driftbus.core.cries import Cries
from driftbus.core.episode import (
    LABELLED,
    Alarm,
    Episode,
    Moment,
    Rows,
    agreeing,
    identity,
    signal_evidence,
    slice_of,
)
from driftbus.core.history import Columns, History
from driftbus.core.kinds import STAIRCASE, Returned, name_kind
from driftbus.core.label_mix import is_of_the_mix
from driftbus.core.outlook import (
    EpisodePolicy,
    better_since,
    fitted_onset,
    improved_since,
    is_news,
    look,
    take_verdict,
)
from driftbus.core.places import Places
from driftbus.core.records import Category, DriftEvent, Kind, Onset, Resolution, SignalEvidence, Status
from driftbus.core.season import is_seasonal
from driftbus.core.slices import TURN
from driftbus.core.slices_counted import SliceCounts
from driftbus.core.slices_located import Located, explains, locate
from driftbus.core.slices_told import SETTLE_ROWS, Rise, explain, found_in, key_of, rise_in, signals_of
from driftbus.core.splits import level_between, two_changes
from driftbus.core.steps import scan
from driftbus.core.verdict import Verdict, judge

__all__ = ["Alarm", "Episode", "EpisodePolicy", "Episodes", "Moment", "Rows"]

# Rows between two looks, least and most: a look costs about 1.5 ms, so it comes the more rarely
# the longer a change lies back, when a few rows more cannot alter the verdict.
LOOK_ROWS, MOST_LOOK_ROWS = 16, 256
# Rows after an event before small news about the same episode: figures of few rows waver.
QUIET_ROWS = 64
# Rows after an alarm before a rise is told as one of the labels' mix: the first wrong rows of a slow change
# may be of the class that comes most, and say so for some dozen rows.
MIX_ROWS = 256
# Predictions after which signals that joined an episode are told, together.
JOIN_PREDICTIONS = 64


class Episodes:
    """The episodes of one version of one stream.

    The histories passed in hold all rows up to and including the record that `moment` stands for. The
    caller cuts its blocks so that `checkpoint` is called exactly when `rows.outcomes.seen ==
    due_outcomes` or `rows.predictions.seen == due_predictions`, and `on_time` when the event time
    has reached `next_due()`; all are None while nothing waits. Settling cuts the history of outcomes.
    """

    def __init__(
        self,
        stream: str,
        model_version: str | None,
        role: str,
        labels: Mapping[str, str],
        policy: EpisodePolicy | None = None,
    ) -> None:
        self._stream, self._version, self._role, self._labels = stream, model_version, role, labels
        self._policy = policy or EpisodePolicy()
        self._slice_policy = replace(self._policy, settle_rows=min(SETTLE_ROWS, self._policy.settle_rows))
        self._episodes: dict[Category, Episode] = {}
        self._cries = Cries()
        self.new_classes: Mapping[str, int] = {}  # see `core.label_mix`; whoever calls keeps it up to date
        self._reference = 0  # seq from which the error's history is judged
        self._ordinal = 0
        # Rows (as `seen` counts them) with which the error's season begins or ends, and what `is_seasonal`
        # reads then; whoever calls appends.
        self.seasons: list[tuple[int, list[list[int]]]] = []
        self._in_a_row = 1, 0  # how many rises one that is found up to this row is the last of
        self.returned: Returned | None = None  # kept up to date by whoever calls
        self.opened_total: dict[Category, int] = {}
        self.closed_total: dict[tuple[Category, Kind], int] = {}
        self.last_opened_ts: int | None = None

    @property
    def open(self) -> Sequence[Episode]:
        """The open episodes, at most one per category, the oldest first."""
        return list(self._episodes.values())

    @property
    def quiet(self) -> bool:
        """Whether nothing is open and nothing waits, so that nothing falls due."""
        return not self._episodes and not self._cries.waiting and not self.seasons

    @property
    def due_outcomes(self) -> int | None:
        """`rows.outcomes.seen` at which `checkpoint` is due."""
        due = [one.next_look for one in self._episodes.values() if one.category in LABELLED]
        if self._cries.waiting:
            due.append(self._cries.next_try)
        due += [seen for seen, _ in self.seasons[:1]]
        return min(due, default=None)

    @property
    def due_predictions(self) -> int | None:
        """`rows.predictions.seen` at which `checkpoint` is due."""
        due = [one.next_look for one in self._episodes.values() if one.category not in LABELLED]
        return min(due, default=None)

    def next_due(self) -> int | None:
        """The event time (ms) at which `on_time` has something to do."""
        due = [one.opened_at + self._policy.limit_ms for one in self._episodes.values()]
        return min(due, default=None)

    def on_alarm(self, alarm: Alarm, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """An alarm at the newest row of its history."""
        if alarm.slice is not None:
            return self._on_slice_alarm(alarm, moment, rows)
        history = rows.of(alarm.category)
        episode = self._episodes.get(alarm.category)
        if episode is not None and not episode.local:
            episode.absorb(alarm, history.seen)
            if episode.fitted and alarm.standing == "decides" and alarm.direction > 0:
                self._cries.second = (rows.outcomes.rows_ago(alarm.since or 1)[0], alarm)
                self._cries.second_until = history.seen + self._policy.retry_rows
                return self._split(episode, moment, rows)
            if not episode.fitted and episode.news:
                episode.next_look = min(episode.next_look, history.seen + JOIN_PREDICTIONS)
            return []
        # A custom signal has no history of its own: its alarm is all there is.
        if alarm.category != "concept" or alarm.signal.startswith("custom/"):
            return [self._open_on_alarm(alarm, moment, history)]
        if alarm.direction < 0:
            # The error has fallen for good: what it was before must not hide the next rise.
            columns = rows.outcomes.columns(self._reference)
            self._reference = improved_since(columns, self._reference, self._policy)
            return []
        if alarm.standing == "opinion":
            self._cries.hold(alarm, history.seen)
            return []
        self._cries.ask(alarm, history.seen, self._policy.retry_rows)
        return self._try_to_confirm(moment, rows, decided=alarm.standing == "decides")

    def checkpoint(self, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Look again: confirm waiting alarms, refit, update, settle. Nothing happens before it is due."""
        events: list[DriftEvent] = []
        while self.seasons and rows.outcomes.seen >= self.seasons[0][0]:
            events += self._take_season(self.seasons.pop(0)[1], moment, rows.outcomes)
        if self._cries.waiting and rows.outcomes.seen >= self._cries.next_try:
            events += self._try_to_confirm(moment, rows)
        for episode in self.open:
            history = rows.of(episode.category)
            if history.seen < episode.next_look:
                continue
            if episode.fitted:
                events += self._look_at_error(episode, moment, rows)
            else:
                events += self._look_at_alarms(episode, moment, history)
        return events

    def _take_season(self, levels: list[list[int]], moment: Moment, history: History) -> list[DriftEvent]:
        """What is open was a season, unless it is of a slice or whole days have become worse; judged anew."""
        self._cries.waiting.clear()
        episode = self._episodes.get("concept")
        if episode is not None and (episode.local or not is_seasonal(levels, episode.onset.ts)):
            return []
        self._start_reference(history, 0, history.end_seq)
        return [] if episode is None else [self._close(episode, "season", moment)]

    def on_time(self, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Event time has passed: the time limit. What an episode found is then the reference."""
        events = []
        for episode in self.open:
            if moment.ts >= episode.opened_at + self._policy.limit_ms:
                if episode.fitted:
                    self._make_normal(episode, rows, episode.onset.seq, episode.onset.seq)
                events.append(self._close(episode, "timed_out", moment))
        return events

    def close_all(self, resolution: Resolution, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Close what is open (`replaced` when another version takes over) and forget waiting alarms."""
        self._cries.waiting.clear()
        return [self._close(episode, resolution, moment) for episode in self.open]

    def dismiss(self, episode_id: str, accept: bool, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Somebody says that it is no change: judged from its onset on, so that it is not found again. With
        `accept` the new level is normal, and rows before the onset are of another world."""
        for episode in self.open:
            if episode.episode_id == episode_id:
                if episode.fitted:
                    onset = episode.onset.seq
                    self._make_normal(episode, rows, onset if accept else 0, onset)
                return [self._close(episode, "dismissed", moment)]
        return []

    def _try_to_confirm(self, moment: Moment, rows: Rows, *, decided: bool = False) -> list[DriftEvent]:
        history = rows.outcomes
        # A world that was worse for long hides a rise on today's level: judge from where it got better.
        self._reference = better_since(history.columns(self._reference), self._reference)
        columns = history.columns(self._reference)
        step = scan(columns)
        if step is not None and self._policy.believes(step, columns, decided, self._cries.caution):
            verdict = judge(columns)
            if verdict is not None:
                onset = int(columns.first_seq[verdict.onset])
                if is_of_the_mix(history, self._reference, onset, self.new_classes):
                    if history.seen - self._cries.first >= MIX_ROWS:
                        return self._tell_of_labels(moment, history)
                elif not self._is_known(rows, onset, step.dispersion):
                    located = self._locate(rows, self._reference, onset, step.dispersion)
                    return self._tell_of_rise(verdict, columns, located, moment, rows)
        cries = self._cries
        if history.seen >= cries.until:
            cries.waiting.clear()
        waited = history.seen - cries.first
        cries.next_try = history.seen + min(max(waited // 8, LOOK_ROWS), 8 * LOOK_ROWS)
        return []

    def _tell_of_labels(self, moment: Moment, history: History) -> list[DriftEvent]:
        """The error has risen since other labels have come: so much of it is told."""
        alarm = replace(next(iter(self._cries.waiting.values())), category="label_prior")
        self._cries.waiting.clear()
        episode = self._episodes.get("label_prior")
        if episode is None:
            return [self._open_on_alarm(alarm, moment, history)]
        episode.absorb(alarm, history.seen)
        return []

    def _tell_of_rise(
        self, verdict: Verdict, columns: Columns, located: Located | None, moment: Moment, rows: Rows
    ) -> list[DriftEvent]:
        """The error of the whole has risen, in one slice (`located`) or elsewhere too."""
        local, events = self._episodes.get("concept"), []
        if local is not None:
            if int(columns.first_ts[verdict.earliest]) <= local.onset.latest:
                return [self._widen(local, verdict, columns, moment, rows.outcomes)]
            events = [self._settle(local, moment, rows)]
        opened = self._open_on_error(verdict, columns, moment, rows.outcomes)
        if located is not None and rows.slices is not None:
            explain(opened, located, rows.slices, self._reference, opened.onset.seq)
        return [*events, self._tell(opened, "opened", None, moment)]

    def _is_known(self, rows: Rows, onset: int, dispersion: float) -> bool:
        """Whether a rise of the whole is what a slice's open episode tells, or what was told of slices and is
        normal there by now; the latter is then judged no more."""
        counts, local = rows.slices, self._episodes.get("concept")
        if counts is None or not counts.keys:
            return False
        least = self._policy.confirm_strength
        if local is not None:
            number = counts.number_of(key_of(local))
            open_ones = [] if number is None else [number]
            return explains(counts, open_ones, self._reference, onset, dispersion, least)
        told = {number: seq for number, seq in counts.told.items() if seq >= self._reference}
        for name in {counts.keys[number][0]: None for number in told}:
            known = [number for number in told if counts.keys[number][0] == name]
            if explains(counts, known, self._reference, onset, dispersion, least):
                self._reference = max(told.values())
                self._cries.waiting.clear()
                return True
        return False

    def _locate(
        self, rows: Rows, reference: int, onset: int, dispersion: float, told: int | None = None
    ) -> Located | None:
        return None if rows.slices is None else locate(rows.slices, reference, onset, dispersion, told)

    def _widen(
        self, local: Episode, verdict: Verdict, columns: Columns, moment: Moment, history: History
    ) -> DriftEvent:
        """What was found in a slice is everywhere: the same episode, now judged by all rows."""
        signals = self._cries.take_evidence(history.seen - self._policy.retry_rows)
        signals["error"] = replace(signals["error"], detector=local.signals["error"].detector)
        local.signals = signals
        local.local, local.slice = False, None
        take_verdict(local, verdict, columns)
        name_kind(local, self.returned)
        local.next_look, local.quiet_until = history.seen + LOOK_ROWS, history.seen + QUIET_ROWS
        return self._tell(local, "updated", None, moment)

    def _on_slice_alarm(self, alarm: Alarm, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """An alarm of the error of one slice."""
        counts, number, seen = rows.slices, alarm.slice, rows.outcomes.seen
        if counts is None or number is None or number not in counts.keys:
            return []
        episode = self._episodes.get("concept")
        if episode is not None and not episode.local:
            # Part of it; perhaps it is all of it.
            episode.next_look = min(episode.next_look, seen + LOOK_ROWS)
            return []
        reference = max(self._reference, counts.floors.get(number, 0))
        if alarm.direction < 0:
            columns = counts.columns(number, reference)
            counts.floors[number] = improved_since(columns, reference, self._policy)
            return []
        if episode is None:
            found = found_in(counts, number, self._reference, self._policy)
            if found is None:
                return []
            rise, located = found
            if located is None:
                # Not of this slice alone: where it is real, the whole shows it.
                asks = replace(alarm, standing="asks", slice=None)
                self._cries.ask(asks, seen, self._policy.retry_rows)
                return self._try_to_confirm(moment, rows)
            return [self._open_on_slice(rise, located, alarm, moment, rows.outcomes, counts)]
        if counts.keys[number] == key_of(episode):
            episode.signals[episode.judged] = agreeing(episode.signals[episode.judged], alarm)
            return []
        # Another slice: a second change where it began later, and the first explains nothing of it.
        found = found_in(counts, number, max(self._reference, episode.onset.seq), self._policy)
        if found is None:
            return []
        rise, located = found
        if located is None or located.number != number:
            return []
        if int(rise.columns.first_ts[rise.verdict.earliest]) <= episode.onset.latest:
            return []
        closed = self._settle(episode, moment, rows)
        return [closed, self._open_on_slice(rise, located, alarm, moment, rows.outcomes, counts)]

    def _open_on_slice(
        self,
        rise: Rise,
        located: Located,
        alarm: Alarm,
        moment: Moment,
        history: History,
        counts: SliceCounts,
    ) -> DriftEvent:
        key = counts.keys[located.number]
        signals = signals_of(key, located, alarm.detector)
        onset = fitted_onset(rise.verdict, rise.columns)
        episode = self._new("concept", moment, signals, onset, True, history)
        episode.slice, episode.local = slice_of(key), True
        take_verdict(episode, rise.verdict, rise.columns)
        name_kind(episode, None)
        episode.next_look = history.seen + 2 * TURN
        episode.quiet_until = history.seen + counts.rows_since(episode.onset.seq) // 2 + QUIET_ROWS
        return self._tell(episode, "opened", None, moment)

    def _settle(self, local: Episode, moment: Moment, rows: Rows) -> DriftEvent:
        """What was found in a slice is normal there from its onset on."""
        self._make_normal(local, rows, local.onset.seq, local.onset.seq)
        return self._close(local, "settled", moment)

    def _split(self, episode: Episode, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Is a further alarm a second change, which no ramp explains? Then the first one is settled."""
        if self._cries.second is None or episode.steps >= STAIRCASE:
            return []  # the further steps of a staircase are one change
        history = rows.outcomes
        seq, alarm = self._cries.second
        columns = history.columns(self._reference)
        if not two_changes(columns, episode.onset.seq, seq):
            if history.seen >= self._cries.second_until:
                self._cries.second = None
            return []
        self._start_reference(history, episode.onset.seq, level_between(columns, seq))
        return [self._close(episode, "settled", moment), *self._go_on(episode, alarm, moment, rows)]

    def _go_on(self, last: Episode, alarm: Alarm, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """An alarm that came during the last episode now stands for itself."""
        history = rows.outcomes
        self._in_a_row = last.steps + 1, history.seen + self._policy.retry_rows
        self._cries.waiting.clear()
        self._cries.ask(alarm, history.seen, self._policy.retry_rows)
        return self._try_to_confirm(moment, rows, decided=True)

    def _open_on_error(self, verdict: Verdict, columns: Columns, moment: Moment, history: History) -> Episode:
        signals = self._cries.take_evidence(history.seen - self._policy.retry_rows)
        episode = self._new("concept", moment, signals, fitted_onset(verdict, columns), True, history)
        steps, until = self._in_a_row
        episode.steps = steps if history.seen <= until else 1
        take_verdict(episode, verdict, columns)
        name_kind(episode, None)
        episode.next_look = history.seen + LOOK_ROWS
        episode.quiet_until = history.seen + QUIET_ROWS
        return episode

    def _open_on_alarm(self, alarm: Alarm, moment: Moment, history: History | Places) -> DriftEvent:
        # Without a width of the detector's own, all that is known is that it was not long ago.
        since = alarm.since if alarm.since is not None else JOIN_PREDICTIONS
        seq, ts = history.rows_ago(since)
        onset = Onset(
            ts=ts,
            earliest=min(ts, history.rows_ago(2 * since)[1]),
            latest=max(ts, moment.ts),
            labelled=alarm.category in LABELLED,
            seq=seq,
        )
        signals = {alarm.signal: signal_evidence(alarm)}
        episode = self._new(alarm.category, moment, signals, onset, False, history)
        episode.next_look = history.seen + self._policy.quiet_predictions
        return self._tell(episode, "opened", None, moment)

    def _new(
        self,
        category: Category,
        moment: Moment,
        signals: dict[str, SignalEvidence],
        onset: Onset,
        fitted: bool,
        history: History | Places,
    ) -> Episode:
        self._ordinal += 1
        opened = (category, self._ordinal, moment.outcomes_seen, moment.predictions_seen)
        episode = self._episodes[category] = Episode(
            episode_id=identity(self._stream, self._version, self._role, *opened),
            category=category,
            opened_at=moment.ts,
            onset=onset,
            signals=signals,
            fitted=fitted,
            last_alarm=history.seen,
            next_look=history.seen,
        )
        self.opened_total[category] = self.opened_total.get(category, 0) + 1
        self.last_opened_ts = moment.ts
        return episode

    def _look_at_alarms(
        self, episode: Episode, moment: Moment, history: History | Places
    ) -> list[DriftEvent]:
        quiet_from = episode.last_alarm + self._policy.quiet_predictions
        if history.seen >= quiet_from:
            return [self._close(episode, "settled", moment)]
        episode.next_look = quiet_from
        if episode.news and episode.events <= self._policy.max_updates:
            return [self._tell(episode, "updated", None, moment)]
        return []

    def _look_at_error(self, episode: Episode, moment: Moment, rows: Rows) -> list[DriftEvent]:
        history, counts, local = rows.outcomes, rows.slices, episode.local
        if not local and (split := self._split(episode, moment, rows)):
            return split
        columns, policy = self._judged_by(episode, rows)
        if not len(columns.n):
            return [self._close(episode, "timed_out", moment)]  # its slice is not watched any more
        outlook = look(columns, episode.onset.seq, episode.signals[episode.judged].before, policy)
        rows_since, least, most = outlook.since_onset, LOOK_ROWS, MOST_LOOK_ROWS
        if local and counts is not None:
            rows_since, least, most = counts.rows_since(episode.onset.seq), 2 * TURN, 16 * TURN
        episode.next_look = history.seen + min(max(rows_since // 8, least), most)
        if outlook.verdict is not None:
            take_verdict(episode, outlook.verdict, columns)
        name_kind(episode, None if local else self.returned)
        # What comes down again may be a storm: while it does, nobody should train on it.
        episode.moving = episode.moving or outlook.falling
        if outlook.resolution is not None:
            level_from = int(columns.first_seq[outlook.level_from])
            # After what has passed the world is the old one: its rows stay good to train on.
            settled = outlook.resolution == "settled"
            self._make_normal(episode, rows, episode.onset.seq if settled else 0, level_from)
            second = self._cries.second if settled and not local else None
            closed = self._close(episode, outlook.resolution, moment)
            return [closed] if second is None else [closed, *self._go_on(episode, second[1], moment, rows)]
        if counts is not None and counts.keys and outlook.verdict is not None:
            self._place(episode, columns, rows)
        news = is_news(episode, history.seen, moment.ts, policy)
        if news and episode.events <= self._policy.max_updates:
            episode.quiet_until = history.seen + rows_since // 2 + QUIET_ROWS
            return [self._tell(episode, "updated", None, moment)]
        return []

    def _judged_by(self, episode: Episode, rows: Rows) -> tuple[Columns, EpisodePolicy]:
        """The bins of what an episode is about."""
        if not episode.local or rows.slices is None:
            return rows.outcomes.columns(self._reference), self._policy
        number = rows.slices.number_of(key_of(episode))
        floor = max(self._reference, rows.slices.floors.get(-1 if number is None else number, 0))
        return rows.slices.columns(-1 if number is None else number, floor), self._slice_policy

    def _place(self, episode: Episode, columns: Columns, rows: Rows) -> None:
        """Which slice explains an open episode, by what has come since."""
        counts, step = rows.slices, scan(columns)
        if counts is None or step is None:
            return
        told = None if episode.slice is None else counts.number_of(key_of(episode))
        located = self._locate(rows, self._reference, episode.onset.seq, step.dispersion, told)
        if not episode.local:
            explain(episode, located, counts, self._reference, episode.onset.seq)
        elif located is not None and located.number != told:
            rise = rise_in(counts, located.number, self._reference, self._policy)
            if rise is not None:
                detector = episode.signals[episode.judged].detector
                key = counts.keys[located.number]
                episode.signals, episode.slice = signals_of(key, located, detector), slice_of(key)
                take_verdict(episode, rise.verdict, rise.columns)

    def _make_normal(self, episode: Episode, rows: Rows, cut_seq: int, level_seq: int) -> None:
        """What an episode found is the reference from now on, from `level_seq` on: of its slice, or of all
        (then rows before `cut_seq` are of another world)."""
        if not episode.local or rows.slices is None:
            self._start_reference(rows.outcomes, cut_seq, level_seq)
            return
        number = rows.slices.number_of(key_of(episode))
        if number is not None:
            rows.slices.floors[number] = level_seq
            if cut_seq:
                rows.slices.told[number] = episode.onset.seq

    def _start_reference(self, history: History, onset_seq: int, level_seq: int) -> None:
        """Rows before the onset are of another world; the new level is judged from `level_seq` on."""
        history.cut(onset_seq)
        self._reference = level_seq

    def _close(self, episode: Episode, resolution: Resolution, moment: Moment) -> DriftEvent:
        del self._episodes[episode.category]
        if episode.fitted:
            self._cries.second = None
        key = (episode.category, episode.kind)
        self.closed_total[key] = self.closed_total.get(key, 0) + 1
        return self._tell(episode, "closed", resolution, moment)

    def _tell(
        self, episode: Episode, status: Status, resolution: Resolution | None, moment: Moment
    ) -> DriftEvent:
        return episode.event(status, resolution, moment, self._stream, self._version, self._labels)

    def dump(self) -> Any:
        return {
            "episodes": [episode.dump() for episode in self._episodes.values()],
            "cries": self._cries.dump(),
            "reference": self._reference,
            "ordinal": self._ordinal,
            "in_a_row": list(self._in_a_row),
            "seasons": self.seasons,
            "opened": dict(self.opened_total),
            "closed": [[category, kind, count] for (category, kind), count in self.closed_total.items()],
            "last_opened_ts": self.last_opened_ts,
        }

    @classmethod
    def load(
        cls,
        state: Any,
        stream: str,
        model_version: str | None,
        role: str,
        labels: Mapping[str, str],
        policy: EpisodePolicy | None = None,
    ) -> Episodes:
        one = cls(stream, model_version, role, labels, policy)
        for kept in state["episodes"]:
            episode = Episode.load(kept)
            one._episodes[episode.category] = episode
        one._cries = Cries.load(state["cries"])
        one._reference, one._ordinal = state["reference"], state["ordinal"]
        one._in_a_row = tuple(state["in_a_row"])
        one.seasons = [(seen, levels) for seen, levels in state["seasons"]]
        one.opened_total = dict(state["opened"])
        one.closed_total = {(category, kind): count for category, kind, count in state["closed"]}
        one.last_opened_ts = state["last_opened_ts"]
        return one

"""When a retrain is asked for: drift, a performance rule, a schedule, by hand. One in flight per stream.

    drift        an episode of an allowed category and kind, once there are rows enough to train on (of the
                 slice that it is of, too), or at `max_wait` with what there is; while the change clearly
                 goes on, up to 4 × min_rows rows; once more when what was deployed has not brought the error
                 back (`recovery`)
    performance  a rule is broken over its whole window; once, until it recovers or a model is deployed
    schedule     `every`, from the last deployment or scheduled request, else the first outcome
    manual       at once; not held back by cooldown or rows, only by a request in flight; even with mode: off

All but the last wait for the cooldown, from the last request or deployment, whichever is later. The
rule is `RetrainPolicy` (settings), the memory `PolicyState`; a request's own life is in `requests`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftbus.core import rules
from driftbus.core.benefit import doubted
from driftbus.core.episode import Moment
from driftbus.core.history import Window
from driftbus.core.owed import Owed
from driftbus.core.policy_state import PolicyState
from driftbus.core.records import DriftEvent, ModelEvent, RetrainRequest
from driftbus.core.recovery import answered
from driftbus.core.requests import HAPPENINGS, InFlight, Question, Reason
from driftbus.core.settings import RetrainPolicy, Rule
from driftbus.core.windows import (
    Production,
    lacking,
    lacking_of,
    reaching_back,
    schedule_due,
    since,
    span,
    training_window,
)

__all__ = ["Policy", "Production"]


class Policy:
    """The retrain requests of one stream.

    Hand every drift event of the production version to `on_drift_event`, then call `consider`; call it also
    every 16 of its outcomes while `wants_outcomes`, and as soon as event time reaches `next_due`. Model
    events go to `on_model_event`. All in record order; `moment` is that record's.
    """

    def __init__(
        self, stream: str, policy: RetrainPolicy, labels: Mapping[str, str], sample: float = 1.0
    ) -> None:
        self._stream, self._policy, self._labels, self._sample = stream, policy, labels, sample
        self._state = PolicyState()

    @property
    def unknown_requests(self) -> int:
        """Model events that cited a request id nobody gave."""
        return self._state.unknown_requests

    @property
    def refused_manual(self) -> int:
        """Requests by hand that found another one in flight."""
        return self._state.refused_manual

    @property
    def requests_total(self) -> Mapping[str, int]:
        """Requests by reason; a further attempt is not a further request."""
        return self._state.requests_total

    @property
    def in_flight(self) -> str | None:
        """The request id in flight (asked, in training, or waiting for its next attempt)."""
        return self._state.in_flight.question.request_id if self._state.in_flight else None

    def wants_outcomes(self, production: Production) -> bool:
        """Whether further outcomes alone can change what is asked (rules, or rows that are waited for)."""
        if self._policy.mode == "off":
            return False
        if self._policy.rules:
            return True
        if self._state.in_flight or self._cooling(self._state.now):
            return False
        due = schedule_due(self._policy, self._state.scheduled, production.outcomes)
        overdue = due is not None and due <= self._state.now
        waiting = self._state.answered is not None or any(map(self._may_ask, self._state.owed.values()))
        return overdue or waiting

    def on_drift_event(self, event: DriftEvent) -> None:
        """What the production version's episodes say. A settled one is still owed an answer."""
        if event.status != "closed":
            self._state.owed[event.episode_id] = Owed.of(event, self._state.owed.get(event.episode_id))
            return
        owed = self._state.owed.get(event.episode_id)
        if event.resolution in ("settled", "timed_out"):
            if owed is not None:
                owed.take(event)
            if event.category == "concept":
                self._state.floor = max(self._state.floor, event.onset.seq)
        elif owed is not None:
            del self._state.owed[event.episode_id]

    def consider(
        self, moment: Moment, production: Production, *, muted: bool = False
    ) -> list[RetrainRequest]:
        """What is asked now: at most one request; for drift none while the stream is `muted`."""
        now = self._state.now = max(self._state.now, moment.ts)
        for episode in production.open_episodes:
            if episode.episode_id in self._state.owed:
                self._state.owed[episode.episode_id].moving = episode.moving
        broken = rules.broken(self._policy.rules, self._state, production)
        if self._state.in_flight is not None:
            return self._follow_up(moment, production)
        if self._policy.mode == "off" or self._cooling(now):
            return []
        return (
            (not muted and (self._ask_for_drift(moment, production) or self._ask_anew(moment, production)))
            or self._ask_for_rule(broken, moment, production)
            or self._ask_by_schedule(moment, production)
        )

    def on_model_event(
        self, event: ModelEvent, moment: Moment, production: Production | None
    ) -> list[RetrainRequest]:
        """Take a model event; a request by hand goes out here. `production`: None before any prediction."""
        now = self._state.now = max(self._state.now, moment.ts)
        if event.type == "retrain-requested":
            if self._state.in_flight is not None:
                self._state.refused_manual += 1
                return []
            text = ": ".join(part for part in (event.by, event.reason) if part) or "by hand"
            return [self._ask("manual", moment, production, manual=text)]
        cited, flying = event.retrain_request_id, self._state.in_flight
        if cited is not None and cited != self.in_flight:
            if cited not in self._state.ended:
                self._state.unknown_requests += 1
            flying = None  # an answer to something else
        if event.type == "retrain-approved":
            return self._approve(flying, moment, production)
        if event.type == "request-declined":
            if flying is not None:
                self._state.end()
                self._state.held_until = now + self._policy.cooldown_ms
        elif event.type in ("model-deployed", "model-rolled-back"):
            self._state.answered = None
            if flying is not None and event.type == "model-deployed":
                self._state.answered = answered(flying.question, event.model_version, production)
                self._state.end()
            elif flying is not None and cited is not None:
                flying.move("failed", now, self._policy.timeout_ms)  # what it brought was taken back
                self._give_up_or_wait()
            self._state.held_until = now + self._policy.cooldown_ms
            self._state.begin_anew()
        elif flying is not None and event.type in HAPPENINGS:
            flying.move(HAPPENINGS[event.type], now, self._policy.timeout_ms)
            self._give_up_or_wait()
        return []

    def drop(self, episode_id: str | None) -> bool:
        """Ask nothing more because of this episode (None: of any), and end what is in flight because of it;
        whether something was."""
        flying = self._state.in_flight
        self._state.owed = {key: one for key, one in self._state.owed.items() if key != episode_id}
        if episode_id is None:
            self._state.owed.clear()
        last = self._state.answered
        if last is not None and episode_id in (None, last.question.episode_id):
            self._state.answered = None
        if flying is None or episode_id not in (None, flying.question.episode_id):
            return False
        self._state.end()
        return True

    def next_due(self, production: Production | None) -> int | None:
        """The event time (ms) at which `consider` may have something to ask."""
        if production is None:
            return None
        if self._state.in_flight is not None:
            return self._state.in_flight.due
        if self._policy.mode == "off":
            return None
        waiting = [one.opened_at for one in self._state.owed.values() if self._may_ask(one)]
        due = [began + self._policy.max_wait_ms for began in (*waiting, *self._state.broken.values())]
        scheduled = schedule_due(self._policy, self._state.scheduled, production.outcomes)
        if scheduled is not None:
            due += [scheduled, scheduled + self._policy.max_wait_ms]
        if self._state.held_until is not None:
            due.append(self._state.held_until)
        return min((one for one in due if one > self._state.now), default=None)

    # -- reasons -------------------------------------------------------------------------------------

    def _may_ask(self, owed: Owed) -> bool:
        return not owed.asked and self._policy.on_drift and owed.allowed_by(self._policy)

    def _ask_for_drift(self, moment: Moment, production: Production) -> list[RetrainRequest]:
        for owed in sorted(self._state.owed.values(), key=lambda one: one.category != "concept"):
            if not self._may_ask(owed):
                continue
            window = since(production.outcomes, owed.from_seq, owed.onset_ts)
            missing = lacking(window, production, self._policy)
            if missing is None and owed.slice is not None:
                missing = lacking_of(owed.slice, owed.from_seq, production, self._policy)
            if not window.rows_since_onset and not self._policy.without_labels:
                continue
            late = moment.ts >= owed.opened_at + self._policy.max_wait_ms
            if owed.moving and window.rows_since_onset < 4 * self._policy.min_rows and not late:
                continue
            if self._policy.hold_doubtful and doubted(production.benefit(owed.onset_ts, owed.signals)):
                continue
            if missing is None or late:
                return [self._ask("drift", moment, production, owed=owed, note=missing)]
        return []

    def _ask_anew(self, moment: Moment, production: Production) -> list[RetrainRequest]:
        """Once more, and only once, when what was deployed has not brought the error back."""
        last = self._state.answered
        if last is None or last.model_version != production.model_version:
            return []
        done, tried = last.judge(production.errors(last.since_seq), self._policy.min_rows)
        if done:
            self._state.answered = None
        if tried is None or not self._policy.on_drift:
            return []
        request_id = self._state.next_id(self._stream, production.model_version, moment)
        return [self._send(last.again(request_id, tried), moment, production)]

    def _ask_for_rule(
        self, broken: list[tuple[Rule, float]], moment: Moment, production: Production
    ) -> list[RetrainRequest]:
        for rule, value in broken:
            if rule.text in self._state.fired:
                continue
            missing = lacking(self._rows(production), production, self._policy)
            if missing is not None and moment.ts < self._state.broken[rule.text] + self._policy.max_wait_ms:
                continue
            self._state.fired.append(rule.text)
            note = f"{rule.metric} is {value:.6g}" + (f"; {missing}" if missing else "")
            return [self._ask("performance", moment, production, rule=rule.text, note=note)]
        return []

    def _ask_by_schedule(self, moment: Moment, production: Production) -> list[RetrainRequest]:
        due = schedule_due(self._policy, self._state.scheduled, production.outcomes)
        if due is None or moment.ts < due:
            return []
        missing = lacking(self._rows(production), production, self._policy)
        if missing is not None and moment.ts < due + self._policy.max_wait_ms:
            return []
        self._state.scheduled = moment.ts
        return [self._ask("schedule", moment, production, note=missing)]

    def _cooling(self, now: int) -> bool:
        return self._state.held_until is not None and now < self._state.held_until

    # -- asking --------------------------------------------------------------------------------------

    def _rows(self, production: Production) -> Window:
        """The window of a request that no onset bounds."""
        from_seq = max(production.reference_seq, self._state.floor)
        return reaching_back(production.outcomes, from_seq, self._policy.min_rows)

    def _ask(
        self,
        reason: Reason,
        moment: Moment,
        production: Production | None,
        *,
        owed: Owed | None = None,
        rule: str | None = None,
        manual: str | None = None,
        note: str | None = None,
    ) -> RetrainRequest:
        if owed is None and production is not None:
            # Whoever asks: when the world has just changed, the rows since then are the ones to train on.
            for one in self._state.owed.values():
                rows = since(production.outcomes, one.from_seq, one.onset_ts)
                if one.category == "concept" and rows.rows_since_onset >= self._policy.min_rows:
                    owed = one
        version = production.model_version if production else None
        from_seq = max(production.reference_seq, self._state.floor) if production else 0
        question = Question(
            request_id=self._state.next_id(self._stream, version, moment),
            reason=reason,
            model_version=version,
            episode_id=owed.episode_id if owed else None,
            signals=owed.signals if owed else (),
            rule=rule,
            schedule=span(self._policy.every_ms) if reason == "schedule" else None,
            manual=manual,
            note=note,
            from_seq=owed.from_seq if owed else from_seq,
            from_ts=owed.onset_ts if owed else 0,
            least_rows=0 if owed else self._policy.min_rows,
            onset=owed is not None,
            earlier=owed.earlier if owed else None,
        )
        if owed is not None:
            owed.asked = True
        return self._send(question, moment, production)

    def _send(self, question: Question, moment: Moment, production: Production | None) -> RetrainRequest:
        total = self._state.requests_total
        total[question.reason] = total.get(question.reason, 0) + 1
        self._state.in_flight = InFlight(question, "asked", 1, moment.ts + self._policy.timeout_ms)
        return self._publish(self._state.in_flight, moment, production)

    def _publish(self, flying: InFlight, moment: Moment, production: Production | None) -> RetrainRequest:
        self._state.held_until = moment.ts + self._policy.cooldown_ms
        window = training_window(flying.question, moment.ts, production, self._sample)
        proposed = self._policy.mode == "propose" and not flying.approved
        onset_ts = flying.question.from_ts if flying.question.onset else None
        found = None if production is None else production.benefit(onset_ts, flying.question.signals)
        return flying.event(self._stream, proposed, window, found, moment.ts, self._labels)

    def _approve(
        self, flying: InFlight | None, moment: Moment, production: Production | None
    ) -> list[RetrainRequest]:
        """A proposal becomes a request: the same question over the rows there are by now."""
        if flying is None or flying.approved or self._policy.mode != "propose" or flying.state != "asked":
            return []
        flying.approved = True
        flying.due = moment.ts + self._policy.timeout_ms
        return [self._publish(flying, moment, production)]

    def _follow_up(self, moment: Moment, production: Production) -> list[RetrainRequest]:
        """Silence counts as failure; after the pause the same question is asked again."""
        flying = self._state.in_flight
        if flying is None or moment.ts < flying.due:
            return []
        if flying.move("silence", moment.ts, self._policy.timeout_ms):
            self._give_up_or_wait()
            return []
        flying.move("again", moment.ts, self._policy.timeout_ms)
        flying.attempt += 1
        return [self._publish(flying, moment, production)]

    def _give_up_or_wait(self) -> None:
        """After a failure: no more attempts, or a proposal that nobody took up, and it is over."""
        flying = self._state.in_flight
        if flying is None or flying.state != "backoff":
            return
        proposal = self._policy.mode == "propose" and not flying.approved
        if flying.attempt >= self._policy.max_attempts or proposal:
            # Nobody answers: another episode, a rule or a person may ask; this one has said all it can.
            self._state.end()

    # -- state ---------------------------------------------------------------------------------------

    def dump(self) -> Any:
        return self._state.dump()

    @classmethod
    def load(
        cls, state: Any, stream: str, policy: RetrainPolicy, labels: Mapping[str, str], sample: float = 1.0
    ) -> Policy:
        one = cls(stream, policy, labels, sample)
        one._state = PolicyState.load(state)
        return one

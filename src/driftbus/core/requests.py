"""The life of one retrain request: from the question to a deployment, or to giving up.

                 ┌────────────── training-started ─────────────┐ (again and again: the wait begins anew)
                 ▼                                             │
    asked ──► training ──► trained ──► model-deployed ──► over │
      │          │            │                                │
      └──────────┴────────────┴── failed, or no answer in time ──► backoff ──► asked again, attempt + 1
                                                                      └─ attempts used up: given up

Whatever state it is in, a deployment ends it, and somebody who declines it. A proposal is not repeated:
unanswered, it lapses; approved, it is a request like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from driftbus.core.episode import identity
from driftbus.core.records import (
    Benefit,
    EarlierState,
    RetrainRequest,
    SignalEvidence,
    TrainingWindow,
    Tried,
)

State = Literal["asked", "training", "trained", "backoff"]
Happening = Literal["started", "finished", "failed", "silence", "again"]

# The legal moves; what is not here changes nothing.
MOVES: dict[State, dict[Happening, State]] = {
    "asked": {"started": "training", "finished": "trained", "failed": "backoff", "silence": "backoff"},
    "training": {"started": "training", "finished": "trained", "failed": "backoff", "silence": "backoff"},
    "trained": {"started": "training", "failed": "backoff", "silence": "backoff"},
    "backoff": {"started": "training", "finished": "trained", "again": "asked"},
}

HAPPENINGS: dict[str, Happening] = {
    "training-started": "started",
    "training-finished": "finished",
    "training-failed": "failed",
}

# First pause after a failure: long enough for a trainer to be restarted, short beside a training run.
BACKOFF_MS = 300_000

Reason = Literal["drift", "performance", "schedule", "manual"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, the same in every attempt. `from_seq`: where the training window starts, None: by ts
    `from_ts`; `least_rows`: reach further back for so many rows; `onset`: the start is an onset."""

    request_id: str
    reason: Reason
    model_version: str | None
    episode_id: str | None
    signals: tuple[SignalEvidence, ...]
    rule: str | None
    schedule: str | None
    manual: str | None
    note: str | None
    from_seq: int | None
    from_ts: int
    least_rows: int
    onset: bool
    earlier: EarlierState | None = None
    tried: Tried | None = None

    @classmethod
    def load(cls, state: Any) -> Question:
        signals = tuple(SignalEvidence(**evidence) for evidence in state["signals"])
        earlier = None if state["earlier"] is None else EarlierState(**state["earlier"])
        tried = None if state["tried"] is None else Tried(**state["tried"])
        return cls(**{**state, "signals": signals, "earlier": earlier, "tried": tried})


@dataclass(slots=True)
class InFlight:
    """A request on its way. `due`: event time (ms) at which silence counts as failure, or the pause ends.
    `approved`: it was a proposal, and somebody has said yes."""

    question: Question
    state: State
    attempt: int
    due: int
    approved: bool = False

    def move(self, happening: Happening, now: int, timeout_ms: int) -> bool:
        """Take a legal move; False (and nothing changes) for any other."""
        state = MOVES[self.state].get(happening)
        if state is None:
            return False
        self.state = state
        if state == "backoff":
            self.due = now + BACKOFF_MS * 2**self.attempt
        else:
            self.due = now + timeout_ms
        return True

    def event(
        self,
        stream: str,
        proposed: bool,
        window: TrainingWindow,
        benefit: Benefit | None,
        now: int,
        labels: Mapping[str, str],
    ) -> RetrainRequest:
        """The event that asks, in this attempt."""
        question = self.question
        return RetrainRequest(
            # A proposal and the request it becomes are two events.
            event_id=identity(question.request_id, self.attempt, *(["approved"] if self.approved else [])),
            request_id=question.request_id,
            stream=stream,
            model_version=question.model_version,
            status="proposed" if proposed else "requested",
            reason=question.reason,
            episode_id=question.episode_id,
            signals=question.signals,
            rule=question.rule,
            schedule=question.schedule,
            manual=question.manual,
            note=question.note,
            window=window,
            attempt=self.attempt,
            time=now,
            labels=labels,
            benefit=benefit,
            earlier=question.earlier,
            tried=question.tried,
        )

    def dump(self) -> Any:
        return asdict(self)

    @classmethod
    def load(cls, state: Any) -> InFlight:
        return cls(**{**state, "question": Question.load(state["question"])})

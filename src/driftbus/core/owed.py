"""An episode that may lead to a retrain request, as the policy remembers it after it has closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driftbus.core.records import Category, DriftEvent, EarlierState, Kind, SignalEvidence
from driftbus.core.settings import RetrainPolicy

# The kinds a verdict can come to. A change that cannot be told apart is one of them: where all are
# allowed there is no reason to wait until it can be told.
TELLABLE = ("sudden", "gradual")


@dataclass(slots=True)
class Owed:
    """`from_seq`: onset in `outcomes`, None for an episode without labels (then the onset's ts counts).
    `asked`: a request about it is in flight, or was answered. `slice`: the one that explains it."""

    episode_id: str
    category: Category
    kind: Kind
    opened_at: int
    from_seq: int | None
    onset_ts: int
    signals: tuple[SignalEvidence, ...]
    moving: bool = False
    asked: bool = False
    earlier: EarlierState | None = None
    slice: Mapping[str, str] | None = None

    @classmethod
    def of(cls, event: DriftEvent, known: Owed | None) -> Owed:
        """The episode an event speaks of; what is known of it stays."""
        owed = known or cls(
            event.episode_id, event.category, event.kind, event.detected_at, None, event.onset.ts, ()
        )
        owed.take(event)
        return owed

    def take(self, event: DriftEvent) -> None:
        """Bring it up to date; a closed episode no longer moves."""
        self.category, self.kind, self.signals = event.category, event.kind, event.signals
        self.from_seq = event.onset.seq if event.onset.labelled else None
        self.onset_ts = event.onset.ts
        self.earlier, self.slice = event.earlier, event.slice
        self.moving = self.moving and event.status != "closed"

    def allowed_by(self, policy: RetrainPolicy) -> bool:
        """Whether the policy lets its category and kind ask."""
        if self.category not in policy.categories:
            return False
        if self.kind == "undetermined":
            return self.kind in policy.kinds or all(kind in policy.kinds for kind in TELLABLE)
        return self.kind in policy.kinds

    @classmethod
    def load(cls, state: Any) -> Owed:
        signals = tuple(SignalEvidence(**evidence) for evidence in state["signals"])
        earlier = None if state["earlier"] is None else EarlierState(**state["earlier"])
        return cls(**{**state, "signals": signals, "earlier": earlier})

"""What people have said about a stream, as model events: muted, acknowledged, retired.

muted       drift events are still published, marked, and ask for nothing; an episode that opens while
            the stream is muted stays so to its end
acknowledged  somebody looks after an episode: shown, and nothing else
retired     the model is out of service: nothing is watched or shown until it predicts again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from driftbus.core.records import DriftEvent, ModelEvent

# A mute without an end lasts until it is taken back: beyond any time a record can have.
FOREVER = 1 << 62


@dataclass(slots=True)
class People:
    """`muted_until`: event time (ms), 0 for not muted. `muted`: open episodes that are so for life.
    `acknowledged`: by whom, per open episode."""

    muted_until: int = 0
    muted: list[str] = field(default_factory=list)
    acknowledged: dict[str, str | None] = field(default_factory=dict)
    retired: bool = False

    def mute(self, event: ModelEvent) -> None:
        """From now on, until the event says or it is taken back."""
        self.muted_until = FOREVER if event.until is None else event.until

    def is_muted(self, ts: int) -> bool:
        """Whether the stream is muted at an event time (ms)."""
        return ts < self.muted_until

    def mark(self, event: DriftEvent) -> DriftEvent:
        """The event as it is published."""
        muted = self.is_muted(event.detected_at)
        if muted and event.status == "opened":
            self.muted.append(event.episode_id)
        muted = muted or event.episode_id in self.muted
        return replace(event, muted=True) if muted else event

    def asks(self, event: DriftEvent) -> bool:
        """Whether the policy may hear of this event."""
        return event.episode_id not in self.muted

    def closed(self, episode_id: str) -> None:
        """Nothing more is told of an episode."""
        if episode_id in self.muted:
            self.muted.remove(episode_id)
        self.acknowledged.pop(episode_id, None)

    def dump(self) -> Any:
        return [self.muted_until, self.muted, self.acknowledged, self.retired]

    @classmethod
    def load(cls, state: Any) -> People:
        muted_until, muted, acknowledged, retired = state
        by: Mapping[str, str | None] = acknowledged
        return cls(muted_until, list(muted), dict(by), retired)

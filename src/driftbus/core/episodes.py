"""Many alarms, one episode: opened when the history confirms it, updated, closed once.

    alarm ──(concept: confirmed by the history)──► opened ──► updated* ──► closed
      └─ not confirmed within 2,000 outcomes: dropped          settled · passed · replaced · timed_out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from driftbus.core.history import History
from driftbus.core.records import Category, DriftEvent, Kind, Onset, Resolution, SignalEvidence
from driftbus.core.settings import DAY_MS


class Moment(NamedTuple):
    """When: event time (ms) of the deciding record, and how many outcomes and predictions of the stream
    had been folded by then, that record included."""

    ts: int
    outcomes_seen: int
    predictions_seen: int


class Rows(NamedTuple):
    """The two histories of a version: its outcomes (seq in `outcomes`), its predictions (input offsets)."""

    outcomes: History
    predictions: History


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a detector cried. `signal` as in the contract (`error`, `feature/x`, …); `direction` +1 up, −1 down,
    0 unknown; `before`, `after` levels; `since`: rows (of the history it belongs to: outcomes for concept,
    predictions else) from the presumed onset to now, None if the detector does not say; `evidence`
    its statistic."""

    signal: str
    detector: str
    category: Category
    direction: Literal[-1, 0, 1]
    before: float
    after: float
    since: int | None
    evidence: float


@dataclass(frozen=True, slots=True)
class EpisodePolicy:
    """When a change is real, the same, or over. Rows are outcomes or predictions of one version."""

    confirm_llr: float = 8.0
    min_rise: float = 0.01
    min_rise_ratio: float = 0.10
    retry_rows: int = 2_000
    settle_rows: int = 2_000
    quiet_predictions: int = 5_000
    max_updates: int = 8
    limit_ms: int = 30 * DAY_MS


@dataclass(slots=True)
class Episode:
    """One open episode, as the policy and the views read it."""

    episode_id: str
    category: Category
    opened_at: int
    kind: Kind
    confidence: float
    onset: Onset
    signals: dict[str, SignalEvidence]
    moving: bool


class Episodes:
    """The episodes of one version of one stream.

    The histories passed in hold all rows up to and including the record that `moment` stands for. The
    caller cuts its blocks so that `checkpoint` is called exactly when `rows.outcomes.seen ==
    due_outcomes` or `rows.predictions.seen == due_predictions`, and `on_time` when the event time
    has reached `next_due()`; both are None while nothing waits.
    """

    due_outcomes: int | None
    due_predictions: int | None
    opened_total: dict[Category, int]
    closed_total: dict[tuple[Category, Kind], int]
    last_onset_ts: int | None

    def __init__(
        self,
        stream: str,
        model_version: str | None,
        role: str,
        labels: Mapping[str, str],
        policy: EpisodePolicy | None = None,
    ) -> None: ...

    @property
    def open(self) -> Sequence[Episode]:
        """The open episodes, at most one per category."""

    def on_alarm(self, alarm: Alarm, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """An alarm at the newest row of its history."""

    def checkpoint(self, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Look again: confirm waiting alarms, refit, update, settle."""

    def on_time(self, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Event time has passed: the time limit."""

    def close_all(self, resolution: Resolution, moment: Moment, rows: Rows) -> list[DriftEvent]:
        """Close what is open (`replaced` when another version takes over)."""

    def next_due(self) -> int | None:
        """The event time (ms) at which `on_time` has something to do."""

    def dump(self) -> Any: ...

    @classmethod
    def load(
        cls,
        state: Any,
        stream: str,
        model_version: str | None,
        role: str,
        labels: Mapping[str, str],
        policy: EpisodePolicy | None = None,
    ) -> Episodes: ...

"""The events of the contract as values: what comes in, what goes out. Times are epoch milliseconds.

Rows are tuples, so that a block of them turns into columns with one `zip(*rows)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from driftbus.core.reference import Reference

Json = Any
Features = dict[str, Json]


class Prediction(NamedTuple):
    """One prediction event. `fragment` is its part of the outcome-to-be: canonical JSON, left open."""

    prediction_id: str
    stream: str
    ts: int
    features: Features | None
    prediction: Json
    score: float | dict[str, float] | None
    model_version: str | None
    role: str
    slices: dict[str, str] | None
    signals: dict[str, float] | None
    weight: float | None
    fragment: bytes


class Label(NamedTuple):
    """One label event; `label` may be None only where `signals` came instead."""

    prediction_id: str
    stream: str
    ts: int
    label: Json
    signals: dict[str, float] | None


class ModelEvent(NamedTuple):
    """What trainers, deployers and people tell us back. `type` as in the contract; `until` in ms."""

    stream: str
    ts: int
    type: str
    model_version: str | None
    retrain_request_id: str | None
    by: str | None
    reason: str | None
    episode_id: str | None = None
    accept: bool = False
    until: int | None = None
    reference: Reference | None = None  # of `reference-set`


class Outcome(NamedTuple):
    """A prediction with its label. `seq` counts without gaps within a partition of `outcomes`.

    `label_source` is `event` or `expired`. Signals that came with the label are in the prediction's.
    """

    seq: int
    prediction: Prediction
    label: Json
    label_ts: int
    label_source: str


class Correction(NamedTuple):
    """A later, different label of an outcome; carries what the metrics need to be put right."""

    prediction_id: str
    stream: str
    seq: int
    ts: int
    previous_label: Json
    label: Json
    prediction: Json
    score: float | None
    model_version: str | None
    role: str
    weight: float | None


Category = Literal["concept", "data", "prediction", "quality", "label_prior", "labelling"]
Kind = Literal["sudden", "gradual", "incremental", "recurrent", "undetermined"]
Status = Literal["opened", "updated", "closed"]
Verdict = Literal["likely", "doubtful", "unknown"]
Resolution = Literal["settled", "replaced", "passed", "season", "dismissed", "timed_out"]


@dataclass(frozen=True, slots=True)
class SignalEvidence:
    """How one signal moved: its level before and after, who noticed, and how strongly (a log-likelihood
    ratio)."""

    name: str
    before: float
    after: float
    detector: str
    evidence: float


@dataclass(frozen=True, slots=True)
class Onset:
    """Where a change began, with its interval. `seq` counts in `outcomes` (labelled=True), else it is
    the ordinal of the stream's prediction; the shell turns it into an offset."""

    ts: int
    earliest: int
    latest: int
    labelled: bool
    seq: int


@dataclass(frozen=True, slots=True)
class EarlierState:
    """A state of the world that a stream was in before: its number within the stream, the version made for
    it (None: it had none of its own), and its newest rows, `start_seq` ≤ seq < `end_seq` in `outcomes`."""

    number: int
    model_version: str | None
    start_seq: int
    end_seq: int
    start_ts: int
    end_ts: int


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """One message about one episode. `time` (= `detected_at`) is the event time of this decision."""

    event_id: str
    episode_id: str
    stream: str
    status: Status
    resolution: Resolution | None
    category: Category
    kind: Kind
    confidence: float
    onset: Onset
    signals: tuple[SignalEvidence, ...]
    slice: Mapping[str, str] | None
    detected_at: int
    outcomes_seen: int
    predictions_seen: int
    model_version: str | None
    muted: bool
    labels: Mapping[str, str]
    earlier: EarlierState | None = None  # which has returned, when `recurrent`


@dataclass(frozen=True, slots=True)
class Benefit:
    """How much lower production's error would be had it learned as the challenger did: `gain` with its
    interval, per row, over `rows` rows. `likely`: surely something; `doubtful`: surely little of what the
    change has cost."""

    verdict: Verdict
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What was deployed in answer to an earlier request and has not brought the error back: its level now,
    before the change, and while it lasted."""

    request_id: str
    model_version: str
    error: float
    before: float
    during: float


@dataclass(frozen=True, slots=True)
class TrainingWindow:
    """Rows of one stream in `outcomes`: `start_seq` ≤ seq < `end_seq`; the shell adds the offsets."""

    start_seq: int
    end_seq: int
    start_ts: int
    end_ts: int
    rows: int
    class_counts: Mapping[str, int]
    onset_ts: int | None
    rows_since_onset: int
    sample: float


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """One question to the trainers."""

    event_id: str
    request_id: str
    stream: str
    model_version: str | None
    status: Literal["requested", "proposed"]
    reason: Literal["drift", "performance", "schedule", "manual"]
    episode_id: str | None
    signals: tuple[SignalEvidence, ...]
    rule: str | None
    schedule: str | None
    manual: str | None
    note: str | None
    window: TrainingWindow
    attempt: int
    time: int
    labels: Mapping[str, str]
    benefit: Benefit | None = None  # None: no challenger, or too few rows
    earlier: EarlierState | None = None  # which has returned: the model made for it may do again
    tried: Tried | None = None


Decision = DriftEvent | RetrainRequest

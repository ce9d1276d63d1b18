"""What is shown of the running state: plain frozen values, read once per scrape or request.

`Source` is what the HTTP adapter is given. Its implementation takes the fold's lock, copies what is needed
into these values and lets go: a view never changes once it was handed out, and holds no prediction id and
no value of a redacted feature. Times are epoch milliseconds of event time unless the name says otherwise.

    Source.worker()      → WorkerView    one per process, partitions included
    Source.streams()     → StreamView…   one per assigned stream: numbers only, cheap, for every scrape
    Source.stream(name)  → StreamDetail  one stream with chart, features and history, for the page
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from driftbus.core.records import SignalEvidence

Numbers = Mapping[str, float]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HistogramView:
    """A histogram: upper `bounds` ascending (+Inf left out), `counts` per bucket, not cumulative, one more
    than bounds; `sum` of all observations in the base unit (seconds)."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One change of the world. `closed_ms` and `resolution` are None while it is open."""

    episode_id: str
    category: str
    kind: str
    confidence: float
    onset_ms: int
    onset_earliest_ms: int
    onset_latest_ms: int
    opened_ms: int
    closed_ms: int | None = None
    resolution: str | None = None
    signals: tuple[SignalEvidence, ...] = ()
    slice: Mapping[str, str] | None = None
    model_version: str | None = None
    role: str = "production"
    muted: bool = False
    acknowledged: bool = False
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class RequestView:
    """One retrain request. `ended` is None while in flight, else `deployed`, `failed`, `timed_out`,
    `proposed` …; `rows` is the size of its training window."""

    request_id: str
    requested_ms: int
    reason: str
    status: str
    attempt: int
    rows: int
    model_version: str | None = None
    episode_id: str | None = None
    ended: str | None = None
    ended_ms: int | None = None


class Estimated(NamedTuple):
    """How well a classifier is expected to do on its newest predictions, by their scores, before labels come:
    metrics by name, over how many `rows`, and why that may not be believed (`doubt`; None: it may)."""

    metrics: Numbers
    rows: int
    doubt: str | None


@dataclass(frozen=True, slots=True)
class BudgetView:
    """False alarms of the error that are accepted: `count` in `span_ms` of event time, of `among` streams
    together; `allowed` is what that came to so far, of this stream, at the most."""

    count: int
    span_ms: int
    among: int
    allowed: float


class DeploymentView(NamedTuple):
    """A model version's first sight (`rolled_back` True when it came by a rollback)."""

    deployed_ms: int
    model_version: str | None
    rolled_back: bool = False


class ResetView(NamedTuple):
    """Signals and other parts of a stream that began anew: `what` by name (`error`, `feature/x`, `challenger`
    …), `why` (`configuration`, `version`)."""

    ts_ms: int
    what: tuple[str, ...]
    why: str


class ChartPoint(NamedTuple):
    """One bin of outcomes: where it starts, the mean error in it, how many outcomes, and the challenger's
    mean error on the same outcomes (None without a challenger)."""

    ts_ms: int
    error: float | None
    outcomes: int
    challenger_error: float | None = None


@dataclass(frozen=True, slots=True)
class FeatureView:
    """One watched feature. `before` and `after` are its level in the reference and lately (a mean; for a
    categorical feature None), and None too when the feature is redacted."""

    name: str
    kind: str  # numeric | categorical
    moved: bool
    missing_ratio: float
    before: float | None = None
    after: float | None = None
    unseen_ratio: float = 0.0
    out_of_range_ratio: float = 0.0
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class VersionView:
    """One model version of a stream with its own reference: its first rows, or a training set of
    `training_rows` rows."""

    model_version: str | None
    role: str
    first_seen_ms: int
    predictions_total: int
    outcomes_total: int
    metrics: Numbers = field(default_factory=dict)
    challenger_metrics: Numbers = field(default_factory=dict)
    episodes_open: int = 0
    training_rows: int | None = None


@dataclass(frozen=True, slots=True)
class StreamView:
    """One stream in numbers; everything `/metrics` and the page's list need, and nothing dearer.

    `metrics` are those of the current production version since its deployment, `windowed` the same over each
    sliding window, by the window's text (`"1000"`, `"1h"`); a value that cannot be computed yet is left out.
    Counters are part of the state and go on across restarts and moves.
    """

    stream: str
    partition: int
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str = "auto"
    model_version: str | None = None
    model_versions: int = 1
    predictions_total: int = 0
    outcomes_total: int = 0
    labels_unmatched: Counts = field(default_factory=dict)  # reason → n
    duplicate_predictions_total: int = 0
    label_corrections_total: int = 0
    last_prediction_ms: int | None = None
    last_label_ms: int | None = None
    metrics: Numbers = field(default_factory=dict)
    windowed: Mapping[str, Numbers] = field(default_factory=dict)
    challenger_metrics: Numbers = field(default_factory=dict)
    estimated: Estimated | None = None
    episodes_opened: Counts = field(default_factory=dict)  # category → n
    episodes_closed: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (category, kind) → n
    open_episodes: tuple[EpisodeView, ...] = ()
    last_drift_ms: int | None = None  # onset is a guess; this is when the last episode opened
    retrain_requests: Counts = field(default_factory=dict)  # reason → n
    request_in_flight: str | None = None
    last_request_ms: int | None = None  # when the last request was asked for (its first attempt)
    last_deployment_ms: int | None = None  # when the model in production was first seen, or rolled back to
    unknown_request_ids_total: int = 0
    resets_total: int = 0  # how often parts of what watches it began anew
    slices: tuple[str, ...] = ()  # "region=eu"
    defect: str | None = None  # set aside: the kind of error alone, its text may hold what is redacted
    failed_metrics: tuple[str, ...] = ()  # custom metrics that raised and are off


@dataclass(frozen=True, slots=True)
class StreamDetail:
    """One stream with what the page draws. Tuples run from old to new; the lists hold the last 20."""

    view: StreamView
    chart: tuple[ChartPoint, ...] = ()
    past_episodes: tuple[EpisodeView, ...] = ()
    requests: tuple[RequestView, ...] = ()
    deployments: tuple[DeploymentView, ...] = ()
    resets: tuple[ResetView, ...] = ()
    versions: tuple[VersionView, ...] = ()
    features: tuple[FeatureView, ...] = ()
    slices: Mapping[str, Numbers] = field(default_factory=dict)  # "region=eu" → metrics
    label_delay_s: Numbers = field(default_factory=dict)  # "p50", "p95" → seconds
    false_alarms: BudgetView | None = None


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One assigned partition. `restored_ratio` runs from 0 to 1 while state is read back; `restored` says
    that it is done. `lag` is per input topic (short name), in records not yet folded."""

    partition: int
    restored: bool
    restored_ratio: float = 1.0
    step: int = 0
    pending: int = 0
    early_labels: int = 0
    remembered: int = 0
    streams: int = 0
    watermark_ms: int | None = None
    lag: Counts = field(default_factory=dict)


class LimitView(NamedTuple):
    """How near one bound of the configuration's `limits` is."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class IngestView:
    """What `driftbus ingest` shows beside a worker's: halves that wait, those given up by (source, reason),
    and records that no source takes."""

    waiting: int
    given_up: Mapping[tuple[str, str], int]
    ignored: Counts  # source → n


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker process. Topics are short names (`predictions`), reasons those of `InvalidRecord`.

    `not_ready` says in words why it is not ready (empty when it is): unreachable broker, partitions being
    restored. `uptime_s` is wall-clock time.
    """

    group: str
    instance: str
    worker_id: str
    version: str
    uptime_s: float
    connected: bool
    ready: bool
    not_ready: tuple[str, ...] = ()
    bus: str = "embedded"
    partitions: tuple[PartitionView, ...] = ()
    streams: int = 0
    max_exported_streams: int = 10_000
    records_total: Counts = field(default_factory=dict)  # topic → n
    dead_letters: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (topic, reason) → n
    misrouted: Counts = field(default_factory=dict)  # topic → n
    published: Counts = field(default_factory=dict)  # topic of an output → n
    steps_total: int = 0
    rebalances_total: int = 0
    limits: Mapping[str, LimitView] = field(default_factory=dict)  # "max_pending" → used, limit
    custom_metrics_failed: int = 0  # over all streams
    transaction_duration: HistogramView | None = None
    label_delay: HistogramView | None = None
    ingest: IngestView | None = None


class Source(Protocol):
    """Where the HTTP adapter reads. Every method may be called from any thread at any time."""

    def worker(self) -> WorkerView: ...

    def streams(self) -> Iterable[StreamView]:
        """Every stream of the partitions assigned and restored right now."""

    def chart(self, name: str) -> tuple[ChartPoint, ...]:
        """The chart alone of one of them; empty when it is not here."""

    def stream(self, name: str) -> StreamDetail | None:
        """One of them in full; None when it is not here."""

    def alive(self) -> bool:
        """Whether the loop still runs (it turned within its time limit)."""

    def ready(self) -> bool:
        """Whether the bus is connected and every assigned partition is restored."""

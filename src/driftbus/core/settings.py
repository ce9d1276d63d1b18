"""The rules the core works by: frozen, validated elsewhere (`driftbus.config`), times in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Task = Literal["auto", "classification", "regression", "none"]
Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector by its registered name, with its parameters."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


# What watches one signal: None = the default of that signal ("auto"), () = off.
Detectors = tuple[DetectorSpec, ...] | None


@dataclass(frozen=True, slots=True)
class JoinPolicy:
    """How long a prediction waits for its label, and what happens when none comes."""

    horizon_ms: int = 7 * DAY_MS
    grace_ms: int = 7 * DAY_MS
    expired_label: Scalar | None = None
    dead_letter_unmatched: bool = (
        False  # late and orphan labels go to the dead letters, not only into a counter
    )


@dataclass(frozen=True, slots=True)
class AlarmBudget:
    """False alarms of drift of the error that are accepted: `count` in `span_ms` of event time, of one stream
    or of `among` of them together, and never more than 0.1 per 100,000 outcomes (`detectors.budget.MOST`)."""

    count: int = 1
    span_ms: int = 90 * DAY_MS
    among: int = 1


@dataclass(frozen=True, slots=True)
class FeaturePolicy:
    """Which features are watched. `watch`, `ignore` hold globs; `redact`: never shown by value."""

    watch: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    max: int = 100
    redact: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomSignal:
    """A signal that a producer sends itself; `better` says which direction is no harm."""

    better: Literal["higher", "lower"] = "higher"
    detectors: Detectors = None


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """Detectors per kind of signal; custom signals not named here are watched as `better: higher`."""

    error: Detectors = None
    score: Detectors = None
    features: Detectors = None
    quality: Detectors = None
    challenger_gap: Detectors = None
    custom: Mapping[str, CustomSignal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricWindow:
    """A sliding window: the last `outcomes` outcomes, or the last `span_ms` of event time (one is None)."""

    outcomes: int | None = None
    span_ms: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A performance rule such as `f1 < 0.70 over 1000`."""

    metric: str
    below: bool
    threshold: float
    window: MetricWindow
    text: str


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """When a retrain is asked for. Durations are event time."""

    mode: Literal["auto", "propose", "off"] = "auto"
    on_drift: bool = True
    kinds: tuple[str, ...] = ("sudden", "gradual", "incremental", "recurrent")
    categories: tuple[str, ...] = ("concept",)
    without_labels: bool = False
    rules: tuple[Rule, ...] = ()
    every_ms: int | None = None
    cooldown_ms: int = 6 * HOUR_MS
    min_rows: int = 500
    min_rows_per_class: int = 20
    max_wait_ms: int = 7 * DAY_MS
    timeout_ms: int = DAY_MS
    max_attempts: int = 3
    hold_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class ChallengerSpec:
    """The River model that learns beside production: `auto`, or a registered name with parameters."""

    name: str = "auto"
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Everything one stream is watched by. `challenger` None = off."""

    task: Task = "auto"
    positive_label: Scalar | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    sample: float = 1.0
    join: JoinPolicy = JoinPolicy()
    features: FeaturePolicy = FeaturePolicy()
    signals: SignalPlan = field(default_factory=SignalPlan)
    challenger: ChallengerSpec | None = field(default_factory=ChallengerSpec)
    false_alarms: AlarmBudget = AlarmBudget()
    retrain: RetrainPolicy = RetrainPolicy()
    windows: tuple[MetricWindow, ...] = (
        MetricWindow(outcomes=1000, text="1000"),
        MetricWindow(span_ms=HOUR_MS, text="1h"),
    )
    custom_metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Process-wide bounds. Each has a gauge that shows how near it is."""

    max_pending: int = 2_000_000
    max_early_labels: int = 200_000
    max_remembered: int = 2_000_000
    max_streams: int = 20_000
    max_slices: int = 50
    max_versions: int = 4
    max_classes: int = 100
    max_categories: int = 1_000
    max_record_bytes: int = 1_000_000
    max_exported_streams: int = 10_000
    max_challenger_bytes: int = 200_000

"""The rows a retrain request names, and whether they are enough to train on: pure, over a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from driftbus.core.episode import Episode
from driftbus.core.history import Columns, History, Window
from driftbus.core.records import Benefit, SignalEvidence, TrainingWindow
from driftbus.core.requests import Question
from driftbus.core.settings import RetrainPolicy, Rule

# How far back classes count as "seen lately", in multiples of min_rows, and how often they must have been
# seen: one mislabelled row must not make every request wait for twenty more of its class.
RECENT, SEEN = 20, 3


class Production(Protocol):
    """What the policy reads of the version in production."""

    @property
    def model_version(self) -> str | None: ...

    @property
    def classification(self) -> bool: ...

    @property
    def outcomes(self) -> History:
        """The rows of the whole stream, all versions and roles: what a training window counts."""

    @property
    def reference_seq(self) -> int:
        """`seq` of the version's first outcome."""

    @property
    def open_episodes(self) -> Sequence[Episode]: ...

    def rows_of(self, which: Mapping[str, str], from_seq: int) -> int | None:
        """The version's outcomes since, of a slice; None where it is not watched any more."""

    def errors(self, from_seq: int) -> Columns:
        """The version's errors since, in bins."""

    def benefit(self, onset_ts: int | None, signals: Sequence[SignalEvidence]) -> Benefit | None:
        """What learning has saved since an onset (`core.benefit`)."""

    def metric(self, rule: Rule) -> float | None:
        """The rule's metric over its window; None until the window is complete for this version."""


def since(outcomes: History, from_seq: int | None, from_ts: int) -> Window:
    """The rows since an onset: by its seq, or by its ts where it has none in `outcomes`."""
    return outcomes.window_since(from_ts) if from_seq is None else outcomes.window(from_seq)


def reaching_back(outcomes: History, from_seq: int, least_rows: int) -> Window:
    """The rows from `from_seq` on; from further back where they would be fewer than `least_rows`."""
    return outcomes.window(min(from_seq, outcomes.rows_ago(least_rows)[0]))


def lacking(window: Window, production: Production, policy: RetrainPolicy) -> str | None:
    """What the window lacks to train on, in words; None when it will do."""
    if window.rows_since_onset < policy.min_rows:
        return f"{window.rows_since_onset} rows, fewer than min_rows = {policy.min_rows}"
    if production.classification:
        for label, count in production.outcomes.classes_seen(RECENT * policy.min_rows).items():
            have = window.class_counts.get(label, 0)
            if count >= SEEN and have < policy.min_rows_per_class:
                least = policy.min_rows_per_class
                return f"{have} rows of class {label}, fewer than min_rows_per_class = {least}"
    return None


def lacking_of(
    which: Mapping[str, str], from_seq: int | None, production: Production, policy: RetrainPolicy
) -> str | None:
    """The same of the slice that a change is of: the rest has nothing new to teach."""
    rows = None if from_seq is None else production.rows_of(which, from_seq)
    if rows is None or rows >= policy.min_rows:
        return None
    named = ", ".join([f"{name} = {value}" for name, value in which.items()])
    return f"{rows} rows of {named}, fewer than min_rows = {policy.min_rows}"


def training_window(
    question: Question, now: int, production: Production | None, sample: float
) -> TrainingWindow:
    """The rows that answer a question as of now; none where there is no version yet."""
    if production is None:
        return TrainingWindow(0, 0, now, now, 0, {}, None, 0, sample)
    if question.onset:
        window = since(production.outcomes, question.from_seq, question.from_ts)
    else:
        window = reaching_back(production.outcomes, question.from_seq or 0, question.least_rows)
    return TrainingWindow(
        start_seq=window.start_seq,
        end_seq=window.end_seq,
        start_ts=window.start_ts if window.rows else now,
        end_ts=window.end_ts if window.rows else now,
        rows=window.rows,
        class_counts=window.class_counts if production.classification else {},
        onset_ts=window.onset_ts if question.onset else None,
        rows_since_onset=window.rows_since_onset if question.onset else window.rows,
        sample=sample,
    )


def schedule_due(policy: RetrainPolicy, scheduled: int | None, outcomes: History) -> int | None:
    """When the schedule asks next: `every` after `scheduled` (the last deployment or scheduled request), else
    after the first outcome; None without a schedule or an outcome."""
    first = outcomes.oldest_ts if scheduled is None else scheduled
    return None if policy.every_ms is None or first is None else first + policy.every_ms


def span(duration_ms: int | None) -> str | None:
    """A duration as the configuration writes it: 30d, 12h, 90s."""
    if duration_ms is None:
        return None
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if duration_ms % size == 0:
            return f"{duration_ms // size}{unit}"
    return f"{duration_ms}ms"

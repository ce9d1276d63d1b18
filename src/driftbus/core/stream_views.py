"""One stream's state as the values that metrics, API and page show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from driftbus.core.episodes import Episode
from driftbus.core.monitor import StreamMonitor
from driftbus.core.version import VersionMonitor
from driftbus.core.views import (
    BudgetView,
    ChartPoint,
    EpisodeView,
    Estimated,
    RequestView,
    StreamDetail,
    StreamView,
    VersionView,
)

# What the join counts with the labels, though no label had a part in it.
_DUPLICATE = "duplicate_prediction"


class Levels(NamedTuple):
    """The metrics of the version in production: what costs most of a view, some 120 to 350 µs."""

    version: VersionMonitor | None
    metrics: Mapping[str, float]
    windowed: Mapping[str, Mapping[str, float]]
    challenger: Mapping[str, float]
    estimated: Estimated | None


NO_LEVELS = Levels(None, {}, {}, {}, None)


def levels_of(monitor: StreamMonitor) -> Levels:
    """The metrics as of this moment."""
    version = monitor.production
    if version is None:
        return NO_LEVELS
    read = version.performance.read
    windowed = {window.text: read(window) for window in monitor.settings.windows}
    return Levels(version, read(), windowed, version.challenger_performance.read(), version.estimated())


def stream_view(monitor: StreamMonitor, partition: int, levels: Levels | None = None) -> StreamView:
    """The numbers of one stream; `levels` may be older ones of the same version, None: as of this moment."""
    ledger, version = monitor.ledger, monitor.production
    if levels is None:
        levels = levels_of(monitor)
    open_episodes = tuple(
        _open(episode, monitor, v) for v in monitor.versions.values() for episode in v.episodes.open
    )
    slices: dict[str, None] = {}
    for v in monitor.versions.values():
        slices.update(dict.fromkeys(v.slices))
    return StreamView(
        stream=monitor.stream,
        partition=partition,
        labels=monitor.settings.labels,
        task=monitor.decision.task if monitor.decision.decided else "auto",
        model_version=version.model_version if version else None,
        model_versions=len(monitor.versions),
        predictions_total=ledger.predictions,
        outcomes_total=ledger.outcomes,
        labels_unmatched={reason: n for reason, n in ledger.unmatched.items() if reason != _DUPLICATE},
        duplicate_predictions_total=ledger.unmatched.get(_DUPLICATE, 0),
        label_corrections_total=ledger.corrections,
        last_prediction_ms=ledger.last_prediction,
        last_label_ms=ledger.last_label,
        metrics=levels.metrics,
        windowed=levels.windowed,
        challenger_metrics=levels.challenger,
        estimated=levels.estimated,
        episodes_opened=dict(ledger.opened),
        episodes_closed=dict(ledger.closed),
        open_episodes=open_episodes,
        last_drift_ms=ledger.last_drift,
        retrain_requests=dict(monitor.policy.requests_total),
        request_in_flight=monitor.policy.in_flight,
        last_request_ms=ledger.requests[-1].requested_ms if ledger.requests else None,
        last_deployment_ms=ledger.deployments[-1].deployed_ms if ledger.deployments else None,
        unknown_request_ids_total=monitor.policy.unknown_requests,
        resets_total=ledger.resets_total,
        slices=tuple(slices),
        defect=monitor.defect and monitor.defect.partition(":")[0],
        failed_metrics=failed_metrics(monitor),
    )


def failed_metrics(monitor: StreamMonitor) -> tuple[str, ...]:
    """Custom metrics of a stream that raised and are off, in any of its versions or its challenger."""
    if not monitor.settings.custom_metrics:
        return ()
    books = [b for v in monitor.versions.values() for b in (v.performance, v.challenger_performance)]
    return tuple(sorted({name for book in books for name in book.failed}))


def stream_detail(monitor: StreamMonitor, partition: int) -> StreamDetail:
    """One stream in full, for its page."""
    version, ledger = monitor.production, monitor.ledger
    budget = monitor.settings.false_alarms
    return StreamDetail(
        view=stream_view(monitor, partition),
        chart=chart(monitor),
        past_episodes=tuple(ledger.episodes),
        requests=tuple(_request(r, monitor.policy.in_flight) for r in ledger.requests),
        deployments=tuple(ledger.deployments),
        resets=tuple(ledger.resets),
        versions=tuple(_version(v, monitor) for v in monitor.versions.values()),
        features=version.features.summary() if version else (),
        slices={name: p.read() for name, p in version.slices.items()} if version else {},
        label_delay_s=ledger.delay_quantiles_s((0.5, 0.95)),
        false_alarms=BudgetView(budget.count, budget.span_ms, budget.among, monitor.false_alarms_allowed),
    )


def _request(request: RequestView, in_flight: str | None) -> RequestView:
    """A request that ended without an answer is not in flight: its last attempt had its time."""
    if request.ended is None and request.request_id != in_flight:
        return replace(request, ended="given_up")
    return request


def _open(episode: Episode, monitor: StreamMonitor, version: VersionMonitor) -> EpisodeView:
    onset, people = episode.onset, monitor.people
    return EpisodeView(
        episode_id=episode.episode_id,
        category=episode.category,
        kind=episode.kind,
        confidence=episode.confidence,
        onset_ms=onset.ts,
        onset_earliest_ms=onset.earliest,
        onset_latest_ms=onset.latest,
        opened_ms=monitor.ledger.opened_at.get(episode.episode_id, onset.latest),
        signals=tuple(episode.signals.values()),
        slice=episode.slice,
        model_version=version.model_version,
        role=version.role,
        muted=episode.episode_id in people.muted or people.is_muted(monitor.clock),
        acknowledged=episode.episode_id in people.acknowledged,
        acknowledged_by=people.acknowledged.get(episode.episode_id),
    )


def _version(version: VersionMonitor, monitor: StreamMonitor) -> VersionView:
    return VersionView(
        model_version=version.model_version,
        role=version.role,
        first_seen_ms=version.first_seen,
        predictions_total=version.predictions,
        outcomes_total=version.outcomes,
        metrics=version.performance.read(),
        challenger_metrics=version.challenger_performance.read(),
        episodes_open=len(version.episodes.open),
        training_rows=monitor.references.rows_of(version.model_version),
    )


def chart(monitor: StreamMonitor) -> tuple[ChartPoint, ...]:
    """Production's error over time and the challenger's, in bins that are finest at the newest end."""
    return tuple([ChartPoint(ts, error, n, theirs) for ts, n, error, theirs in monitor.course.points()])

"""One stream's state as the values that metrics, API and page show."""

from __future__ import annotations

from driftbus.core.episodes import Episode
from driftbus.core.monitor import StreamMonitor
from driftbus.core.version import VersionMonitor
from driftbus.core.views import (
    ChartPoint,
    EpisodeView,
    StreamDetail,
    StreamView,
    VersionView,
)


def stream_view(monitor: StreamMonitor, partition: int) -> StreamView:
    """The numbers of one stream."""
    ledger, version = monitor.ledger, monitor.production
    open_episodes = tuple(
        _open(episode, monitor, v) for v in monitor.versions.values() for episode in v.episodes.open
    )
    windows = monitor.settings.windows
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
        labels_unmatched=dict(ledger.unmatched),
        label_corrections_total=ledger.corrections,
        last_prediction_ms=ledger.last_prediction,
        last_label_ms=ledger.last_label,
        metrics=version.performance.read() if version else {},
        windowed={w.text: version.performance.read(w) for w in windows} if version else {},
        challenger_metrics=version.challenger_performance.read() if version else {},
        episodes_opened=dict(ledger.opened),
        episodes_closed=dict(ledger.closed),
        open_episodes=open_episodes,
        last_drift_ms=ledger.last_drift,
        retrain_requests=dict(monitor.policy.requests_total),
        request_in_flight=monitor.policy.in_flight,
        unknown_request_ids_total=monitor.policy.unknown_requests,
        slices=tuple(slices),
    )


def stream_detail(monitor: StreamMonitor, partition: int) -> StreamDetail:
    """One stream in full, for its page."""
    version, ledger = monitor.production, monitor.ledger
    return StreamDetail(
        view=stream_view(monitor, partition),
        chart=_chart(monitor),
        past_episodes=tuple(ledger.episodes),
        requests=tuple(ledger.requests),
        deployments=tuple(ledger.deployments),
        versions=tuple(_version(v) for v in monitor.versions.values()),
        features=version.features.summary() if version else (),
        slices={name: p.read() for name, p in version.slices.items()} if version else {},
        label_delay_s=ledger.delay_quantiles_s((0.5, 0.95)),
    )


def _open(episode: Episode, monitor: StreamMonitor, version: VersionMonitor) -> EpisodeView:
    onset = episode.onset
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
        model_version=version.model_version,
        role=version.role,
    )


def _version(version: VersionMonitor) -> VersionView:
    return VersionView(
        model_version=version.model_version,
        role=version.role,
        first_seen_ms=version.first_seen,
        predictions_total=version.predictions,
        outcomes_total=version.outcomes,
        metrics=version.performance.read(),
        challenger_metrics=version.challenger_performance.read(),
        episodes_open=len(version.episodes.open),
    )


def _chart(monitor: StreamMonitor) -> tuple[ChartPoint, ...]:
    """Production's error over time and the challenger's, in bins that are finest at the newest end."""
    return tuple([ChartPoint(ts, error, n, theirs) for ts, n, error, theirs in monitor.course.points()])

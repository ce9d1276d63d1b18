"""What trainers, deployers and people tell a stream, and what it does then.

    training-started, -finished, -failed        the request's own life (`requests`)
    model-deployed, model-rolled-back           another version in production: a new reference
    retrain-requested                           a request at once
    retrain-approved, request-declined          a proposal becomes a request; a request is over
    episode-acknowledged, episode-dismissed     somebody is on it; it is no change (`accept`: it is normal)
    muted, unmuted, stream-retired              see `people`
    reference-set                               a training set in summaries, see `references`

An unseen version's first prediction in production deploys it, as an event would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from driftbus.core.columns import VersionKey
from driftbus.core.episodes import Moment
from driftbus.core.ledger import Ledger
from driftbus.core.people import People
from driftbus.core.policy import Policy, Production
from driftbus.core.records import Decision, DriftEvent, ModelEvent, RetrainRequest
from driftbus.core.references import References, begin
from driftbus.core.settings import Limits
from driftbus.core.version import VersionMonitor
from driftbus.core.views import DeploymentView

Decisions = list[tuple[int, Decision]]

# How a request ended, as the page shows it.
_ENDS = {"model-deployed": "deployed", "training-failed": "failed", "request-declined": "declined"}


class Stream(Protocol):
    """The stream that is spoken to; see `monitor.StreamMonitor`."""

    stream: str
    clock: int
    limits: Limits
    ledger: Ledger
    people: People
    policy: Policy
    references: References
    versions: dict[VersionKey, VersionMonitor]
    current: VersionKey | None

    @property
    def production(self) -> VersionMonitor | None: ...

    def in_production(self) -> Any: ...

    def moment(self, ts: int = 0) -> Moment: ...

    def open_version(self, key: VersionKey, ts: int) -> VersionMonitor: ...

    def tell(
        self, events: Sequence[DriftEvent], version: VersionMonitor, pos: int, out: Decisions
    ) -> None: ...

    def ask(self, requests: Sequence[RetrainRequest], pos: int, out: Decisions) -> None: ...


def take(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    """Fold a model event; `pos` is its record's, `out` takes what is decided."""
    asked = stream.policy.in_flight
    answered = asked is not None and event.retrain_request_id in (None, asked)
    said = _SAID.get(event.type)
    if said is not None:
        said(stream, event, pos, out)
    if answered and event.type in _ENDS:
        stream.ledger.request_ended(_ENDS[event.type], stream.clock)
    production: Production | None = stream.in_production()
    stream.ask(stream.policy.on_model_event(event, stream.moment(), production), pos, out)
    _forget_versions(stream, pos, out)


def first_prediction(stream: Stream, key: VersionKey, pos: int, out: Decisions) -> None:
    """The first prediction of an unseen version: in production it takes over."""
    version = stream.versions[key]
    stream.people.retired = False
    if key[1] == "production":
        if stream.current is None:
            stream.current = key
            stream.ledger.deployments.append(DeploymentView(version.first_seen, key[0]))
        elif stream.current != key:
            event = ModelEvent(stream.stream, stream.clock, "model-deployed", key[0], None, None, None)
            _put_in_production(stream, key, retire=False, rolled_back=False, pos=pos, out=out)
            requests = stream.policy.on_model_event(event, stream.moment(), stream.in_production())
            stream.ask(requests, pos, out)
            stream.ledger.request_ended("deployed", stream.clock)
    _forget_versions(stream, pos, out)


def _forget_versions(stream: Stream, pos: int, out: Decisions) -> None:
    while len(stream.versions) > stream.limits.max_versions:
        key = next(k for k in stream.versions if k != stream.current)
        version = stream.versions.pop(key)
        # Of the outcomes before this moment: the rest of the block is not its own any more.
        stream.ledger.allowed += version.pace.expected_of(version.rows.outcomes.seen)
        closed = version.episodes.close_all("replaced", stream.moment(), version.rows)
        stream.tell(closed, version, pos, out)


def _put_in_production(
    stream: Stream, key: VersionKey, *, retire: bool, rolled_back: bool, pos: int, out: Decisions
) -> None:
    old = stream.production
    if old is not None:
        closed = old.episodes.close_all("replaced", stream.moment(), old.rows)
        stream.tell(closed, old, pos, out)
        old.retired = retire and stream.current != key
    if key not in stream.versions or stream.current == key or rolled_back:
        stream.open_version(key, stream.clock)
    stream.current = key
    stream.versions[key].retired = False
    stream.ledger.deployments.append(DeploymentView(stream.clock, key[0], rolled_back))


def _deploy(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    """A deployment opens a new reference, unless this version's own predictions opened it already."""
    current = stream.production
    rolled_back = event.type == "model-rolled-back"
    key: VersionKey = (event.model_version, "production")
    if current is not None and (current.model_version is None or event.model_version is None):
        key = (current.model_version, "production")  # predictions carry no version: it stays the same
        if current.model_version is None:
            stream.references.forget(None)  # it was of the model before
    elif current is not None and key == stream.current and not current.deployed and not rolled_back:
        asked = stream.ledger.requests[-1] if stream.ledger.requests else None
        if asked is None or asked.ended is not None or current.first_seen >= asked.requested_ms:
            current.deployed = True
            return
    _put_in_production(stream, key, retire=True, rolled_back=rolled_back, pos=pos, out=out)
    stream.versions[key].deployed = True


def _acknowledge(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    for version in stream.versions.values():
        for episode in version.episodes.open:
            if event.episode_id in (None, episode.episode_id):
                stream.people.acknowledged[episode.episode_id] = event.by


def _dismiss(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    """Without an `episode_id` all that are open. What was asked for because of it is over too."""
    for version in list(stream.versions.values()):
        for episode in version.episodes.open:
            if event.episode_id in (None, episode.episode_id):
                if stream.policy.drop(episode.episode_id):
                    stream.ledger.request_ended("dismissed", stream.clock)
                closed = version.episodes.dismiss(
                    episode.episode_id, event.accept, stream.moment(), version.rows
                )
                stream.tell(closed, version, pos, out)


def _retire(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    """Episodes end, nothing is owed; the counters stay. The challenger goes on when the stream comes back."""
    if stream.policy.drop(None):
        stream.ledger.request_ended("dismissed", stream.clock)
    for version in stream.versions.values():
        closed = version.episodes.close_all("dismissed", stream.moment(), version.rows)
        stream.tell(closed, version, pos, out)
    stream.versions.clear()
    stream.references.clear()
    stream.current = None
    stream.people.retired = True


def _mute(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    stream.people.mute(event)


def _unmute(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    stream.people.muted_until = 0


def _refer(stream: Stream, event: ModelEvent, pos: int, out: Decisions) -> None:
    """A version's reference, in whatever role it is; without a version, of the one in production."""
    if event.reference is None:
        return
    name, current = event.model_version, stream.current
    if name is None and current is not None:
        name = current[0]
    stream.references.keep(name, event.reference, stream.limits.max_versions)
    for (model_version, _), version in stream.versions.items():
        if model_version == name:
            begin(version, event.reference)


_SAID: dict[str, Callable[[Stream, ModelEvent, int, Decisions], None]] = {
    "model-deployed": _deploy,
    "model-rolled-back": _deploy,
    "episode-acknowledged": _acknowledge,
    "episode-dismissed": _dismiss,
    "stream-retired": _retire,
    "muted": _mute,
    "unmuted": _unmute,
    "reference-set": _refer,
}

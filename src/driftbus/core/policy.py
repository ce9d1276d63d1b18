"""When a retrain is asked for: drift, a performance rule, a schedule, by hand. One in flight per stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from driftbus.core.episodes import Episode, Moment
from driftbus.core.history import History
from driftbus.core.records import ModelEvent, RetrainRequest
from driftbus.core.settings import RetrainPolicy, Rule


class Production(Protocol):
    """What the policy reads of the version in production."""

    @property
    def model_version(self) -> str | None: ...

    @property
    def classification(self) -> bool: ...

    @property
    def outcomes(self) -> History: ...

    @property
    def open_episodes(self) -> Sequence[Episode]: ...

    def metric(self, rule: Rule) -> float | None:
        """The rule's metric over its window; None until the window is complete for this version."""


class Policy:
    """The retrain requests of one stream.

    Call `consider` with the production version after every drift event of it, every 16 of its outcomes
    while `wants_outcomes`, at every model event (through `on_model_event`), and as soon as event time reaches
    `next_due`. All in record order; `moment` is that record's.
    """

    unknown_requests: int
    refused_manual: int
    requests_total: dict[str, int]

    def __init__(
        self, stream: str, policy: RetrainPolicy, labels: Mapping[str, str], sample: float = 1.0
    ) -> None: ...

    @property
    def in_flight(self) -> str | None:
        """The request id in flight (asked, in training, or waiting for its next attempt)."""

    def wants_outcomes(self, production: Production) -> bool:
        """Whether further outcomes alone can make a request due (rules, or an episode that waits)."""

    def consider(self, moment: Moment, production: Production) -> list[RetrainRequest]:
        """What is asked now: at most one request."""

    def on_model_event(
        self, event: ModelEvent, moment: Moment, production: Production | None
    ) -> list[RetrainRequest]:
        """Take a model event; a request by hand goes out here. `production` None before the first prediction."""

    def next_due(self, production: Production | None) -> int | None:
        """The event time (ms) at which `consider` may have something to ask."""

    def dump(self) -> Any: ...

    @classmethod
    def load(
        cls, state: Any, stream: str, policy: RetrainPolicy, labels: Mapping[str, str], sample: float = 1.0
    ) -> Policy: ...

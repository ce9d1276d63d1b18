"""What a stream counts and remembers for people: counters, the last episodes, requests, deployments."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from driftbus.core.block import Block, Rises
from driftbus.core.records import DriftEvent, RetrainRequest, SignalEvidence
from driftbus.core.views import DeploymentView, EpisodeView, RequestView, ResetView

# Upper bounds of the label delay's buckets, in ms: from an online auction (10 ms) to a loan (30 days).
DELAY_BOUNDS_MS = (
    10,
    100,
    1_000,
    5_000,
    30_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    4 * 3_600_000,
    24 * 3_600_000,
    3 * 24 * 3_600_000,
    7 * 24 * 3_600_000,
    30 * 24 * 3_600_000,
)
# How many episodes, requests and deployments a page shows; older ones are in the topics.
KEPT = 20
# A prediction's time by its place: at C speed over a block.
_ts_of = itemgetter(2)


class Ledger:
    """Counters of one stream (they go on across restarts and moves) and its recent past."""

    def __init__(self) -> None:
        self.predictions = 0
        self.outcomes = 0
        self.corrections = 0
        self.unmatched: dict[str, int] = {}
        self.last_prediction: int | None = None
        self.last_label: int | None = None
        self.last_drift: int | None = None
        self.delay_counts = [0] * (len(DELAY_BOUNDS_MS) + 1)
        self.delay_sum_ms = 0
        self.opened: dict[str, int] = {}
        self.closed: dict[tuple[str, str], int] = {}
        self.episodes: deque[EpisodeView] = deque(maxlen=KEPT)
        self.requests: deque[RequestView] = deque(maxlen=KEPT)
        self.deployments: deque[DeploymentView] = deque(maxlen=KEPT)
        self.opened_at: dict[str, int] = {}
        self.resets: deque[ResetView] = deque(maxlen=KEPT)
        self.resets_total = 0
        self.allowed = 0.0  # false alarms that the budget allowed versions which are forgotten

    def take(self, block: Block, rises: Rises) -> None:
        """Count what a step brought, `rises` being the partition's clock over it."""
        if block.predictions:
            tss = list(map(_ts_of, block.predictions))
            newest = rises.newest(block.prediction_pos, tss, 0, len(tss))
            if self.last_prediction is None or newest > self.last_prediction:
                self.last_prediction = newest
        if block.last_label_ts and (self.last_label is None or block.last_label_ts > self.last_label):
            self.last_label = block.last_label_ts
        self.corrections += len(block.corrections)
        for reason, n in block.counts.items():
            self.unmatched[reason] = self.unmatched.get(reason, 0) + n
        if block.outcomes:
            self._take_delays(
                [
                    label_ts - prediction.ts
                    for _, prediction, _, label_ts, source in block.outcomes
                    if source == "event"
                ]
            )

    def _take_delays(self, delays: list[int]) -> None:
        if not delays:
            return
        least, counts = min(delays), self.delay_counts
        bucket = bisect_left(DELAY_BOUNDS_MS, least)
        if bucket == bisect_left(DELAY_BOUNDS_MS, max(delays)):
            counts[bucket] += len(delays)
        else:
            for delay in delays:
                counts[bisect_left(DELAY_BOUNDS_MS, delay)] += 1
        self.delay_sum_ms += sum(delays) if least >= 0 else sum([delay for delay in delays if delay > 0])

    def delay_quantiles_s(self, quantiles: Sequence[float]) -> dict[str, float]:
        """Upper bounds of the buckets that hold the quantiles, in seconds, by name (`p50`)."""
        total = sum(self.delay_counts)
        found: dict[str, float] = {}
        for q in quantiles if total else ():
            seen = 0
            for bound, n in zip((*DELAY_BOUNDS_MS, DELAY_BOUNDS_MS[-1]), self.delay_counts, strict=True):
                seen += n
                if seen >= q * total:
                    found[f"p{q * 100:.0f}"] = bound / 1000
                    break
        return found

    def drift(self, event: DriftEvent, role: str) -> None:
        """Note a drift event."""
        if event.status == "opened":
            self.opened[event.category] = self.opened.get(event.category, 0) + 1
            self.last_drift = event.detected_at
            self.opened_at[event.episode_id] = event.detected_at
        elif event.status == "closed":
            key = (event.category, event.kind)
            self.closed[key] = self.closed.get(key, 0) + 1
            onset = event.onset
            self.episodes.append(
                EpisodeView(
                    event.episode_id,
                    event.category,
                    event.kind,
                    event.confidence,
                    onset.ts,
                    onset.earliest,
                    onset.latest,
                    self.opened_at.pop(event.episode_id, event.detected_at),
                    event.detected_at,
                    event.resolution,
                    event.signals,
                    event.slice,
                    event.model_version,
                    role,
                    event.muted,
                )
            )

    def request(self, request: RetrainRequest) -> None:
        """Note a request (a retry takes the place of the attempt before)."""
        if self.requests and self.requests[-1].request_id == request.request_id:
            self.requests.pop()
        self.requests.append(
            RequestView(
                request.request_id,
                request.time,
                request.reason,
                request.status,
                request.attempt,
                request.window.rows,
                request.model_version,
                request.episode_id,
            )
        )

    def request_ended(self, ended: str, ts: int) -> None:
        """Note how the newest request ended, if it had not."""
        if self.requests and self.requests[-1].ended is None:
            last = self.requests.pop()
            self.requests.append(
                RequestView(
                    last.request_id,
                    last.requested_ms,
                    last.reason,
                    last.status,
                    last.attempt,
                    last.rows,
                    last.model_version,
                    last.episode_id,
                    ended,
                    ts,
                )
            )

    def begun_anew(self, ts: int, what: Sequence[str], why: str) -> None:
        """Note that signals (and other parts) have been learned again from here on."""
        self.resets.append(ResetView(ts, tuple(what), why))
        self.resets_total += 1

    def dump(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "counts": [self.predictions, self.outcomes, self.corrections],
            "unmatched": self.unmatched,
            "last": [self.last_prediction, self.last_label, self.last_drift],
            "delays": [self.delay_counts, self.delay_sum_ms],
            "opened": self.opened,
            "closed": [[*key, n] for key, n in self.closed.items()],
            "opened_at": self.opened_at,
            "episodes": [_row(e) for e in self.episodes],
            "requests": [_row(r) for r in self.requests],
            "deployments": [list(d) for d in self.deployments],
            "allowed": self.allowed,
            "resets": [self.resets_total, [[*r] for r in self.resets]],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Ledger:
        """The ledger that `dump` was called on."""
        self = cls()
        self.predictions, self.outcomes, self.corrections = state["counts"]
        self.unmatched = dict(state["unmatched"])
        self.last_prediction, self.last_label, self.last_drift = state["last"]
        self.delay_counts, self.delay_sum_ms = list(state["delays"][0]), state["delays"][1]
        self.opened = dict(state["opened"])
        self.closed = {(category, kind): n for category, kind, n in state["closed"]}
        self.opened_at = dict(state["opened_at"])
        for row in state["episodes"]:
            row[10] = tuple(SignalEvidence(*signal) for signal in row[10])
            self.episodes.append(EpisodeView(*row))
        self.requests.extend(RequestView(*row) for row in state["requests"])
        self.deployments.extend(DeploymentView(*row) for row in state["deployments"])
        self.allowed = state["allowed"]
        self.resets_total, resets = state["resets"]
        self.resets.extend(ResetView(ts, tuple(what), why) for ts, what, why in resets)
        return self


def _row(view: EpisodeView | RequestView) -> list[Any]:
    row = [getattr(view, name) for name in view.__slots__]
    if isinstance(view, EpisodeView):
        row[10] = [[s.name, s.before, s.after, s.detector, s.evidence] for s in view.signals]
    return row

"""What a report is made of, gathered while a replay runs: bounded, however long the files are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepResult
from driftbus.core.records import DriftEvent, RetrainRequest
from driftbus.core.timestamps import parsed
from driftbus.core.views import DeploymentView
from driftbus.report.bins import Bin, Bins, Point, regrouped
from driftbus.report.truth import Truth

# Points of a stream's chart: as many as its line has pixels on a desktop, or nearly.
MOST_BINS = 480
# Points of all streams together, some 300 bytes each: 10,000 streams share what 200 may have.
ALL_BINS = 100_000
LEAST_BINS = 20
# Episodes and requests of a stream that are kept one by one, its first and its newest; all are counted. More
# than anybody reads: at the worst rate of the quality benchmark a year has a tenth of it.
KEPT_FIRST, KEPT_NEWEST = 300, 100
# Of all streams together, some 10 kB each with its own piece of the chart.
KEPT_IN_ALL = 4_000
# Months that are counted apart: a hundred years. Records with broken clocks may name more.
MOST_MONTHS = 1_200
ELSE = "later"
# Points of an episode's own chart.
CLOSE_BINS = 60
# Rows in each of them at the least, and rows before the onset: a mean of 320 has an error's level to ± .02.
CLOSE_ROWS, LEAST_BEFORE = 16, 320
# What was said of an episode: the first and the newest are kept.
MOST_SAID = 12


@dataclass(slots=True)
class EpisodeRecord:
    """One episode: its first and its newest event, what was said in between, and the error around it."""

    number: int
    first: DriftEvent
    last: DriftEvent
    said: list[DriftEvent]
    events: int = 1
    close: list[Bin] = field(default_factory=list)

    @property
    def closed_ms(self) -> int | None:
        return self.last.detected_at if self.last.status == "closed" else None


@dataclass(slots=True)
class RequestRecord:
    """One attempt of a request, and how it ended (None: it had not)."""

    request: RetrainRequest
    ended: str | None = None
    ended_ms: int | None = None


@dataclass(slots=True)
class StreamRecord:
    """One stream under one configuration."""

    name: str
    bins: Bins
    monitor: StreamMonitor
    episodes: dict[str, EpisodeRecord] = field(default_factory=dict)
    requests: list[RequestRecord] = field(default_factory=list)
    deployments: list[DeploymentView] = field(default_factory=list)
    opened: Counter[str] = field(default_factory=Counter)  # category → n
    months: dict[str, Counter[str]] = field(default_factory=dict)  # "2026-01" → category or "request" → n
    asked: int = 0  # requests, without further attempts
    seen: int = 0  # outcomes, counted for the truth's rows
    moments: dict[int, int] = field(default_factory=dict)  # row → its ts, of rows the truth names

    @property
    def episodes_in_all(self) -> int:
        return self.opened.total()


class Record:
    """Looks on at a replay. `label`: how this configuration is called in the report."""

    def __init__(self, label: str, truth: Truth | None = None) -> None:
        self.label = label
        self.truth = truth
        self.streams: dict[str, StreamRecord] = {}
        self._most = MOST_BINS
        self._kept = 0

    def step(self, partition: Partition, result: StepResult) -> None:
        """Note what one step brought."""
        for name in result.touched:
            stream = self._stream(name, partition.streams[name])
            monitor = stream.monitor
            stream.bins.take(monitor.course.points())
            self._deployments(stream)
        if self.truth is not None:
            self._moments(result, self.truth)
        changed: dict[str, list[EpisodeRecord]] = {}
        for _, decision in result.decisions:
            stream = self.streams[decision.stream]
            if isinstance(decision, RetrainRequest):
                self._request(stream, decision)
            elif (episode := self._drift(stream, decision)) is not None:
                changed.setdefault(stream.name, []).append(episode)
        for name, episodes in changed.items():
            # While the error around them is still known row by row, or nearly.
            points = partition.streams[name].course.points()
            for episode in episodes:
                episode.close = around(episode.last, points)
        for name in result.touched:
            self._ended(self.streams[name])

    def _stream(self, name: str, monitor: StreamMonitor) -> StreamRecord:
        found = self.streams.get(name)
        if found is None:
            most = max(LEAST_BINS, min(MOST_BINS, ALL_BINS // (len(self.streams) + 1)))
            # Halved at a time: else every stream would be bound anew with each one that comes.
            if most <= self._most // 2:
                self._most = most
                for stream in self.streams.values():
                    stream.bins.limit(most)
            found = self.streams[name] = StreamRecord(name, Bins(self._most), monitor)
        return found

    def _deployments(self, stream: StreamRecord) -> None:
        known = stream.deployments
        for deployment in stream.monitor.ledger.deployments:
            if not known or deployment.deployed_ms > known[-1].deployed_ms:
                if len(known) >= KEPT_FIRST + KEPT_NEWEST:
                    del known[KEPT_FIRST]
                known.append(deployment)

    def _moments(self, result: StepResult, truth: Truth) -> None:
        """When the rows were that the truth names by number."""
        for name, value in result.outcomes:
            rows = truth.rows(name)
            if rows:
                stream = self.streams[name]
                if stream.seen in rows:
                    stream.moments[stream.seen] = parsed(orjson.loads(value)["ts"])[0]
                stream.seen += 1

    def _drift(self, stream: StreamRecord, event: DriftEvent) -> EpisodeRecord | None:
        """The episode as far as it is known now; None where it is not kept."""
        if event.status == "opened":
            stream.opened[event.category] += 1
            self._count(stream, event.detected_at, event.category)
            if self._makes_room(stream.episodes, list(stream.episodes)):
                found = EpisodeRecord(stream.opened.total(), event, event, [event])
                stream.episodes[event.episode_id] = found
                return found
            return None
        episode = stream.episodes.get(event.episode_id)
        if episode is not None:
            episode.last = event
            episode.events += 1
            if len(episode.said) >= MOST_SAID:
                del episode.said[MOST_SAID // 2]
            episode.said.append(event)
        return episode

    def _request(self, stream: StreamRecord, request: RetrainRequest) -> None:
        if request.attempt == 1:
            stream.asked += 1
            self._count(stream, request.time, "request")
        if self._makes_room(stream.requests, range(len(stream.requests))):
            stream.requests.append(RequestRecord(request))

    def _makes_room(self, kept: Any, keys: Sequence[Any]) -> bool:
        """Whether one more may be kept: a stream's first and newest, as many as there is room for in all."""
        if len(keys) >= KEPT_FIRST + KEPT_NEWEST:
            del kept[keys[KEPT_FIRST]]
            return True
        self._kept += 1
        return self._kept <= KEPT_IN_ALL

    def _count(self, stream: StreamRecord, ts_ms: int, name: str) -> None:
        at = datetime.fromtimestamp(ts_ms / 1000, UTC)
        month = f"{at.year:04d}-{at.month:02d}"
        if month not in stream.months and len(stream.months) >= MOST_MONTHS:
            month = ELSE
        stream.months.setdefault(month, Counter())[name] += 1

    def _ended(self, stream: StreamRecord) -> None:
        if not stream.requests:
            return
        ended = {view.request_id: view for view in stream.monitor.ledger.requests}
        for each in stream.requests[-20:]:
            view = ended.get(each.request.request_id)
            if view is not None and view.attempt == each.request.attempt:
                each.ended, each.ended_ms = view.ended, view.ended_ms


def around(event: DriftEvent, points: list[Point]) -> list[Bin]:
    """The error from before an episode's onset until now: as long before as it has lasted, at the least as
    many rows as tell a level."""
    onset = event.onset.ts
    begins = min(onset - (event.detected_at - onset), event.onset.earliest)
    # The step went on after the decision: a little of that, to see how it goes on.
    ends = event.detected_at + max(0, event.detected_at - onset) // 2
    ordered = sorted(point for point in points if point[0] <= ends)
    before = 0
    for index in range(len(ordered) - 1, -1, -1):
        ts, rows, _, _ = ordered[index]
        if ts < onset:
            before += rows
        if ts < begins and before >= LEAST_BEFORE:
            ordered = ordered[index:]
            break
    return regrouped(ordered, CLOSE_BINS, CLOSE_ROWS)

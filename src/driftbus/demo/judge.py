"""Truth against found. The judge reads what is on the bus, nothing that the processes say of themselves.

Positions are told in events of the stream: event i is the i-th question its model was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from driftbus.demo.stage import Stage
from driftbus.demo.traffic import event_index
from driftbus.demo.world import EVENTS, Change, Stream
from driftbus.ports import Bus


@dataclass(frozen=True)
class Outcome:
    """What became of one event."""

    index: int
    version: str
    error: float


@dataclass
class Episode:
    """All drift events of one episode, told as one: where it was found, and its last verdict."""

    episode_id: str
    detected: int
    delay_outcomes: int
    category: str = ""
    kind: str = ""
    onset: int | None = None


@dataclass
class StreamLog:
    """What the bus holds of one stream. `requests`: id → episode id; `answers`: request id → version."""

    outcomes: list[Outcome] = field(default_factory=list)
    episodes: dict[str, Episode] = field(default_factory=dict)
    requests: dict[str, str | None] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One planted change, and what was made of it. Errors are means; None where there is nothing to count."""

    stream: str
    change: Change
    episodes: tuple[Episode, ...]
    requests: int
    error_before: float | None
    error_drifted: float | None
    error_after: float | None

    @property
    def problems(self) -> list[str]:
        """Why this is not what was planted; empty when it is."""
        said = []
        if len(self.episodes) != 1:
            said.append(f"found {len(self.episodes)} times")
        for episode in self.episodes:
            if episode.category != "concept":
                said.append(f"category {episode.category}")
            if episode.kind != self.change.kind:
                said.append(f"kind {episode.kind}")
        if self.requests != 1:
            said.append(f"{self.requests} requests")
        if self.error_after is None or self.error_drifted is None:
            said.append("no retrained model")
        elif self.error_after >= self.error_drifted:
            said.append("the retrain did not help")
        return said


@dataclass(frozen=True)
class Silence:
    """A time without any change (a control's all, else that before the first), and what was raised in it."""

    stream: str
    changes_later: bool
    episodes: tuple[Episode, ...]
    requests: int

    @property
    def problems(self) -> list[str]:
        """Empty when nothing was raised."""
        said = [f"{e.category} episode at {e.detected}" for e in self.episodes]
        return [*said, f"{self.requests} requests"] if self.requests else said


@dataclass(frozen=True)
class Verdict:
    """Everything found, everything that should have been silent."""

    findings: tuple[Finding, ...]
    silences: tuple[Silence, ...]

    @property
    def items(self) -> tuple[Finding | Silence, ...]:
        """All of it."""
        return (*self.findings, *self.silences)

    @property
    def right(self) -> bool:
        """Whether everything planted was found exactly once, nothing else was, and every retrain helped."""
        return not any(item.problems for item in self.items)


def judge(streams: Sequence[Stream], logs: dict[str, StreamLog]) -> Verdict:
    """Compare the world's plan with what is on the bus."""
    findings: list[Finding] = []
    silences: list[Silence] = []
    for stream in streams:
        log = logs.get(stream.name, StreamLog())
        starts = [change.start for change in stream.changes] + [EVENTS]
        asked_for = _requests_by_change(log, starts)
        silences.append(
            Silence(
                stream.name, bool(stream.changes), tuple(_between(log, 0, starts[0])), asked_for.count(-1)
            )
        )
        for number, change in enumerate(stream.changes):
            found = tuple(_between(log, change.start, starts[number + 1]))
            errors = _errors(log, change, found, starts, number)
            findings.append(Finding(stream.name, change, found, asked_for.count(number), *errors))
    return Verdict(tuple(findings), tuple(silences))


def _between(log: StreamLog, start: int, end: int) -> list[Episode]:
    # Whatever is detected after the judged end belongs to the last change, not to nobody.
    return [e for e in log.episodes.values() if start <= e.detected and (e.detected < end or end == EVENTS)]


def _requests_by_change(log: StreamLog, starts: Sequence[int]) -> list[int]:
    """For each request the number of the change that its episode belongs to; -1: to none."""
    numbers = []
    for episode_id in log.requests.values():
        episode = log.episodes.get(episode_id or "")
        at = -1 if episode is None else episode.detected
        numbers.append(sum(start <= at for start in starts[:-1]) - 1)
    return numbers


def _errors(
    log: StreamLog, change: Change, found: Sequence[Episode], starts: Sequence[int], number: int
) -> tuple[float | None, float | None, float | None]:
    """Mean error before the change, from its detection to the new model, and of the new model.

    Each over the events between this change's neighbours; an old model's answers count for the old model,
    however late their labels came.
    """
    begin, end = (starts[number - 1] if number else 0), starts[number + 1]
    new = next(
        (
            version
            for request_id, version in log.answers.items()
            if log.requests.get(request_id) in {episode.episode_id for episode in found}
        ),
        None,
    )
    detected = min((episode.detected for episode in found), default=change.end)
    old = next((o.version for o in reversed(log.outcomes) if o.index < change.start), None)
    return (
        _mean(o.error for o in log.outcomes if begin <= o.index < change.start and o.version == old),
        _mean(o.error for o in log.outcomes if detected <= o.index < end and o.version == old),
        _mean(o.error for o in log.outcomes if change.start <= o.index < end and o.version == new),
    )


def _mean(values: Iterable[float]) -> float | None:
    held = list(values)
    return sum(held) / len(held) if held else None


def read_logs(stage: Stage, bus: Bus) -> dict[str, StreamLog]:
    """Everything the judge needs from the bus, by stream."""
    logs: dict[str, StreamLog] = {}
    places: dict[tuple[int, int], int] = {}
    for partition, offset, outcome in read_topic(stage, bus, "outcomes"):
        index = event_index(outcome["prediction_id"])
        places[partition, offset] = index
        kept = Outcome(index, outcome["model_version"], outcome["error"])
        logs.setdefault(outcome["stream"], StreamLog()).outcomes.append(kept)
    for _, _, event in read_topic(stage, bus, "drift-events"):
        data = event["data"]
        _add_drift_event(logs.setdefault(data["stream"], StreamLog()), data, places)
    for _, _, event in read_topic(stage, bus, "retrain-requests"):
        data = event["data"]
        logs.setdefault(data["stream"], StreamLog()).requests[data["request_id"]] = data["episode_id"]
    for _, _, event in read_topic(stage, bus, "model-events"):
        if event["type"] == "model-deployed":
            log = logs.setdefault(event["stream"], StreamLog())
            log.answers[event["retrain_request_id"]] = event["model_version"]
    return logs


def _add_drift_event(log: StreamLog, data: dict[str, Any], places: dict[tuple[int, int], int]) -> None:
    episode = log.episodes.get(data["episode_id"])
    if episode is None:
        seen = data["outcomes_seen"]
        if data["category"] == "concept":
            detected = log.outcomes[min(seen, len(log.outcomes)) - 1].index
        else:
            detected = data["predictions_seen"] - 1
        episode = log.episodes[data["episode_id"]] = Episode(data["episode_id"], detected, seen)
    episode.category, episode.kind = data["category"], data["kind"]
    place = data["onset"]["offset"]
    episode.onset = (
        places.get((place["partition"], place["offset"])) if "outcomes" in place["topic"] else None
    )


def read_topic(stage: Stage, bus: Bus, short_name: str) -> Iterable[tuple[int, int, dict[str, Any]]]:
    """(partition, offset, event) of everything committed in a topic."""
    topic = stage.topic(short_name)
    for partition in range(bus.partitions(topic)):
        for record in bus.read_from(topic, partition, bus.begin_offset(topic, partition)):
            yield partition, record.offset, orjson.loads(record.value or b"null")

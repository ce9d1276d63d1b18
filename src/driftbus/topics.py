"""The nine topics as they should be created: partitions, cleanup, retention."""

from __future__ import annotations

from collections.abc import Mapping

from driftbus.config import Settings
from driftbus.errors import StateError
from driftbus.ports import Bus, TopicSpec
from driftbus.sources import Source

# A stream lives in one partition of each of these, the same in all of them.
CO_PARTITIONED = ("predictions", "labels", "model-events", "outcomes", "label-corrections", "state")
# What `topics create` takes where nothing exists yet. Partitions cannot be changed in place later, and
# each is a unit of work: 12 spread evenly over 1, 2, 3, 4, 6 or 12 workers.
DEFAULT_PARTITIONS = 12

_DAY_MS = 24 * 3_600_000
# Kafka refuses records from the future and drops old ones by their own time; driftbus's records carry event
# time, which may be both (a replay of last year, a clock ahead), so they are kept by when they were written.
_BY_ARRIVAL = {"message.timestamp.type": "LogAppendTime"}
# An outcome holds a prediction and a label of up to `limits.max_record_bytes` (1 MB) each, a dead letter a
# whole record and why it is there; Kafka's default of 1 MiB would refuse them, and the worker be stuck.
# As JSON is written anew a number may take four times its bytes (1e15); the producer's own bound is the same.
_LARGE = {"max.message.bytes": "10000000"}
_INPUT = {
    "cleanup.policy": "delete",
    # An outage over a fortnight's holiday loses nothing. driftbus itself reads back minutes.
    "retention.ms": str(14 * _DAY_MS),
}
_TRAINING_SET = {
    "cleanup.policy": "delete",
    # A year's seasons and a month more: windows may reach back to the same season of last year.
    "retention.ms": str(400 * _DAY_MS),
    **_BY_ARRIVAL,
    **_LARGE,
}
_DECISIONS = {
    "cleanup.policy": "delete",
    # Small topics that people look back through, a quarter at a time.
    "retention.ms": str(90 * _DAY_MS),
    **_BY_ARRIVAL,
}
_DEAD_LETTERS = {
    "cleanup.policy": "delete",
    # Short: they may hold what should never have been sent. A week leaves time to look.
    "retention.ms": str(7 * _DAY_MS),
    **_BY_ARRIVAL,
    **_LARGE,
}
_STATE = {
    "cleanup.policy": "compact",
    # Read whole at every start, and Kafka never compacts the last segment: small ones, compacted early.
    "segment.bytes": str(64 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.2",
    **_BY_ARRIVAL,
}
_CONFIG: Mapping[str, Mapping[str, str]] = {
    "predictions": _INPUT,
    "labels": _INPUT,
    "model-events": _INPUT,
    "outcomes": _TRAINING_SET,
    "label-corrections": _TRAINING_SET,
    "drift-events": _DECISIONS,
    "retrain-requests": _DECISIONS,
    "dead-letters": _DEAD_LETTERS,
    "state": _STATE,
}


def topic_specs(settings: Settings, partitions: int) -> list[TopicSpec]:
    """All nine topics under the names that `settings` gives them, each with `partitions` partitions."""
    return [TopicSpec(full, partitions, _CONFIG[short]) for short, full in settings.topics.items()]


def halves_specs(settings: Settings, partitions: int) -> list[TopicSpec]:
    """The topic in which halves of inferences wait, where a source of `ingest` has any."""
    if not any(Source(each).joins for each in settings.ingest.sources):
        return []
    return [TopicSpec(settings.halves_topic, partitions, {**_STATE, **_LARGE})]


def check_topics(bus: Bus, settings: Settings) -> int:
    """How many partitions the inputs have. Raises `MissingTopic`; `StateError` where counts differ."""
    counts = {name: bus.partitions(settings.topics[name]) for name in CO_PARTITIONED}
    for name in ("drift-events", "retrain-requests", "dead-letters"):
        bus.partitions(settings.topics[name])
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{settings.topics[name]} {n}" for name, n in counts.items())
        raise StateError(f"these topics must have the same number of partitions: {shown}")
    return counts["predictions"]

"""A step as `state` holds it, and what it brought to each stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from driftbus.core.block import CLOCK_SKEW_MS, Block, Run
from driftbus.core.records import Correction, Outcome


class Origin(NamedTuple):
    """Whose steps they are: state must never go on under another group, over other topics, or over another
    number of partitions, where every key is somewhere else."""

    group: str
    partitions: int
    topic_ids: Mapping[str, str]

    def objection(self, now: Origin) -> str | None:
        """Why state of this origin cannot go on where it is `now`."""
        if self.group != now.group:
            return (
                f"is of group {self.group!r}, this worker is of {now.group!r}: keep the group's name, or "
                "give the new group a `topics.state` and outputs of its own"
            )
        if self.partitions != now.partitions:
            return (
                f"was written when the topics had {self.partitions} partitions, now they have "
                f"{now.partitions}: streams cannot move; create new topics under a new topic_prefix"
            )
        for topic, known in self.topic_ids.items():
            if now.topic_ids[topic] != known:
                return (
                    f"does not belong to its topics any more: topic {topic!r} was deleted and created again"
                )
        return None


class StepRecord(NamedTuple):
    """A step as `state` holds it."""

    step: int
    floor: int
    tick: int | None
    idle: frozenset[str]
    clock: int
    inputs: dict[str, tuple[int, int]]
    refused: dict[str, list[int]]
    poison: dict[str, list[int]]
    origin: Origin
    first_seq: int
    next_seq: int
    rejected: frozenset[int]
    outcome_pos: list[int]
    corrections: list[tuple[int, Correction]]
    counts: dict[str, dict[str, int]]
    digests: dict[str, str]
    config: str
    fold: int
    libraries: str = ""  # who wrote it

    @classmethod
    def of(cls, raw: Mapping[str, Any], config: str, fold: int, libraries: str = "") -> StepRecord:
        return cls(
            raw["step"],
            raw["floor"],
            raw["tick"],
            frozenset(raw["idle"]),
            raw["clock"],
            {topic: (start, end) for topic, (start, end) in raw["inputs"].items()},
            raw["refused"],
            raw.get("poison", {}),  # older steps counted none
            Origin(*raw["origin"]),
            raw["seq"][0],
            raw["seq"][1],
            frozenset(raw["rejected"]),
            list(from_run_lengths(raw["outcome_pos"])),
            [(pos, Correction(*fields)) for pos, *fields in raw["corrections"]],
            raw["counts"],
            raw["decisions"],
            config,
            fold,
            libraries,
        )


def run_lengths(numbers: list[int]) -> list[list[int]]:
    """Numbers as runs of consecutive ones: [start, length]."""
    runs: list[list[int]] = []
    following = None
    for number in numbers:
        if number == following:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
        following = number + 1
    return runs


def from_run_lengths(runs: list[list[int]]) -> Iterator[int]:
    """What `run_lengths` was given."""
    for start, length in runs:
        yield from range(start, start + length)


def recorded_blocks(step: StepRecord, runs: list[Run], outcomes: list[Outcome]) -> dict[str, Block]:
    """What a recorded step brought to each stream, from its inputs, its outcomes and its verdicts."""
    blocks: dict[str, Block] = {}

    def block_of(stream: str) -> Block:
        block = blocks.get(stream)
        if block is None:
            block = blocks[stream] = Block()
        return block

    pos = 0
    for run in runs:
        for event, offset, time in zip(run.events, run.offsets, run.times, strict=True):
            block = block_of(event.stream)
            if run.topic == "predictions":
                if offset not in step.rejected:
                    block.predictions.append(event)
                    block.prediction_pos.append(pos)
                    block.prediction_offsets.append(offset)
            elif run.topic == "labels":
                block.last_label_ts = max(block.last_label_ts, min(event.ts, time + CLOCK_SKEW_MS))
            else:
                block.model_events.append((pos, event))
            pos += 1
    for outcome, at in zip(outcomes, step.outcome_pos, strict=True):
        block = block_of(outcome.prediction.stream)
        block.outcomes.append(outcome)
        block.outcome_pos.append(at)
    for at, correction in step.corrections:
        block_of(correction.stream).corrections.append((at, correction))
    for stream, counts in step.counts.items():
        block_of(stream).counts = counts
    return blocks

"""A step as `state` holds it, and what it brought to each stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from driftbus.core.block import CLOCK_SKEW_MS, Block, Run
from driftbus.core.records import Correction, Outcome
from driftbus.core.shape import fits
from driftbus.errors import StateError


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


_TOPICS = ("predictions", "labels", "model-events")
_SHAPE = {
    "step": int,
    "floor": int,
    "tick": (int, None),
    "idle": [str],
    "clock": int,
    "inputs": {topic: [int] for topic in _TOPICS},
    "refused": {str: [int]},
    "origin": object,
    "seq": [int],
    "rejected": [int],
    "outcome_pos": [[int]],
    "corrections": [list],
    "counts": {str: {str: int}},
    "decisions": {str: str},
}
_ORIGIN = (str, int, {str: str})
# The position, then `Correction`'s fields.
_SAID = (object, object, object)  # labels and prediction
_CORRECTION = (int, str, str, int, int, *_SAID, (float, None), (str, None), str, (float, None))
# Positions are listed: a step of more outcomes would not have fitted into memory.
_MOST_OUTCOMES = 100_000_000


def _agrees(raw: Mapping[str, Any]) -> bool:
    """What shapes do not say: lengths, order, and as many positions as outcomes."""
    origin, seq, runs = raw["origin"], raw["seq"], raw["outcome_pos"]
    poison = raw.get("poison", {})  # older steps counted none
    return (
        type(origin) is list
        and len(origin) == len(_ORIGIN)
        and all(map(fits, origin, _ORIGIN))
        and all(len(ends) == 2 and 0 <= ends[0] <= ends[1] for ends in raw["inputs"].values())
        and 0 <= raw["floor"] <= raw["step"] + 1
        and len(seq) == 2
        and 0 <= seq[0] <= seq[1] <= seq[0] + _MOST_OUTCOMES
        and all(len(run) == 2 and run[1] > 0 for run in runs)
        and sum(run[1] for run in runs) == seq[1] - seq[0]
        and all(len(row) == len(_CORRECTION) for row in raw["corrections"])
        and all(all(map(fits, row, _CORRECTION)) for row in raw["corrections"])
        and fits(poison, {str: [int]})
        and all(len(counts) == 2 for counts in poison.values())
    )


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
    def of(cls, raw: Any, config: str, fold: int, libraries: str = "") -> StepRecord:
        """Out of its JSON. Raises `StateError` where that has another shape."""
        if not fits(raw, _SHAPE) or not _agrees(raw):
            raise StateError("a step's record has another shape than was written")
        return cls(
            raw["step"],
            raw["floor"],
            raw["tick"],
            frozenset(raw["idle"]),
            raw["clock"],
            {topic: (start, end) for topic, (start, end) in raw["inputs"].items()},
            raw["refused"],
            raw.get("poison", {}),
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

"""How much of an input partition is poison, and when it is so much that the worker stops.

Some bad records harm nobody: they go to the dead letters. When most of a topic cannot be used, something is
wrong at its source (a serializer, a schema, another application's topic), and going on would drain it into
a topic that is kept for a week.

Counted per input topic and partition, over about the last `WINDOW` records: when there are more, all counts
are halved. The counts are part of the step record, so that a restart goes on with them instead of draining
a little at every start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from driftbus.errors import TooManyDeadLetters

# Fewer say nothing about a topic: a producer's bad hour after a quiet night is for the alert, not for this.
MIN_RECORDS = 1_000
# Ten times as many: what a stop is decided on, and soon forgotten once a producer is mended.
WINDOW = 10_000
# Refused for want of room, not for what they are: `limits.max_streams` has a gauge and an alert of its own.
NOT_POISON = frozenset({"stream_limit"})


class Letter(Protocol):
    """What is asked of a dead letter."""

    @property
    def topic(self) -> str: ...

    @property
    def reason(self) -> str: ...


@dataclass(slots=True)
class PoisonTally:
    """Of each input topic (short name) of one partition: records, and how many of them were poison."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def weigh(
        self, records: Mapping[str, Sequence[object]], letters: Iterable[Letter], max_ratio: float
    ) -> None:
        """Count what a step is about to fold, by input topic, and what of it goes to the dead letters."""
        reasons = Counter((letter.topic, letter.reason) for letter in letters)
        for topic, rows in records.items():
            poison = {reason: n for (where, reason), n in reasons.items() if where == topic}
            self.add(topic, len(rows), poison, max_ratio)

    def add(self, topic: str, records: int, poison: Mapping[str, int], max_ratio: float) -> None:
        """Count what a step took of a topic; `poison`: how many records for each reason.

        Raises `TooManyDeadLetters` where both this step and the window are above `max_ratio`: a step that
        is well does not stop for what lies behind it. With `max_ratio` 1 everything passes, and is forgotten.
        """
        if max_ratio >= 1:
            self.counts.pop(topic, None)
            return
        bad = {reason: n for reason, n in poison.items() if reason not in NOT_POISON}
        here = sum(bad.values())
        before, poison_before = self.counts.get(topic, (0, 0))
        seen, dead = before + records, poison_before + here
        if seen >= MIN_RECORDS and here > max_ratio * records and dead > max_ratio * seen:
            raise TooManyDeadLetters(topic, dead, seen, max(bad, key=bad.__getitem__), max_ratio)
        while seen > WINDOW:
            seen, dead = seen // 2, dead // 2
        self.counts[topic] = seen, dead

    def dump(self) -> dict[str, list[int]]:
        """JSON values; `load` takes them back."""
        return {topic: list(counts) for topic, counts in self.counts.items()}

    @classmethod
    def load(cls, dumped: Mapping[str, list[int]]) -> PoisonTally:
        return cls({topic: (seen, dead) for topic, (seen, dead) in dumped.items()})

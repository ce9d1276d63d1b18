"""What a configuration says of sources: frozen, validated elsewhere (`driftbus.config`), times in
milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from driftbus.sources.picks import Pick

Output = Literal["value", "score", "probabilities"]
Unit = Literal["auto", "s", "ms", "us", "ns"]

# The fields of an event that a mapping fills: of one value each, and of several by name.
SINGLE = (
    "stream", "prediction_id", "ts", "prediction", "score", "model_version", "role", "weight", "label",
    "label_ts",
)  # fmt: skip
BY_NAME = ("features", "slices", "signals", "label_signals")


@dataclass(frozen=True, slots=True)
class TimePick:
    """Where a time stands, and what a number there counts since 1970."""

    pick: Pick
    unit: Unit = "auto"


# Of `features`, `slices`, `signals`: one pick that finds an object (or, for features, an array), or a pick
# each.
Named = Pick | Mapping[str, Pick]


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One entry of `ingest.sources`. `fields`: what the mapping changes of its format's own; None takes a
    field of the format away. `join`: whether requests and responses are joined, or responses taken alone."""

    name: str
    format: str
    topics: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    join_id: Pick | None = None
    join: bool = True
    rows: Pick | None = None
    when: tuple[tuple[Pick, tuple[Any, ...]], ...] = ()
    columns: tuple[str, ...] = ()
    output: Output = "value"
    # The customary cut between two classes.
    threshold: float = 0.5
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """`ingest`: the sources, and the bounds of what waits for its other half.

    `wait_ms`: how long a half waits, by the clock of the worker that holds it. `max_waiting`,
    `max_waiting_bytes`: of one worker; beyond them the oldest go to the dead letters.
    """

    sources: tuple[SourceSettings, ...] = ()
    # A request and its response are milliseconds apart; an hour outlives a logger that is restarted.
    wait_ms: int = 3_600_000
    # With bodies of 1 kB some 150 MB, and minutes of a busy service whose responses are not logged.
    max_waiting: int = 100_000
    max_waiting_bytes: int = 256_000_000
    halves_topic: str | None = None

    def shown(self) -> dict[str, Any]:
        """As plain JSON values; of each source where it comes from."""
        return {
            "wait_ms": self.wait_ms,
            "max_waiting": self.max_waiting,
            "max_waiting_bytes": self.max_waiting_bytes,
            "halves_topic": self.halves_topic,
            "sources": {
                each.name: {"format": each.format, "topics": [*each.topics]} for each in self.sources
            },
        }

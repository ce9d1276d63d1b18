"""driftbus itself over a stream: the monitor of one stream, in its one default configuration.

What `driftbus replay` does with a table, without writing and reading it: every row is a prediction and, at
once, its label, a minute after the row before (a test holds the two against each other). A new model is
deployed by a model event. Where a stream has no table, the predictions are drawn so that nothing but the
errors changes: of a classifier coins, of a regressor normal numbers; the label differs by the error.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from benchmarks.quality.matching import Episode
from benchmarks.quality.stream import Stream, Table

from driftbus.config import load
from driftbus.core.block import Block, Rises
from driftbus.core.monitor import StreamMonitor
from driftbus.core.records import Decision, DriftEvent, ModelEvent, Outcome, Prediction, RetrainRequest
from driftbus.core.settings import Limits, StreamSettings

START_MS = 1_767_225_600_000
ROW_MS = 60_000
# Rows folded at once. Where blocks are cut changes nothing.
BLOCK = 4_096
# How long after an episode opened its kind is read, as QUALITY.md has it.
TYPED_AFTER = 2_000

_new = tuple.__new__


@cache
def settings() -> tuple[StreamSettings, Limits]:
    """What a user has who configures nothing."""
    default = load(None, {})
    return default.stream("s"), default.limits


class Feed:
    """One stream's monitor, given rows in order. `seq` of an outcome is its row."""

    def __init__(self) -> None:
        self.monitor = StreamMonitor("s", *settings())
        self.version = 0
        self._clock = 0

    def take(self, start: int, table: Table) -> list[Decision]:
        """Fold the rows of `table`, the first of which is row `start`; what was decided."""
        rows = range(len(table.labels))
        version = f"v{self.version}"
        block = Block()
        tss = [START_MS + (start + i) * ROW_MS for i in rows]
        block.predictions = [
            _new(
                Prediction,
                (str(start + i), "s", ts, x, said, None, version, "production", None, None, None, b""),
            )
            for i, ts, x, said in zip(rows, tss, table.features, table.predictions, strict=True)
        ]
        block.outcomes = [
            _new(Outcome, (start + i, said, label, ts, "event"))
            for i, said, label, ts in zip(rows, block.predictions, table.labels, tss, strict=True)
        ]
        block.prediction_pos = [2 * i for i in rows]
        block.outcome_pos = [2 * i + 1 for i in rows]
        block.prediction_offsets = [start + i for i in rows]
        block.last_label_ts = tss[-1]
        folded = self.monitor.fold(block, Rises(self._clock, block.prediction_pos, tss))
        self._clock = tss[-1]
        return [decision for _, decision in folded.decisions]

    def deploy(self, row: int) -> list[Decision]:
        """A new model is in production from `row` on."""
        self.version += 1
        ts = START_MS + row * ROW_MS
        event = ModelEvent("s", ts, "model-deployed", f"v{self.version}", None, None, None)
        folded = self.monitor.fold(Block(model_events=[(0, event)]), Rises(self._clock, [0], [ts]))
        self._clock = ts
        return [decision for _, decision in folded.decisions]


def watch(stream: Stream) -> list[Decision]:
    """Everything that was decided, in order."""
    feed = Feed()
    decisions: list[Decision] = []
    edges = [0, *stream.replaced, len(stream.signal)]
    parts = tables(stream)
    for begin, end in itertools.pairwise(edges):
        if begin:
            decisions += feed.deploy(begin)
        for start in range(begin, end, BLOCK):
            decisions += feed.take(start, parts(start, min(start + BLOCK, end)))
    if feed.monitor.defect is not None:
        raise RuntimeError(f"{stream.name}: {feed.monitor.defect}")
    return decisions


def tables(stream: Stream) -> Any:
    """(start, end) → these rows; a stream without a table is given one, a block at a time."""
    given = stream.table
    if given is not None:
        return lambda start, end: Table(
            given.features[start:end], given.predictions[start:end], given.labels[start:end]
        )
    rng = np.random.default_rng([*stream.seed, 1])
    signal = stream.signal

    def drawn(start: int, end: int) -> Table:
        errors = signal[start:end]
        if stream.binary:
            said = rng.integers(0, 2, len(errors))
            labels = said ^ errors.astype(int)
        else:
            amounts = rng.standard_normal(len(errors))
            signed = errors * np.where(rng.integers(0, 2, len(errors)) > 0, 1.0, -1.0)
            return Table([None] * len(errors), amounts.tolist(), (amounts + signed).tolist())
        return Table([None] * len(errors), said.tolist(), labels.tolist())

    return drawn


def episodes(decisions: Sequence[Decision]) -> tuple[list[Episode], int]:
    """The episodes that were told, in the order they opened, and how many retrains were asked for."""
    told: dict[str, list[DriftEvent]] = {}
    requests = 0
    for decision in decisions:
        if isinstance(decision, DriftEvent):
            told.setdefault(decision.episode_id, []).append(decision)
        elif isinstance(decision, RetrainRequest):
            requests += 1
    return [_episode(events) for events in told.values()], requests


def _episode(events: Sequence[DriftEvent]) -> Episode:
    first, last = events[0], events[-1]
    row = _row_of(first)
    *_, typed = _until(events, row + TYPED_AFTER)
    onset, earliest, latest = _place(first)
    last_onset, last_earliest, last_latest = _place(last)
    return Episode(
        start=row,
        onset=onset,
        earliest=earliest,
        latest=latest,
        kind=typed.kind,
        last_kind=last.kind,
        last_onset=last_onset,
        last_earliest=last_earliest,
        last_latest=last_latest,
        category=first.category,
        resolution=last.resolution,
    )


def _until(events: Sequence[DriftEvent], row: int) -> Iterator[DriftEvent]:
    yield events[0]
    for event in events[1:]:
        if _row_of(event) <= row:
            yield event


def _row_of(event: DriftEvent) -> int:
    """The row whose record decided: labels and predictions come in pairs."""
    return max(event.outcomes_seen, event.predictions_seen) - 1


def _place(event: DriftEvent) -> tuple[int, int, int]:
    onset = event.onset
    return onset.seq, (onset.earliest - START_MS) // ROW_MS, (onset.latest - START_MS) // ROW_MS

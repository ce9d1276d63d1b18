"""`driftbus replay`: the worker's core over recorded events, in file order, without a bus.

What is printed depends on no later record, and not on how many lines are read at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson

from driftbus.adapters.files.events import Line, Unusable, read_events
from driftbus.adapters.files.tables import CsvColumns, read_table
from driftbus.config import Settings
from driftbus.core.block import Run
from driftbus.core.codec import BUILDERS, unwrapped
from driftbus.core.encode import drift_event, retrain_request
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import Decision, DriftEvent
from driftbus.errors import InvalidRecord

__all__ = ["CsvColumns", "Summary", "replay"]

# Lines per step: enough for columns to pay, few enough that memory stays small.
STEP_LINES = 4_096
# Unusable lines that are kept to be shown; all are counted.
KEPT_BAD = 20


@dataclass(slots=True)
class StreamCounts:
    """What one stream's events gave."""

    predictions: int = 0
    outcomes: int = 0
    episodes: int = 0
    requests: int = 0


@dataclass(slots=True)
class Summary:
    """What a replay read and found. `dead_letters`: what a worker would have dead-lettered, by reason."""

    streams: dict[str, StreamCounts] = field(default_factory=dict)
    bad_lines: int = 0
    first_bad: list[Unusable] = field(default_factory=list)
    dead_letters: dict[str, int] = field(default_factory=dict)


def replay(
    files: Sequence[Path],
    settings: Settings,
    *,
    csv: CsvColumns | None,
    out: BinaryIO,
    progress: Callable[[int, int], None],
) -> Summary:
    """Fold the files' records in order; drift events and retrain requests go to `out` as JSON lines.

    `progress(bytes done, bytes in all)` is called now and then. Raises `DriftbusError` for a file that
    cannot be read.
    """
    summary = Summary()
    partition = Partition(0, settings.stream, settings.limits)
    seen: set[str] = set()
    gathered: list[Line] = []
    for item in _read(files, csv, progress):
        if isinstance(item, Unusable):
            summary.bad_lines += 1
            if len(summary.first_bad) < KEPT_BAD:
                summary.first_bad.append(item)
            continue
        gathered.append(item)
        if len(gathered) >= STEP_LINES:
            _step(partition, gathered, seen, settings, out, summary)
            gathered.clear()
    if gathered:
        _step(partition, gathered, seen, settings, out, summary)
    for name, monitor in partition.streams.items():
        counts = summary.streams.setdefault(name, StreamCounts())
        counts.predictions, counts.outcomes = monitor.ledger.predictions, monitor.ledger.outcomes
        counts.episodes = sum(monitor.ledger.opened.values())
        counts.requests = sum(monitor.policy.requests_total.values())
    return summary


def _read(
    files: Sequence[Path], csv: CsvColumns | None, progress: Callable[[int, int], None]
) -> Iterator[Line | Unusable]:
    sizes = [path.stat().st_size for path in files]
    total, before = sum(sizes), 0
    for path, size in zip(files, sizes, strict=True):
        start = before

        def advance(done: int, start: int = start) -> None:
            progress(start + done, total)

        yield from read_events(path, advance) if csv is None else read_table(path, csv, advance)
        before += size


def _step(
    partition: Partition,
    lines: Sequence[Line],
    seen: set[str],
    settings: Settings,
    out: BinaryIO,
    summary: Summary,
) -> None:
    """Fold some lines. A topic nothing has been read of yet is idle, as at its end for a worker."""
    for some in _until_first_of_topic(lines, seen):
        runs = _runs(partition, some, summary)
        idle = frozenset({"predictions", "labels"} - seen)
        result = partition.step(StepInput(runs, idle))
        before = partition.corrections - len(result.corrections)
        for pos, decision in result.decisions:
            corrections = before + bisect_right(result.correction_rows, pos, key=lambda row: row[0])
            out.write(_printed(decision, corrections, settings))


def _until_first_of_topic(lines: Sequence[Line], seen: set[str]) -> Iterator[Sequence[Line]]:
    """The lines in parts, a new one before the first record of each topic, which then is no longer idle."""
    start = 0
    for index, line in enumerate(lines):
        if line.topic not in seen:
            if index > start:
                yield lines[start:index]
            start = index
            seen.add(line.topic)
    yield lines[start:]


def _runs(partition: Partition, lines: Sequence[Line], summary: Summary) -> list[Run]:
    runs: list[Run] = []
    run: Run | None = None
    for line in lines:
        try:
            event = BUILDERS[line.topic](unwrapped(line.value, ()), line.key, line.ts, line.text)
            if not partition.admits(event.stream):
                raise InvalidRecord("stream_limit", "more streams than limits.max_streams")
        except InvalidRecord as poison:
            summary.dead_letters[poison.reason] = summary.dead_letters.get(poison.reason, 0) + 1
            continue
        if run is None or run.topic != line.topic:
            run = Run(line.topic, [], [], [])
            runs.append(run)
        run.events.append(event)
        run.offsets.append(0)
        run.times.append(line.ts)
    return runs


def _printed(decision: Decision, corrections: int, settings: Settings) -> bytes:
    """One line of output. Offsets are those of a log that holds the outcomes alone: their `seq`."""
    topics = settings.topics
    if isinstance(decision, DriftEvent):
        onset = decision.onset
        topic = topics["outcomes" if onset.labelled else "predictions"]
        place = {"topic": topic, "partition": 0, "offset": onset.seq}
        name, time = "drift-events", decision.detected_at
        value = drift_event(decision, settings.source, place)
    else:
        window = decision.window
        place = {
            "topic": topics["outcomes"],
            "partition": 0,
            "start_offset": window.start_seq,
            "end_offset": window.end_seq,
            "corrections_offset": corrections,
        }
        name, time = "retrain-requests", decision.time
        value = retrain_request(decision, settings.source, place)
    return orjson.dumps(
        {"topic": name, "key": decision.stream, "ts": time, "value": value}, option=orjson.OPT_APPEND_NEWLINE
    )

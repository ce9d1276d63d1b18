"""`driftbus replay`: the worker's core over recorded events, in file order or as a bus has kept them.

What is printed depends on no later record, and not on how many lines are read at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from driftbus.adapters.files.events import Line, Unusable, read_events
from driftbus.adapters.files.tables import CsvColumns, read_table
from driftbus.config import Settings
from driftbus.core.block import Run
from driftbus.core.codec import BUILDERS, decode, unwrapped
from driftbus.core.encode import drift_event, retrain_request
from driftbus.core.partition import Partition, StepInput, StepResult
from driftbus.core.records import Decision, DriftEvent
from driftbus.core.settings import AlarmBudget
from driftbus.errors import InvalidRecord
from driftbus.ports import Bus, Record
from driftbus.recorded import Span, recorded, spans

__all__ = ["CsvColumns", "Summary", "replay", "replay_history"]

# Looks at a partition after a step of it, and changes nothing.
Watch = Callable[[Partition, StepResult], None]
# Lines per step: enough for columns to pay, few enough that memory stays small.
STEP_LINES = 4_096
# How often progress is told: about every tenth of a second.
PROGRESS_RECORDS = 5_000
# Unusable lines that are kept to be shown; all are counted.
KEPT_BAD = 20


class Recorded(NamedTuple):
    """One input as a bus has kept it; `topic` by its short name."""

    topic: str
    ts: int
    record: Record


@dataclass(slots=True)
class StreamCounts:
    """What one stream's events gave. `allowed`: false alarms of drift that the budget allowed for, at most;
    `drifts`: episodes of it, true and false."""

    predictions: int = 0
    outcomes: int = 0
    episodes: int = 0
    requests: int = 0
    budget: AlarmBudget = field(default_factory=AlarmBudget)
    allowed: float = 0.0
    drifts: int = 0


@dataclass(slots=True)
class Summary:
    """What a replay read and found. `dead_letters`: what a worker would have dead-lettered, by reason."""

    streams: dict[str, StreamCounts] = field(default_factory=dict)
    bad_lines: int = 0
    first_bad: list[Unusable] = field(default_factory=list)
    dead_letters: dict[str, int] = field(default_factory=dict)

    def refuse(self, line: Unusable) -> None:
        """Count a line that is no record; the first of them are kept."""
        self.bad_lines += 1
        if len(self.first_bad) < KEPT_BAD:
            self.first_bad.append(line)


def replay(
    files: Sequence[Path],
    settings: Settings,
    *,
    csv: CsvColumns | None,
    out: BinaryIO,
    progress: Callable[[int, int], None],
    watch: Watch | None = None,
    beside: tuple[Settings, Watch] | None = None,
) -> Summary:
    """Fold the files' records in order; drift events and retrain requests go to `out` as JSON lines.

    `progress(bytes done, bytes in all)` is called now and then, `watch` after every step. `beside`: other
    settings that the same records are folded under, seen by their `Watch` alone. Raises `DriftbusError` for a
    file that cannot be read.
    """
    summary = Summary()
    _fold(_read(files, csv, progress), settings, summary, out, watch, beside)
    return summary


def replay_history(
    bus: Bus,
    settings: Settings,
    begin_ms: int | None,
    end_ms: int | None,
    *,
    out: BinaryIO,
    progress: Callable[[int, int], None],
    watch: Watch | None = None,
    beside: tuple[Settings, Watch] | None = None,
) -> Summary:
    """The same over what the bus keeps of the inputs, written at begin ≤ t < end (None: all there is): one
    partition after the other, each in the order of time. `progress(records done, records in all)`.

    Nothing is written to the bus, and no group is joined. Raises `BusError`.
    """
    partitions = range(bus.partitions(settings.topics["predictions"]))
    kept = [spans(bus, settings.topics, number, begin_ms, end_ms) for number in partitions]
    total = sum(span.end - span.start for some in kept for span in some)
    summary, done = Summary(), 0

    def counted(some: list[Span]) -> Iterator[Recorded]:
        nonlocal done
        for name, record in recorded(bus, some):
            done += 1
            if done % PROGRESS_RECORDS == 0:
                progress(done, total)
            yield Recorded(name, record.timestamp_ms, record)

    for some in kept:
        _fold(counted(some), settings, summary, out, watch, beside)
    return summary


def _fold(
    items: Iterable[Line | Recorded | Unusable],
    settings: Settings,
    summary: Summary,
    out: BinaryIO,
    watch: Watch | None,
    beside: tuple[Settings, Watch] | None,
) -> None:
    """Fold the items as one partition; what they came to is added to the summary."""
    folding = _Replay(settings, summary, out, watch)
    other = _Replay(beside[0], Summary(), None, beside[1]) if beside is not None else None
    gathered: list[Line | Recorded] = []
    try:
        for item in items:
            if isinstance(item, Unusable):
                summary.refuse(item)
                continue
            gathered.append(item)
            if len(gathered) >= STEP_LINES:
                folding.fold(gathered)
                if other is not None:
                    other.fold(gathered)
                gathered.clear()
    finally:
        # Also where a file breaks off: what was read before has been decided.
        if gathered:
            folding.fold(gathered)
            if other is not None:
                other.fold(gathered)
    folding.finish()


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


class _Replay:
    """One partition that holds every stream, and what has been read of each topic so far."""

    def __init__(
        self, settings: Settings, summary: Summary, out: BinaryIO | None, watch: Watch | None
    ) -> None:
        self.settings = settings
        self.out = out
        self.watch = watch
        self.summary = summary
        self.partition = Partition(0, settings.stream, settings.limits)
        self.read: dict[str, int] = {}  # topic → records so far: the offset of the next one

    def fold(self, lines: Sequence[Line | Recorded]) -> None:
        """Fold some lines. A topic nothing has been read of yet is idle, as at its end for a worker."""
        for some in _until_first_of_topic(lines, set(self.read)):
            runs = self._runs(some)
            result = self.partition.step(
                StepInput(runs, frozenset({"predictions", "labels"} - set(self.read)))
            )
            for defect in self.partition.defects.values():
                raise defect  # nobody else waits here: better no answer than half of one
            if self.watch is not None:
                self.watch(self.partition, result)
            if self.out is None:
                continue
            before = self.partition.corrections - len(result.corrections)
            for pos, decision in result.decisions:
                corrections = before + bisect_right(result.correction_rows, pos, key=lambda row: row[0])
                self.out.write(_printed(decision, corrections, self.settings))

    def _runs(self, lines: Sequence[Line | Recorded]) -> list[Run]:
        runs: list[Run] = []
        run: Run | None = None
        for line in lines:
            offset = self.read.get(line.topic, 0)
            self.read[line.topic] = offset + 1
            try:
                event = self._event(line)
                if not self.partition.admits(event.stream):
                    raise InvalidRecord("stream_limit", "more streams than limits.max_streams")
            except InvalidRecord as poison:
                letters = self.summary.dead_letters
                letters[poison.reason] = letters.get(poison.reason, 0) + 1
                continue
            if run is None or run.topic != line.topic:
                run = Run(line.topic, [], [], [])
                runs.append(run)
            run.events.append(event)
            run.offsets.append(offset)
            run.times.append(line.ts)
        return runs

    def _event(self, line: Line | Recorded) -> Any:
        """Raises `InvalidRecord`."""
        if isinstance(line, Line):
            if line.value is None:
                raise InvalidRecord("tombstone", "the value is null")
            return BUILDERS[line.topic](unwrapped(line.value, ()), line.key, line.ts, line.text)
        record, most = line.record, self.settings.limits.max_record_bytes
        return decode(line.topic, record.key, record.value, record.headers, record.timestamp_ms, most)

    def finish(self) -> None:
        """Add what each stream came to to the summary."""
        for name, monitor in self.partition.streams.items():
            self.summary.streams[name] = StreamCounts(
                monitor.ledger.predictions,
                monitor.ledger.outcomes,
                sum(monitor.ledger.opened.values()),
                sum(monitor.policy.requests_total.values()),
                monitor.settings.false_alarms,
                monitor.false_alarms_allowed,
                monitor.ledger.opened.get("concept", 0),
            )


def _until_first_of_topic(
    lines: Sequence[Line | Recorded], seen: Set[str]
) -> Iterator[Sequence[Line | Recorded]]:
    """The lines in parts, a new one before the first record of each topic, which then is no longer idle."""
    seen = set(seen)
    start = 0
    for index, line in enumerate(lines):
        if line.topic not in seen:
            if index > start:
                yield lines[start:index]
            start = index
            seen.add(line.topic)
    yield lines[start:]


def _printed(decision: Decision, corrections: int, settings: Settings) -> bytes:
    """One line of output. Offsets: of an outcome its `seq`, of a prediction its number in the files."""
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

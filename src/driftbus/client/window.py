"""A training window: which rows of `outcomes` a request names, and reading exactly those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from driftbus.errors import OffsetOutOfRange, WindowExpired
from driftbus.ports import Bus

Row = dict[str, Any]


@dataclass(frozen=True)
class TrainingWindow:
    """Rows of one stream in `topic`, `start_offset` ≤ offset < `end_offset` (the same in `seq`).

    `rows` of them, counted by label in `class_counts` (empty for regression); `rows_since_onset` with
    `ts` ≥ `onset_ts`. Labels changed before `corrections_offset` in `label-corrections` are corrected.
    """

    topic: str
    partition: int
    start_offset: int
    end_offset: int
    start_seq: int
    end_seq: int
    rows: int
    class_counts: Mapping[str, int]
    onset_ts: str | None
    rows_since_onset: int
    corrections_offset: int
    start_ts: str | None
    end_ts: str | None
    sample: float

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> TrainingWindow:
        """From the event's `training_window`. Raises `KeyError`, `TypeError`, `ValueError` on nonsense."""
        rows = int(data["rows"])
        return cls(
            topic=str(data["topic"]),
            partition=int(data["partition"]),
            start_offset=int(data["start_offset"]),
            end_offset=int(data["end_offset"]),
            start_seq=int(data["start_seq"]),
            end_seq=int(data["end_seq"]),
            rows=rows,
            class_counts=dict(data.get("class_counts") or {}),
            onset_ts=data.get("onset_ts"),
            rows_since_onset=int(data.get("rows_since_onset", rows)),
            corrections_offset=int(data.get("corrections_offset") or 0),
            start_ts=data.get("start_ts"),
            end_ts=data.get("end_ts"),
            sample=float(data.get("sample", 1.0)),
        )


def read_window(
    bus: Bus, stream: str, window: TrainingWindow, corrections_topic: str | None, *, since_onset: bool
) -> Iterator[Row]:
    """The window's outcomes in order, with the labels of `corrections_topic` (None: as first given).

    Raises `WindowExpired` here and now when the beginning is no longer held, and while iterating, instead
    of ending, when fewer rows were found than the request promised.
    """
    begin = bus.begin_offset(window.topic, window.partition)
    if window.rows and window.start_offset < begin:
        raise WindowExpired(
            f"{window.topic}[{window.partition}] begins at offset {begin}, "
            f"the window of {stream!r} at {window.start_offset}"
        )
    labels: Mapping[int, Any] = {}
    if corrections_topic is not None:
        end = window.corrections_offset
        seqs = range(window.start_seq, window.end_seq)
        labels = corrected_labels(bus, stream, corrections_topic, window.partition, end, seqs)
    return _rows(bus, stream, window, labels, since_onset)


def outcomes_of(bus: Bus, stream: str, topic: str, partition: int, start: int, end: int) -> Iterator[Row]:
    """One stream's outcomes among those with `start` ≤ offset < `end`. An outcome's key is its stream, so the
    others' text, most of a partition as a rule, is not looked at. What is no outcome is passed over. Raises
    `OffsetOutOfRange`."""
    key = stream.encode()
    for record in bus.read_from(topic, partition, start, end):
        if record.value is None or (record.key is not None and record.key != key):
            continue
        row = _object(record.value)
        if row.get("stream") == stream and isinstance(row.get("seq"), int):
            yield row


def _rows(
    bus: Bus, stream: str, window: TrainingWindow, labels: Mapping[int, Any], since_onset: bool
) -> Iterator[Row]:
    onset_ms = epoch_ms(window.onset_ts) if since_onset and window.onset_ts is not None else None
    found = 0
    try:
        start, end = window.start_offset, window.end_offset
        for row in outcomes_of(bus, stream, window.topic, window.partition, start, end):
            found += 1
            if onset_ms is not None and epoch_ms(row["ts"]) < onset_ms:
                continue
            if row["seq"] in labels:
                row = with_label(row, labels[row["seq"]], regression=not window.class_counts)
            yield row
    except OffsetOutOfRange as error:
        raise WindowExpired(f"the window of {stream!r} was removed while it was read: {error}") from error
    if found != window.rows:
        raise WindowExpired(f"the window of {stream!r} holds {found} rows of {window.rows}")


def corrected_labels(
    bus: Bus, stream: str, topic: str, partition: int, end: int, seqs: range | None = None
) -> dict[int, Any]:
    """seq → the last label given before offset `end` of `label-corrections`, for the stream's rows (those of
    `seqs`, where given); corrections share the outcomes' partition."""
    labels: dict[int, Any] = {}
    begin = bus.begin_offset(topic, partition)
    if end <= begin:
        return labels
    key = stream.encode()
    for record in bus.read_from(topic, partition, begin, end):
        if record.value is None or (record.key is not None and record.key != key):
            continue
        correction = _object(record.value)
        seq = correction.get("seq")
        if correction.get("stream") != stream or not isinstance(seq, int) or "label" not in correction:
            continue
        if seqs is None or seq in seqs:
            labels[seq] = correction["label"]
    return labels


def _object(value: bytes) -> dict[str, Any]:
    """A record's JSON object; an empty one for whatever else somebody wrote into the topic."""
    try:
        read = orjson.loads(value)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def with_label(row: Row, label: Any, *, regression: bool) -> Row:
    """The row as if `label` had come first. Python's equality is the contract's: 1 = 1.0 = true ≠ "1"."""
    error = row.get("error")
    if error is not None:
        prediction = row["prediction"]
        error = abs(label - prediction) if regression else int(label != prediction)
    return row | {"label": label, "error": error}


def epoch_ms(ts: int | str) -> int:
    """Event time as the contract writes it, in epoch milliseconds."""
    return ts if isinstance(ts, int) else round(datetime.fromisoformat(ts).timestamp() * 1000)

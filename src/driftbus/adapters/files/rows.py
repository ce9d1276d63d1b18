"""Rows of a training set: tables as `tables` reads them, and JSON lines of outcomes or of rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from driftbus.adapters.files.events import Unusable
from driftbus.adapters.files.tables import TrainingColumns, read_rows
from driftbus.errors import DriftbusError

_TABLES = (".csv", ".csv.gz", ".parquet")


class TrainingRow(NamedTuple):
    """`ts` as it stands in the file, `stream` where the row says of which it is; else None."""

    features: dict[str, Any]
    score: Any
    ts: Any
    stream: str | None = None


def read_training_set(
    path: Path, columns: TrainingColumns, beside: Collection[str]
) -> Iterator[TrainingRow | Unusable]:
    """Every row of one file; columns in `beside` are no features. Raises `ConfigError` for a column that a
    table lacks, `DriftbusError` for a file that cannot be read."""
    if path.name.lower().endswith(_TABLES):
        for _, row in read_rows(path, columns, lambda done: None):
            yield _of_row(row, columns, beside)
        return
    with open(path, "rb") as raw:
        source = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
        try:
            for number, text in enumerate(source, 1):
                found = _of_line(text, path, number, columns, beside) if text.strip() else None
                if found is not None:
                    yield found
        except (EOFError, zlib.error, OSError) as error:
            raise DriftbusError(f"{path}: cannot be read further: {error}") from error


def _of_line(
    text: bytes, path: Path, number: int, columns: TrainingColumns, beside: Collection[str]
) -> TrainingRow | Unusable | None:
    """An outcome or a prediction, bare or recorded with its topic; or a row, a field a column. None for what
    is recorded of other topics."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Unusable(path, number, f"not JSON: {error}")
    if type(row) is not dict:
        return Unusable(path, number, "not an object")
    stream = None
    if "topic" in row and type(row.get("value")) is dict:
        if row["topic"] not in ("predictions", "outcomes"):
            return None
        stream, row = row.get("key"), row["value"]
    features = row.get("features")
    if type(features) is dict and "prediction" in row:
        stream = row.get("stream", stream)
        return TrainingRow(_without(features, beside), row.get("score"), row.get("ts"), stream)
    return _of_row(row, columns, beside)


def _of_row(row: dict[str, Any], columns: TrainingColumns, beside: Collection[str]) -> TrainingRow:
    special = {columns.label, columns.prediction, columns.score, columns.timestamp, *beside}
    score = None if columns.score is None else row.get(columns.score)
    ts = None if columns.timestamp is None else row.get(columns.timestamp)
    return TrainingRow(_without(row, special), score, ts)


def _without(row: dict[str, Any], names: Collection[str | None]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}

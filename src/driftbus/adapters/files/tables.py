"""Tables with a row per prediction and its label: CSV (plain or gzipped) and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from driftbus.adapters.files.events import PROGRESS_LINES, Line, Unusable
from driftbus.errors import ConfigError, DriftbusError

# Rows without a time of their own are a minute apart: durations of hours then span hundreds of rows.
ROW_SPACING_MS = 60_000
# A table's stream is named as the file, without these; any other dot belongs to the name.
_SUFFIXES = re.compile(r"(\.csv|\.parquet)?(\.gz)?$", re.IGNORECASE)
FIRST_ROW_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Which columns of a table hold what; every other column is a feature."""

    label: str
    prediction: str
    score: str | None = None
    timestamp: str | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingColumns:
    """The same of a training set, which need not have them."""

    label: str | None = None
    prediction: str | None = None
    score: str | None = None
    timestamp: str | None = None


def read_table(path: Path, columns: CsvColumns, advance: Callable[[int], None]) -> Iterator[Line | Unusable]:
    """Each row as a prediction and, at once, its label. Raises `ConfigError` for a column it lacks."""
    stream = columns.stream or _SUFFIXES.sub("", path.name) or path.name
    key = stream.encode()
    previous = FIRST_ROW_MS - ROW_SPACING_MS
    special = {columns.label, columns.prediction, columns.score, columns.timestamp}
    for number, row in read_rows(path, columns, advance):
        try:
            ts = previous + ROW_SPACING_MS if columns.timestamp is None else _time(row[columns.timestamp])
        except ValueError as error:
            yield Unusable(path, number, f"{columns.timestamp}: {error}")
            continue
        previous = ts
        pid = f"{stream}-{number}"
        features = {name: value for name, value in row.items() if name not in special}
        prediction: dict[str, Any] = {
            "prediction_id": pid,
            "features": features,
            "prediction": row[columns.prediction],
        }
        if columns.score is not None:
            prediction["score"] = row[columns.score]
        yield Line("predictions", key, ts, prediction, b"")
        yield Line("labels", key, ts, {"prediction_id": pid, "label": row[columns.label]}, b"")


def read_rows(
    path: Path, columns: CsvColumns | TrainingColumns, advance: Callable[[int], None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its number, a value a column. Raises `ConfigError` for a column it lacks, `DriftbusError`
    where it cannot be read further."""
    if path.name.lower().endswith(".parquet"):
        yield from _parquet_rows(path, columns)
        return
    with open(path, "rb") as raw:
        unpacked = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
        try:
            reader = csv.DictReader(io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline=""))
            _check(columns, list(reader.fieldnames or ()))
            for number, row in enumerate(reader, 2):
                if number % PROGRESS_LINES == 0:
                    advance(raw.tell())
                yield number, {name: _value(text) for name, text in row.items() if name is not None}
        except BrokenPipeError:
            raise  # `advance` sends out what was decided so far: whoever reads it has gone, not this file
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
            raise DriftbusError(f"{path}: cannot be read further: {error}") from error


def _parquet_rows(path: Path, columns: CsvColumns | TrainingColumns) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise DriftbusError(f"{path}: Parquet files need pyarrow: pip install 'driftbus[parquet]'") from None
    from pyarrow import ArrowException  # type: ignore[import-not-found,import-untyped,unused-ignore]

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _check(columns, list(file.schema_arrow.names))
            for batch in file.iter_batches(batch_size=PROGRESS_LINES):
                for row in batch.to_pylist():
                    number += 1
                    yield (
                        number,
                        {name: _cell(value, name == columns.timestamp) for name, value in row.items()},
                    )
    except (ArrowException, OSError) as error:
        raise DriftbusError(f"{path}: cannot be read further: {error}") from error


def _check(columns: CsvColumns | TrainingColumns, present: list[str]) -> None:
    for option, name in (
        ("--label", columns.label),
        ("--prediction", columns.prediction),
        ("--score", columns.score),
        ("--timestamp", columns.timestamp),
    ):
        if name is not None and name not in present:
            raise ConfigError(option, name, f"a column of the table: {', '.join(present)}")


def _cell(value: Any, is_time: bool) -> Any:
    """A Parquet value as JSON has it: nothing for what is not finite, text for what has no JSON form."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if is_time or value is None or isinstance(value, bool | int | str | list | dict):
        return value
    return str(value)


def _value(text: str | None) -> Any:
    """A cell as a value: a number where it reads as one, nothing where it is empty."""
    if text is None or text == "":
        return None
    if "_" in text:
        return text  # Python would read 2021_01 as a number; nobody else does
    try:
        return int(text) if len(text) < 19 else float(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if abs(number) < float("inf") else None


def _time(value: Any) -> int:
    """Epoch milliseconds from a cell: milliseconds, seconds, or a date with or without time and offset."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # Seconds until the year 5138, milliseconds from 1973 on: there is no overlap worth asking for.
        return int(value * 1000) if value < 1e11 else int(value)
    else:
        moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)

"""Outcomes into a file: Parquet, CSV or JSON lines. The name appears when all is written, or never."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from driftbus.client.columns import Columns, Flat, Kind, cells, flat
from driftbus.client.window import Row
from driftbus.errors import DriftbusError

# Rows of one batch of a Parquet file: a few MB with a hundred features.
BATCH_ROWS = 10_000

Writer = Callable[[Iterable[Row], Path, Mapping[str, str]], int]


class NotInstalled(DriftbusError, ImportError):
    """An optional package is missing; the message says how to install it."""


def write_jsonl(rows: Iterable[Row], path: Path, about: Mapping[str, str]) -> int:
    """Each outcome as it is, a line each. How many."""
    with _appearing(path) as out:
        return write_lines(rows, out)


def write_lines(rows: Iterable[Row], out: IO[bytes]) -> int:
    """JSON lines into an open file. How many."""
    n = 0
    for row in rows:
        out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        n += 1
    return n


def write_csv(rows: Iterable[Row], path: Path, about: Mapping[str, str]) -> int:
    """Features flattened, a header first. Text stands in quotes, numbers and `true` do not, null is nothing;
    arrays and objects are JSON. How many rows."""
    with _appearing(path) as out, _spooled(rows) as (columns, flats):
        names = columns.names
        out.write(",".join(_quoted(name) for name in names).encode() + b"\n")
        for row in flats:
            out.write(",".join([_csv_cell(row.get(name)) for name in names]).encode() + b"\n")
        return columns.rows


def write_parquet(rows: Iterable[Row], path: Path, about: Mapping[str, str]) -> int:
    """Features flattened, times as UTC timestamps, `about` as the file's metadata. How many rows.

    Raises `NotInstalled` without pyarrow, before a row is read.
    """
    try:
        import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise NotInstalled("Parquet needs pyarrow: pip install 'driftbus[parquet]'") from error
    types = {
        Kind.BOOL: pa.bool_(),
        Kind.INT: pa.int64(),
        Kind.FLOAT: pa.float64(),
        Kind.TEXT: pa.string(),
        Kind.JSON: pa.string(),
        Kind.TIME: pa.timestamp("ms", tz="UTC"),
    }
    with _appearing(path) as out, _spooled(rows) as (columns, flats):
        kinds = {name: columns.kind(name) for name in columns.names}
        fields = [(name, types[kind]) for name, kind in kinds.items()]
        schema = pa.schema(fields, metadata=dict(about))
        with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in _batches(flats):
                arrays = [pa.array(cells(batch, name, kind), types[kind]) for name, kind in kinds.items()]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
        return columns.rows


# By the ending of a file's name.
WRITERS: Mapping[str, Writer] = {
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".jsonl": write_jsonl,
    ".ndjson": write_jsonl,
}


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name once all is written; when that fails what was there before stays."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as out:
            yield out
        os.replace(part, path)
    except OSError as error:
        raise DriftbusError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it is gone where all went well
            os.unlink(part)


@contextmanager
def _spooled(rows: Iterable[Row]) -> Iterator[tuple[Columns, Iterator[Flat]]]:
    """The columns of all rows, and the rows again: kept in a file meanwhile, for only the last row tells what
    columns there are, and a window may be larger than memory."""
    columns = Columns()
    with tempfile.TemporaryFile() as spool:
        for row in rows:
            one = flat(row)
            columns.see(one)
            spool.write(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE))
        spool.seek(0)
        yield columns, map(orjson.loads, spool)


def _batches(rows: Iterator[Flat]) -> Iterator[list[Flat]]:
    batch: list[Flat] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(value)
    text = orjson.dumps(value).decode()
    return _quoted(text) if isinstance(value, dict | list) else text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

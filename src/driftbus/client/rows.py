"""What `request.rows()` gives: an iterator, that also knows how to become a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from driftbus.client.columns import Kind, gathered
from driftbus.client.tables import NotInstalled, write_csv, write_parquet
from driftbus.client.window import Row


class Rows(Iterator[Row]):
    """Outcomes, one after another: dictionaries with the contract's fields.

    Each `to_…` takes what has not been iterated over yet, with columns as in `driftbus export`: the outcome's
    fields, `features.amount` and the like for its features, slices and signals. All raise `WindowExpired`
    rather than give fewer rows than the request promised.
    """

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows

    def __next__(self) -> Row:
        return next(self._rows)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`; whole numbers with nulls in between are `Int64`, times are UTC.

        Raises `NotInstalled` (an `ImportError`) before a row is read.
        """
        try:
            import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise NotInstalled("to_pandas() needs pandas: pip install pandas") from error
        columns, values = gathered(self)
        dtypes = {
            Kind.BOOL: ("bool", "boolean"),
            Kind.INT: ("int64", "Int64"),
            Kind.FLOAT: ("float64", "float64"),
        }
        series = {}
        for name, cells in values.items():
            kind = columns.kind(name)
            if kind is Kind.TIME:
                series[name] = pandas.to_datetime(pandas.Series(cells, dtype="Int64"), unit="ms", utc=True)
            else:
                dtype = dtypes.get(kind, ("object", "object"))[None in cells]
                series[name] = pandas.Series(cells, dtype=dtype)
        return pandas.DataFrame(series)

    def to_polars(self) -> Any:
        """A `polars.DataFrame`; times are UTC.

        Raises `NotInstalled` (an `ImportError`) before a row is read.
        """
        try:
            import polars  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError as error:
            raise NotInstalled("to_polars() needs polars: pip install polars") from error
        types: dict[Kind, Any] = {
            Kind.BOOL: polars.Boolean,
            Kind.INT: polars.Int64,
            Kind.FLOAT: polars.Float64,
            Kind.TEXT: polars.String,
            Kind.JSON: polars.String,
            Kind.TIME: polars.Datetime("ms", "UTC"),
        }
        columns, values = gathered(self)
        schema = {name: types[columns.kind(name)] for name in values}
        return polars.DataFrame(values, schema=schema)

    def to_csv(self, path: str | Path) -> int:
        """A CSV file, made whole or not at all; how many rows. Text is quoted, null is nothing."""
        return write_csv(self, Path(path), {})

    def to_parquet(self, path: str | Path) -> int:
        """A Parquet file, made whole or not at all; how many rows. Needs `driftbus[parquet]`."""
        return write_parquet(self, Path(path), {})

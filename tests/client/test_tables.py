"""`request.rows()` as a table: columns, kinds, values; and what a stream's rows cost among others'."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pandas
import polars
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client import Request
from driftbus.client.columns import FIXED, Kind, converted, flat, gathered
from driftbus.client.rows import Rows
from driftbus.errors import DriftbusError, WindowExpired
from tests.client.test_requests import append, one_request, outcome, window  # noqa: F401 - a fixture

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=2)
    ),
    max_leaves=3,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prediction": JSON,
            "label": JSON,
            "score": st.none() | st.floats(0, 1) | st.dictionaries(st.sampled_from("xy"), st.floats(0, 1)),
            "features": st.none() | st.dictionaries(st.text("ab.", max_size=2), JSON, max_size=3),
        }
    ).map(lambda drawn: {**outcome(0), **drawn}),
    max_size=6,
)


def same(held: Any, given: Any) -> bool:
    """Equal, and not by Python's `1 == True` where a column could have told them apart."""
    return held == given and isinstance(held, str) == isinstance(given, str)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_any_rows_become_the_same_table_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, rows: Any
) -> None:
    rows = [orjson.loads(orjson.dumps(row)) for row in rows]
    columns, values = gathered(rows)
    path = tmp_path_factory.mktemp("t") / "rows"
    assert Rows(iter(rows)).to_parquet(path) == len(rows)
    table = parquet.read_table(path)
    assert table.column_names == list(values)
    frame, panda = Rows(iter(rows)).to_polars(), Rows(iter(rows)).to_pandas()
    assert frame.columns == list(panda.columns) == list(values)
    for name, cells in values.items():
        kind = columns.kind(name)
        wanted = [converted(flat(row).get(name), kind) for row in rows]
        assert all(map(same, cells, wanted))
        if kind is Kind.TIME:
            wanted = [None if ms is None else datetime.fromtimestamp(ms / 1000, UTC) for ms in wanted]
        assert table.column(name).to_pylist() == wanted
        assert frame[name].to_list() == wanted
        shown = [None if pandas.isna(value) else value for value in panda[name].tolist()]
        assert shown == wanted


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_csv_cell_says_which_value_it_was(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    """Read by the standard library's reader."""
    rows = [orjson.loads(orjson.dumps(row)) for row in rows]
    path = tmp_path_factory.mktemp("t") / "rows.csv"
    assert Rows(iter(rows)).to_csv(path) == len(rows)
    read = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    names = read[0]
    assert len(read) == 1 + len(rows)
    for row, cells in zip(rows, read[1:], strict=True):
        for name, cell in zip(names, cells, strict=True):
            value = flat(row).get(name)
            shown = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
            assert cell == shown


def test_in_a_csv_file_text_null_and_numbers_can_be_told_apart(tmp_path: Path) -> None:
    labels = [None, "", "1", 1, 1.0, True, "true", 'a "b"\r\n', [1, "x"]]
    Rows({"label": label} for label in labels).to_csv(tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_bytes().decode()
    fixed = len(FIXED)
    before, after = "," * FIXED.index("label"), "," * (fixed - 1 - FIXED.index("label")) + "\n"
    shown = ["", '""', '"1"', "1", "1.0", "true", '"true"', '"a ""b""\r\n"', '"[1,""x""]"']
    assert lines == ",".join(f'"{name}"' for name in FIXED) + "\n" + "".join(
        f"{before}{cell}{after}" for cell in shown
    )


def test_columns_stand_in_one_order_and_hold_what_fits() -> None:
    rows = [
        {"features": {"a": 1, "b": True, "mixed": 1}, "score": {"x": 0.5}, "label": True},
        {
            "features": {"a": 2.5, "c": None, "mixed": "1"},
            "slices": {"r": "eu"},
            "score": {"y": 1},
            "label": 1,
        },
        {"features": {"a": 2**60, "deep": [1]}, "label": None},
    ]
    columns, values = gathered(rows)
    opened = [
        "score.x",
        "score.y",
        "features.a",
        "features.b",
        "features.mixed",
        "features.c",
        "features.deep",
    ]
    assert list(values) == [*(name for name in FIXED if name != "score"), *opened, "slices.r"]
    assert values["label"] == [1, 1, None]
    assert columns.kind("features.a") is Kind.JSON  # as a float, 2**60 and 2**60 + 1 would be the same
    assert values["features.mixed"] == ["1", '"1"', None]
    assert values["features.deep"] == [None, None, "[1]"]
    assert columns.kind("error") is Kind.FLOAT
    assert values["score.x"] == [0.5, None, None]


def test_a_request_becomes_a_table_of_its_rows(
    bus: EmbeddedBus,
    one_request: Callable[..., Request],  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    rows = [outcome(seq) | {"features": {"x": seq}} for seq in range(3)]
    append(bus, "driftbus.outcomes", rows)
    append(bus, "driftbus.label-corrections", [{"stream": "fraud", "seq": 1, "label": 1}])
    request = one_request(**window(3, 0, 3, corrections_offset=1))
    given_rows = request.rows()
    assert iter(given_rows) is given_rows
    assert next(given_rows) == rows[0]
    assert given_rows.to_pandas()["label"].tolist() == [1, 0]
    assert request.rows().to_polars()["label"].to_list() == [0, 1, 0]
    assert request.rows(corrected=False).to_polars()["features.x"].to_list() == [0, 1, 2]
    assert request.rows().to_csv(tmp_path / "rows.csv") == 3
    assert polars.read_csv(tmp_path / "rows.csv")["error"].to_list() == [0, 1, 0]
    assert math.isnan(request.rows().to_pandas()["weight"][0])


def test_a_table_of_fewer_rows_than_promised_is_none(
    bus: EmbeddedBus,
    one_request: Callable[..., Request],  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    append(bus, "driftbus.outcomes", [outcome(seq) for seq in range(3)])
    request = one_request(**window(4, 0, 3))
    for become in (
        lambda: request.rows().to_pandas(),
        lambda: request.rows().to_polars(),
        lambda: request.rows().to_csv(tmp_path / "rows.csv"),
        lambda: request.rows().to_parquet(tmp_path / "rows.parquet"),
    ):
        with pytest.raises(WindowExpired):
            become()
    assert [path.name for path in tmp_path.iterdir()] == ["bus"]


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DriftbusError, match="cannot be written: No such file"):
        Rows(iter([])).to_csv(tmp_path / "none" / "rows.csv")


def test_a_package_that_is_missing_is_named_before_a_row_is_read() -> None:
    code = """
    import sys
    for name in ("pandas", "polars", "pyarrow"):
        sys.modules[name] = None
    from driftbus.client.rows import Rows
    left = iter([{}])
    for become in (Rows(left).to_pandas, Rows(left).to_polars, lambda: Rows(left).to_parquet("no/such")):
        try:
            become()
        except ImportError as error:
            print(error)
    print(len(list(left)), "left")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "to_pandas() needs pandas: pip install pandas",
        "to_polars() needs polars: pip install polars",
        "Parquet needs pyarrow: pip install 'driftbus[parquet]'",
        "1 left",
    ]

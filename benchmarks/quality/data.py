"""The recorded files: where they lie, their rows, what is true of them.

The folder is named by DRIFTBUS_QUALITY_DATA, or lies beside the project (`../shared/data`); it is read, never
copied.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.quality.stream import Floats
from numpy.typing import NDArray

from driftbus.adapters.files.tables import _value as cell

VARIABLE = "DRIFTBUS_QUALITY_DATA"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def folder() -> Path:
    """Where the files should be."""
    return Path(os.environ.get(VARIABLE, BESIDE))


def present() -> bool:
    """Whether the files are there."""
    return (folder() / "TRUTH.json").is_file()


def absence() -> str:
    """Why a suite cannot be run without them."""
    return f"there is no TRUTH.json in {folder()} (the folder of the recorded files is named by {VARIABLE})"


@lru_cache(maxsize=1)
def _truth() -> dict[str, Any]:
    known: dict[str, Any] = json.loads((folder() / "TRUTH.json").read_text())
    return known


def truth(name: str) -> dict[str, Any]:
    """What is known of a file."""
    known: dict[str, Any] = _truth()[f"{name}.csv.gz"]
    return known


@lru_cache(maxsize=2)
def columns(name: str) -> dict[str, list[Any]]:
    """A file's columns, cells as `driftbus replay` reads them."""
    with gzip.open(folder() / f"{name}.csv.gz", "rt", newline="") as text:
        reader = csv.reader(text)
        head = next(reader)
        return {
            key: list(map(cell, column)) for key, column in zip(head, zip(*reader, strict=True), strict=True)
        }


def matrix(table: dict[str, list[Any]], names: list[str]) -> Floats:
    """Columns as numbers; a column of texts is counted in the order of its values."""
    return np.stack([_numbers(table[name]) for name in names], 1)


def _numbers(column: list[Any]) -> Floats:
    if any(type(value) is str for value in column):
        order = {value: float(i) for i, value in enumerate(sorted(set(map(str, column))))}
        return np.array([order[str(value)] for value in column])
    return np.array([np.nan if value is None else value for value in column], float)


def classes(column: list[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """A label column as numbers from 0, and the classes they stand for."""
    known = sorted(set(column), key=repr)
    order = {value: i for i, value in enumerate(known)}
    return np.array([order[value] for value in column], np.int64), known

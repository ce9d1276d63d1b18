"""Bodies of inference requests and responses → rows: Open Inference (V2), TensorFlow's V1, data frames, CSV.

Of a request each row is its features, of a response its outputs, both by name:

    V2          {"inputs": [{"name", "shape": [rows, …], "datatype", "data"}]}    {"outputs": […]}
    V1          {"instances": [row, …]}                                           {"predictions": [row, …]}
    data frame  {"dataframe_split": {"columns", "data"}}, {"dataframe_records": [row, …]}
    CSV         a row a line

https://github.com/kserve/open-inference-protocol, https://www.tensorflow.org/tfx/serving/api_rest,
https://mlflow.org/docs/latest/deployment/deploy-model-locally (the scoring server's input).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from driftbus.errors import InvalidRecord

Json = Any
# A batch of so many rows in one record is a batch job's, which has the emitter; more only fills a
# transaction.
MAX_ROWS = 10_000
# A vector longer than this is an image or an embedding: carried as one array, not named element by element.
MAX_COLUMNS = 1_000
# Of nested arrays: V2 tensors have at most a few dimensions.
_MAX_DEPTH = 16


def request_rows(body: Json) -> list[dict[str, Json]]:
    """The inputs of each row of a request, by name. Raises `InvalidRecord`."""
    if type(body) is dict:
        if "dataframe_split" in body:
            return _split(body["dataframe_split"])
        for name in ("dataframe_records", "instances"):
            if name in body:
                return [_by_name(row, "") for row in _several(body[name], name)]
        inputs = body.get("inputs")
        if _are_tensors(inputs):
            return _tensors(inputs, "inputs")
        if type(inputs) is dict:
            return _columnar(inputs)
        if type(inputs) is list:
            return [_by_name(row, "") for row in _several(inputs, "inputs")]
    raise InvalidRecord("unknown_body", "no inputs, instances or data frame in the request")


def response_rows(body: Json) -> list[dict[str, Json]]:
    """The outputs of each row of a response, by name; one without a name is called `output`."""
    if type(body) is dict:
        for name in ("predictions", "outputs"):
            found = body.get(name)
            if _are_tensors(found):
                return _tensors(found, name)
            if type(found) is dict:
                return _columnar(found)
            if type(found) is list:
                return [row if type(row) is dict else {"output": row} for row in _several(found, name)]
            if found is not None:
                return [{"output": found}]
    raise InvalidRecord("unknown_body", "no outputs or predictions in the response")


def is_request(body: Json) -> bool:
    return type(body) is dict and any(
        name in body for name in ("inputs", "instances", "dataframe_split", "dataframe_records")
    )


def is_response(body: Json) -> bool:
    return type(body) is dict and any(name in body for name in ("outputs", "predictions"))


def features_of(inputs: Mapping[str, Json], columns: Sequence[str]) -> dict[str, Json]:
    """One row's inputs as features: a vector becomes a feature per element, named by `columns` where it is
    the only input, else `NAME_0`, `NAME_1`, … Raises `InvalidRecord` where there are more or fewer than
    columns."""
    if columns and len(inputs) == 1:
        (only,) = inputs.values()
        return named(only if type(only) is list else [only], columns)
    features: dict[str, Json] = {}
    for name, value in inputs.items():
        if (
            type(value) is list
            and len(value) <= MAX_COLUMNS
            and not any(type(v) in (list, dict) for v in value)
        ):
            for i, each in enumerate(value):
                features[f"{name}_{i}" if name else f"f{i}"] = each
        else:
            features[name or "value"] = value
    return features


def named(values: Sequence[Json], columns: Sequence[str]) -> dict[str, Json]:
    """Values by the names of `columns`; without any `f0`, `f1`, … Raises `InvalidRecord`."""
    if not columns:
        if len(values) > MAX_COLUMNS:
            return {"values": list(values)}
        return {f"f{i}": value for i, value in enumerate(values)}
    if len(values) != len(columns):
        raise InvalidRecord(
            "wrong_shape", f"{len(values)} values in a row, but {len(columns)} columns configured"
        )
    return dict(zip(columns, values, strict=True))


def csv_rows(text: Json) -> list[list[Json]]:
    """A row a line, numbers as numbers, nothing as null. Raises `InvalidRecord`."""
    if not isinstance(text, str):
        raise InvalidRecord("wrong_type", f"CSV data is {type(text).__name__}, not text")
    try:
        rows = [row for row in csv.reader(text.splitlines()) if row]
    except csv.Error as error:
        raise InvalidRecord("not_csv", f"not CSV: {error}") from None
    _check_count(len(rows))
    return [[cell(each) for each in row] for row in rows]


def cell(text: str) -> Json:
    """A CSV cell: a number where it is one, null where it is empty."""
    text = text.strip()
    if not text:
        return None
    # Python would take 1_000 too, and for floats nan and infinity: texts here.
    if "_" in text or not (text[-1].isdigit() or text[-1] == "."):
        return text
    digits = text.lstrip("+-")
    try:
        if digits.isascii() and digits.isdigit() and len(digits) < 19:
            return int(text)
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def unwrapped(value: Json) -> Json:
    """The value of a list of one, however deep: how servers write a single output."""
    depth = 0
    while type(value) is list and len(value) == 1 and depth < _MAX_DEPTH:
        value, depth = value[0], depth + 1
    return value


def _are_tensors(value: Json) -> TypeGuard[list[dict[str, Json]]]:
    return (
        type(value) is list
        and bool(value)
        and all(type(t) is dict and "data" in t and "name" in t for t in value)
    )


def _tensors(tensors: list[dict[str, Json]], what: str) -> list[dict[str, Json]]:
    """The tensors cut along their first dimension."""
    cut: dict[str, list[Json]] = {}
    for tensor in tensors:
        name = tensor["name"]
        if type(name) is not str:
            raise InvalidRecord("wrong_type", f"the name of one of the {what} is not text")
        cut[name] = _tensor_rows(name, tensor)
    counts = {len(rows) for rows in cut.values()}
    if len(counts) > 1:
        raise InvalidRecord("row_mismatch", f"the {what} have {sorted(counts)} rows")
    return [dict(zip(cut, row, strict=True)) for row in zip(*cut.values(), strict=True)]


def _tensor_rows(name: str, tensor: Mapping[str, Json]) -> list[Json]:
    flat: list[Json] = []
    _flatten(tensor["data"], flat, 0)
    shape = tensor.get("shape")
    if shape is None or shape == []:
        shape = [len(flat)] if shape is None else [1]
    if type(shape) is not list or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise InvalidRecord("wrong_shape", f"the shape of {name!r:.60} is no list of sizes")
    if math.prod(shape) != len(flat):
        raise InvalidRecord(
            "wrong_shape", f"{name!r:.60} has {len(flat)} values, its shape {shape!r:.60} says otherwise"
        )
    rows, width = shape[0], math.prod(shape[1:])
    _check_count(rows)
    if len(shape) == 1 or width == 1:
        return flat
    return [flat[i * width : (i + 1) * width] for i in range(rows)]


def _flatten(value: Json, into: list[Json], depth: int) -> None:
    if type(value) is not list:
        into.append(value)
        return
    if depth >= _MAX_DEPTH:
        raise InvalidRecord("too_deep", f"arrays nest deeper than {_MAX_DEPTH} levels")
    for each in value:
        _flatten(each, into, depth + 1)


def _columnar(columns: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Columns by name (MLflow's and TensorFlow's column format) → rows; a plain value is a column of one."""
    lists = {name: value if type(value) is list else [value] for name, value in columns.items()}
    counts = {len(value) for value in lists.values()}
    if len(counts) != 1:
        raise InvalidRecord("row_mismatch", f"columns have {sorted(counts)} rows")
    _check_count(*counts)
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _split(frame: Json) -> list[dict[str, Json]]:
    """pandas' `split` orientation."""
    if type(frame) is not dict or type(frame.get("data")) is not list:
        raise InvalidRecord("unknown_body", "dataframe_split holds no data")
    names = frame.get("columns")
    rows = _several(frame["data"], "dataframe_split")
    if names is None:
        return [_by_name(row, "") for row in rows]
    if type(names) is not list or not all(type(name) in (str, int) for name in names):
        raise InvalidRecord("wrong_type", "dataframe_split's columns are not names")
    found = []
    for row in rows:
        if type(row) is not list or len(row) != len(names):
            raise InvalidRecord("wrong_shape", "a row of dataframe_split does not fit its columns")
        found.append(dict(zip(map(str, names), row, strict=True)))
    return found


def _by_name(row: Json, name: str) -> dict[str, Json]:
    """A row that is an object as it is; any other as one input without a name."""
    if type(row) is dict:
        return row
    if type(row) is list:
        flat: list[Json] = []
        _flatten(row, flat, 0)
        return {name: flat}
    return {name: row}


def _several(rows: Json, what: str) -> list[Json]:
    if type(rows) is not list:
        raise InvalidRecord("wrong_type", f"{what} is no array")
    _check_count(len(rows))
    return rows


def _check_count(rows: int) -> None:
    if rows == 0:
        raise InvalidRecord("no_rows", "the record holds no row")
    if rows > MAX_ROWS:
        raise InvalidRecord("too_many_rows", f"{rows} rows in one record, more than {MAX_ROWS}")

"""Outcomes as columns: a name and a kind for each, features flattened.

{"ts": …, "label": 1, "features": {"amount": 12.5, "country": "DE"}, "score": 0.8}
→  ts, label, score, features.amount, features.country
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import orjson

Flat = dict[str, Any]

# Every table has these, in this order; the rest follow as they are first seen, each group together.
FIXED = (
    "prediction_id", "stream", "seq", "ts", "label_ts", "label_source", "model_version", "role", "weight",
    "prediction", "score", "label", "error",
)  # fmt: skip
# Objects whose members become columns: `features.amount`. A score may be one, class → probability.
OPENED = ("score", "features", "slices", "signals")
TIMES = frozenset({"ts", "label_ts"})
# Beyond, a float no longer holds every integer.
EXACT = 2**53
INT64 = 2**63


class Kind(Enum):
    """What a column holds, nulls aside. JSON: values that have no kind in common, or arrays and objects."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    TIME = "time"
    JSON = "json"


def flat(row: Mapping[str, Any]) -> Flat:
    """An outcome with its objects opened one level; nothing is lost and no two names meet."""
    shown: Flat = {name: row.get(name) for name in FIXED}
    for name in OPENED:
        members = row.get(name)
        if isinstance(members, dict):
            shown.pop(name, None)
            shown.update((f"{name}.{member}", value) for member, value in members.items())
    return shown


class Columns:
    """The columns of rows seen so far. `see` each flat row; then `names` and `kind`."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {name: set() for name in FIXED}
        self.rows = 0

    def see(self, row: Flat) -> None:
        self.rows += 1
        seen = self._seen
        for name, value in row.items():
            kinds = seen.get(name)
            if kinds is None:
                kinds = seen[name] = set()
            kinds.add(_sort(value))

    @property
    def names(self) -> list[str]:
        """In their order. `score` is left out where every score is an object."""
        opened = {name: [n for n in self._seen if n.startswith(f"{name}.")] for name in OPENED}
        fixed = [
            name for name in FIXED if name != "score" or not opened["score"] or self._seen["score"] - {"null"}
        ]
        return [*fixed, *(name for group in OPENED for name in opened[group])]

    def kind(self, name: str) -> Kind:
        """The narrowest kind that holds every value of a column as it is. `true` and `1` are one class."""
        if name in TIMES:
            return Kind.TIME
        sorts = self._seen[name] - {"null"}
        if not sorts:
            return _EMPTY.get(name, Kind.TEXT)
        for kind, held in _HELD.items():
            if sorts <= held:
                return kind
        return Kind.JSON


_HELD = {
    Kind.BOOL: {"bool"},
    Kind.INT: {"bool", "int", "long"},
    Kind.FLOAT: {"bool", "int", "float"},
    Kind.TEXT: {"str"},
}
# Of columns that all are null.
_EMPTY = {"seq": Kind.INT, "weight": Kind.FLOAT, "score": Kind.FLOAT, "error": Kind.FLOAT}


def _sort(value: Any) -> str:
    if type(value) is int:
        return "int" if -EXACT <= value <= EXACT else "long" if -INT64 <= value < INT64 else "huge"
    return _SORTS.get(type(value), "other")


_SORTS = {type(None): "null", bool: "bool", float: "float", str: "str"}


def converted(value: Any, kind: Kind) -> Any:
    """A value as its column holds it; a time as epoch milliseconds."""
    from driftbus.client.window import epoch_ms

    if value is None:
        return None
    if kind is Kind.INT:
        return int(value)
    if kind is Kind.FLOAT:
        return float(value)
    if kind is Kind.JSON:
        return orjson.dumps(value).decode()
    return epoch_ms(value) if kind is Kind.TIME else value


def gathered(rows: Iterable[Mapping[str, Any]]) -> tuple[Columns, dict[str, list[Any]]]:
    """All rows in memory, a list for each column, values as the column's kind holds them."""
    columns, flats = Columns(), []
    for row in rows:
        one = flat(row)
        columns.see(one)
        flats.append(one)
    return columns, {name: cells(flats, name, columns.kind(name)) for name in columns.names}


def cells(rows: Iterable[Flat], name: str, kind: Kind) -> list[Any]:
    """One column of flat rows; null where a row has no such field."""
    return [converted(row.get(name), kind) for row in rows]

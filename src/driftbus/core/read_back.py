"""Many of our own rows read back at once, as the columns that a restore needs of them.

A restore reads millions of rows and looks at few of their fields: one parse of some thousands together and
no object for each takes half the time of one row after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from driftbus.core.codec import decode_outcome
from driftbus.core.records import Json
from driftbus.core.timestamps import all_epoch_ms
from driftbus.errors import InvalidRecord

# Rows parsed together: what they become stays in the processor's cache (4,096: half as long again).
_PARSED_ROWS = 256
_NAMES = itemgetter("prediction_id", "stream", "ts")
_FIELDS = itemgetter(
    *(
        "seq",
        "stream",
        "prediction_id",
        "ts",
        "label",
        "prediction",
        "score",
        "model_version",
        "role",
        "weight",
    )
)
_TYPES = [{int}, {str}, {str}]  # of the first three


class Recalled(NamedTuple):
    """Columns of outcomes in the order of the log: what their ids are remembered by."""

    seqs: Sequence[int]
    streams: Sequence[str]
    prediction_ids: Sequence[str]
    tss: Sequence[int]
    labels: Sequence[Json]
    predictions: Sequence[Json]
    scores: Sequence[Any]
    versions: Sequence[str | None]
    roles: Sequence[str]
    weights: Sequence[float | None]


def recalled(values: Sequence[bytes]) -> Recalled:
    """Outcomes as they stand in the log, at least one. Raises `InvalidRecord` where one is none."""
    try:
        columns: list[Any] = list(zip(*map(_FIELDS, _together(values)), strict=True))
        if len(columns[0]) == len(values) and [set(map(type, c)) for c in columns[:3]] == _TYPES:
            columns[3] = all_epoch_ms(columns[3])
            return Recalled(*columns)
    except (ValueError, KeyError, TypeError):
        pass
    # One is no outcome: the first such says why.
    for value in values:
        decode_outcome(value)
    raise InvalidRecord("not_an_outcome", f"{len(values)} outcomes do not read as so many")


def named(fragments: Sequence[bytes]) -> tuple[Sequence[str], Sequence[str], Sequence[int]]:
    """Ids, streams and times of pending rows, at least one.

    Raises ValueError, KeyError or TypeError where one is none, `InvalidRecord` where its time is none."""
    texts = [fragment + b"}" for fragment in fragments]
    ids, streams, tss = zip(*map(_NAMES, _together(texts)), strict=True)
    if len(ids) != len(fragments):
        raise ValueError(f"{len(fragments)} rows read as {len(ids)}")
    return ids, streams, all_epoch_ms(tss)


def _together(texts: Sequence[bytes]) -> Iterator[Any]:
    """What each text is as JSON, though not which is whose where one holds several."""
    for start in range(0, len(texts), _PARSED_ROWS):
        yield from orjson.loads(b"[%b]" % b",".join(texts[start : start + _PARSED_ROWS]))

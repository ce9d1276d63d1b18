"""Rows read back together are what they are one by one; what is none of ours is refused as it is alone."""

from __future__ import annotations

import orjson
import pytest

from driftbus.core.codec import decode, decode_outcome, prediction_from_fragment
from driftbus.core.encode import outcome_bytes
from driftbus.core.read_back import Recalled, named, recalled
from driftbus.core.records import Outcome, Prediction
from driftbus.errors import InvalidRecord


def prediction(index: int) -> Prediction:
    """Some written as we write them, some as nobody else would; seconds, milliseconds and other offsets."""
    ts = (
        index * 777,
        f"2026-01-01T00:{index % 60:02d}:00.{index % 1000:03d}Z",
        "2026-01-01t02:00:00.5+02:00",
    )
    raw = {
        "prediction_id": f"p{index}",
        "stream": f"s{index % 3}",
        "ts": ts[index % 3],
        "prediction": [{"a": index}],
        "features": {"x": index / 7, "}": '},{"prediction_id":"q"'},
        "score": None if index % 2 else 0.25,
        "weight": None if index % 5 else 2.0,
        "model_version": None if index % 4 else "v1",
    }
    return decode("predictions", None, orjson.dumps(raw), (), index)  # type: ignore[no-any-return]


ROWS = [prediction(index) for index in range(600)]


def values(rows: list[Prediction]) -> list[bytes]:
    return [outcome_bytes(Outcome(7 + i, p, i % 2, 5, "event"), 0) for i, p in enumerate(rows)]


def one_by_one(texts: list[bytes]) -> Recalled:
    rows = list(map(decode_outcome, texts))
    columns = zip(
        *(
            (
                o.seq,
                p.stream,
                p.prediction_id,
                p.ts,
                o.label,
                p.prediction,
                p.score,
                p.model_version,
                p.role,
                p.weight,
            )
            for o, p in ((row, row.prediction) for row in rows)
        ),
        strict=True,
    )
    return Recalled(*columns)


def test_outcomes_read_together_are_what_each_is() -> None:
    texts = values(ROWS)
    assert [list(column) for column in recalled(texts)] == [list(column) for column in one_by_one(texts)]


def test_pending_rows_read_together_are_what_each_is() -> None:
    fragments = [p.fragment for p in ROWS]
    rows = [prediction_from_fragment(fragment) for fragment in fragments]
    ids, streams, tss = named(fragments)
    assert list(zip(ids, streams, tss, strict=True)) == [(p.prediction_id, p.stream, p.ts) for p in rows]


@pytest.mark.parametrize(
    "stranger",
    [
        b"null",
        b"{",
        b"[1]",
        b"",
        values(ROWS[:1])[0] + b"," + values(ROWS[:1])[0],
        values(ROWS[:1])[0].replace(b'"stream":"s0"', b'"stream":0'),
        values(ROWS[:1])[0].replace(b'"seq":7', b'"seq":"7"'),
        values(ROWS[:1])[0].replace(b'"seq":7', b'"seq":true'),
        values(ROWS[1:2])[0].replace(b'"ts":"2026', b'"ts":"x'),
    ],
)
def test_what_is_no_outcome_is_refused_among_others(stranger: bytes) -> None:
    with pytest.raises(InvalidRecord):
        recalled([*values(ROWS[:300]), stranger, *values(ROWS[:300])])


@pytest.mark.parametrize("stranger", [b"", b"{", b'{"stream":"s","ts":1', b'{"a":1},{"b":2'])
def test_what_is_no_row_is_refused_among_others(stranger: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        named([ROWS[0].fragment, stranger])

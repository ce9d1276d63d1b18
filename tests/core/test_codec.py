"""Bytes become events or `InvalidRecord`; a prediction's fragment says what the event said, in one form."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.codec import decode, decode_outcome, prediction_from_fragment
from driftbus.core.encode import outcome_bytes
from driftbus.core.records import Outcome
from driftbus.core.timestamps import MAX_TS_MS, parsed, rfc3339
from driftbus.errors import InvalidRecord

INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = INTEGERS | st.floats(allow_nan=False, allow_infinity=False, width=32)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
SAID = SCALARS.filter(lambda value: value is not None)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
TIMES = st.integers(0, MAX_TS_MS)
NAMES = st.text(min_size=1, max_size=20)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


PREDICTIONS = st.fixed_dictionaries(
    {
        "prediction_id": NAMES,
        "prediction": SCALARS.filter(lambda value: value is not None) | JSON.filter(bool),
    },
    optional={
        "stream": optional(NAMES),
        "ts": optional(TIMES | TIMES.map(rfc3339)),
        "features": optional(st.dictionaries(st.text(max_size=5), JSON, max_size=4)),
        "score": optional(NUMBERS | st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3)),
        "model_version": optional(st.text(max_size=5)),
        "role": optional(st.sampled_from(["production", "canary", "shadow"])),
        "slices": optional(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
        "signals": optional(st.dictionaries(st.text(max_size=5), NUMBERS, max_size=2)),
        "weight": optional(st.floats(0, 100)),
        "unknown": JSON,
    },
)


@given(PREDICTIONS, st.data())
def test_a_fragment_is_the_event_in_the_outcomes_form(event: dict[str, Any], data: st.DataObject) -> None:
    """All fields of the contract, nothing else, whatever order and form they came in."""
    keys = data.draw(st.permutations(list(event)))
    value = orjson.dumps({key: event[key] for key in keys})
    p = decode("predictions", b"key", value, (), 1_767_225_600_000)
    shown = orjson.loads(p.fragment + b"}")
    assert shown.pop("ts") == rfc3339(p.ts)
    assert shown.pop("stream") == p.stream == (event.get("stream") or "key")
    assert shown.pop("role") == p.role == (event.get("role") or "production")
    names = (
        "prediction_id",
        "features",
        "prediction",
        "score",
        "model_version",
        "slices",
        "signals",
        "weight",
    )
    assert shown == {name: event.get(name) for name in names}
    assert prediction_from_fragment(p.fragment) == p


@given(PREDICTIONS, SAID, TIMES, st.integers(0, 2**40))
def test_an_outcome_is_read_back_as_it_was(event: dict[str, Any], label: Any, ts: int, seq: int) -> None:
    p = decode("predictions", b"key", orjson.dumps(event), (), 0)
    for error in (None, 0, 1, 0.25):
        value = outcome_bytes(Outcome(seq, p, label, ts, "event"), error)
        assert decode_outcome(value) == Outcome(seq, p._replace(fragment=b""), label, ts, "event")
        assert orjson.loads(value)["error"] == error


@given(TIMES, st.integers(-23 * 60, 23 * 60), st.booleans())
def test_times_are_read_in_any_zone_and_written_in_one_form(ts: int, minutes: int, again: bool) -> None:
    text = rfc3339(ts)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ts)
    assert text == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert parsed(text) == (ts, True)
    try:
        elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    except OverflowError:
        return
    if not elsewhere.startswith(("1969", "10000")) and minutes:
        assert parsed(elsewhere) == (ts, False)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00.00०Z",
        "2026-01-01T00:00:00.+12Z",
        "2026-01-01T00:00:60.000Z",
        "2026-01-01T00:00:00.000",
        "2026-01-01",
        "1969-12-31T23:59:59.999Z",
        "",
    ],
)
def test_what_is_no_time_is_refused_even_beside_a_remembered_second(text: str) -> None:
    rfc3339(1_767_225_600_000)
    with pytest.raises(InvalidRecord):
        parsed(text)


@given(st.binary(max_size=200) | JSON.map(orjson.dumps) | PREDICTIONS.map(orjson.dumps))
def test_any_bytes_are_an_event_or_refused(value: bytes) -> None:
    for topic in ("predictions", "labels", "model-events"):
        with suppress(InvalidRecord):
            decode(topic, b"key", value, (), 0)


@pytest.mark.parametrize("role", ["", "leader", 1, [], {}])
def test_a_role_is_one_of_three(role: Any) -> None:
    value = orjson.dumps({"prediction_id": "p", "prediction": 1, "role": role})
    with pytest.raises(InvalidRecord):
        decode("predictions", b"s", value, (), 0)

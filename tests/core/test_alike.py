"""Decoding together gives what decoding one by one gives, whatever comes beside whatever."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.alike import decode_alike
from driftbus.core.codec import decode
from driftbus.errors import InvalidRecord
from tests.core.test_codec import JSON, NAMES, NUMBERS, PREDICTIONS, SAID, TIMES, rfc3339

ODD_NUMBERS = st.sampled_from(
    ["1e400", "-1e18", "1e18", "99999999999999999999", "9223372036854775807", "-0", "1E2"]
)
LABELS = st.fixed_dictionaries(
    {"prediction_id": NAMES, "stream": NAMES, "ts": TIMES | TIMES.map(rfc3339), "label": SAID | JSON},
    optional={"signals": st.dictionaries(st.text(), NUMBERS), "extra": JSON},
)


def plain(i: int, **more: Any) -> dict[str, Any]:
    """An event as producers write it; two producers with fields in another order."""
    event = {
        "prediction_id": f"p{i}",
        "stream": f"s{i % 3}",
        "ts": rfc3339(1_767_225_600_000 + i) if i % 5 else 1_767_225_600_000 + i,
        "features": {"x": i / 7, "y": -i},
        "prediction": i % 2,
        "score": 0.5,
        "model_version": "v1",
        **more,
    }
    return dict(reversed(event.items())) if i % 11 == 0 else event


ONE_FIELD = st.sampled_from(
    ["prediction_id", "stream", "ts", "features", "prediction", "score", "model_version", "role", "weight"]
)
ALMOST_PLAIN = st.builds(
    lambda i, name, value: plain(i, **{name: value}), st.integers(0, 99), ONE_FIELD, JSON | NUMBERS | SAID
)
PLAIN = st.integers(0, 999).map(plain)


def same(topic: str, values: list[bytes]) -> None:
    together = decode_alike(topic, values, 9_000) or [None] * len(values)
    assert len(together) == len(values)
    for value, event in zip(values, together, strict=True):
        if event is not None:
            alone = decode(topic, None, value, (), 0)
            # By their texts: `1 == True`, and what is written out must be the same too.
            assert (type(event), repr(event)) == (type(alone), repr(alone))


@given(st.lists(PLAIN | ALMOST_PLAIN | PREDICTIONS | JSON, min_size=1, max_size=12), st.data())
def test_predictions_together_are_predictions_alone(drawn: list[Any], data: st.DataObject) -> None:
    values = [orjson.dumps(each) for each in drawn]
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(values) - 1))
        odd = data.draw(ODD_NUMBERS).encode()
        values[at] = values[at].replace(b"0.5", odd).replace(b"-1}", odd + b" }\n")
    same("predictions", values)


@given(st.lists(LABELS | JSON, min_size=1, max_size=12))
def test_labels_together_are_labels_alone(drawn: list[Any]) -> None:
    same("labels", [orjson.dumps(each) for each in drawn])


@given(st.lists(st.binary(max_size=30) | PLAIN.map(orjson.dumps), min_size=1, max_size=6))
def test_any_bytes_beside_plain_ones(values: list[bytes]) -> None:
    same("predictions", values)
    same("labels", values)
    assert decode_alike("model-events", values, 9_000) is None


def test_plain_ones_are_all_taken() -> None:
    """Else this would be a slow way to do nothing."""
    values = [orjson.dumps(plain(i)) for i in range(300)]
    events = decode_alike("predictions", values, 9_000)
    assert events is not None
    assert None not in events
    labels = [orjson.dumps({"prediction_id": "p", "stream": "s", "ts": i, "label": i % 2}) for i in range(50)]
    found = decode_alike("labels", labels, 9_000)
    assert found is not None
    assert None not in found


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b"null", None, b'{"a":1},{"b":2}', b"[1", b'"' + b"x" * 9_000 + b'"']
)
def test_what_is_no_event_spoils_no_other(value: bytes | None) -> None:
    values = [orjson.dumps(plain(1)), value, orjson.dumps(plain(2))]
    events = decode_alike("predictions", values, 9_000) or [None] * 3
    assert events[1] is None
    if value is not None:
        with pytest.raises(InvalidRecord):
            decode("predictions", None, value, (), 0)

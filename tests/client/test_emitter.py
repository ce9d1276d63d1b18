"""The emitter never harms its caller, and what it takes arrives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client import Emitter
from driftbus.core.codec import decode
from driftbus.ports import TopicSpec

NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def sent(bus: EmbeddedBus, topic: str = "predictions") -> list[dict[str, Any]]:
    return [orjson.loads(record.value or b"") for record in bus.read_from(f"driftbus.{topic}", 0, 0)]


def test_events_arrive_as_the_contract_wants_them(bus: EmbeddedBus, folder: Path) -> None:
    emitter = Emitter(embedded=folder)
    before_ms = time.time_ns() // 1_000_000
    emitter.prediction(
        "fraud",
        "p-1",
        prediction=1,
        score=0.87,
        features={"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
        model_version="v3",
        slices={"region": "eu"},
        weight=1.0,
        role="canary",
        ts=NOW,
    )
    emitter.label("fraud", "p-1", label=0)
    emitter.model_event("fraud", "model-deployed", model_version="v4", by="ci", ts="2026-01-01T00:00:00Z")
    emitter.close()
    (record,) = bus.read_from("driftbus.predictions", 0, 0)
    assert record.key == b"fraud"
    assert orjson.loads(record.value or b"") == {
        "stream": "fraud",
        "prediction_id": "p-1",
        "ts": NOW,
        "prediction": 1,
        "score": 0.87,
        "features": {"amount": 12.5, "country": "DE", "new_customer": True, "age": None},
        "model_version": "v3",
        "slices": {"region": "eu"},
        "weight": 1.0,
        "role": "canary",
    }
    (label,) = sent(bus, "labels")
    assert {**label, "ts": 0} == {"stream": "fraud", "prediction_id": "p-1", "ts": 0, "label": 0}
    assert before_ms <= label["ts"] <= time.time_ns() // 1_000_000
    (event,) = sent(bus, "model-events")
    assert event == {
        "stream": "fraud",
        "ts": "2026-01-01T00:00:00Z",
        "type": "model-deployed",
        "model_version": "v4",
        "by": "ci",
    }
    assert emitter.lost == {}


def test_what_services_hold_is_taken(bus: EmbeddedBus, folder: Path) -> None:
    some_id = uuid.uuid4()
    with Emitter(embedded=folder) as emitter:
        emitter.prediction(
            "s",
            7,  # type: ignore[arg-type]
            prediction=np.int64(1),
            score={True: np.float32(0.25), False: Decimal("0.75")},
            features={
                0: np.float64(1.5),
                "missing": float("nan"),
                "vector": np.array([1.0, 2.0]),
                "flag": np.bool_(True),
                "scalar": np.array(3),
            },
            ts=datetime(2026, 1, 1),
        )
        emitter.label("s", some_id, np.str_("yes"), ts=datetime(2026, 1, 1, 1, tzinfo=UTC) + timedelta(0))  # type: ignore[arg-type]
        emitter.prediction("s", "own", signals={"ndcg": 0.4})
    first, own = sent(bus)
    assert first["prediction_id"] == "7"
    assert first["ts"] == NOW
    assert first["score"] == {"true": 0.25, "false": 0.75}
    assert first["features"] == {"0": 1.5, "missing": None, "vector": [1.0, 2.0], "flag": True, "scalar": 3}
    assert own["signals"] == {"ndcg": 0.4}
    assert "prediction" not in own
    (label,) = sent(bus, "labels")
    assert (label["prediction_id"], label["label"], label["ts"]) == (str(some_id), "yes", NOW + 3_600_000)
    assert emitter.lost == {}


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __hash__ = __iter__ = __len__ = __str__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "arguments",
    [
        {"stream": None},
        {"stream": ""},
        {"stream": "x" * 257},
        {"stream": "\ud800"},
        {"prediction_id": None},
        {"prediction_id": True},
        {"prediction_id": 1.5},
        {"prediction": float("nan")},
        {"prediction": np.float32("inf")},
        {"prediction": None},
        {"prediction": 2**80},
        {"prediction": Hostile()},
        {"features": {"x": object()}},
        {"features": Hostile()},
        {"features": {"text": "x" * 1_100_000}},
        {"ts": 1.5},
        {"ts": Hostile()},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_wrong_arguments_are_counted_never_raised(
    bus: EmbeddedBus, folder: Path, arguments: dict[str, Any]
) -> None:
    with Emitter(embedded=folder) as emitter:
        emitter.prediction(**{"stream": "s", "prediction_id": "p", "prediction": 1} | arguments)
        emitter.prediction("s", "good", prediction=1)
    assert [event["prediction_id"] for event in sent(bus)] == ["good"]
    assert sum(emitter.lost.values()) == 1


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(anything, anything, anything, anything, anything), max_size=8))
def test_any_arguments_are_either_sent_and_readable_or_counted(
    bus: EmbeddedBus, folder: Path, calls: list[tuple[Any, ...]]
) -> None:
    """Nothing vanishes, nothing raises, and what is sent is JSON."""
    start = bus.end_offset("driftbus.predictions", 0, committed=True)
    with Emitter(embedded=folder) as emitter:
        for stream, prediction_id, prediction, score, features in calls:
            emitter.prediction(stream, prediction_id, prediction=prediction, score=score, features=features)
    arrived = list(bus.read_from("driftbus.predictions", 0, start))
    assert len(arrived) + sum(emitter.lost.values()) == len(calls)
    for record in arrived:
        assert isinstance(orjson.loads(record.value or b""), dict)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
finite = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


@given(text.filter(bool), finite | text)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_workers_codec_reads_back_what_was_said(
    bus: EmbeddedBus, folder: Path, name: str, said: bool | int | float | str
) -> None:
    starts = [bus.end_offset(f"driftbus.{topic}", 0, committed=True) for topic in ("predictions", "labels")]
    with Emitter(embedded=folder) as emitter:
        emitter.prediction(name, name, prediction=said, ts=NOW)
        emitter.label(name, name, said, ts=NOW)
    (prediction,) = bus.read_from("driftbus.predictions", 0, starts[0])
    (label,) = bus.read_from("driftbus.labels", 0, starts[1])
    read = decode("predictions", prediction.key, prediction.value, (), 0)
    truth = decode("labels", label.key, label.value, (), 0)
    assert (read.stream, read.prediction_id, read.prediction, read.ts) == (name, name, said, NOW)
    assert (truth.stream, truth.prediction_id, truth.label, truth.ts) == (name, name, said, NOW)
    assert type(read.prediction) is type(said)


def test_the_order_of_a_stream_is_kept_and_flush_waits_for_delivery(bus: EmbeddedBus, folder: Path) -> None:
    emitter = Emitter(embedded=folder)
    for n in range(5_000):
        emitter.prediction("s", str(n), prediction=n)
    assert emitter.flush(30.0)
    assert [event["prediction"] for event in sent(bus)] == list(range(5_000))
    emitter.close()


def test_a_full_buffer_loses_the_newest_and_counts(tmp_path: Path) -> None:
    """The bus cannot open (its folder is a file): the caller notices nothing, memory is bounded."""
    (tmp_path / "file").write_text("")
    emitter = Emitter(embedded=tmp_path / "file", max_queued_events=10)
    for n in range(25):
        emitter.prediction("s", str(n), prediction=n)
    assert emitter.lost == {"buffer_full": 15}
    emitter.close(timeout_s=0.1)
    assert emitter.lost == {"buffer_full": 15, "undelivered": 10}
    emitter.label("s", "1", 1)
    assert emitter.lost["closed"] == 1


def test_exactly_one_bus_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="exactly one"):
        Emitter()
    with pytest.raises(TypeError, match="exactly one"):
        Emitter(kafka={}, embedded=tmp_path)


def test_topics_may_be_named_outright(bus: EmbeddedBus, folder: Path) -> None:
    bus.create_topics([TopicSpec("x.labels", 1), TopicSpec("mine", 1)])
    with Emitter(embedded=folder, topic_prefix="x.", topics={"predictions": "mine"}) as emitter:
        emitter.prediction("s", "p", prediction=1)
        emitter.label("s", "p", 1)
    assert bus.end_offset("mine", 0, committed=True) == 1
    assert bus.end_offset("x.labels", 0, committed=True) == 1


def test_events_are_flushed_when_the_interpreter_exits_without_close(bus: EmbeddedBus, folder: Path) -> None:
    program = (
        "import sys; from driftbus.client import Emitter; e = Emitter(embedded=sys.argv[1])\n"
        "for n in range(100): e.prediction('s', str(n), prediction=n)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, timeout=60)
    assert len(sent(bus)) == 100


def test_a_dropped_emitter_still_delivers(bus: EmbeddedBus, folder: Path) -> None:
    emitter = Emitter(embedded=folder)
    emitter.prediction("s", "p", prediction=1)
    del emitter
    deadline = time.monotonic() + 30
    while not sent(bus) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(sent(bus)) == 1


FORKING = """
import os, sys
from driftbus.client import Emitter

arguments = {arguments}
emitter = Emitter(**arguments)
emitter.prediction("s", "parent-before", prediction=1)
emitter.flush({flush_s})
child = os.fork()
emitter.prediction("s", "child" if child == 0 else "parent-after", prediction=1)
if child == 0:
    sys.exit(0)  # with all of the interpreter's teardown, inherited handles included
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_each_process_delivers_its_own_after_a_fork(bus: EmbeddedBus, folder: Path) -> None:
    program = FORKING.format(arguments={"embedded": str(folder)}, flush_s=10.0)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)
    ids = [event["prediction_id"] for event in sent(bus)]
    assert sorted(ids) == ["child", "parent-after", "parent-before"]

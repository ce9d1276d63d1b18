"""Trainers get exactly the rows that were promised, at least once, and their answers arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.client import Request, RetrainRequests
from driftbus.errors import BusError, WindowExpired
from driftbus.ports import TopicPartition, TopicSpec

Rows = list[dict[str, Any]]


def append(bus: EmbeddedBus, topic: str, values: Rows, key: bytes = b"fraud") -> None:
    producer = bus.producer()
    for value in values:
        producer.produce(topic, key=key, value=orjson.dumps(value))
    producer.close(10.0)


def outcome(
    seq: int, *, stream: str = "fraud", prediction: Any = 0, label: Any = 0, hour: int = 0
) -> dict[str, Any]:
    return {
        "prediction_id": f"p-{seq}",
        "stream": stream,
        "ts": f"2026-01-01T{hour:02d}:00:00.000Z",
        "prediction": prediction,
        "label": label,
        "error": int(prediction != label),
        "seq": seq,
    }


def window(rows: int, start: int, end: int, **more: Any) -> dict[str, Any]:
    return {
        "topic": "driftbus.outcomes",
        "partition": 0,
        "start_offset": start,
        "end_offset": end,
        "start_seq": start,
        "end_seq": end,
        "rows": rows,
        "class_counts": {"0": rows},
        "onset_ts": None,
        "rows_since_onset": rows,
        "corrections_offset": 0,
        "a_field_of_tomorrow": 1,
    } | more


def request_event(
    request_id: str = "r-1", *, status: str = "requested", **training_window: Any
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "io.driftbus.retrain-request.v1",
        "id": request_id,
        "time": "2026-01-01T05:00:00.000Z",
        "data": {
            "request_id": request_id,
            "stream": "fraud",
            "model_version": "v3",
            "status": status,
            "reason": "a-reason-of-tomorrow",
            "training_window": training_window or window(0, 0, 0),
            "attempt": 1,
        },
    }


def ask(bus: EmbeddedBus, *events: dict[str, Any]) -> None:
    append(bus, "driftbus.retrain-requests", list(events))


def committed(bus: EmbeddedBus, group: str = "trainer") -> int:
    place = TopicPartition("driftbus.retrain-requests", 0)
    return bus.committed(group, [place]).get(place, 0)


@pytest.fixture
def one_request(bus: EmbeddedBus, folder: Path) -> Callable[..., Request]:
    def get(**training_window: Any) -> Request:
        ask(bus, request_event(**training_window))
        return next(iter(RetrainRequests(embedded=folder, timeout_s=20.0)))

    return get


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rows_are_the_windows_rows_with_the_last_label_before_the_request(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Against a model in five lines: filter, then the last correction below `corrections_offset` wins."""
    folder = tmp_path_factory.mktemp("bus")
    bus = EmbeddedBus(folder)
    names = ("outcomes", "label-corrections", "retrain-requests", "model-events")
    bus.create_topics([TopicSpec(f"driftbus.{name}", 1) for name in names])
    regression = data.draw(st.booleans())
    values = st.integers(0, 3)
    n = data.draw(st.integers(1, 25))
    everything = [
        outcome(
            seq,
            stream=data.draw(st.sampled_from(["fraud", "other"])),
            prediction=data.draw(values),
            label=data.draw(values),
            hour=data.draw(st.integers(0, 5)),
        )
        for seq in range(n)
    ]
    if regression:
        for row in everything:
            row["error"] = abs(row["label"] - row["prediction"])
    start = data.draw(st.integers(0, n))
    end = data.draw(st.integers(start, n))
    corrections = [
        {"stream": everything[seq]["stream"], "seq": seq, "label": label}
        for seq, label in data.draw(st.lists(st.tuples(st.integers(0, n - 1), values), max_size=10))
    ]
    upto = data.draw(st.integers(0, len(corrections)))
    append(bus, "driftbus.outcomes", everything)
    append(bus, "driftbus.label-corrections", corrections)

    mine = [row for row in everything[start:end] if row["stream"] == "fraud"]
    onset = data.draw(st.none() | st.integers(0, 5))
    recent = [row for row in mine if onset is None or row["ts"] >= f"2026-01-01T{onset:02d}:00:00.000Z"]
    final = {c["seq"]: c["label"] for c in corrections[:upto]}

    def corrected(row: dict[str, Any]) -> dict[str, Any]:
        label = final.get(row["seq"], row["label"])
        gap = abs(label - row["prediction"])
        return row | {"label": label, "error": gap if regression else int(gap != 0)}

    cut = window(
        len(mine),
        start,
        end,
        class_counts={} if regression else {"0": len(mine)},
        onset_ts=None if onset is None else f"2026-01-01T{onset:02d}:00:00Z",
        rows_since_onset=len(recent),
        corrections_offset=upto,
    )
    ask(bus, request_event(**cut))
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        request = next(requests)
        assert list(request.rows()) == [corrected(row) for row in mine]
        assert list(request.rows(corrected=False)) == mine
        assert list(request.rows(since_onset=True)) == [corrected(row) for row in recent]
    bus.close()


def test_true_is_one_but_text_is_another_class(bus: EmbeddedBus, one_request: Callable[..., Request]) -> None:
    append(
        bus, "driftbus.outcomes", [outcome(0, prediction=1, label=0), outcome(1, prediction="1", label="0")]
    )
    append(bus, "driftbus.label-corrections", [{"stream": "fraud", "seq": s, "label": True} for s in (0, 1)])
    rows = list(one_request(**window(2, 0, 2, corrections_offset=2)).rows())
    assert [row["error"] for row in rows] == [0, 1]
    assert [row["label"] for row in rows] == [True, True]


def test_a_window_whose_beginning_is_gone_is_refused_before_the_first_row(
    folder: Path, bus: EmbeddedBus, one_request: Callable[..., Request]
) -> None:
    """Retention by time removes the first half of the window between the request and its reading."""
    bus.create_topics([TopicSpec("short", 1, {"retention.ms": "60000"})])
    producer = bus.producer()
    for seq in range(10):
        long_ago = 1 if seq < 5 else None
        producer.produce("short", key=b"fraud", value=orjson.dumps(outcome(seq)), timestamp_ms=long_ago)
    producer.close(10.0)
    request = one_request(**window(10, 0, 10, topic="short"))
    bus.clean()
    assert bus.begin_offset("short", 0) == 5
    with pytest.raises(WindowExpired, match="begins at offset"):
        request.rows()


def test_missing_rows_end_in_an_error_never_in_fewer_rows(
    bus: EmbeddedBus, one_request: Callable[..., Request]
) -> None:
    append(bus, "driftbus.outcomes", [outcome(seq) for seq in range(10)])
    rows = one_request(**window(11, 0, 10)).rows()
    assert [next(rows)["seq"] for _ in range(10)] == list(range(10))
    with pytest.raises(WindowExpired, match="10 rows of 11"):
        next(rows)


def test_answers_are_model_events_and_commit_the_request(bus: EmbeddedBus, folder: Path) -> None:
    ask(bus, request_event("r-1"), request_event("r-2"))
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        first = next(requests)
        first.started(by="me", ts="2026-01-01T05:01:00Z")
        assert committed(bus) == 0
        first.finished(model_version="v4", ts=7)
        first.deployed(model_version="v4", ts=8)
        assert committed(bus) == 1
        second = next(requests)
        second.failed("no rows", ts=9)
        assert committed(bus) == 2
    said = [orjson.loads(record.value or b"") for record in bus.read_from("driftbus.model-events", 0, 0)]
    mine = {"stream": "fraud", "retrain_request_id": "r-1"}
    assert said == [
        mine | {"type": "training-started", "by": "me", "ts": "2026-01-01T05:01:00Z"},
        mine | {"type": "training-finished", "model_version": "v4", "ts": 7},
        mine | {"type": "model-deployed", "model_version": "v4", "ts": 8},
        mine | {"retrain_request_id": "r-2", "type": "training-failed", "reason": "no rows", "ts": 9},
    ]


def test_an_unanswered_request_comes_again_a_passed_one_does_not(bus: EmbeddedBus, folder: Path) -> None:
    ask(bus, request_event("r-1"), request_event("r-2"))
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        assert next(requests).request_id == "r-1"
        assert next(requests).request_id == "r-2"  # moved on from r-1: committed
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        assert next(requests).request_id == "r-2"


def test_a_trainer_that_raises_gets_the_request_again(bus: EmbeddedBus, folder: Path) -> None:
    ask(bus, request_event("r-1"))

    def trainer_with_a_bug() -> None:
        with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
            for _ in requests:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer_with_a_bug()
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        assert next(requests).request_id == "r-1"


def test_what_is_no_request_is_passed_over(bus: EmbeddedBus, folder: Path) -> None:
    nonsense = request_event("broken")
    del nonsense["data"]["training_window"]["rows"]
    ask(
        bus,
        {"no": "event"},
        nonsense,
        request_event("other") | {"type": "io.driftbus.something.v9"},
        request_event("waits", status="proposed"),
        request_event("new", status="a-status-of-tomorrow"),
    )
    with RetrainRequests(embedded=folder, timeout_s=20.0) as requests:
        request = next(requests)
    assert (request.request_id, request.status) == ("new", "a-status-of-tomorrow")
    assert request.reason == "a-reason-of-tomorrow"
    with RetrainRequests(embedded=folder, group="curious", timeout_s=20.0, proposed=True) as requests:
        assert next(requests).request_id == "waits"


def test_the_iteration_ends_after_a_silence_or_when_stopped(bus: EmbeddedBus, folder: Path) -> None:
    assert list(RetrainRequests(embedded=folder, timeout_s=0.2)) == []
    requests = RetrainRequests(embedded=folder)
    threading.Timer(0.3, requests.stop).start()
    assert list(requests) == []
    requests = RetrainRequests(embedded=folder)
    threading.Timer(0.3, requests.close).start()
    assert list(requests) == []


def test_a_request_in_hand_can_be_answered_after_stop_but_not_after_close(
    bus: EmbeddedBus, folder: Path
) -> None:
    ask(bus, request_event("r-1"), request_event("r-2"))
    requests = RetrainRequests(embedded=folder, timeout_s=20.0)
    request = next(requests)
    requests.stop()
    request.deployed(model_version="v4")
    assert committed(bus) == 1
    with pytest.raises(StopIteration):
        next(requests)
    with pytest.raises(BusError, match="closed"):
        request.rows()


def test_topics_that_do_not_exist_yet_are_waited_for(folder: Path) -> None:
    requests = RetrainRequests(embedded=folder, timeout_s=30.0)

    def later() -> None:
        with_topics = EmbeddedBus(folder)
        with_topics.create_topics([TopicSpec("driftbus.retrain-requests", 2)])
        ask(with_topics, request_event("r-1"))
        with_topics.close()

    threading.Timer(0.3, later).start()
    assert next(requests).request_id == "r-1"
    requests.close()


def test_two_trainers_share_the_requests(bus: EmbeddedBus, folder: Path) -> None:
    bus.create_topics([TopicSpec("many", 4)])
    topics = {"retrain_requests": "many"}
    for n in range(8):
        append(bus, "many", [request_event(f"r-{n}")], key=str(n).encode())
    seen: list[str] = []

    def work() -> None:
        with RetrainRequests(embedded=folder, topics=topics, timeout_s=3.0) as requests:
            for request in requests:
                seen.append(request.request_id)
                request.failed("only a test")

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(seen) == {f"r-{n}" for n in range(8)}

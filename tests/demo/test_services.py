"""The inference service and the trainer on a real bus, the worker's part played by hand-written records."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from driftbus.client import Emitter, RetrainRequests
from driftbus.demo.inference import InferenceService
from driftbus.demo.models import deploy, deployed, train
from driftbus.demo.stage import Stage
from driftbus.demo.traffic import START_MS
from driftbus.demo.trainer import answer
from driftbus.demo.world import world
from driftbus.ports import Bus, TopicSpec

TOPICS = ("predictions", "labels", "model-events", "outcomes", "label-corrections", "retrain-requests")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(str(tmp_path), 7, None, "driftbus.", "driftbus")
    stage.save(8711)
    return stage


def read(stage: Stage, bus: Bus, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(record.value or b"") for record in bus.read_from(stage.topic(topic), 0, 0)]


def test_the_loop_of_the_services_closes(stage: Stage) -> None:
    """Emitted rows, joined by hand, asked for by hand: the trainer's model is what answers next."""
    bus = stage.open_bus()
    bus.create_topics([TopicSpec(stage.topic(name), 1) for name in TOPICS])
    streams = world(stage.seed)
    emitter = Emitter(**stage.client_arguments)
    service = InferenceService(streams, stage.models, emitter)
    served = service.serve(START_MS + 3 * 3_600_000)
    assert served["delivered"]
    assert served["lost"] == {}
    predictions, labels = read(stage, bus, "predictions"), read(stage, bus, "labels")
    assert (len(predictions), len(labels)) == (served["predictions"], served["labels"])
    assert {event["model_version"] for event in predictions} == {"v1"}

    truths = {event["prediction_id"]: event["label"] for event in labels}
    rows = [
        event | {"label": truths[event["prediction_id"]], "seq": seq, "error": 0}
        for seq, event in enumerate(e for e in predictions if e["prediction_id"] in truths)
    ]
    mine = [row for row in rows if row["stream"] == "agrawal-sudden"]
    request = {
        "type": "io.driftbus.retrain-request.v1",
        "time": "2025-01-01T03:00:00.000Z",
        "data": {
            "request_id": "r-1",
            "stream": "agrawal-sudden",
            "model_version": "v1",
            "training_window": {
                "topic": stage.topic("outcomes"),
                "partition": 0,
                "start_offset": 0,
                "end_offset": len(rows),
                "start_seq": 0,
                "end_seq": len(rows),
                "rows": len(mine),
                "class_counts": {"0": 1},
            },
        },
    }
    producer = bus.producer()
    for row in rows:
        producer.produce(stage.topic("outcomes"), key=row["stream"].encode(), value=orjson.dumps(row))
    producer.produce(stage.topic("retrain-requests"), key=b"agrawal-sudden", value=orjson.dumps(request))
    producer.close(10.0)
    with RetrainRequests(**stage.client_arguments, timeout_s=20.0) as requests:
        answer(next(requests), stage.models)

    said = read(stage, bus, "model-events")
    assert [event["type"] for event in said] == ["training-started", "training-finished", "model-deployed"]
    assert said[-1]["model_version"] == "v2"
    assert "2025-01-01T04:00:00" in str(said[-1]["ts"]) or said[-1]["ts"] == START_MS + 4 * 3_600_000
    service.serve(START_MS + 4 * 3_600_000)
    emitter.close()
    later = read(stage, bus, "predictions")[len(predictions) :]
    assert {e["model_version"] for e in later if e["stream"] == "agrawal-sudden"} == {"v2"}
    assert {e["model_version"] for e in later if e["stream"] != "agrawal-sudden"} == {"v1"}
    bus.close()


def test_a_window_that_is_gone_is_a_failed_training(stage: Stage) -> None:
    bus = stage.open_bus()
    bus.create_topics([TopicSpec(stage.topic(name), 1) for name in TOPICS])
    window = {"topic": stage.topic("outcomes"), "partition": 0, "start_offset": 0, "end_offset": 5}
    window |= {"start_seq": 0, "end_seq": 5, "rows": 5}
    data = {"request_id": "r-1", "stream": "agrawal-sudden", "training_window": window}
    event = {"type": "io.driftbus.retrain-request.v1", "time": "2025-01-01T03:00:00.000Z", "data": data}
    producer = bus.producer()
    producer.produce(stage.topic("retrain-requests"), key=b"x", value=orjson.dumps(event))
    producer.close(10.0)
    with RetrainRequests(**stage.client_arguments, timeout_s=20.0) as requests:
        answer(next(requests), stage.models)
    failed = read(stage, bus, "model-events")[-1]
    assert (failed["type"], failed["retrain_request_id"]) == ("training-failed", "r-1")
    assert "0 rows of 5" in failed["reason"]
    bus.close()


def test_a_deployed_model_answers_like_the_trained_one(tmp_path: Path) -> None:
    for stream in world(2):
        sample = stream.warm_up()
        model = train(stream.name, "v1", stream.task, [x for x, _ in sample], [y for _, y in sample])
        deploy(model, tmp_path)
        back = deployed(stream.name, tmp_path)
        assert all(back.answer(x) == model.answer(x) for x, _ in sample[:100])
    assert sorted(os.listdir(tmp_path)) == sorted(f"{stream.name}.json" for stream in world(2))


def test_the_worker_takes_the_demos_configuration(stage: Stage) -> None:
    from driftbus.config import load

    settings = load(stage.configuration, {})
    assert settings.group == "driftbus"
    assert settings.topics["predictions"] == stage.topic("predictions")

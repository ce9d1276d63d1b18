"""CONTRACT section 3 and 7 on a live worker: decisions against the topics they cite, metrics, restarts, clients."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from driftbus.client import Emitter, RetrainRequests
from tests.acceptance.house import MINUTE, T0, House, Process, ms, prediction, rfc, text, value, wait_for

ROWS, CHANGE = 2200, 1200
DRIFT_FIELDS = {
    "episode_id", "stream", "status", "resolution", "category", "kind", "confidence", "onset", "signals",
    "slice", "detected_at", "outcomes_seen", "predictions_seen", "model_version", "muted", "labels",
}  # fmt: skip
REQUEST_FIELDS = {
    "request_id", "stream", "model_version", "status", "reason", "episode_id", "evidence", "training_window",
    "attempt", "labels",
}  # fmt: skip
WINDOW_FIELDS = {
    "topic", "partition", "start_offset", "end_offset", "start_seq", "end_seq", "start_ts", "end_ts", "rows",
    "class_counts", "onset_ts", "rows_since_onset", "corrections_offset", "sample",
}  # fmt: skip
CATEGORIES = {"concept", "data", "prediction", "quality", "label_prior", "labelling"}
KINDS = {"sudden", "gradual", "incremental", "recurrent", "undetermined"}
# ruff: noqa: E501 - long assertions
STREAMS = ("fraud", "shop", "churn")


def traffic() -> list[Any]:
    """Three streams by turns with labels half an hour late; fraud's error and shop's feature change."""
    rng = random.Random(7)
    due: list[Any] = []
    records: list[Any] = []
    for i in range(ROWS):
        ts = T0 + i * MINUTE
        for stream in STREAMS:
            late = i >= CHANGE
            wrong = rng.random() < (0.35 if late and stream == "fraud" else 0.08)
            label = int(rng.random() < 0.4)
            features = {
                "x": rng.gauss(6 if late and stream == "shop" else 0, 1),
                "country": rng.choice("ABC"),
            }
            pid = f"{stream}-{i}"
            said = label ^ int(wrong)
            event = {
                "prediction_id": pid, "ts": rfc(ts), "features": features, "prediction": said,
                "score": 0.8 if said else 0.2, "model_version": "v1", "slices": {"region": "eu" if i % 2 else "us"},
            }  # fmt: skip
            records.append((ts, ("predictions", stream, event, ts)))
            at = ts + 30 * MINUTE
            due.append((at, ("labels", stream, {"prediction_id": pid, "ts": rfc(at), "label": label}, at)))
            if stream == "fraud" and i % 100 == 5:
                again = {"prediction_id": pid, "ts": rfc(at + MINUTE), "label": 1 - label}
                due.append((at + MINUTE, ("labels", stream, again, at + MINUTE)))
            if stream in ("fraud", "churn") and late:
                # A shadow and a canary that are always wrong: episodes of their own, no requests.
                for role in ("shadow", "canary"):
                    if stream == "churn":
                        bad = rng.random() < (0.6 if i >= CHANGE + 500 else 0.05)
                        other = event | {
                            "prediction_id": f"{pid}-{role}",
                            "role": role,
                            "model_version": f"v2-{role}",
                            "prediction": label ^ int(bad),
                        }
                        records.append((ts, ("predictions", stream, other, ts)))
                        truth = {"prediction_id": f"{pid}-{role}", "ts": rfc(at), "label": label}
                        due.append((at, ("labels", stream, truth, at)))
    return [record for _, record in sorted([*records, *due], key=lambda one: one[0])]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("worker"),
        {
            "instance": "prod-eu",
            "worker": {"max_records": 4000},
            "stream_defaults": {"labels": {"team": "risk"}, "retrain": {"cooldown": "0s"}},
            "streams": {"churn": {"labels": {"severity": "low"}}},
        },
        partitions=2,
    )
    house.feed(traffic())
    house.start()
    house.settle()
    yield house
    house.close()


def drift_of(house: House, stream: str | None = None) -> list[dict[str, Any]]:
    return house.values("drift-events", stream)


def test_cloudevents(house: House) -> None:
    ids: list[str] = []
    kinds = {"drift-events": "io.driftbus.drift.v1", "retrain-requests": "io.driftbus.retrain-request.v1"}
    for topic, kind in kinds.items():
        records = house.records(topic)
        assert records
        for record in records:
            assert dict(record.headers)["content-type"] == b"application/cloudevents+json"
            event = json.loads(record.value or b"")
            assert event["specversion"] == "1.0"
            assert event["source"] == "prod-eu"
            assert event["type"] == kind
            assert event["subject"] == event["partitionkey"] == text(record.key) == event["data"]["stream"]
            assert event["dataschema"]
            ms(event["time"])
            ids.append(event["id"])
    assert len(set(ids)) == len(ids)


def test_life_and_fields_of_every_episode(house: House) -> None:
    episodes: dict[str, list[dict[str, Any]]] = {}
    for event in drift_of(house):
        data = event["data"]
        assert set(data) == DRIFT_FIELDS
        episodes.setdefault(data["episode_id"], []).append(data)
        assert data["category"] in CATEGORIES
        assert data["kind"] in KINDS
        assert 0 <= data["confidence"] <= 1
        onset = data["onset"]
        assert ms(onset["earliest"]) <= ms(onset["ts"]) <= ms(onset["latest"]) <= ms(data["detected_at"])
        assert data["detected_at"] == event["time"]
        assert data["signals"]
        for signal in data["signals"]:
            assert set(signal) == {"name", "before", "after", "detector", "evidence"}
        assert data["muted"] is False
        assert (
            data["labels"]["team"] == "risk"
            if data["stream"] != "churn"
            else data["labels"]["severity"] == "low"
        )
        assert (data["resolution"] is not None) == (data["status"] == "closed")
    for told in episodes.values():
        statuses = [one["status"] for one in told]
        assert statuses[0] == "opened"
        assert statuses.count("opened") == 1
        assert "closed" not in statuses[:-1]
        times = [ms(one["detected_at"]) for one in told]
        assert times == sorted(times)


def test_the_change_is_found_where_it_is(house: House) -> None:
    concept = [e["data"] for e in drift_of(house, "fraud") if e["data"]["category"] == "concept"]
    assert [one["status"] for one in concept].count("opened") == 1
    assert "error" in {s["name"] for s in concept[0]["signals"]}
    assert abs(ms(concept[0]["onset"]["ts"]) - (T0 + CHANGE * MINUTE)) < 120 * MINUTE
    data = [e["data"] for e in drift_of(house, "shop") if e["data"]["category"] == "data"]
    assert data
    assert "feature/x" in {s["name"] for s in data[0]["signals"]}
    assert not [e for e in drift_of(house, "churn") if e["data"]["model_version"] == "v1"]


def test_other_roles_have_episodes_of_their_own_and_never_ask(house: House) -> None:
    versions = {e["data"]["model_version"] for e in drift_of(house, "churn")}
    assert {"v2-shadow", "v2-canary"} <= versions
    assert not house.values("retrain-requests", "churn")
    assert not house.values("retrain-requests", "shop")


def test_onset_offsets_point_at_records_of_the_stream(house: House) -> None:
    for event in drift_of(house):
        data = event["data"]
        place = data["onset"]["offset"]
        assert place["topic"] in (house.topic("outcomes"), house.topic("predictions"))
        found = next(iter(house.bus.read_from(place["topic"], place["partition"], place["offset"])), None)
        assert found is not None
        assert found.offset == place["offset"]
        assert text(found.key) == data["stream"]
        row = json.loads(found.value or b"")
        assert row["model_version"] == data["model_version"]
        assert abs(ms(row["ts"]) - ms(data["onset"]["ts"])) <= 60 * MINUTE


def test_seen_counts_are_positions(house: House) -> None:
    for event in drift_of(house):
        data = event["data"]
        outcomes = house.values("outcomes", data["stream"])
        predictions = [r for r in house.records("predictions") if text(r.key) == data["stream"]]
        assert 0 < data["outcomes_seen"] <= len(outcomes)
        assert 0 < data["predictions_seen"] <= len(predictions)
        if data["category"] == "concept":
            # Decided by the newest of the outcomes seen: no later than the event says, no earlier than the onset.
            decided = outcomes[data["outcomes_seen"] - 1]
            assert ms(decided["label_ts"]) <= ms(data["detected_at"])
            assert ms(decided["label_ts"]) >= ms(data["onset"]["ts"])


def test_a_request_s_window_is_exactly_what_it_says(house: House) -> None:
    (event,) = (e for e in house.values("retrain-requests", "fraud") if e["data"]["attempt"] == 1)
    data = event["data"]
    assert set(data) == REQUEST_FIELDS
    assert set(data["evidence"]) >= {"signals", "rule", "schedule", "manual"}
    window = data["training_window"]
    assert set(window) >= WINDOW_FIELDS
    assert (data["reason"], data["status"], data["attempt"]) == ("drift", "requested", 1)
    records = list(
        house.bus.read_from(
            window["topic"], window["partition"], window["start_offset"], window["end_offset"]
        )
    )
    rows = [json.loads(r.value or b"") for r in records if text(r.key) == "fraud"]
    assert len(rows) == window["rows"]
    assert Counter(str(row["label"]) for row in rows) == window["class_counts"]
    assert (rows[0]["seq"], rows[-1]["seq"] + 1) == (window["start_seq"], window["end_seq"])
    assert records[0].offset == window["start_offset"]
    assert records[-1].offset + 1 == window["end_offset"]
    times = [ms(row["ts"]) for row in rows]
    assert (ms(window["start_ts"]), ms(window["end_ts"])) == (min(times), max(times))
    assert window["rows_since_onset"] == sum(t >= ms(window["onset_ts"]) for t in times)
    assert window["rows_since_onset"] >= 500
    assert window["sample"] == 1.0
    corrections = house.records("label-corrections")
    known = [
        r
        for r in corrections
        if r.offset < window["corrections_offset"] and r.partition == window["partition"]
    ]
    assert known
    assert all(ms(json.loads(r.value or b"")["ts"]) <= ms(event["time"]) + MINUTE for r in known)


def test_corrections(house: House) -> None:
    outcomes = {row["prediction_id"]: row for row in house.values("outcomes", "fraud")}
    corrections = house.values("label-corrections", "fraud")
    assert len(corrections) == ROWS // 100
    for one in corrections:
        assert set(one) == {"prediction_id", "stream", "seq", "previous_label", "label", "ts"}
        row = outcomes[one["prediction_id"]]
        assert (one["seq"], one["previous_label"], one["label"]) == (
            row["seq"],
            row["label"],
            1 - row["label"],
        )


def test_one_outcome_a_pair_gapless_in_each_partition(house: House) -> None:
    by: dict[int, list[int]] = {}
    ids = []
    for record in house.records("outcomes"):
        row = json.loads(record.value or b"")
        by.setdefault(record.partition, []).append(row["seq"])
        ids.append(row["prediction_id"])
    for seqs in by.values():
        assert seqs == list(range(len(seqs)))
    assert len(ids) == len(set(ids)) == 3 * ROWS + 2 * (ROWS - CHANGE)


NAMES = (
    "records_total", "predictions_total", "outcomes_total", "last_prediction_timestamp_seconds",
    "last_label_timestamp_seconds", "model_metric", "challenger_metric", "drift_episodes_opened_total",
    "drift_episode_open", "last_drift_timestamp_seconds", "retrain_requests_total", "stream_info",
    "pending_predictions", "label_delay_seconds_bucket", "label_delay_seconds_sum",
    "label_delay_seconds_count", "consumer_lag_records", "transaction_duration_seconds_bucket",
    "transaction_duration_seconds_sum", "transaction_duration_seconds_count",
)  # fmt: skip


def test_metrics(house: House) -> None:
    found = house.metrics()
    for name in NAMES:
        assert value(found, name) is not None, name
    assert value(found, "records_total", topic="predictions") == 3 * ROWS + 2 * (ROWS - CHANGE)
    assert value(found, "predictions_total", stream="fraud") == ROWS
    assert value(found, "outcomes_total", stream="fraud") == ROWS
    last = T0 + (ROWS - 1) * MINUTE
    assert value(found, "last_prediction_timestamp_seconds", stream="fraud") == last / 1000
    assert value(found, "last_label_timestamp_seconds", stream="shop") == last / 1000 + 1800
    assert value(found, "drift_episodes_opened_total", stream="fraud", category="concept") == 1
    assert value(found, "retrain_requests_total", stream="fraud", reason="drift") == 1
    assert value(found, "stream_info", stream="fraud", team="risk") == 1
    assert value(found, "stream_info", stream="churn", severity="low") == 1
    assert value(found, "pending_predictions") == 0
    assert {
        dict(labels)["partition"] for (name, labels) in found if name == "driftbus_pending_predictions"
    } == {"0", "1"}
    assert value(found, "label_delay_seconds_count") == 3 * ROWS + 2 * (ROWS - CHANGE)
    assert value(found, "label_delay_seconds_sum") == 1800 * (3 * ROWS + 2 * (ROWS - CHANGE))
    assert value(found, "consumer_lag_records") is not None
    wait_for(lambda: value(house.metrics(), "consumer_lag_records") == 0, "the lag is measured")
    for metric in ("accuracy", "f1", "precision", "recall"):
        seen = value(found, "model_metric", stream="fraud", metric=metric)
        assert seen is not None
        assert 0 < seen < 1
        assert value(found, "challenger_metric", stream="fraud", metric=metric) is not None


def test_accuracy_is_that_of_the_corrected_outcomes(house: House) -> None:
    rows = {row["seq"]: row for row in house.values("outcomes", "fraud")}
    for one in house.values("label-corrections", "fraud"):
        rows[one["seq"]]["label"] = one["label"]
    right = sum(row["label"] == row["prediction"] for row in rows.values())
    shown = value(house.metrics(), "model_metric", stream="fraud", metric="accuracy")
    assert shown == pytest.approx(right / len(rows))


def test_pages(house: House) -> None:
    assert house.get("/livez")[0] == 200
    assert house.get("/readyz")[0] == 200
    status, kind, body = house.get("/")
    assert (status, kind.split(";")[0]) == (200, "text/html")
    assert "driftbus" in body
    status, kind, body = house.get("/api/streams")
    assert (status, kind.split(";")[0]) == (200, "application/json")
    assert {one["stream"] for one in json.loads(body)["streams"]} == set(STREAMS)
    status, _, body = house.get("/api/streams/fraud")
    assert status == 200
    assert "fraud" in json.dumps(json.loads(body))
    assert house.get("/api/streams/nobody")[0] == 404
    assert house.get("/nothing")[0] == 404
    _, kind, body = house.get("/metrics")
    assert kind.startswith("text/plain")
    _, kind, body = house.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    assert len(list(text_string_to_metric_families(body))) > 20


def test_a_restart_continues_the_counters(house: House) -> None:
    before = house.metrics()
    assert house.worker is not None
    assert house.worker.stop() == 0
    house.start()
    wait_for(lambda: house.get("/readyz")[0] == 200, "ready again")
    after = house.metrics()
    for name in (
        "predictions_total", "outcomes_total", "drift_episodes_opened_total", "drift_episodes_total",
        "drift_episode_open", "retrain_requests_total", "model_metric", "last_drift_timestamp_seconds",
        "labels_unmatched_total", "stream_info",
    ):  # fmt: skip
        first = {at: v for at, v in before.items() if at[0] == f"driftbus_{name}"}
        assert first == {at: v for at, v in after.items() if at[0] == f"driftbus_{name}"}, name


def test_a_trainer_closes_the_circle(house: House) -> None:
    with RetrainRequests(embedded=house.bus_folder, group="trainer", timeout_s=10) as asked:
        request = next(iter(asked))
        assert (request.stream, request.attempt) == ("fraud", 1)
        rows = list(request.rows())
        assert len(rows) == request.window.rows
        first = {row["seq"]: row["label"] for row in request.rows(corrected=False)}
        assert len(first) == len(rows)
        changed = {row["seq"] for row in rows if row["label"] != first[row["seq"]]}
        known = {
            one["seq"]
            for one in house.values("label-corrections", "fraud")[: request.window.corrections_offset]
            if request.window.start_seq <= one["seq"] < request.window.end_seq
        }
        assert changed == known
        since = list(request.rows(since_onset=True))
        assert len(since) == request.window.rows_since_onset
        request.started()
        request.deployed(model_version="v2")
    wait_for(lambda: house.left() == 0, "the deployment is read")
    kinds = [one["type"] for one in house.values("model-events", "fraud")]
    assert kinds == ["training-started", "model-deployed"]
    assert all(
        one["retrain_request_id"] == request.request_id for one in house.values("model-events", "fraud")
    )
    closed = [e["data"] for e in drift_of(house, "fraud") if e["data"]["status"] == "closed"]
    assert {one["resolution"] for one in closed} <= {"replaced", "settled"}
    found = house.metrics()
    assert value(found, "drift_episode_open", stream="fraud") in (None, 0)
    assert value(found, "drift_episodes_total", stream="fraud", category="concept") == 1


def test_an_emitter_and_the_command_for_a_retrain(house: House) -> None:
    emitter = Emitter(embedded=str(house.bus_folder))
    for i in range(50):
        emitter.prediction("new", f"n-{i}", prediction=1, score=0.87, features={"a": i}, model_version="v3")
        emitter.label("new", f"n-{i}", label=0)
    emitter.close()
    assert not any(emitter.lost.values())
    wait_for(lambda: len(house.values("outcomes", "new")) == 50, "the emitter's outcomes")
    assert all(row["error"] == 1 for row in house.values("outcomes", "new"))
    done = house.cli("retrain", "new", "--reason", "we say so")
    assert done.returncode == 0, done.stderr
    (event,) = wait_for(lambda: house.values("retrain-requests", "new"), "the request")
    data = event["data"]
    assert data["reason"] == "manual"
    assert "we say so" in data["evidence"]["manual"]
    assert (data["training_window"]["rows"], data["training_window"]["class_counts"]) == (50, {"0": 50})
    house.cli("retrain", "new", "--reason", "once more")
    wait_for(lambda: house.left() == 0, "read")
    assert len(house.values("retrain-requests", "new")) == 1
    assert house.cli("retrain", "new").returncode == 2


def test_a_misrouted_record_is_counted_and_handled_where_it_arrived(house: House) -> None:
    right = house.bus.partition_for(house.topic("predictions"), b"fraud")
    wrong = 1 - right
    transaction = house.bus.transaction("someone-else")
    transaction.begin()
    ts = T0 + ROWS * MINUTE
    for topic, event in (
        ("predictions", prediction("stray", ts, stream="fraud", model_version="v2")),
        ("labels", {"prediction_id": "stray", "stream": "fraud", "ts": ts, "label": 1}),
    ):
        transaction.produce(
            house.topic(topic),
            key=b"fraud",
            value=json.dumps(event).encode(),
            partition=wrong,
            timestamp_ms=ts,
        )
    transaction.commit()
    transaction.close()

    def strays() -> list[Any]:
        return [r for r in house.records("outcomes") if b'"stray"' in (r.value or b"")]

    (record,) = wait_for(strays, "the stray pair")
    assert record.partition == wrong
    found = house.metrics()  # fails where a series stands there twice
    assert value(found, "misrouted_records_total", topic="predictions") == 1
    assert value(found, "misrouted_records_total", topic="labels") == 1


def test_sigterm_ends_with_0_and_the_port_is_free_again(house: House) -> None:
    worker: Process | None = house.worker
    assert worker is not None
    assert worker.stop() == 0
    assert house.get("/livez")[0] == 0
    assert house.left() == 0

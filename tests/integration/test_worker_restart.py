"""What a worker shows goes on where it was: counters of streams are part of the state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from driftbus.adapters.http import metric_table as t
from tests.integration.live_worker import ROWS, STREAMS, LiveWorker, live_worker

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
# Counted per stream, or made of what streams count; the worker's own begin with its process.
CONTINUED = {m.name for m in t.STREAM_METRICS if m.kind == "counter"} | {
    "driftbus_label_delay_seconds_bucket",
    "driftbus_label_delay_seconds_sum",
    "driftbus_label_delay_seconds_count",
}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[LiveWorker]:
    with live_worker(tmp_path) as running:
        yield running


def scraped(worker: LiveWorker) -> Samples:
    page = worker.get("/metrics").decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def outcomes(samples: Samples) -> float:
    return sum(value for (name, _), value in samples.items() if name == "driftbus_outcomes_total")


def test_counters_of_streams_go_on_over_a_kill(worker: LiveWorker) -> None:
    """kill -9, while records come in, and again: nothing that was shown is taken back."""
    worker.wait_until(lambda: outcomes(scraped(worker)) > 0.9 * ROWS * len(STREAMS), "the past folded")
    worker.go_on()
    for _ in range(2):
        time.sleep(1.0)  # some steps beyond the last snapshot
        before = scraped(worker)
        worker.process.kill()
        worker.start()
        after = scraped(worker)
        counted = {key: value for key, value in before.items() if key[0] in CONTINUED}
        assert {name for name, _ in counted} == CONTINUED
        for key, value in counted.items():
            # What was folded and not yet committed may have been seen: it is folded again with its commit.
            worker.wait_until(lambda key=key, value=value: scraped(worker).get(key, 0) >= value, f"{key}")
        assert outcomes(after) > 0.9 * outcomes(before)
        assert after["driftbus_uptime_seconds", ()] < before["driftbus_uptime_seconds", ()] + 60


def test_the_api_says_what_the_stream_is(worker: LiveWorker) -> None:
    worker.go_on()
    worker.wait_until(
        lambda: worker.json("/api/streams/fraud").get("view", {}).get("model_version") == "v2", "the retrain"
    )
    answer = worker.json("/api/streams?limit=2&charts=1")
    assert answer["streams"][0]["stream"] == "churn"  # worst first
    assert answer["totals"]["streams"] == len(STREAMS)
    assert answer["totals"]["requests_in_flight"] >= 1
    assert answer["worker"]["instance"] == "prod-eu"
    assert answer["worker"]["ready"] is True
    assert "chart" in answer["streams"][0]
    assert "chart" not in answer["streams"][1]

    churn = worker.json("/api/streams/churn")
    [episode] = [e for e in churn["view"]["open_episodes"] if e["category"] == "concept"]
    assert episode["onset_earliest_ms"] <= episode["onset_ms"] <= episode["opened_ms"]
    assert "error" in {signal["name"] for signal in episode["signals"]}
    assert churn["requests"][-1]["ended"] is None
    assert churn["view"]["request_in_flight"] == churn["requests"][-1]["request_id"]

    # Features are met a bin of 16 at a time.
    worker.wait_until(lambda: worker.json("/api/streams/fraud")["features"], "the new version's features")
    fraud = worker.json("/api/streams/fraud")
    assert [d["model_version"] for d in fraud["deployments"]] == ["v1", "v2"]
    assert fraud["requests"][-1]["ended"] == "deployed"
    assert fraud["requests"][-1]["rows"] >= 200
    assert {e["resolution"] for e in fraud["past_episodes"] if e["category"] == "concept"} == {"replaced"}
    chart = fraud["chart"]
    assert sum(chart["outcomes"]) <= fraud["view"]["outcomes_total"]
    assert max(chart["error"]) > 0.3 > min(chart["error"])
    # x tells the label about as well as a threshold does: the challenger learns that much.
    assert 0.1 < chart["challenger_error"][-5] < 0.7
    assert {f["name"]: f["kind"] for f in fraud["features"]} == {
        "x": "numeric",
        "country": "categorical",
        "age": "numeric",
    }
    assert set(fraud["slices"]) == {"region=eu", "region=us"}
    assert fraud["label_delay_s"] == {"p50": 30.0, "p95": 30.0}  # the bucket: 5 to 30 s

    steady = worker.json("/api/streams/steady")
    assert {(v["model_version"], v["role"]) for v in steady["versions"]} == {
        ("v1", "production"),
        ("v2-rc", "canary"),
    }
    assert sum(steady["chart"]["outcomes"]) < steady["view"]["outcomes_total"]  # the canary's are not drawn
    assert steady["view"]["labels_unmatched"]["duplicate"] > 0

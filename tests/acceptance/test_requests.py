"""CONTRACT sections 3 and 5: when a retrain is asked for, and when not. All streams in one replay."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.acceptance.house import MINUTE
from tests.acceptance.test_replay import T0, replayed

HOUR = 60 * MINUTE
# Labels follow at once, so the n-th outcome is that of row n.
CALM = {"error": "off", "features": "off", "score": "off", "quality": "off", "challenger_gap": "off"}
# ruff: noqa: E501 - a table, a case a line
CONFIG: dict[str, Any] = {
    "stream_defaults": {"challenger": "off"},
    "streams": {
        "rule": {"retrain": {"when": ["accuracy < 0.8 over 1000"], "on_drift": False, "cooldown": "0s"}},
        "recovers": {
            "retrain": {"when": ["accuracy < 0.8 over 100"], "on_drift": False, "cooldown": "0s", "min_rows": 10, "timeout": "10m", "max_attempts": 1}
        },
        "timed": {"retrain": {"when": ["accuracy < 0.8 over 2h"], "on_drift": False, "cooldown": "0s", "min_rows": 50}},
        "schedule": {"retrain": {"every": "8h", "on_drift": False, "min_rows": 100, "cooldown": "1h"}},
        "hand": {"retrain": {"on_drift": False, "timeout": "1h", "cooldown": "6h"}},
        "off": {"retrain": {"mode": "off"}},
        "propose": {"retrain": {"mode": "propose"}},
        "drift": {"labels": {"team": "risk"}},
        "classes": {"retrain": {"min_rows_per_class": 40, "max_wait": "90d"}},
        "few": {"retrain": {"min_rows": 100000, "max_wait": "5h"}},
        "kinds": {"retrain": {"kinds": ["recurrent"]}},
        "no-drift": {"retrain": {"on_drift": False}},
        "deployed": {},
    },
}  # fmt: skip
for name in ("rule", "recovers", "timed", "schedule", "hand"):
    CONFIG["streams"][name]["signals"] = CALM


def rows(
    stream: str,
    levels: list[tuple[int, float]],
    *,
    seed: int = 3,
    version: str | None = "v1",
    start: int = 0,
    truth: float = 0.5,
) -> list[Any]:
    """(count, error rate) in turn, a row a minute; predictions of 0 and 1 by chance."""
    rng = random.Random(f"{stream}{seed}")
    found: list[Any] = []
    at = start
    for count, level in levels:
        # As evenly spread as chance allows, so that a window's accuracy is what is said.
        errors = [i < round(count * level) for i in range(count)]
        rng.shuffle(errors)
        for wrong in errors:
            ts, pid = T0 + at * MINUTE, f"{stream}-{version}-{at}"
            label = int(rng.random() < truth)
            made = {
                "prediction_id": pid,
                "stream": stream,
                "ts": ts,
                "prediction": label ^ int(wrong),
                "model_version": version,
            }
            found.append(("predictions", stream, made, ts))
            found.append(("labels", stream, {"prediction_id": pid, "ts": ts, "label": label}, ts))
            at += 1
    return found


def event(stream: str, at: int, kind: str, **fields: Any) -> Any:
    ts = T0 + at * MINUTE
    return ("model-events", stream, {"stream": stream, "ts": ts, "type": kind, **fields}, ts)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    change = [(1500, 0.05), (1500, 0.4)]
    records = [
        *rows("rule", [(1800, 0.3)]),
        event("rule", 1800, "model-deployed", model_version="v2"),
        *rows("rule", [(1200, 0.3)], version="v2", start=1801),
        *rows("recovers", [(400, 0.5), (400, 0.0), (400, 0.5)]),
        *rows("timed", [(200, 0.0), (400, 0.5)]),
        *rows("schedule", [(600, 0.1)]),
        event("schedule", 600, "model-deployed", model_version="v2"),
        *rows("schedule", [(600, 0.1)], version="v2", start=601),
        *rows("hand", [(60, 0.1)]),
        event("hand", 30, "retrain-requested", by="ann", reason="rules"),
        event("hand", 31, "retrain-requested", by="bob", reason="too"),
        event("hand", 32, "training-started"),
        event("hand", 33, "training-failed", reason="disk"),
        *rows("hand", [(1200, 0.1)], start=60),
        event("hand", 1300, "training-started", retrain_request_id="nobody-gave-this"),
        event("hand", 1301, "retrain-requested"),
        event("hand", 1302, "model-deployed", model_version="v9"),
        event("hand", 1303, "retrain-requested", reason="again"),
        event("never-seen", 50, "retrain-requested", reason="no rows yet"),
        *rows("off", change),
        *rows("propose", change),
        *rows("drift", change),
        *rows("classes", change, truth=0.01),
        *rows("few", change),
        *rows("kinds", change),
        *rows("no-drift", change),
        *rows("deployed", [(1500, 0.05), (300, 0.6)]),
        event("deployed", 1800, "model-deployed", model_version="v2"),
        *rows("deployed", [(1200, 0.05)], version="v2", start=1801),
    ]
    # In the order of their times, a stream's own order kept.
    records.sort(key=lambda record: record[3])
    found = replayed(tmp_path_factory.mktemp("requests"), CONFIG, records)
    by: dict[str, list[dict[str, Any]]] = {name: [] for name in [*CONFIG["streams"], "never-seen"]}
    for line in found:
        by[line["key"]].append(
            line["value"]["data"] | {"at": (line["ts"] - T0) // MINUTE, "topic": line["topic"]}
        )
    return by


def requests(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in found if one["topic"] == "retrain-requests"]


def test_a_rule_fires_once_when_its_outcomes_exist_and_again_after_a_deployment(asked: Any) -> None:
    first, second, *retries = requests(asked["rule"])
    assert (first["reason"], first["evidence"]["rule"], first["at"]) == (
        "performance",
        "accuracy < 0.8 over 1000",
        999,
    )
    assert first["model_version"] == "v1"
    assert first["training_window"]["rows"] == 1000
    assert (second["reason"], second["at"], second["model_version"]) == ("performance", 1801 + 999, "v2")
    assert first["request_id"] != second["request_id"]
    assert not retries
    assert all(one["attempt"] == 1 for one in (first, second))
    assert first["episode_id"] is None


def test_a_rule_re_arms_on_recovery(asked: Any) -> None:
    found = requests(asked["recovers"])
    assert [one["attempt"] for one in found] == [1, 1]
    assert found[0]["at"] < 400
    assert 800 < found[1]["at"] < 1000


def test_a_rule_over_time(asked: Any) -> None:
    (one,) = (one for one in requests(asked["timed"]) if one["attempt"] == 1)
    assert 200 < one["at"] < 330
    assert one["evidence"]["rule"] == "accuracy < 0.8 over 2h"


def test_a_schedule_runs_from_the_first_outcome_and_from_a_deployment(asked: Any) -> None:
    first, second = (one for one in requests(asked["schedule"]) if one["attempt"] == 1)
    assert (first["reason"], first["at"]) == ("schedule", 480)
    assert (second["reason"], second["at"]) == ("schedule", 1080)
    assert first["evidence"]["schedule"]
    assert first["training_window"]["rows"] in (480, 481)


def test_by_hand(asked: Any) -> None:
    found = requests(asked["hand"])
    assert all(one["reason"] == "manual" for one in found)
    assert found[0]["at"] == 30
    assert "rules" in found[0]["evidence"]["manual"]
    assert found[0]["status"] == "requested"
    # Failed, then silence: the same question twice more, then it is over.
    first = [one for one in found if one["request_id"] == found[0]["request_id"]]
    assert [one["attempt"] for one in first] == [1, 2, 3]
    assert first[1]["at"] > 33
    assert first[0]["training_window"]["rows"] in (30, 31)
    assert first[2]["training_window"]["rows"] > first[1]["training_window"]["rows"]
    # bob's found one in flight; the one without a reason and the one after its deployment did not.
    assert [one["at"] for one in found if one["attempt"] == 1] == [30, 1301, 1303]


def test_by_hand_for_a_stream_nobody_has_seen(asked: Any) -> None:
    (one,) = requests(asked["never-seen"])
    window = one["training_window"]
    assert (one["reason"], window["rows"], window["class_counts"], one["model_version"]) == (
        "manual",
        0,
        {},
        None,
    )
    assert window["start_offset"] == window["end_offset"]


def test_drift_asks_once_with_its_episode_and_rows_since_the_onset(asked: Any) -> None:
    found = requests(asked["drift"])
    first = found[0]
    assert {one["request_id"] for one in found} == {first["request_id"]}
    opened = next(one for one in asked["drift"] if one["topic"] == "drift-events")
    assert opened["status"] == "opened"
    assert (first["reason"], first["status"], first["attempt"]) == ("drift", "requested", 1)
    assert first["episode_id"] == opened["episode_id"]
    assert first["labels"] == opened["labels"] == {"team": "risk"}
    assert [s["name"] for s in first["evidence"]["signals"]]
    assert first["at"] >= 1500 + 450
    window = first["training_window"]
    assert window["rows_since_onset"] >= 500
    assert sum(window["class_counts"].values()) == window["rows"]
    assert min(window["class_counts"].values()) >= 20


def test_what_is_set_to_ask_nothing_asks_nothing(asked: Any) -> None:
    for name in ("off", "kinds", "no-drift"):
        assert not requests(asked[name]), name
        assert asked[name], f"{name}: the drift itself is told"


def test_proposals(asked: Any) -> None:
    found = requests(asked["propose"])
    assert found
    assert {one["status"] for one in found} == {"proposed"}


def test_rows_per_class_are_waited_for(asked: Any) -> None:
    for one in requests(asked["classes"]):
        assert min(one["training_window"]["class_counts"].values()) >= 40


def test_max_wait_asks_with_what_there_is_and_says_so(asked: Any) -> None:
    first = requests(asked["few"])[0]
    opened = next(one for one in asked["few"] if one["topic"] == "drift-events")
    assert first["at"] >= opened["at"] + 300
    assert first["training_window"]["rows_since_onset"] < 100000
    assert any(isinstance(v, str) and "100000" in v for v in first["evidence"].values()), first["evidence"]


def test_a_deployment_closes_open_episodes_as_replaced(asked: Any) -> None:
    drift = [one for one in asked["deployed"] if one["topic"] == "drift-events"]
    closed = [one for one in drift if one["status"] == "closed"]
    assert [(one["resolution"], one["at"]) for one in closed if one["category"] == "concept"] == [
        ("replaced", 1800)
    ]
    assert all(one["at"] <= 1800 for one in drift)

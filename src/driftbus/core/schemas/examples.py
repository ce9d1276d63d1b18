"""Whole examples of the events with an envelope."""

from __future__ import annotations

from typing import Any

_SIGNALS = [{"name": "error", "before": 0.08, "after": 0.21, "detector": "adwin", "evidence": 14.2}]


def _cloudevent(kind: str, schema: str, event_id: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "prod-eu",
        "type": kind,
        "subject": "fraud",
        "time": "2026-01-05T12:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": schema,
        "partitionkey": "fraud",
        "data": data,
    }


DRIFT_EVENT = _cloudevent(
    "io.driftbus.drift.v1",
    "urn:driftbus:schema:drift-event:v1",
    "fraud-e1-1",
    {
        "episode_id": "fraud-e1",
        "stream": "fraud",
        "status": "opened",
        "resolution": None,
        "category": "concept",
        "kind": "sudden",
        "confidence": 0.93,
        "onset": {
            "ts": "2026-01-05T09:00:00.000Z",
            "earliest": "2026-01-05T08:40:00.000Z",
            "latest": "2026-01-05T09:10:00.000Z",
            "offset": {"topic": "driftbus.outcomes", "partition": 0, "offset": 1234},
        },
        "signals": _SIGNALS,
        "slice": None,
        "detected_at": "2026-01-05T12:00:00.000Z",
        "outcomes_seen": 5210,
        "predictions_seen": 9100,
        "model_version": "v3",
        "muted": False,
        "labels": {"team": "risk"},
    },
)

RETRAIN_REQUEST = _cloudevent(
    "io.driftbus.retrain-request.v1",
    "urn:driftbus:schema:retrain-request:v1",
    "fraud-r1-1",
    {
        "request_id": "fraud-r1",
        "stream": "fraud",
        "model_version": "v3",
        "status": "requested",
        "reason": "drift",
        "episode_id": "fraud-e1",
        "evidence": {
            "signals": _SIGNALS,
            "rule": None,
            "schedule": None,
            "manual": None,
            "note": None,
            "retraining": {"verdict": "likely", "gain": 0.11, "low": 0.08, "high": 0.14, "rows": 3840},
            "earlier_state": None,
            "tried": None,
        },
        "training_window": {
            "topic": "driftbus.outcomes",
            "partition": 0,
            "start_offset": 1234,
            "end_offset": 5210,
            "start_seq": 1200,
            "end_seq": 5190,
            "start_ts": "2026-01-05T08:40:00.000Z",
            "end_ts": "2026-01-05T12:00:00.000Z",
            "rows": 3976,
            "class_counts": {"0": 3800, "1": 176},
            "onset_ts": "2026-01-05T09:00:00.000Z",
            "rows_since_onset": 3900,
            "corrections_offset": 12,
            "sample": 1.0,
        },
        "attempt": 1,
        "labels": {"team": "risk"},
    },
)

"""Airflow 3: a DAG that runs once for every retrain request.

Needs `apache-airflow-providers-apache-kafka` and `apache-airflow-providers-common-messaging`, a connection
`kafka_default` whose extra is librdkafka's (`{"bootstrap.servers": "…", "group.id": "airflow",
"auto.offset.reset": "earliest"}`), and driftbus where tasks run. The triggerer listens; a request lost
between it and the DAG is asked again by driftbus after `retrain.timeout`.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from airflow.sdk import Asset, AssetWatcher, dag, task

KAFKA = {"bootstrap.servers": "kafka:9092"}

trigger = MessageQueueTrigger(scheme="kafka", topics=["driftbus.retrain-requests"])
requests = Asset("driftbus-retrain-requests", watchers=[AssetWatcher(name="driftbus", trigger=trigger)])


@dag(schedule=[requests], catchup=False)
def retrain() -> None:
    @task
    def train(triggering_asset_events: dict[Any, Any] | None = None) -> None:
        from driftbus.client import Emitter

        for event in (triggering_asset_events or {})[requests]:
            asked = json.loads(event.extra["payload"])["data"]  # the record's value is the whole CloudEvent
            if asked["status"] != "requested":
                continue
            rows = f"/tmp/{asked['request_id']}.parquet"  # noqa: S108
            subprocess.run(["driftbus", "export", asked["request_id"], "--out", rows], check=True)
            # … train on `rows`, deploy as `version` …
            version = asked["request_id"][:8]
            with Emitter(kafka=KAFKA) as emitter:
                emitter.model_event(asked["stream"], "model-deployed", model_version=version, by="airflow")

    train()


retrain()

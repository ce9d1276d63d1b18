"""What examples/orchestrators shows for Airflow, Argo Events and Prefect, as far as it can be checked without
them: against the schema of the request, the command line, and an HTTP server that stands where Prefect would.

What each was tried on by hand is in docs/guides/trainers.md.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import orjson
import yaml

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.core.schemas.examples import RETRAIN_REQUEST
from driftbus.ports import TopicSpec
from tests.cli.commands import clean_environ, driftbus
from tests.kustomize_schemas import TEXT, fields, many, one_of
from tests.test_webhook import LIMIT_S, PLACE, Hook, listening

FOLDER = Path(__file__).resolve().parents[1] / "examples/orchestrators"
TEMPLATE = re.compile(r"\{\{ event\.([\w.]+) \}\}")
BACKOFF = fields(
    [], duration=TEXT, factor={"type": "number"}, jitter={"type": "number"}, steps={"type": "integer"}
)
# From Argo Events' definitions (1.9), no wider than what we use.
EVENT_SOURCE = fields(
    ["url", "topic"],
    url=TEXT,
    topic=TEXT,
    consumerGroup=fields(["groupName"], groupName=TEXT, oldest={"type": "boolean"}),
    jsonBody={"type": "boolean"},
    connectionBackoff=BACKOFF,
)
SENSOR = fields(
    ["dependencies", "triggers"],
    template=fields([], serviceAccountName=TEXT),
    dependencies=many(
        fields(
            ["name", "eventSourceName", "eventName"],
            name=TEXT,
            eventSourceName=TEXT,
            eventName=TEXT,
            filters=fields(
                [], data=many(fields(["path", "type", "value"], path=TEXT, type=TEXT, value=many(TEXT)))
            ),
        )
    ),
    triggers=many(
        fields(
            ["template"],
            retryStrategy=BACKOFF,
            template=fields(
                ["name"],
                name=TEXT,
                argoWorkflow=fields(
                    ["operation", "source"],
                    operation=one_of("submit", "resubmit", "resume", "retry", "suspend", "terminate", "stop"),
                    source=fields(["resource"], resource={"type": "object"}),
                    parameters=many(
                        fields(
                            ["src", "dest"],
                            src=fields(["dependencyName"], dependencyName=TEXT, dataKey=TEXT),
                            dest=TEXT,
                        )
                    ),
                ),
            ),
        )
    ),
)


def at(path: str, value: Any) -> Any:
    """What stands at a dotted path; a number is a place in a list."""
    for part in path.split("."):
        value = value[int(part) if part.isdigit() else part]
    return value


def test_argo_events_hand_the_request_to_a_workflow() -> None:
    source, sensor = yaml.safe_load_all((FOLDER / "argo-events.yaml").read_text())
    assert (source["kind"], sensor["kind"]) == ("EventSource", "Sensor")
    ((name, kafka),) = source["spec"]["kafka"].items()
    jsonschema.validate(kafka, EVENT_SOURCE)
    jsonschema.validate(sensor["spec"], SENSOR)
    assert kafka["topic"] == PLACE.topic
    # With jsonBody the event's data is {"body": the record's value, "topic": …}.
    data = {"body": RETRAIN_REQUEST, "topic": PLACE.topic, "partition": 0}
    (dependency,) = sensor["spec"]["dependencies"]
    assert (dependency["eventSourceName"], dependency["eventName"]) == (source["metadata"]["name"], name)
    (only,) = dependency["filters"]["data"]
    assert re.match(only["value"][0], at(only["path"], data))
    assert not re.match(only["value"][0], "proposed")
    (trigger,) = sensor["spec"]["triggers"]
    workflow = trigger["template"]["argoWorkflow"]
    names = [one["name"] for one in at("spec.arguments.parameters", workflow["source"]["resource"])]
    given = {}
    for number, parameter in enumerate(workflow["parameters"]):
        assert parameter["src"]["dependencyName"] == dependency["name"]
        assert parameter["dest"] == f"spec.arguments.parameters.{number}.value"
        assert at(parameter["dest"], workflow["source"]["resource"])
        given[names[number]] = at(parameter["src"]["dataKey"], data)
    asked = RETRAIN_REQUEST["data"]
    assert given == {
        "stream": asked["stream"],
        "request_id": asked["request_id"],
        "request": RETRAIN_REQUEST,
    }


def test_prefect_gets_an_event_that_its_deployment_waits_for(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path / "bus")
    bus.create_topics([TopicSpec(PLACE.topic, 1)])
    producer = bus.producer()
    producer.produce(PLACE.topic, key=b"fraud", value=orjson.dumps(RETRAIN_REQUEST))
    producer.close(10)
    bus.close()
    program = [sys.executable, str(FOLDER / "prefect_events.py"), "--embedded", str(tmp_path / "bus")]

    def hand_over(hook: Hook) -> int:
        with listening(hook) as url:
            environ = clean_environ() | {"PREFECT_API_URL": url, "PREFECT_API_KEY": "k"}
            command = [*program, "--timeout", "2"]
            return subprocess.run(command, env=environ, timeout=LIMIT_S, capture_output=True).returncode

    away, back = Hook(503), Hook()
    assert hand_over(away) == 1
    assert hand_over(back) == 0
    headers, body = back.came[0]
    assert body == away.came[0][1], "the same event when it is sent again"
    assert headers["Authorization"] == "Bearer k"
    (event,) = json.loads(body)
    # Prefect's event: these are required.
    UUID(event["id"])
    assert datetime.fromisoformat(event["occurred"]).tzinfo is not None
    assert event["payload"] == RETRAIN_REQUEST["data"]
    deployment = yaml.safe_load((FOLDER / "prefect.yaml").read_text())["deployments"][0]
    (trigger,) = deployment["triggers"]
    assert event["event"] in trigger["expect"]
    ((key, pattern),) = trigger["match"].items()
    assert event["resource"][key].startswith(pattern.removesuffix("*"))
    for wanted in trigger["parameters"].values():
        found = TEMPLATE.fullmatch(wanted)
        assert found
        assert at(found[1], event)


def test_airflow_reads_what_a_request_holds_and_calls_what_there_is() -> None:
    """The file compiles, takes from the request only what is in it, and its command has these options."""
    tree = ast.parse((FOLDER / "airflow_dag.py").read_text())
    keys = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asked"
        and isinstance(node.slice, ast.Constant)
    }
    assert keys == {"status", "request_id", "stream"}
    assert keys <= RETRAIN_REQUEST["data"].keys()
    topics = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert PLACE.topic in topics
    assert "--out" in topics
    assert "--out" in driftbus("export", "--help").stdout

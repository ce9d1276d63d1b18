"""What is shipped for running driftbus, checked by the tools that know the formats."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from driftbus.config import load
from driftbus.trial import Trial

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
RULES = DEPLOY / "prometheus/rules.yml"
ALERTMANAGER = DEPLOY / "alertmanager/alertmanager.yml"
YAMLLINT = (
    "{extends: default, rules: {line-length: {max: 130}, document-start: disable, "
    "braces: {max-spaces-inside: 1}, truthy: {check-keys: false}}}"
)


def run(tool: str, *arguments: str | Path) -> None:
    """A tool of the project's own set-up, else of the system's; what it says is the failure."""
    beside = Path(sys.executable).with_name(tool)
    command = str(beside) if beside.exists() else shutil.which(tool)
    assert command, f"{tool} is not installed; `make setup` does that"
    done = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_compose_is_what_compose_reads() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_yaml_is_tidy() -> None:
    run("yamllint", "--strict", "-d", YAMLLINT, COMPOSE, DEPLOY)


def test_the_dockerfile_is_sound() -> None:
    run("hadolint", DEPLOY / "Dockerfile")


def test_the_last_stage_of_the_image_builds_and_fetches_nothing() -> None:
    *_, last = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")
    runs = re.findall(r"^RUN (.*?)(?<!\\)$", last, re.MULTILINE | re.DOTALL)
    assert len(runs) == 1
    assert not re.search(r"\b(pip|apt|apt-get|curl|wget|gcc|make)\b", runs[0])
    copies = re.findall(r"^COPY (.*)$", last, re.MULTILINE)
    assert copies == ["--from=build /opt/driftbus /opt/driftbus"]


def test_what_the_image_copies_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored, source


def test_prometheus_takes_its_configuration_and_rules() -> None:
    run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")
    run("promtool", "check", "rules", RULES)


def test_every_rule_does_what_its_unit_test_says() -> None:
    run("promtool", "test", "rules", DEPLOY / "prometheus/rules_test.yml")


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_not(fires: bool) -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires} == {
        alert["alert"] for alert in alerts()
    }


def test_alertmanager_takes_its_configuration() -> None:
    run("amtool", "check-config", ALERTMANAGER)
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]
    service = compose()["services"]["alertmanager"]
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in service["command"]
    assert "./deploy/alertmanager:/etc/alertmanager:ro" in service["volumes"]


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("severity=warning", "everybody"),
        ("severity=critical", "on-call"),
        ("severity=warning team=demo stream=s", "team-demo"),
        ("severity=critical team=demo stream=s", "on-call,team-demo"),
        ("severity=warning team=unknown stream=s", "everybody"),
    ],
)
def test_alerts_are_routed_by_severity_and_owner(labels: str, receivers: str) -> None:
    asked = ["config", "routes", "test", "--config.file", ALERTMANAGER, "--verify.receivers", receivers]
    run("amtool", *asked, *labels.split())


def test_what_alertmanager_holds_back_are_alerts_that_there_are() -> None:
    names = {alert["alert"] for alert in alerts()}
    said = re.findall(r"Driftbus[A-Za-z]+", ALERTMANAGER.read_text())
    assert said
    assert set(said) <= names


def test_every_alert_says_what_it_means_and_has_its_runbook() -> None:
    for alert in alerts():
        name = alert["alert"]
        assert re.fullmatch(r"Driftbus([A-Z][a-z]+)+", name)
        # An owner's own word comes first; what is driftbus's own trouble has no owner.
        assert alert["labels"]["severity"] in ("warning", "critical", '{{ or $labels.severity "warning" }}')
        joined = "group_left (team, severity) stream:driftbus_owner:info" in alert["expr"]
        assert joined is ("$labels.severity" in alert["labels"]["severity"])
        assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
        text = (ROOT / alert["annotations"]["runbook_url"]).read_text()
        assert text.startswith(f"# {name}\n")
        for part in ("## What it means", "## How to see it", "## What to do"):
            assert part in text
    runbooks = {path.stem for path in (ROOT / "docs/runbooks").glob("Driftbus*.md")}
    assert runbooks == {alert["alert"] for alert in alerts()}


def test_the_workers_configuration_is_one() -> None:
    settings = load(DEPLOY / "compose/driftbus.yaml", {"DRIFTBUS_HTTP__HOST": "0.0.0.0"})  # noqa: S104
    assert settings.http.port == 8711
    targets = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    workers = [name for name in compose()["services"] if name.startswith("worker-")]
    assert targets["static_configs"][0]["targets"] == [f"{name}:8711" for name in workers]
    assert settings.http.peers == tuple(f"http://{name}:8711" for name in workers)
    assert len(workers) == 2


def test_ingest_reads_what_the_other_services_write() -> None:
    settings = load(DEPLOY / "compose/ingest.yaml", {"DRIFTBUS_HTTP__HOST": "0.0.0.0"})  # noqa: S104
    services = compose()["services"]
    profile = {name for name, one in services.items() if one.get("profiles") == ["ingest"]}
    assert profile == {"ingest", "ingest-topics", "other-services"}
    # The volume of the worker's configuration is replaced, not added to: one file at that path.
    for name in ("ingest", "ingest-topics"):
        assert services[name]["volumes"] == ["./deploy/compose/ingest.yaml:/etc/driftbus/driftbus.yaml:ro"]
        assert services[name]["environment"]["DRIFTBUS_CONFIG"] == "/etc/driftbus/driftbus.yaml"
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["dns_sd_configs"] == [{"names": ["ingest"], "type": "A", "port": settings.http.port}]
    files = {path.stem: path for path in (DEPLOY / "compose/ingest").glob("*.jsonl")}
    topics = {topic for source in settings.ingest.sources for topic in source.topics}
    script = services["other-services"]["command"][0]
    assert files.keys() == topics
    assert f"for topic in {' '.join(sorted(topics))};" in script
    trial = Trial(settings.ingest, settings.limits.max_record_bytes)
    lines = [
        orjson.dumps({"topic": topic, "ts": 1_767_605_400_000, "value": orjson.loads(line)})
        for topic, path in sorted(files.items())
        for line in path.read_bytes().splitlines()
    ]
    events = [orjson.loads(line) for line in trial.lines(lines)]
    assert {what: n for what, n in trial.counts.items() if n} == {"predictions": 4, "labels": 4}
    assert {event["key"] for event in events} == {"iris"}
    ids: dict[str, set[str]] = {}
    for event in events:
        ids.setdefault(event["topic"], set()).add(event["value"]["prediction_id"])
    assert ids["predictions"] == ids["labels"]


@pytest.mark.parametrize("service", ["inference", "trainer"])
def test_the_demo_services_start_what_exists(service: str) -> None:
    described = compose()["services"][service]
    python, flag, module = described["entrypoint"]
    assert (python, flag) == ("python", "-m")
    assert find_spec(module)
    assert described["command"][0] == service
    help_text = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(option in help_text for option in described["command"] if option.startswith("--"))


def test_every_service_that_stays_says_whether_it_is_well() -> None:
    once = {"topics", "ingest-topics", "other-services"}
    services = compose()["services"]
    assert {name for name, one in services.items() if one.get("restart", "no") == "no"} == once
    for name, one in services.items():
        probe = one.get("healthcheck", {"disable": True})
        assert ("test" in probe and not probe.get("disable")) is (name not in once), name


def test_what_a_service_waits_for_can_come() -> None:
    """One that ends is waited for until it has, one that stays until it is well; nobody waits in a circle."""
    services = compose()["services"]
    after: dict[str, set[str]] = {}
    for name, one in services.items():
        waits = one.get("depends_on", {})
        after[name] = set(waits)
        for other, how in waits.items():
            ends = services[other].get("restart", "no") == "no"
            assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}
            # What is started without a profile must not wait for what needs one.
            assert services[other].get("profiles") in (None, one.get("profiles"))
    assert set(TopologicalSorter(after).static_order()) == services.keys()
    # What uses Kafka waits for it, and for the topics that it reads or writes.
    for name in ("worker-1", "worker-2", "inference", "trainer", "ingest-topics"):
        assert "topics" in after[name]
    assert after["ingest"] == {"ingest-topics", "other-services"}
    assert after["topics"] == after["other-services"] == {"kafka"}


def test_nothing_listens_beyond_this_machine_and_nothing_runs_with_rights() -> None:
    for name, service in compose()["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ":" in service["image"], f"{name}: an image without a version"
        if service["image"].startswith("driftbus:"):
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER \d+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_a_single_kafka_broker_keeps_one_replica_of_everything() -> None:
    environment = compose()["services"]["kafka"]["environment"]
    factors = {
        key: value for key, value in environment.items() if "REPLICATION_FACTOR" in key or "MIN_ISR" in key
    }
    assert len(factors) == 5
    assert set(factors.values()) == {1}

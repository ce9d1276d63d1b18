"""The manifests of deploy/kustomize: built by kubectl's own kustomize, judged by Kubernetes's schemas, and
compared with what they depend on: the code's topics, the guide's grants, the image, the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from driftbus.topics import CO_PARTITIONED, topic_specs
from tests.kustomize_built import (
    COMPONENT,
    INSTANCE,
    MADE_ELSEWHERE,
    OVERLAYS,
    ROOT,
    WRITTEN,
    assert_scraped,
    built,
    containers,
    mounted,
    only,
    pods,
    resources,
    tool,
)
from tests.kustomize_schemas import SCHEMAS
from tests.security.conftest import of


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_would_take_what_is_its_own(overlay: str, tmp_path: Path) -> None:
    file = tmp_path / "built.yaml"
    file.write_text(built(overlay))
    done = tool("kubernetes-validate", "--strict", file)
    assert done.returncode == 0, done.stdout + done.stderr
    said = (done.stdout + done.stderr).splitlines()
    unknown = {line.split("for kind ")[1].split()[0] for line in said if line.startswith("WARN")}
    assert unknown <= SCHEMAS.keys(), "neither Kubernetes's schemas nor ours know these"
    judged = [line for line in said if line.startswith("INFO")]
    assert len(judged) == sum(one["kind"] not in SCHEMAS for one in resources(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_operators_would_take_what_is_theirs(overlay: str) -> None:
    for one in resources(overlay):
        if one["kind"] in SCHEMAS:
            jsonschema.validate(one, SCHEMAS[one["kind"]])


def test_kubernetes_and_our_schemas_refuse_a_typing_error(tmp_path: Path) -> None:
    wrong = resources("production", "Deployment")[0]
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(wrong))
    assert tool("kubernetes-validate", "--strict", file).returncode != 0
    for kind in ("KafkaTopic", "KafkaUser", "ScaledObject", "TriggerAuthentication", "ServiceMonitor"):
        one = resources("production", kind)[0]
        one["spec"]["mistake"] = 1
        with pytest.raises(jsonschema.ValidationError, match="mistake"):
            jsonschema.validate(one, SCHEMAS[kind])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_reference_leads_somewhere(overlay: str) -> None:
    there: dict[tuple[str, str], set[str]] = {
        (one["kind"], one["metadata"]["name"]): set(one.get("data", {})) for one in resources(overlay)
    }
    there |= {("Secret", name): keys for name, keys in MADE_ELSEWHERE[overlay].items()}
    namespaces = {one["metadata"]["name"] for one in resources(overlay, "Namespace")}
    for one in resources(overlay):
        if one["kind"] != "Namespace":
            assert {one["metadata"]["namespace"]} == namespaces
    for _, template in pods(overlay):
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in there
    used = list(references(overlay))
    assert used
    for kind, name, key in used:
        assert (kind, name) in there, f"no {kind} {name}"
        assert key is None or key in there[kind, name], f"no {key} in {kind} {name}"
    # What others make is used: a list that only grows would hide a mistake.
    assert {name for kind, name, _ in used if kind == "Secret"} >= MADE_ELSEWHERE[overlay].keys()


def references(overlay: str) -> Iterator[tuple[str, str, str | None]]:
    for spec, container in containers(overlay):
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in spec["volumes"]}
        for volume in spec["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                for kind, field in (("ConfigMap", "configMap"), ("Secret", "secret")):
                    if field in source:
                        yield kind, source[field]["name"], None
                        for item in source[field]["items"]:
                            yield kind, source[field]["name"], item["key"]
        for variable in container["env"]:
            if "valueFrom" in variable:
                wanted = variable["valueFrom"]["secretKeyRef"]
                yield "Secret", wanted["name"], wanted["key"]
    for monitor in resources(overlay, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            wanted = endpoint["authorization"]["credentials"]
            yield "Secret", wanted["name"], wanted["key"]
    for authentication in resources(overlay, "TriggerAuthentication"):
        for wanted in authentication["spec"]["secretTargetRef"]:
            yield "Secret", wanted["name"], wanted["key"]
    for scaled in resources(overlay, "ScaledObject"):
        yield "Deployment", scaled["spec"]["scaleTargetRef"]["name"], None
        for trigger in scaled["spec"]["triggers"]:
            yield "TriggerAuthentication", trigger["authenticationRef"]["name"], None


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_workers(overlay: str) -> None:
    template = only(overlay, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    services = {
        one["metadata"]["name"]: one
        for one in resources(overlay, "Service")
        if one["spec"]["selector"][COMPONENT] == "worker"
    }
    service = services["driftbus"]
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    for one in services.values():
        assert one["spec"]["selector"].items() <= labels
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports.keys()
    # Each worker is scraped once, though both services have the labels that a monitor selects.
    assert [port["name"] for one in services.values() for port in one["spec"]["ports"]].count("http") == 1
    # The page of each shows all: by the name that stands for every worker.
    (peers,) = mounted(overlay).http.peers
    host, port = re.fullmatch(r"dns\+http://([a-z-]+):(\d+)", peers).groups()  # type: ignore[union-attr]
    assert services[host]["spec"]["clusterIP"] == "None"
    assert int(port) == services[host]["spec"]["ports"][0]["port"]
    budget = only(overlay, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels
    assert budget["maxUnavailable"] == 1
    if overlay != "dev":
        assert_scraped(only(overlay, "ServiceMonitor"), service)
    # A job's pods are no workers, nor are those that ingest.
    for name, other in pods(overlay):
        if name != "driftbus":
            assert (
                not service["spec"]["selector"].items() <= other.get("metadata", {}).get("labels", {}).items()
            )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_runs_with_rights(overlay: str) -> None:
    users = [
        line.split()[1]
        for line in (ROOT / "deploy/Dockerfile").read_text().splitlines()
        if line[:5] == "USER "
    ]
    for spec, container in containers(overlay):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert [str(spec["securityContext"]["runAsUser"])] == users
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["image"].startswith("driftbus:")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_is_asked_by_its_own_endpoints_and_given_time(overlay: str) -> None:
    template = only(overlay, "Deployment")["spec"]["template"]["spec"]
    (worker,) = template["containers"]
    settings = mounted(overlay)
    assert worker["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert worker["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert worker["ports"] == [{"name": "http", "containerPort": settings.http.port}]
    # docs/guides/operating.md: give it 30 seconds.
    assert template["terminationGracePeriodSeconds"] >= 30
    # The worker's own watchdog speaks first, since it can say what hung.
    probe = worker["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] * 1000 > settings.worker.stall_timeout_ms


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_mounted_configuration_is_one(overlay: str) -> None:
    settings = mounted(overlay)
    assert settings.instance == INSTANCE[overlay]
    assert settings.http.host == "0.0.0.0"  # noqa: S104 - a pod's own network
    # Beyond a cluster for trying things nobody looks without a token.
    assert bool(settings.http.token) is (overlay != "dev")
    if overlay != "dev":
        assert settings.kafka["sasl.password"] == WRITTEN
        assert settings.kafka["security.protocol"] == "SASL_SSL"


def test_strimzi_makes_the_topics_that_driftbus_would() -> None:
    settings = mounted("production")
    shown = {one["metadata"]["name"]: one for one in resources("production", "KafkaTopic")}
    partitions = {name: one["spec"]["partitions"] for name, one in shown.items()}
    assert len({partitions[settings.topics[short]] for short in CO_PARTITIONED}) == 1
    more = {"min.insync.replicas": "2"}
    for spec in topic_specs(settings, 12):
        one = shown.pop(spec.name)
        assert {key: str(value) for key, value in one["spec"]["config"].items()} == {**spec.config, **more}
        assert one["spec"]["replicas"] == 3
    assert not shown, "topics that driftbus does not know"


@pytest.mark.parametrize("who", ["worker", "emitter", "trainer", "ingest"])
def test_strimzi_grants_exactly_what_the_guide_lists(who: str) -> None:
    """The guide's table is tried on a real broker, grant by grant: tests/security."""
    kinds = {"topic": "topic", "group": "group", "transactionalId": "transactional id"}
    users = {one["metadata"]["name"]: one for one in resources("ingest", "KafkaUser")}
    assert users.keys() == {f"driftbus-{one}" for one in ("worker", "emitter", "trainer", "ingest")}
    granted = [
        (
            kinds[acl["resource"]["type"]],
            acl["resource"]["name"] + ("*" if acl["resource"]["patternType"] == "prefix" else ""),
            operation,
        )
        for acl in users[f"driftbus-{who}"]["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    ]
    assert sorted(granted) == sorted((grant.resource, grant.name, grant.operation) for grant in of(who))


def test_keda_scales_by_lag_up_to_the_partitions() -> None:
    settings = mounted("production")
    spec = only("production", "ScaledObject")["spec"]
    partitions = {
        one["metadata"]["name"]: one["spec"]["partitions"] for one in resources("production", "KafkaTopic")
    }
    assert {one["metadata"]["topic"] for one in spec["triggers"]} == {
        "driftbus.predictions",
        "driftbus.labels",
    }
    for trigger in spec["triggers"]:
        asked = trigger["metadata"]
        assert all(type(value) is str for value in asked.values())
        assert spec["maxReplicaCount"] == partitions[asked["topic"]]
        assert asked["consumerGroup"] == settings.group
        assert asked["bootstrapServers"] == settings.kafka["bootstrap.servers"]
        assert (asked["tls"], asked["sasl"]) == ("enable", "scram_sha512")
    assert "replicas" not in only("production", "Deployment")["spec"]


def test_the_operator_gets_the_same_rules_and_dashboards() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    assert only("production", "PrometheusRule")["spec"] == rules
    (shown,) = [
        one
        for one in resources("production", "ConfigMap")
        if one["metadata"]["name"] == "driftbus-dashboards"
    ]
    files = {path.name: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    assert shown["data"] == files

"""`driftbus ingest` beside the workers: deploy/kustomize/components/ingest."""

from __future__ import annotations

from driftbus.config import load
from driftbus.topics import halves_specs
from tests.kustomize_built import ROOT, assert_scraped, mounted, only


def test_selectors_find_those_that_ingest() -> None:
    deployment = only("ingest", "Deployment", "driftbus-ingest")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    worker = only("ingest", "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    service = only("ingest", "Service", "driftbus-ingest")
    budget = only("ingest", "PodDisruptionBudget", "driftbus-ingest")["spec"]
    selectors = [service["spec"]["selector"], budget["selector"]["matchLabels"]]
    for selector in (*selectors, deployment["selector"]["matchLabels"]):
        assert selector.items() <= labels
        assert not selector.items() <= worker
    assert_scraped(only("ingest", "ServiceMonitor", "driftbus-ingest"), service)
    (container,) = deployment["template"]["spec"]["containers"]
    (worker_container,) = only("ingest", "Deployment")["spec"]["template"]["spec"]["containers"]
    for same in ("livenessProbe", "readinessProbe", "ports", "image"):
        assert container[same] == worker_container[same]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]


def test_ingest_reads_the_workers_configuration_and_its_sources() -> None:
    worker, ingest = mounted("ingest"), mounted("ingest", "driftbus-ingest")
    shipped = load(ROOT / "deploy/compose/ingest.yaml", {})
    assert ingest.ingest == shipped.ingest
    assert ingest.ingest.sources
    assert not worker.ingest.sources
    own = ("sasl.username", "ssl.ca.location")  # the latter stands where the files are laid out
    assert {k: v for k, v in ingest.kafka.items() if k not in own} == {
        k: v for k, v in worker.kafka.items() if k not in own
    }
    assert ingest.kafka["sasl.username"] == "driftbus-ingest"
    assert (ingest.topics, ingest.group, ingest.http) == (worker.topics, worker.group, worker.http)


def test_strimzi_makes_the_topic_for_halves_as_driftbus_would() -> None:
    """And those of production beside it."""
    (spec,) = halves_specs(mounted("ingest", "driftbus-ingest"), 12)
    one = only("ingest", "KafkaTopic", spec.name)["spec"]
    assert {key: str(value) for key, value in one["config"].items()} == {
        **spec.config,
        "min.insync.replicas": "2",
    }
    assert (one["partitions"], one["replicas"]) == (12, 3)

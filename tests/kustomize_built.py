"""The manifests of deploy/kustomize as kubectl's own kustomize builds them, for the tests about them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from driftbus.config import Settings, load

ROOT = Path(__file__).parents[1]
KUSTOMIZE = ROOT / "deploy/kustomize"
OVERLAYS = ("dev", "production", "ingest")
# Where each configuration is from: an overlay may only add to another.
INSTANCE = {"dev": "dev", "production": "production", "ingest": "production"}
COMPONENT = "app.kubernetes.io/component"
# What the manifests refer to and somebody else makes: Strimzi (one per user, one per cluster), and a person,
# by the command in the overlay's head.
MADE_ELSEWHERE: dict[str, dict[str, set[str]]] = {
    "dev": {},
    "production": {
        "driftbus-worker": {"password"},
        "kafka-cluster-ca-cert": {"ca.crt"},
        "driftbus-http": {"token"},
    },
}
MADE_ELSEWHERE["ingest"] = {**MADE_ELSEWHERE["production"], "driftbus-ingest": {"password"}}
# What stands in each of them here.
WRITTEN = "0123456789abcdef"

Json = dict[str, Any]


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name(name)
    assert command.exists(), f"{name} is not installed; `make dev` does that"
    return subprocess.run([command, *map(str, arguments)], capture_output=True, text=True)


@cache
def built(overlay: str) -> str:
    done = tool("kubectl", "kustomize", KUSTOMIZE / "overlays" / overlay)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return done.stdout


def resources(overlay: str, kind: str | None = None) -> list[Json]:
    found: list[Json] = list(yaml.safe_load_all(built(overlay)))
    return [one for one in found if kind in (None, one["kind"])]


def only(overlay: str, kind: str, name: str = "driftbus") -> Json:
    (one,) = [each for each in resources(overlay, kind) if each["metadata"]["name"] == name]
    return one


def pods(overlay: str) -> Iterator[tuple[str, Json]]:
    for one in resources(overlay):
        if "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]


def containers(overlay: str) -> Iterator[tuple[Json, Json]]:
    for _, template in pods(overlay):
        for container in template["spec"]["containers"]:
            yield template["spec"], container


def mounted(overlay: str, deployment: str = "driftbus") -> Settings:
    """The configuration as a pod of this deployment reads it: its files laid out as the pod mounts them."""
    spec = only(overlay, "Deployment", deployment)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (volume,) = [one for one in spec["volumes"] if "projected" in one]
    contents = {one["metadata"]["name"]: one["data"] for one in resources(overlay, "ConfigMap")}
    environ = {one["name"]: one.get("value", WRITTEN) for one in container["env"]}
    with tempfile.TemporaryDirectory() as there:
        for source in volume["projected"]["sources"]:
            for field in ("configMap", "secret"):
                for item in source.get(field, {}).get("items", []):
                    path = Path(there) / item["path"]
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(
                        contents[source[field]["name"]][item["key"]] if field == "configMap" else WRITTEN
                    )
        config = Path(environ.pop("DRIFTBUS_CONFIG"))
        assert str(config.parent) == container["volumeMounts"][0]["mountPath"]
        for file in Path(there).rglob("*.yaml"):
            file.write_text(file.read_text().replace(str(config.parent), there))
        return load(Path(there) / config.name, environ)


def assert_scraped(monitor: Json, service: Json) -> None:
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == {"http"}
    # The rules of deploy/prometheus select job="driftbus".
    assert labels[monitor["spec"]["jobLabel"]] == "driftbus"

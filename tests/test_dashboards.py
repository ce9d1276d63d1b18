"""The dashboards as Grafana reads them: understandable, linked, and told where their data is.

That every expression of theirs has data is shown on a live worker: tests/integration/test_prometheus_live.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DASHBOARDS = ROOT / "deploy/grafana/dashboards"
NAMES = ("driftbus", "driftbus-stream", "driftbus-itself")


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text())
    return loaded


def test_these_are_all() -> None:
    assert sorted(path.stem for path in DASHBOARDS.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_can_be_understood(name: str) -> None:
    dashboard = read(name)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        box = panel["gridPos"]
        assert box["x"] + box["w"] <= 24
        cells = {
            (x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["calcs"]
            assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_dashboard_the_page_or_a_runbook(name: str) -> None:
    dashboard = read(name)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    urls = re.findall(r'"url": "([^"]+)"', json.dumps(dashboard))
    assert urls
    for url in urls:
        for variable in re.findall(r"\$\{(\w+)\}", url):
            assert variable in variables | {"__url_time_range"}, url
        if found := re.match(r"/d/([\w-]+)\?var-(\w+)=", url):
            target = read(found[1])
            assert target["uid"] == found[1]
            assert found[2] in {variable["name"] for variable in target["templating"]["list"]}
        else:
            assert url.startswith(("${page}/", "${runbooks}/"))
    assert dashboard["uid"] == name


@pytest.mark.parametrize("name", ["driftbus", "driftbus-stream"])
def test_episodes_requests_and_deployments_are_marked(name: str) -> None:
    marks = {mark["name"]: mark for mark in read(name)["annotations"]["list"]}
    assert marks.keys() == {"Episodes", "Requests", "Deployments"}
    assert all(mark["useValueForTime"] and "$stream" in mark["expr"] for mark in marks.values())


def test_grafana_is_told_where_its_dashboard_and_data_are() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    provider = yaml.safe_load((folder / "dashboards/driftbus.yml").read_text())["providers"][0]
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    mounts = [mount.split(":")[:2] for mount in service["volumes"]]
    assert ["./deploy/grafana/dashboards", provider["options"]["path"]] in mounts
    source = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    for name in NAMES:
        variable = read(name)["templating"]["list"][0]
        assert variable["current"]["value"] == source["uid"]
    home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert home.stem in NAMES

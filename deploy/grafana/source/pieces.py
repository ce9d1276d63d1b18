"""What dashboards are made of: a panel's target, the kinds of panels, variables, annotations, the frame.

Every panel has a unit and says in its description what one is to make of it.
"""

# ruff: noqa: E501  an expression or a description on one line reads and compares best

from __future__ import annotations

from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # Grafana's grid

Json = dict[str, Any]
# A panel with its width and height in the grid.
Placed = tuple[int, int, Json]


def target(expr: str, legend: str, *, instant: bool = False, table: bool = False, ref: str = "A") -> Json:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if table else "time_series",
    }


def panel(kind: str, title: str, description: str, unit: str, targets: list[Json], **more: Any) -> Json:
    for ref, one in zip("ABCDEFGH", targets, strict=False):
        one["refId"] = ref
    defaults: Json = {"unit": unit, "custom": more.pop("custom", {})} | more.pop("defaults", {})
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": more.pop("options", {}),
        **more,
    }


def stat(
    title: str, description: str, unit: str, expr: str, *, steps: list[tuple[float | None, str]] | None = None
) -> Json:
    found = steps or [(None, "text")]
    return panel(
        "stat", title, description, unit, [target(expr, title, instant=True)],
        defaults={"thresholds": {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in found]}},
        options={"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    )  # fmt: skip


def lines(
    title: str, description: str, unit: str, targets: list[Json], *, stacked: bool = False, bars: bool = False,
    **more: Any,
) -> Json:  # fmt: skip
    custom: Json = {"lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": False}
    if bars:
        custom |= {"drawStyle": "bars", "fillOpacity": 70, "lineWidth": 0}
    if stacked:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 70 if bars else 20}
    return panel(
        "timeseries", title, description, unit, targets, custom=custom,
        options={
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        **more,
    )  # fmt: skip


RED_ABOVE_0: list[tuple[float | None, str]] = [(None, "green"), (1, "red")]
ORANGE_ABOVE_0: list[tuple[float | None, str]] = [(None, "green"), (1, "orange")]
GREEN_FROM_1: list[tuple[float | None, str]] = [(None, "red"), (1, "green")]


# A click on a stream's name leads to its dashboard, at the same time.
STREAM_LINK: Json = {
    "matcher": {"id": "byName", "options": "stream"},
    "properties": [{"id": "links", "value": [{
        "title": "This stream", "url": "/d/driftbus-stream?var-stream=${__value.raw}&${__url_time_range}",
    }]}],
}  # fmt: skip


def table(title: str, description: str, unit: str, targets: list[Json], *, hide: tuple[str, ...] = (),
          rename: dict[str, str] | None = None, merge: bool = False) -> Json:  # fmt: skip
    """Rows of an instant query; a column named `stream` leads to that stream's dashboard."""
    organized = {"id": "organize", "options": {
        "excludeByName": dict.fromkeys(("Time", "__name__", "job", *hide), True), "renameByName": rename or {}}}  # fmt: skip
    return panel(
        "table", title, description, unit, targets, overrides=[STREAM_LINK],
        transformations=[*([{"id": "merge", "options": {}}] if merge else []), organized],
    )  # fmt: skip


def rows(sections: list[tuple[str | None, list[Placed]]]) -> list[Json]:
    """All panels in place: each row of the grid filled from the left."""
    placed: list[Json] = []
    top = 0
    for title, panels in sections:
        if title is not None:
            placed.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                           "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}})  # fmt: skip
            top += 1
        left, tallest = 0, 0
        for width, height, one in panels:
            if left + width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            placed.append(one | {"gridPos": {"x": left, "y": top, "w": width, "h": height}})
            left, tallest = left + width, max(tallest, height)
        top += tallest
    return [one | {"id": number} for number, one in enumerate(placed, start=1)]


def choice(name: str, label: str, query: str, *, many: bool, current: str | None = None) -> Json:
    """A variable whose values Prometheus knows."""
    chosen = {"text": ["All"], "value": ["$__all"]} if many else {"text": current, "value": current}
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
        "multi": many, "includeAll": many, "allValue": ".*" if many else None,
        "current": chosen if many or current else {},
    }  # fmt: skip


def address(name: str, label: str, usual: str) -> Json:
    """A variable that one types in once: where a page is."""
    return {
        "name": name, "label": label, "type": "textbox", "query": usual, "hide": 0,
        "current": {"text": usual, "value": usual}, "options": [{"selected": True, "text": usual, "value": usual}],
    }  # fmt: skip


# As docker-compose.yml has them, and `make docs ARGS=--serve`.
PAGE = address("page", "driftbus's page", "http://localhost:8711")
RUNBOOKS = address("runbooks", "Runbooks", "http://localhost:8000/docs/runbooks")


def moment(name: str, colour: str, metric: str, title: str, said: str) -> Json:
    """Marks where the metric's own value stands: in event time, whenever it was scraped."""
    return {
        "name": name, "datasource": DATASOURCE, "enable": True, "iconColor": colour,
        "expr": f"max by (stream) ({metric}{{{STREAM}}}) * 1000", "useValueForTime": True,
        "titleFormat": title, "textFormat": said, "tagKeys": "stream", "step": "60s",
    }  # fmt: skip


STREAM = 'stream=~"$stream"'
MARKS = [
    moment("Episodes", "red", "driftbus_last_drift_timestamp_seconds", "{{stream}} drifts", "An episode opened."),
    moment("Requests", "orange", "driftbus_last_retrain_request_timestamp_seconds", "{{stream}}: retrain asked for",
           "A retrain request went out."),
    moment("Deployments", "blue", "driftbus_last_deployment_timestamp_seconds", "{{stream}}: a model deployed",
           "Its reference begins here."),
]  # fmt: skip


def link(title: str, url: str) -> Json:
    return {"type": "link", "title": title, "url": url, "icon": "external link", "targetBlank": True, "tags": [],
            "asDropdown": False, "includeVars": False, "keepTime": False}  # fmt: skip


TO_OTHERS: Json = {"type": "dashboards", "title": "driftbus", "tags": ["driftbus"], "asDropdown": True, "icon": "dashboard",
                   "includeVars": False, "keepTime": True, "targetBlank": False, "url": ""}  # fmt: skip


def dashboard(uid: str, title: str, description: str, sections: list[tuple[str | None, list[Placed]]], *,
              variables: list[Json], annotations: list[Json], links: list[Json]) -> Json:  # fmt: skip
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
              "current": {"text": "Prometheus", "value": "prometheus"}}  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["driftbus", "drift", "mlops"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [TO_OTHERS, *links],
        "templating": {"list": [source, *variables]},
        "annotations": {"list": annotations},
        "panels": rows(sections),
    }


def alerts(title: str, matcher: str) -> Json:
    """The alerts that fire, each a way to its runbook."""
    shown = table(
        title, "Alerts of deploy/prometheus/rules.yml that fire or wait for their `for`. The name leads to the runbook.", "none",
        [target(f'ALERTS{{alertname=~"Driftbus.*"{matcher}}}', "", instant=True, table=True)],
        hide=("Value", "driftbus"),
    )  # fmt: skip
    shown["fieldConfig"]["overrides"].append({
        "matcher": {"id": "byName", "options": "alertname"},
        "properties": [{"id": "links", "value": [{
            "title": "Runbook", "url": "${runbooks}/${__value.raw}.html", "targetBlank": True}]}],
    })  # fmt: skip
    return shown

"""`driftbus streams`: every stream in a line, as its worker sees it now."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.cli.logs import one_line
from driftbus.cli.options import ConfigOption, settings
from driftbus.errors import DriftbusError, Unavailable

if TYPE_CHECKING:
    from driftbus.core.views import EpisodeView, StreamView

# Names may have 256 characters; a table's first column shows so many.
NAME_CHARS = 40


class Order(StrEnum):
    WORST = "worst"
    NAME = "name"
    ERROR = "error"
    LAG = "lag"


def streams(
    ctx: typer.Context,
    url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A worker's address, once for each worker; else http.host and http.port.",
        ),
    ] = None,
    sort: Annotated[Order, typer.Option(help="What comes first.")] = Order.WORST,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Names that contain it.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many.")] = None,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates (PEM) that https addresses are checked by."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines: each as /api/streams has it.")] = False,
    config: ConfigOption = None,
) -> None:
    """List streams, the worst first: state, error lately, records not yet folded, drift.

    Exit 1 if no worker answers.

    \b
    Examples:
      driftbus streams --config prod.yaml
      driftbus streams --url http://worker-1:8711 --url http://worker-2:8711 --sort error
      driftbus streams --json | jq -r 'select(.open_episodes != []) | .stream'
    """
    import orjson

    from driftbus.cli.asking import Asking, own_url

    http = settings(ctx, config).http
    urls = url or [own_url(http)]
    asking, known = Asking(http, ca), list[Row]()
    silent = []
    for each in urls:
        try:
            known += _rows(each, asking.json(each, "/api/streams", is_own=not url))
        except Unavailable as error:
            silent.append(error)
    if len(silent) == len(urls):
        hint = "" if url else "; is a worker running with this configuration? --url names another"
        raise DriftbusError("; ".join(map(str, silent)) + hint)
    for why in silent:
        typer.echo(f"driftbus: {why}", err=True)
    rows = _sorted(_once(known, (search or "").casefold()), sort)
    shown = rows[:limit]
    if as_json:
        for row in shown:
            typer.echo(orjson.dumps({**row.entry, "lag": row.lag}).decode())
        return
    _table(shown)
    drifting = sum(row.state == "drift" for row in rows)
    more = f", the first {limit} of them shown" if len(shown) < len(rows) else ""
    plural = "" if len(rows) == 1 else "s"
    typer.echo(f"{len(rows)} stream{plural}, {drifting} with open drift{more}", err=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A stream: the API's own `entry`, read into a `view`; `lag` of its partition where it is known."""

    entry: Mapping[str, Any]
    view: StreamView
    lag: int | None

    @property
    def state(self) -> str:
        """In a word, the gravest that holds."""
        view = self.view
        if view.defect is not None:
            return "set aside"
        if any(not episode.muted for episode in view.open_episodes):
            return "drift"
        if view.request_in_flight is not None:
            return "retrain"
        if view.open_episodes:
            return "muted"
        return "ok" if view.outcomes_total else "no labels"

    @property
    def error(self) -> float | None:
        """Mean error over the first window that has one, else since the deployment: as the page shows it."""
        for metrics in (*self.view.windowed.values(), self.view.metrics):
            if metrics.get("error") is not None:
                return metrics["error"]
        return None

    @property
    def drift(self) -> str:
        from driftbus.core.timestamps import rfc3339
        from driftbus.told import minute

        episodes = self.view.open_episodes
        if not episodes:
            return (
                "-" if self.view.last_drift_ms is None else f"last {minute(rfc3339(self.view.last_drift_ms))}"
            )
        worst = max(episodes, key=lambda each: (not each.muted, each.category == "concept", each.opened_ms))
        more = f" (+{len(episodes) - 1})" if len(episodes) > 1 else ""
        seen = ", acknowledged" if worst.acknowledged else ""
        since = minute(rfc3339(worst.onset_ms))
        return f"{worst.category} {worst.kind} since {since}{seen}{more}"


def _rows(url: str, answer: Any) -> list[Row]:
    """What one worker says. Raises `Unavailable` when that is not what a worker says."""
    try:
        # It knows the lag of the partitions that it holds.
        lags = {each["partition"]: sum(each["lag"].values()) for each in answer["worker"]["partitions"]}
        return [Row(entry, _view(entry), lags.get(entry["partition"])) for entry in answer["streams"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{url} does not answer as a worker of this version does ({error!r})") from error


def _once(rows: list[Row], wanted: str) -> list[Row]:
    """Every stream once: from the worker that holds its partition, where several know of it."""
    found: dict[str, Row] = {}
    for row in rows:
        name = row.view.stream
        if wanted in name.casefold() and (name not in found or row.lag is not None):
            found[name] = row
    return list(found.values())


def _view(entry: Mapping[str, Any]) -> StreamView:
    """An entry of the API as the view it was made from. Fields of a newer worker are passed over."""
    from driftbus.core.views import StreamView

    episodes = tuple(_episode(each) for each in entry["open_episodes"])
    return StreamView(**_known(StreamView, entry) | {"open_episodes": episodes})


def _episode(entry: Mapping[str, Any]) -> EpisodeView:
    from driftbus.core.records import SignalEvidence
    from driftbus.core.views import EpisodeView

    signals = tuple(SignalEvidence(**_known(SignalEvidence, each)) for each in entry["signals"])
    return EpisodeView(**_known(EpisodeView, entry) | {"signals": signals})


def _known(view: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: entry[field.name] for field in fields(view) if field.name in entry}


def _sorted(rows: list[Row], order: Order) -> list[Row]:
    from driftbus.adapters.http.api import badness

    rows = sorted(rows, key=lambda row: row.view.stream)
    if order is Order.WORST:
        rows.sort(key=lambda row: badness(row.view), reverse=True)
    elif order is Order.ERROR:
        rows.sort(key=lambda row: -1.0 if row.error is None else row.error, reverse=True)
    elif order is Order.LAG:
        rows.sort(key=lambda row: -1 if row.lag is None else row.lag, reverse=True)
    return rows


_COLORS = {"drift": "red", "set aside": "red", "retrain": "yellow", "ok": "green"}


def _table(rows: list[Row]) -> None:
    from driftbus.told import number

    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    names = [one_line(row.view.stream) for row in rows]
    names = [name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…" for name in names]
    width = max([len("STREAM"), *map(len, names)])
    typer.echo(f"{'STREAM':{width}}  {'STATE':9}  {'ERROR':>8}  {'LAG':>8}  DRIFT")
    for name, row in zip(names, rows, strict=True):
        state = f"{row.state:9}"
        if colored:
            state = typer.style(state, fg=_COLORS.get(row.state))
        error = "-" if row.error is None else number(row.error)
        lag = "-" if row.lag is None else f"{row.lag:,}"
        typer.echo(f"{name:{width}}  {state}  {error:>8}  {lag:>8}  {one_line(row.drift)}")

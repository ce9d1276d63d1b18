"""`driftbus explain EPISODE`: one change in plain words."""

from __future__ import annotations

from typing import Annotated

import typer

from driftbus.cli.logs import one_line
from driftbus.cli.options import ConfigOption, opened, settings
from driftbus.errors import DriftbusError


def explain(
    ctx: typer.Context,
    episode: Annotated[
        str, typer.Argument(metavar="EPISODE", help="Its id, as `driftbus episodes` shows it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="All its drift events and requests.")] = False,
    config: ConfigOption = None,
) -> None:
    """Say what changed, when, how sure that is, by which numbers, and what was asked."""
    import orjson

    from driftbus.told import explained, stories

    chosen = settings(ctx, config)
    with opened(chosen) as bus:
        found = [s for s in stories(bus, chosen.topics) if s.newest["episode_id"] == episode]
    if not found:
        raise DriftbusError(f"no drift event of {chosen.topics['drift-events']} names episode {episode!r}")
    (story,) = found
    if as_json:
        told = {"events": story.events, "requests": story.requests}
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    for text in explained(story).splitlines():
        typer.echo(one_line(text))

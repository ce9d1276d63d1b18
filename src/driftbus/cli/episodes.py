"""`driftbus episodes`: what has changed, from the published drift events."""

from __future__ import annotations

from typing import Annotated

import typer

from driftbus.cli.logs import one_line
from driftbus.cli.moments import back_ms
from driftbus.cli.options import ConfigOption, opened, settings


def episodes(
    ctx: typer.Context,
    stream: Annotated[str | None, typer.Option(help="Of this stream alone.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Those that have not ended.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Begun not earlier: a duration (7d) or a moment.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines: each one's newest drift event.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """List episodes, the newest last: onset, stream, category, kind and confidence, state, what moved, id.

    \b
    Examples:
      driftbus episodes --open
      driftbus episodes --stream fraud --since 30d --json | jq .onset.ts
    """
    import orjson

    from driftbus.core.timestamps import rfc3339
    from driftbus.told import line, stories

    chosen = settings(ctx, config)
    earliest = "" if since is None else rfc3339(back_ms(since, "--since"))
    with opened(chosen) as bus:
        found = [
            story
            for story in stories(bus, chosen.topics)
            if stream in (None, story.newest["stream"])
            and (story.is_open or not only_open)
            and story.newest["onset"]["ts"] >= earliest
        ]
    for story in found[-limit:]:
        typer.echo(orjson.dumps(story.newest).decode() if as_json else one_line(line(story)))
    if not as_json:
        more = f", the newest {limit} of them shown" if len(found) > limit else ""
        typer.echo(f"{len(found)} episode{'' if len(found) == 1 else 's'}{more}", err=True)

"""`driftbus check`: is everything in place, and how to mend what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.options import ConfigOption, settings
from driftbus.errors import BusError, ConfigError

if TYPE_CHECKING:
    from driftbus.cli.checks import Finding

_MARKS = {True: "ok  ", False: "FAIL", None: "-   "}


def check(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    config: ConfigOption = None,
) -> None:
    """Check configuration, bus, topics, partition counts, partitioner and permissions.

    One line each, with how to mend it. Exit 1 if something fails, 2 if the configuration does.

    \b
    Example:
      driftbus check --config prod.yaml --json | jq -r '.checks[] | select(.ok == false) | .mend'
    """
    found: list[Finding] = []
    for finding in _findings(ctx, config):
        found.append(finding)
        if not as_json:
            typer.echo(f"{_MARKS[finding.ok]}  {finding.name:13}  {finding.text}")
            if finding.mend and finding.ok is False:
                typer.echo(f"{'':6}{'':13}  → {finding.mend}")
    failed = [finding.name for finding in found if finding.ok is False]
    if as_json:
        import orjson

        answer = {"ok": not failed, "checks": [finding._asdict() for finding in found]}
        typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    if failed:
        raise typer.Exit(2 if "configuration" in failed else 1)


def _findings(ctx: typer.Context, config: ConfigOption) -> Iterator[Finding]:
    from driftbus.cli import checks

    try:
        chosen = settings(ctx, config)
    except ConfigError as error:
        yield from checks.wrong_configuration(error)
        return
    yield checks.configuration(chosen)

    from driftbus.wiring import open_bus

    try:
        bus = open_bus(chosen)
    except ConfigError as error:  # what only the broker's own library knows about its properties
        yield from checks.wrong_configuration(error)
        return
    except BusError as error:
        yield checks.unreachable(chosen, error)
        return
    try:
        yield from checks.bus_findings(bus, chosen)
    finally:
        bus.close()

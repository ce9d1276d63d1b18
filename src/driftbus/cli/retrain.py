"""`driftbus retrain STREAM --reason …`: asks for a retrain by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from driftbus.cli.known import NewOption
from driftbus.cli.options import ConfigOption, settings
from driftbus.cli.saying import ByOption, StreamArgument, say


def retrain(
    ctx: typer.Context,
    stream: StreamArgument,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the request.")],
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask for a retrain by hand: past cooldown and minimum rows, unless a request is in flight.

    \b
    Example:
      driftbus retrain fraud --reason "new chargeback rules"
    """
    chosen = settings(ctx, config)
    say(chosen, stream, "retrain-requested", by, new=new, reason=reason)
    typer.echo(f"asked for a retrain of {stream}; the request comes on {chosen.topics['retrain-requests']}")

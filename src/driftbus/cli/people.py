"""What people tell a stream: `ack`, `dismiss`, `mute`, `unmute`, `approve`, `decline`, `retire`.

Each publishes one model event, which the stream's worker folds; so whoever says it need not reach the worker.
One that is reached says whether the stream is known (`known`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from driftbus.cli.known import NewOption
from driftbus.cli.moments import ahead_ms
from driftbus.cli.options import ConfigOption, settings
from driftbus.cli.saying import ByOption, ReasonOption, StreamArgument, say

EpisodeArgument = Annotated[
    str | None, typer.Argument(metavar="EPISODE", help="Its id (`driftbus episodes`); without, all open.")
]
RequestArgument = Annotated[
    str | None, typer.Argument(metavar="REQUEST", help="Its id; without, the one in flight.")
]


def ack(
    ctx: typer.Context,
    stream: StreamArgument,
    episode: EpisodeArgument = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Say that you look after an episode: page and API show it, nothing else changes.

    \b
    Example:
      driftbus ack fraud --by ana --reason "looking at the new chargeback rules"
    """
    say(settings(ctx, config), stream, "episode-acknowledged", by, new=new, episode_id=episode, reason=reason)
    typer.echo(f"{stream}: acknowledged {episode or 'what is open'}")


def dismiss(
    ctx: typer.Context,
    stream: StreamArgument,
    episode: EpisodeArgument = None,
    accept: Annotated[bool, typer.Option("--accept", help="The new level is normal from now on.")] = False,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """End an episode that is none: it closes as dismissed, and what was asked because of it is over.

    \b
    Examples:
      driftbus dismiss fraud --reason "a test of the load balancer"
      driftbus dismiss fraud --accept --reason "the new country is in: this is how it is"
    """
    fields = {"episode_id": episode, "accept": accept or None, "reason": reason}
    say(settings(ctx, config), stream, "episode-dismissed", by, new=new, **fields)
    typer.echo(f"{stream}: dismissed {episode or 'what is open'}")


def mute(
    ctx: typer.Context,
    stream: StreamArgument,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="A duration (2h, 7d) or a moment; without, until `unmute`."),
    ] = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Let drift of a stream ask for nothing and raise no alert: events still come, marked as muted.

    \b
    Example:
      driftbus mute fraud --until 2d --reason "migration of the card service"
    """
    end = None if until is None else ahead_ms(until, "--until")
    say(settings(ctx, config), stream, "muted", by, new=new, until=end, reason=reason)
    typer.echo(f"{stream}: muted {'until ' + until if until else 'until it is unmuted'}")


def unmute(
    ctx: typer.Context,
    stream: StreamArgument,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Take a mute back; an episode that opened meanwhile stays muted."""
    say(settings(ctx, config), stream, "unmuted", by, new=new)
    typer.echo(f"{stream}: heard again")


def approve(
    ctx: typer.Context,
    stream: StreamArgument,
    request: RequestArgument = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a proposed retrain (`retrain: {mode: propose}`) become a request, over the rows there are now."""
    say(
        settings(ctx, config),
        stream,
        "retrain-approved",
        by,
        new=new,
        retrain_request_id=request,
        reason=reason,
    )
    typer.echo(f"{stream}: approved {request or 'what is proposed'}")


def decline(
    ctx: typer.Context,
    stream: StreamArgument,
    request: RequestArgument = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """End a proposal or request: its episode asks no more."""
    say(
        settings(ctx, config),
        stream,
        "request-declined",
        by,
        new=new,
        retrain_request_id=request,
        reason=reason,
    )
    typer.echo(f"{stream}: declined {request or 'what is in flight'}")


def retire(
    ctx: typer.Context,
    stream: StreamArgument,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Watch a stream no more: its episodes end, its series vanish; a new prediction brings it back."""
    say(settings(ctx, config), stream, "stream-retired", by, new=new, reason=reason)
    typer.echo(f"{stream}: retired")

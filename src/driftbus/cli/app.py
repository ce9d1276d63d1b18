"""The command line: `driftbus COMMAND`. One file a command; here they are found and their errors reported.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from driftbus.cli.options import CONFIG_HELP, Invocation
from driftbus.errors import ConfigError, DriftbusError

# Modules of commands are imported when they are asked for, and import what is heavy when they run, so
# that `--help` answers at once. A name reserved by the contract for later is not a command yet.
COMMANDS = {
    "demo": "driftbus.cli.demo:demo",
    "worker": "driftbus.cli.worker:worker",
    "ingest": "driftbus.cli.ingest:ingest",
    "replay": "driftbus.cli.replay:replay",
    "init": "driftbus.cli.init:init",
    "check": "driftbus.cli.check:check",
    "topics": "driftbus.cli.topics:topics",
    "streams": "driftbus.cli.streams:streams",
    "episodes": "driftbus.cli.episodes:episodes",
    "explain": "driftbus.cli.explain:explain",
    "ack": "driftbus.cli.people:ack",
    "dismiss": "driftbus.cli.people:dismiss",
    "mute": "driftbus.cli.people:mute",
    "unmute": "driftbus.cli.people:unmute",
    "retrain": "driftbus.cli.retrain:retrain",
    "approve": "driftbus.cli.people:approve",
    "decline": "driftbus.cli.people:decline",
    "retire": "driftbus.cli.people:retire",
    "reference": "driftbus.cli.reference:reference",
    "export": "driftbus.cli.export:export",
    "track": "driftbus.cli.track:track",
    "dead-letters": "driftbus.cli.dead_letters:dead_letters",
    "schemas": "driftbus.cli.schemas:schemas",
}

_HELP = """Watches machine-learning models in production: predictions and labels in, retrain requests out.

\b
Examples:
  driftbus demo                     the whole loop here, no server needed
  driftbus replay events.jsonl      what would have been found in old events
  driftbus replay data.csv --label y --prediction p
  driftbus init prod.yaml           every key with its default, to be changed
  driftbus topics create --config prod.yaml
  driftbus check --config prod.yaml
  driftbus worker --config prod.yaml
  driftbus ingest --config prod.yaml    events that services emit already
  driftbus streams                  every stream in a line, worst first
  driftbus episodes --open          what has changed, and has not settled yet
  driftbus explain EPISODE          one change in plain words, with its numbers
  driftbus mute fraud --until 2d --reason "migration"
  driftbus retrain fraud --reason "new chargeback rules"
  driftbus reference fraud train.parquet --label is_fraud    what production is held against
  driftbus export REQUEST_ID --out rows.parquet
  driftbus track mlflow             episodes and requests as runs of a tracker
  driftbus dead-letters list --since 2h
"""


def _flowing(text: str) -> str:
    """A docstring for terminals of any width: its lines are one paragraph, but for those after a `\\b`."""
    first, *others = (part.split("\n") for part in inspect.cleandoc(text).split("\n\n"))
    told = [" ".join(first)]
    for lines in others:
        # Right after the first paragraph typer would take the indentation away: there the mark stays.
        keeps = lines[0] == "\b"
        told.append("\n".join(lines[len(told) > 1 :]) if keeps else " ".join(lines))
    return "\n\n".join(told)


class _Commands(TyperGroup):
    """The commands by name, each imported on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        target = getattr(importlib.import_module(module), name)
        if not isinstance(target, typer.Typer):
            function, target = target, typer.Typer(add_completion=False)
            target.command(cmd_name)(function)
        command = typer.main.get_command(target)
        command.name = cmd_name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = _flowing(each.help or "")
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # A shell that asks for completions wants none then, and no message between its lines.
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"driftbus {version('driftbus')}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = Invocation(config)


def app() -> typer.Typer:
    """The whole command line, for `main` and for tests."""
    root = typer.Typer(
        cls=_Commands,
        name="driftbus",
        help=_flowing(_HELP),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    root.callback(help=_flowing(_HELP))(_root)
    return root


def main() -> None:
    """Run, and turn what went wrong into a message on stderr and an exit code."""
    try:
        app()()
    except ConfigError as error:
        for each in (error, *error.others):
            print(f"driftbus: {each}", file=sys.stderr)
        sys.exit(2)
    except DriftbusError as error:
        print(f"driftbus: {error}", file=sys.stderr)
        sys.exit(1)

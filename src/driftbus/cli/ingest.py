"""`driftbus ingest`: reads foreign topics, writes predictions and labels."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure
from driftbus.cli.options import ConfigOption, config_path, settings

if TYPE_CHECKING:
    from driftbus.config import Settings


def ingest(
    ctx: typer.Context,
    config: ConfigOption = None,
    try_on: Annotated[
        Path | None,
        typer.Option(
            "--try",
            metavar="FILE",
            help="Only show what these recorded events would become, a JSON line each, without any bus: a "
            "file of lines as `kcat -C -J` prints them, or - for standard input. Exit code 1 if some cannot "
            "be mapped.",
        ),
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Read foreign topics, write predictions and labels.

    The configuration's ingest.sources say which topics, and where in their records everything stands. What
    cannot be mapped goes to the dead letters. Several of them share the work. Metrics and health are served
    as the worker's are; beside a worker on one machine: DRIFTBUS_HTTP__PORT=8712 driftbus ingest

    SIGTERM: finishes, commits, leaves the group, exit 0. SIGHUP: validates a new configuration and takes it
    over.

    \b
    Examples:
      driftbus ingest --config prod.yaml
      kcat -C -J -e -c 20 -b HOST:PORT -t TOPIC | driftbus ingest --config prod.yaml --try -
    """
    configure(log_level, log_format)
    chosen = settings(ctx, config)
    if try_on is not None:
        raise typer.Exit(_try(chosen, try_on))
    for warning in chosen.warnings:
        logging.getLogger("driftbus.config").warning(warning)

    from driftbus.wiring import run_ingest

    raise typer.Exit(run_ingest(chosen, config_path(ctx, config)))


def _try(chosen: Settings, path: Path) -> int:
    """Show what would be written; the exit code."""
    from driftbus.ingest import check_sources
    from driftbus.trial import Trial

    check_sources(chosen)
    trial = Trial(chosen.ingest, chosen.limits.max_record_bytes)
    try:
        file = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--try") from error
    with file:
        for line in trial.lines(file):
            typer.echo(line.decode())
    said = ", ".join(f"{what}: {n}" for what, n in trial.counts.items() if n)
    typer.echo(said or "no records", err=True)
    return 1 if trial.counts["dead letters"] else 0

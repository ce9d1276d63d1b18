"""`driftbus worker`: the service."""

from __future__ import annotations

import logging

import typer

from driftbus.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure
from driftbus.cli.options import ConfigOption, config_path, settings


def worker(
    ctx: typer.Context,
    config: ConfigOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Run the service.

    SIGTERM: finishes, commits, leaves the group, exit 0.
    SIGHUP: validates a new configuration and takes it over.
    """
    configure(log_level, log_format)
    chosen = settings(ctx, config)
    for warning in chosen.warnings:
        logging.getLogger("driftbus.config").warning(warning)

    from driftbus.wiring import run_worker

    raise typer.Exit(run_worker(chosen, config_path(ctx, config)))

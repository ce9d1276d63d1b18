"""`driftbus ingest`: reads foreign topics, writes predictions and labels."""

from __future__ import annotations

import logging

import typer

from driftbus.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure
from driftbus.cli.options import ConfigOption, config_path, settings


def ingest(
    ctx: typer.Context,
    config: ConfigOption = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
) -> None:
    """Read foreign topics, write predictions and labels.

    The configuration's ingest.sources say which topics, and where in their records everything stands. What
    cannot be mapped goes to the dead letters. Several of them share the work. Metrics and health are served
    as the worker's are; beside a worker on one machine: DRIFTBUS_HTTP__PORT=8712 driftbus ingest

    SIGTERM: finishes, commits, leaves the group, exit 0.
    SIGHUP: validates a new configuration and takes it over.
    """
    configure(log_level, log_format)
    chosen = settings(ctx, config)
    for warning in chosen.warnings:
        logging.getLogger("driftbus.config").warning(warning)

    from driftbus.wiring import run_ingest

    raise typer.Exit(run_ingest(chosen, config_path(ctx, config)))

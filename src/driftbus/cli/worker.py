"""`driftbus worker`: the service."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure, name_lines
from driftbus.cli.options import ConfigOption, config_path, settings
from driftbus.errors import ConfigError

if TYPE_CHECKING:
    from driftbus.config import HttpSettings, Settings

# A machine has so many cores at most, and a worker needs one.
MOST_PROCESSES = 256


def worker(
    ctx: typer.Context,
    config: ConfigOption = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_PROCESSES,
            help="Run so many workers, each a process of its own, and start again what dies. The first one "
            "listens on http.port, the others on the ports after it.",
        ),
    ] = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
    supervised: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the service.

    SIGTERM: finishes, commits, leaves the group, exit 0. SIGHUP: validates a new configuration and takes it
    over.

    \b
    Examples:
      driftbus worker --config prod.yaml
      driftbus worker --config prod.yaml --processes 4
    """
    configure(log_level, log_format)
    chosen = settings(ctx, config)
    if supervised:
        name_lines(chosen.worker_id or "?")
    else:
        for warning in chosen.warnings:
            logging.getLogger("driftbus.config").warning(warning)
    path = config_path(ctx, config)
    if processes is not None:
        raise typer.Exit(_supervise(chosen, path, processes, log_level, log_format))

    from driftbus.supervisor import end_with
    from driftbus.wiring import run_worker

    raise typer.Exit(run_worker(chosen, path, ready=lambda: end_with(0) if supervised else None))


def _listening(http: HttpSettings) -> str | None:
    """Scheme and host at which workers of this machine reach each other; None where that is theirs to say:
    a certificate holds for names that nobody here knows."""
    if http.peers or http.tls is not None or not http.enabled:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(http.host, http.host)  # noqa: S104
    return f"http://[{host}]" if ":" in host else f"http://{host}"


def _supervise(
    chosen: Settings, path: Path | None, processes: int, log_level: LogLevel, log_format: LogFormat
) -> int:
    from driftbus.supervisor import RestartPolicy, Supervisor, environments

    port = chosen.http.port
    if port + processes - 1 > 65_535:
        raise ConfigError(
            "http.port", port, f"a port that leaves room for {processes} (up to {65_536 - processes})"
        )
    command = [sys.executable, "-m", "driftbus", "worker", "--supervised"]
    command += ["--log-level", log_level, "--log-format", log_format]
    if path is not None:
        command += ["--config", str(path)]
    policy = RestartPolicy(
        first_wait_s=chosen.worker.restart_wait_ms / 1000,
        healthy_s=max(180.0, 2 * chosen.worker.stall_timeout_ms / 1000),
    )
    told = environments(processes, port, chosen.worker_id, socket.gethostname(), _listening(chosen.http))
    return Supervisor(command, told, policy).run()

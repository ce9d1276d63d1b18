"""`driftbus track mlflow | wandb | comet`: evidence of episodes and requests in an experiment tracker."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from typing import Annotated

import typer

from driftbus.cli.logs import LogFormat, LogFormatOption, LogLevel, LogLevelOption, configure
from driftbus.cli.options import ConfigOption, opened, settings


class TrackerName(StrEnum):
    """The trackers there are."""

    MLFLOW = "mlflow"
    WANDB = "wandb"
    COMET = "comet"


def track(
    ctx: typer.Context,
    tracker: Annotated[
        TrackerName,
        typer.Argument(
            metavar="TRACKER", help="mlflow, wandb or comet, through its own client, configured as always."
        ),
    ],
    project: Annotated[str, typer.Option(help="The tracker's experiment or project.")] = "driftbus",
    once: Annotated[bool, typer.Option("--once", help="End when all that is there was taken.")] = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.AUTO,
    config: ConfigOption = None,
) -> None:
    """Follow drift events and retrain requests; keep each episode as a run of an experiment tracker.

    At least once, as a group of its own: GROUP-track-TRACKER.

    \b
    Examples:
      MLFLOW_TRACKING_URI=sqlite:///mlflow.db driftbus track mlflow
      WANDB_MODE=offline driftbus track wandb --once
      COMET_API_KEY=… driftbus track comet --project models
    """
    configure(log_level, log_format)
    chosen = settings(ctx, config)

    from driftbus.tracking.follow import follow
    from driftbus.tracking.trackers import tracker as client_of

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    client = client_of(tracker.value, project)
    topics = [chosen.topics["drift-events"], chosen.topics["retrain-requests"]]
    with opened(chosen) as bus:
        taken = follow(bus, f"{chosen.group}-track-{tracker.value}", topics, client, ended, once=once)
    typer.echo(f"{taken} event{'' if taken == 1 else 's'} taken", err=True)

"""`driftbus demo`: the whole loop on this machine, judged against what was planted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer

from driftbus.cli.options import ConfigOption, settings

# A log or a pipe has no width of its own; nothing the demo prints is wider.
PLAIN_WIDTH = 100


def demo(
    ctx: typer.Context,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the simulated world; default: a random one.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep running with a live page until Ctrl-C.")
    ] = False,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Run on this Kafka instead of the embedded bus.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=4, help="How many workers share the streams.")] = 1,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the live page; taken: a free one.")] = 8711,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep bus, models and logs here (must be empty).")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Emit, detect, ask, retrain, deploy, recover; then compare what was found with the truth.

    An inference service, a trainer and a worker run as separate processes on the embedded bus. Ends by
    itself within two minutes; exit code 0 when everything planted was found exactly once and nothing else.

    Of a configuration it takes how to reach Kafka (`kafka:`, security and all), with --kafka; the rest is the
    demo's own.
    """
    from rich.console import Console

    from driftbus.demo.run import Options, run

    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if seed is None:
        seed = random.randrange(1_000_000)
    properties = dict(settings(ctx, config).kafka) if kafka is not None else {}
    try:
        verdict = run(Options(seed, serve, kafka, workers, port, data, properties), console)
    except FileExistsError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if verdict.right else 1)

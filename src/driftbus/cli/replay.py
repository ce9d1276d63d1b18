"""`driftbus replay FILE…`: the same core over recorded events, without a broker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.options import ConfigOption, settings

if TYPE_CHECKING:
    from driftbus.adapters.files.tables import CsvColumns
    from driftbus.replay import Summary

Progress = Callable[[int, int], None]
# All of them are counted; these are shown.
BAD_LINES_SHOWN = 5
_TABLE_SUFFIXES = (".csv", ".csv.gz", ".parquet")


def replay(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            exists=True,
            dir_okay=False,
            readable=True,
            help="JSON lines (.gz too), CSV or Parquet, in this order.",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(metavar="COL", help="Tables: the column with the label.")
    ] = None,
    prediction: Annotated[
        str | None, typer.Option(metavar="COL", help="Tables: with the prediction.")
    ] = None,
    score: Annotated[str | None, typer.Option(metavar="COL", help="Tables: with the score.")] = None,
    timestamp: Annotated[str | None, typer.Option(metavar="COL", help="Tables: with the time.")] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tables: the stream they are of.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run recorded events through the same core as the worker's.

    Drift events and retrain requests come as JSON lines on stdout, nothing else; progress and a summary on
    stderr. Exit 1 when a line could not be used.
    """
    columns = _columns(files, label, prediction, score, timestamp, stream)
    chosen = settings(ctx, config)

    from driftbus.replay import replay as run

    try:
        with _progress() as progress:
            summary = run(files, chosen, csv=columns, out=sys.stdout.buffer, progress=progress)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read us has gone (`| head`): nothing more can be said there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    _show(summary)
    raise typer.Exit(1 if summary.bad_lines else 0)


def _columns(
    files: list[Path],
    label: str | None,
    prediction: str | None,
    score: str | None,
    timestamp: str | None,
    stream: str | None,
) -> CsvColumns | None:
    """The table's columns; None for files of events. Half of them is a mistake in use."""
    from driftbus.adapters.files.tables import CsvColumns

    if label is not None and prediction is not None:
        return CsvColumns(label, prediction, score, timestamp, stream)
    tables = [str(path) for path in files if path.name.lower().endswith(_TABLE_SUFFIXES)]
    if tables:
        raise typer.BadParameter(f"{tables[0]} is a table: --label COL and --prediction COL name its columns")
    given = {"--label": label, "--prediction": prediction, "--score": score, "--timestamp": timestamp}
    given["--stream"] = stream
    alone = [option for option, value in given.items() if value is not None]
    if alone:
        raise typer.BadParameter(f"{alone[0]} needs both --label and --prediction")
    return None


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on stderr where that is a terminal; what was decided so far goes out each time, to be seen."""
    if not sys.stderr.isatty():
        yield lambda done, total: sys.stdout.buffer.flush()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("replay", total=None)

        def show(done: int, total: int) -> None:
            sys.stdout.buffer.flush()
            bar.update(task, completed=done, total=total)

        yield show


def _show(summary: Summary) -> None:
    """The summary, for people, on stderr."""
    for name, counts in summary.streams.items():
        typer.echo(
            f"{name}: {counts.predictions} predictions, {counts.outcomes} outcomes, "
            f"{counts.episodes} episodes, {counts.requests} requests",
            err=True,
        )
    if not summary.streams:
        typer.echo("no events", err=True)
    if summary.dead_letters:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.dead_letters.items()))
        typer.echo(f"a worker would dead-letter {sum(summary.dead_letters.values())}: {reasons}", err=True)
    if summary.bad_lines:
        for bad in summary.first_bad[:BAD_LINES_SHOWN]:
            typer.echo(f"{bad.file}:{bad.line}: {bad.reason}", err=True)
        more = summary.bad_lines - min(len(summary.first_bad), BAD_LINES_SHOWN)
        rest = f", {more} more not shown" if more else ""
        typer.echo(f"{summary.bad_lines} lines could not be used{rest}", err=True)

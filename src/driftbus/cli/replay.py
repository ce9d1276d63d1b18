"""`driftbus replay FILE…`: the same core over recorded events, without a broker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.cli.moments import back_ms
from driftbus.cli.options import ConfigOption, config_path, opened, settings
from driftbus.errors import DriftbusError

if TYPE_CHECKING:
    from driftbus.adapters.files.tables import CsvColumns
    from driftbus.config import Settings
    from driftbus.replay import Summary

Progress = Callable[[int, int], None]
# All of them are counted; these are shown.
BAD_LINES_SHOWN = 5
_TABLE_SUFFIXES = (".csv", ".csv.gz", ".parquet")


def replay(
    ctx: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="JSON lines (.gz too), CSV or Parquet, in this order.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="WHEN", help="What the bus has kept since: 30d, or a moment; no FILE."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="And before then; default: until now.")
    ] = None,
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
    report: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", dir_okay=False, help="Write a report: one file, for a browser."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Report: known changes (JSON), held against it."
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER.yaml", exists=True, dir_okay=False, help="Report: another configuration beside."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run recorded events through the same core as the worker's: files, or what the bus has kept.

    Drift events and retrain requests come as JSON lines on stdout, nothing else; progress and a summary on
    stderr. Exit 1 when a line could not be used.

    \b
    Examples:
      driftbus replay events.jsonl.gz --report out.html > decisions.jsonl
      driftbus replay data.csv --label y --prediction p --report out.html --truth truth.json
      driftbus replay events.jsonl --config now.yaml --compare next.yaml --report out.html
      driftbus replay --from 30d --config now.yaml --compare next.yaml --report out.html
    """
    history = begin is not None or end is not None
    if history == bool(files):
        raise typer.BadParameter("give files, or --from or --to for what the bus has kept")
    files = files or []
    columns = _columns(files, label, prediction, score, timestamp, stream)
    if report is None and (truth or compare):
        raise typer.BadParameter("--truth and --compare need --report OUT.html")
    chosen = settings(ctx, config)
    asked = (
        None
        if report is None
        else _Asked(
            files, _named(files, begin, end), report, truth, compare, chosen, config_path(ctx, config)
        )
    )

    from driftbus.replay import replay as replay_files
    from driftbus.replay import replay_history

    begin_ms = None if begin is None else back_ms(begin, "--from")
    end_ms = None if end is None else back_ms(end, "--to")
    watching: Any = {"watch": asked.watch, "beside": asked.beside} if asked else {}
    try:
        with _progress("records" if history else "bytes") as progress:
            said: Any = {"out": sys.stdout.buffer, "progress": progress, **watching}
            if history:
                with opened(chosen) as bus:
                    summary = replay_history(bus, chosen, begin_ms, end_ms, **said)
            else:
                summary = replay_files(files, chosen, csv=columns, **said)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read us has gone (`| head`): nothing more can be said there, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    _show(summary)
    if asked is not None:
        asked.write(summary)
    raise typer.Exit(1 if summary.bad_lines else 0)


def _named(files: list[Path], begin: str | None, end: str | None) -> list[str]:
    """What was replayed, as a report says it."""
    if files:
        return [path.name for path in files]
    return [f"what the bus has kept{f' from {begin}' if begin else ''}{f' to {end}' if end else ''}"]


class _Asked:
    """A report that was asked for. What it needs is read before the replay, and where it is to stand tried:
    none runs for an hour to fail then."""

    def __init__(
        self,
        files: list[Path],
        named: list[str],
        out: Path,
        truth: Path | None,
        compare: Path | None,
        chosen: Settings,
        config: Path | None,
    ) -> None:
        from driftbus.config import load
        from driftbus.report import Record, differences, read_truth

        self.named, self.out = named, out
        self.truth = read_truth(truth, files) if truth is not None else None
        self.record = Record(config.name if config is not None else "defaults", self.truth)
        self.watch = self.record.step
        self.beside = None
        if compare is not None:
            other = load(compare, os.environ)
            self.other = Record(compare.name, self.truth)
            self.beside = (other, self.other.step)
            self.differences = differences(chosen.fold_document, other.fold_document)
        if not os.access(out.parent, os.W_OK | os.X_OK):
            raise typer.BadParameter(
                f"{out} cannot be written: {out.parent} is no folder that may be written to"
            )

    def write(self, summary: Summary) -> None:
        """Write the report, whole or not at all."""
        from driftbus import __version__
        from driftbus.report import About, Beside, report

        passed_over = {
            f"{reason} (a worker would dead-letter it)": n for reason, n in summary.dead_letters.items()
        }
        if summary.bad_lines:
            passed_over["no record"] = summary.bad_lines
        about = About(self.named, __version__, passed_over)
        beside = Beside(self.other, self.differences) if self.beside is not None else None
        document = report(self.record, about, self.truth, beside)
        beginning = self.out.with_name(f".{self.out.name}.part")
        try:
            beginning.write_bytes(document)
            beginning.replace(self.out)
        except OSError as error:
            raise DriftbusError(f"{self.out} cannot be written: {error.strerror}") from error
        typer.echo(f"report: {self.out} ({len(document) / 1024:,.0f} KiB)", err=True)


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
def _progress(unit: str) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal; what was decided so far goes out each time, to be seen."""
    if not sys.stderr.isatty():
        yield lambda done, total: sys.stdout.buffer.flush()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    done_of = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    with Bar(
        BarColumn(), done_of, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("replay", total=None)

        def show(done: int, total: int) -> None:
            sys.stdout.buffer.flush()
            bar.update(task, completed=done, total=total)

        yield show


def _show(summary: Summary) -> None:
    """The summary, for people, on stderr."""
    from driftbus.config.values import budget_text

    for name, counts in summary.streams.items():
        typer.echo(
            f"{name}: {counts.predictions} predictions, {counts.outcomes} outcomes, "
            f"{counts.episodes} episodes, {counts.requests} requests",
            err=True,
        )
        typer.echo(
            f"{name}: false alarms: {budget_text(counts.budget)}, "
            f"so at most {counts.allowed:.2g} here; {counts.drifts} episodes of concept drift",
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

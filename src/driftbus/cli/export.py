"""`driftbus export`: outcomes into a file, of a retrain request's window or of a span of time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.cli.moments import back_ms
from driftbus.cli.options import ConfigOption, opened, settings
from driftbus.errors import DriftbusError

if TYPE_CHECKING:
    from driftbus.client.request import Request, Time
    from driftbus.client.window import Row
    from driftbus.config import Settings
    from driftbus.ports import Bus

ENDINGS = ".parquet, .csv, .jsonl or .ndjson"


def export(
    ctx: typer.Context,
    request: Annotated[
        str | None, typer.Argument(metavar="REQUEST_ID", help="The rows this retrain request promises.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="Or a stream's rows, by the time of prediction.")] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="WHEN", help="Not before: a duration back (7d) or a moment; of --stream."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="Before: the same, of --stream.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"{ENDINGS}; without, JSON lines on standard output.")
    ] = None,
    since_onset: Annotated[
        bool, typer.Option("--since-onset", help="Of a request: only rows since the change.")
    ] = False,
    as_first_given: Annotated[
        bool, typer.Option("--as-first-given", help="Labels as they first came, corrections left out.")
    ] = False,
    all_partitions: Annotated[
        bool,
        typer.Option("--all-partitions", help="Of --stream: also rows that arrived in another's partition."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write outcomes (features, prediction, score, label as corrected …) for training or a look.

    Of a request: exactly the rows that it promises, or exit 1 and no file.

    Parquet and CSV have a column a feature; JSON lines are whole outcomes.

    \b
    Examples:
      driftbus export 4f1c… --out rows.parquet
      driftbus export --stream fraud --from 30d --out rows.csv
      driftbus export --stream fraud --from 2026-01-01 --to 2026-02-01 | jq .label
    """
    _check(
        request,
        stream,
        out,
        force,
        {"--from": begin, "--to": end, "--all-partitions": all_partitions or None},
    )
    if since_onset and request is None:
        raise typer.BadParameter("goes with a REQUEST_ID", param_hint="--since-onset")
    from_ms = None if begin is None else back_ms(begin, "--from")
    to_ms = None if end is None else back_ms(end, "--to")
    chosen = settings(ctx, config)
    corrections = None if as_first_given else chosen.topics["label-corrections"]

    with opened(chosen) as bus:
        if request is not None:
            rows, about = _of_request(bus, chosen, request, corrections, since_onset)
        else:
            partitions = _partitions(bus, chosen, stream or "", all_partitions)
            rows, about = _of_stream(bus, chosen, stream or "", partitions, (from_ms, to_ms), corrections)
        n = _write(rows, out, about)
    typer.echo(f"{n:,} row{'' if n == 1 else 's'}" + ("" if out is None else f" in {out}"), err=True)


def _check(
    request: str | None, stream: str | None, out: Path | None, force: bool, of_stream: dict[str, Any]
) -> None:
    """Wrong use is said before anything is opened."""
    from driftbus.client.tables import WRITERS

    if (request is None) == (stream is None):
        raise typer.BadParameter("give a REQUEST_ID or --stream NAME, one of them")
    for option, value in of_stream.items():
        if value is not None and stream is None:
            raise typer.BadParameter("goes with --stream", param_hint=option)
    if out is None:
        return
    if out.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"a name that ends in {ENDINGS}", param_hint="--out")
    if out.exists() and not force:
        raise DriftbusError(f"{out} is there already; --force overwrites it")


def _of_request(
    bus: Bus, chosen: Settings, request_id: str, corrections: str | None, since_onset: bool
) -> tuple[Iterator[Row], dict[str, str]]:
    """The rows of a request's newest attempt as its trainer gets them, and the request."""
    import orjson

    from driftbus.client.request import parse_request

    topic, desk, newest = chosen.topics["retrain-requests"], _Reading(bus, corrections), None
    for partition in range(bus.partitions(topic)):
        for record in bus.read_from(topic, partition, bus.begin_offset(topic, partition)):
            try:
                request = parse_request(record.value, desk, lambda: None)
            except ValueError:
                continue  # whatever else somebody wrote there
            if request is not None and request.request_id == request_id:
                newest = request
    if newest is None:
        raise DriftbusError(f"no request {request_id!r} in {topic}; `driftbus explain EPISODE` shows ids")
    about = {"driftbus.request": orjson.dumps(newest.event["data"]).decode()}
    return newest.rows(corrected=corrections is not None, since_onset=since_onset), about


class _Reading:
    """The desk of a request that is only looked at."""

    def __init__(self, bus: Bus, corrections: str | None) -> None:
        self._bus, self._corrections = bus, corrections

    def rows(self, request: Request, *, corrected: bool, since_onset: bool) -> Iterator[Row]:
        from driftbus.client.window import read_window

        topic = self._corrections if corrected else None
        return read_window(self._bus, request.stream, request.window, topic, since_onset=since_onset)

    def publish(self, request: Request, event: Mapping[str, Any], ts: Time | None) -> None:
        raise DriftbusError("an export answers nothing")


def _partitions(bus: Bus, chosen: Settings, stream: str, is_all: bool) -> tuple[int, ...]:
    topic = chosen.topics["outcomes"]
    if is_all:
        return tuple(range(bus.partitions(topic)))
    return (bus.partition_for(topic, stream.encode()),)


def _of_stream(
    bus: Bus,
    chosen: Settings,
    stream: str,
    partitions: tuple[int, ...],
    between: tuple[int | None, int | None],
    corrections: str | None,
) -> tuple[Iterator[Row], dict[str, str]]:
    from driftbus.client.span import Span

    span = Span(stream, chosen.topics["outcomes"], partitions, *between)
    return span.rows(bus, corrections), {"driftbus.stream": stream}


def _write(rows: Iterable[Row], out: Path | None, about: dict[str, str]) -> int:
    from driftbus.client.tables import WRITERS, write_lines

    if out is not None:
        return WRITERS[out.suffix.lower()](rows, out, about)
    n = write_lines(rows, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return n

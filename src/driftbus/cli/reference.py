"""`driftbus reference STREAM FILE…`: a training set, in summaries, as what production is held against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.cli.known import NewOption
from driftbus.cli.options import ConfigOption, settings
from driftbus.cli.saying import ByOption, ReasonOption, StreamArgument, say
from driftbus.errors import DriftbusError

if TYPE_CHECKING:
    from driftbus.adapters.files.events import Unusable
    from driftbus.adapters.files.tables import TrainingColumns
    from driftbus.core.reference_summary import TrainingRows

# All of them are counted; these are shown.
_BAD_LINES_SHOWN = 5


def reference(
    ctx: typer.Context,
    stream: StreamArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV, Parquet, or JSON lines of outcomes or rows (.gz too).",
        ),
    ],
    model_version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="The version trained on it; default: the one in production."),
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COL", help="The label: no feature.")] = None,
    prediction: Annotated[str | None, typer.Option(metavar="COL", help="A prediction: no feature.")] = None,
    score: Annotated[
        str | None, typer.Option(metavar="COL", help="The model's scores for these rows: watched, too.")
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="The time: where it never falls, neighbouring rows are compared, too."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="COL", help="No feature either (ids, weights); repeat it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the summaries as JSON, and publish nothing.")
    ] = False,
    reason: ReasonOption = None,
    by: ByOption = None,
    new: NewOption = False,
    config: ConfigOption = None,
) -> None:
    """Hold a model version against its training set, instead of against its own first rows.

    Summaries are published, no rows: of a number its mean, deviation and quantiles, of a category the shares
    of its values, and how much is missing. What changed between training and deployment is then found at
    once, as watching begins with the first rows. Send it before the version's first prediction, or later.

    \b
    Examples:
      driftbus reference fraud train.parquet --label y --model-version v4
      driftbus reference fraud train.csv --label y --ignore id --timestamp day
      driftbus reference fraud train.csv --dry-run | jq .features.amount
    """
    from driftbus.adapters.files.tables import TrainingColumns

    chosen = settings(ctx, config)
    columns = TrainingColumns(label, prediction, score, timestamp)

    import orjson

    from driftbus.core.reference_summary import TrainingRows

    rows = TrainingRows(chosen.stream(stream).features)
    bad, others = _read(rows, stream, files, columns, ignore or [])
    for one in bad[:_BAD_LINES_SHOWN]:
        typer.echo(f"{one.file}:{one.line}: {one.reason}", err=True)
    if not rows.rows:
        raise DriftbusError(f"no rows{' but of other streams' if others else ''}")
    if others:
        typer.echo(f"of other streams, passed over: {others:,} rows", err=True)
    found, left_out = rows.reference()
    for name, why in left_out.items():
        typer.echo(f"{name}: left out: {why}", err=True)
    if not found.features and found.score is None:
        raise DriftbusError("nothing in these rows is watched")
    if dry_run:
        typer.echo(orjson.dumps(found.as_json()).decode())
    else:
        fields: dict[str, Any] = {"model_version": model_version, "reason": reason}
        say(chosen, stream, "reference-set", by, new=new, **fields, reference=found.as_json())
        whose = model_version or "the version in production"
        score_too = " and the score" if found.score is not None else ""
        typer.echo(
            f"{stream}: {whose} is held against {found.rows:,} rows of training: "
            f"{len(found.features)} features{score_too}"
        )
    if bad:
        typer.echo(f"{len(bad)} lines could not be used", err=True)
        raise typer.Exit(1)


def _read(
    rows: TrainingRows, stream: str, files: list[Path], columns: TrainingColumns, ignored: list[str]
) -> tuple[list[Unusable], int]:
    """Take every row of the files; the lines that are none, and how many are of other streams."""
    from driftbus.adapters.files.events import Unusable
    from driftbus.adapters.files.rows import read_training_set

    bad: list[Unusable] = []
    others = 0
    previous, ordered = None, True
    for path in files:
        for row in read_training_set(path, columns, ignored):
            if isinstance(row, Unusable):
                bad.append(row)
                continue
            if row.stream not in (None, stream):
                others += 1
                continue
            if ordered and row.ts is not None:
                ordered = previous is None or (type(previous) is type(row.ts) and previous <= row.ts)
                previous = row.ts
            else:
                ordered = False
            rows.add(row.features, row.score)
    rows.ordered = ordered
    return bad, others

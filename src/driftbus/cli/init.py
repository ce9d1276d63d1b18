"""`driftbus init`: a configuration file to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from driftbus.errors import DriftbusError


def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to; - is standard output.", allow_dash=True)
    ] = Path("driftbus.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a configuration file: every key with its default, commented out, and a line on what it does.

    \b
    Examples:
      driftbus init                         ./driftbus.yaml
      driftbus init prod.yaml && driftbus check --config prod.yaml
    """
    from driftbus.config.commented import commented

    text = commented()
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        # Not looked for first: whatever is there at the moment of writing is what must stay.
        with open(file, "w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise DriftbusError(f"{file} is there already; --force overwrites it") from None
    except OSError as error:
        raise DriftbusError(
            f"{file} cannot be written: {error.strerror or os.strerror(error.errno or 0)}"
        ) from None
    typer.echo(f"{file} written; then: driftbus check --config {file}", err=True)

"""`driftbus schemas`: the JSON Schemas and the AsyncAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftbus.cli.options import ConfigOption


def schemas(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to; made if missing.", file_okay=False)
    ],
    config: ConfigOption = None,
) -> None:
    """Write the JSON Schema of every event and the AsyncAPI document of all topics."""
    import json

    from driftbus.core.schemas import documents

    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, document in documents().items():
            path = out / name
            path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        typer.echo(f"driftbus: {error.filename or out} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None

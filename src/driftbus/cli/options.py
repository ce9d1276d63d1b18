"""What commands have in common: the configuration they run with, and its bus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the configuration imports pydantic, which `--help` does not need
    from driftbus.config import Settings
    from driftbus.ports import Bus

CONFIG_HELP = "Configuration file (YAML); else DRIFTBUS_CONFIG, else none."

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)]


@dataclass(frozen=True)
class Invocation:
    """What stood before the command: `driftbus --config FILE COMMAND`."""

    config: Path | None = None


def config_path(ctx: typer.Context, config: Path | None) -> Path | None:
    """The configuration file: the command's `--config`, else the one before it, else the environment's."""
    from driftbus.config import CONFIG_VARIABLE

    if config is None and isinstance(ctx.obj, Invocation):
        config = ctx.obj.config
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    return config


def settings(ctx: typer.Context, config: Path | None) -> Settings:
    """The configuration a command runs with. Raises `ConfigError`."""
    from driftbus.config import load

    return load(config_path(ctx, config), os.environ)


@contextmanager
def opened(chosen: Settings) -> Iterator[Bus]:
    """The configuration's bus, closed afterwards. Raises `BusError`, `ConfigError`."""
    from driftbus.wiring import open_bus

    with closing(open_bus(chosen)) as bus:
        yield bus

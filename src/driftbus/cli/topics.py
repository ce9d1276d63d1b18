"""`driftbus topics create`: what is missing is created, what exists stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driftbus.cli.options import ConfigOption, opened, settings
from driftbus.errors import BusError, MissingTopic

if TYPE_CHECKING:
    from driftbus.config import Settings
    from driftbus.ports import Bus

topics = typer.Typer(
    help="Manage the topics driftbus works with.", no_args_is_help=True, add_completion=False
)


@topics.callback()
def _topics() -> None:
    """Manage the topics driftbus works with."""


@topics.command("create")
def create(
    ctx: typer.Context,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Of each topic; default: as those that exist, else 12."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Create the topics that are missing. Nothing that exists is changed."""
    chosen = settings(ctx, config)  # before anything slow is imported

    from driftbus.topics import halves_specs, topic_specs

    with opened(chosen) as bus:
        count = _agreed(bus, chosen, partitions)
        specs = [*topic_specs(chosen, count), *halves_specs(chosen, count)]
        created = set(bus.create_topics(specs))
        for full in (spec.name for spec in specs):
            state = "created" if full in created else "exists"
            typer.echo(f"{full}: {state}, {_plural(bus.partitions(full))}")


def _agreed(bus: Bus, chosen: Settings, wanted: int | None) -> int:
    """How many partitions missing topics get, so that the co-partitioned ones stay equal."""
    from driftbus.topics import CO_PARTITIONED, DEFAULT_PARTITIONS

    existing: dict[str, int] = {}
    for short in CO_PARTITIONED:
        try:
            existing[chosen.topics[short]] = bus.partitions(chosen.topics[short])
        except MissingTopic:
            continue
    counts = set(existing.values())
    if len(counts) > 1:
        listing = ", ".join(f"{name} {count}" for name, count in existing.items())
        raise BusError(f"topics that must have the same number of partitions differ: {listing}")
    if not counts:
        return wanted or DEFAULT_PARTITIONS
    (count,) = counts
    if wanted not in (None, count):
        raise BusError(
            f"{next(iter(existing))} exists with {_plural(count)}, so {_plural(wanted or 0)} cannot be had: "
            "leave --partitions out, or choose another topic_prefix"
        )
    return count


def _plural(count: int) -> str:
    return f"{count} partition" if count == 1 else f"{count} partitions"

"""Whether any worker has seen a stream: a model event to a name that was mistyped would begin a stream of
that name, and whoever meant another would wait for it in vain.

Workers are asked over HTTP, as `driftbus streams` does. Reading the names from the bus would take all that a
partition has stored: snapshots of thousands of streams, by a user who needs no right to read them otherwise.
Where no worker of this bus and instance answers, or none that answers holds the stream's partition, nothing
is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.errors import ConfigError, DriftbusError, Unavailable

if TYPE_CHECKING:  # the configuration imports pydantic, which `--help` does not need
    from driftbus.config import Settings
    from driftbus.ports import Bus

# A stream whose first predictions are on their way is folded within a step or two (`worker.commit_interval`).
SETTLE_S = 3.0
ASK_EVERY_S = 0.5

NewOption = Annotated[
    bool, typer.Option("--new", help="Even if no worker has seen a stream of this name yet.")
]


def refuse_unknown(chosen: Settings, bus: Bus, stream: str) -> None:
    """Raises `DriftbusError` where the worker that holds the stream's partition has not seen it. Says on
    stderr when nobody could be asked."""
    if not chosen.http.enabled:
        return
    from driftbus.config.values import nearest

    partition = bus.partition_for(chosen.topics["predictions"], stream.encode())
    until_s = time.monotonic() + SETTLE_S
    while True:
        try:
            names = _names(chosen, partition)
        except (Unavailable, ConfigError) as error:
            typer.echo(f"driftbus: whether {stream!r} is known could not be asked: {error}", err=True)
            return
        if names is None or stream in names:
            return
        if time.monotonic() > until_s:
            break
        time.sleep(ASK_EVERY_S)
    close = nearest(stream, names)
    meant = f"did you mean {close!r}?" if close else "`driftbus streams` lists those there are"
    raise DriftbusError(f"no worker has seen a stream {stream!r}; {meant} (--new: say it all the same)")


def _names(chosen: Settings, partition: int) -> set[str] | None:
    """The streams that are known; None where that cannot be said of this partition."""
    from driftbus.cli.asking import Asking, own_url

    url = own_url(chosen.http)
    answer = Asking(chosen.http).json(url, "/api/streams?brief=1", is_own=True)
    try:
        worker = answer["worker"]
        # Whatever else listens there may be a worker of another installation.
        if (worker["group"], worker["bus"], worker["instance"]) != (chosen.group, chosen.bus, chosen.source):
            return None
        if len(answer["streams"]) < answer["matching"]:
            return None
        workers = answer.get("workers", [])
        if not any(_holds(worker, partition) for worker in workers):
            return None
        return {entry["stream"] for entry in answer["streams"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{url} does not answer as a worker of this version does ({error!r})") from error


def _holds(worker: Any, partition: int) -> bool:
    """Whether a worker shows all streams of a partition: it holds it, and all that it holds is restored."""
    return worker["trouble"] is None and worker["ready"] and partition in worker["partitions"]

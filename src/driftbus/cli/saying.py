"""Telling a stream something: one model event, delivered before the command ends."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftbus.cli.options import opened
from driftbus.errors import BusError

if TYPE_CHECKING:  # the configuration imports pydantic, which `--help` does not need
    from driftbus.config import Settings

# Longer than a leader election, shorter than a person's patience.
DELIVERY_TIMEOUT_S = 30.0


def _name(value: str) -> str:
    if not 1 <= len(value) <= 256:
        raise typer.BadParameter("a stream's name has 1 to 256 characters")
    return value


StreamArgument = Annotated[
    str, typer.Argument(metavar="STREAM", callback=_name, help="The stream (the monitored model).")
]
ByOption = Annotated[str | None, typer.Option("--by", help="Who says so; default: the user's name.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why, for whoever reads it.")]


def say(chosen: Settings, stream: str, what: str, by: str | None, *, new: bool = False, **fields: Any) -> str:
    """Publish a model event of type `what`, dated now; the name of its topic. `new`: to a stream that nobody
    may have seen.

    Raises `typer.BadParameter` for what the worker would put to the dead letters, `BusError` when it was not
    delivered, `DriftbusError` for a stream that is not known.
    """
    import orjson

    from driftbus.cli.known import refuse_unknown
    from driftbus.core.codec import decode
    from driftbus.errors import InvalidRecord

    now_ms = time.time_ns() // 1_000_000
    event = {"stream": stream, "ts": now_ms, "type": what, "by": by or _someone()}
    event |= {name: value for name, value in fields.items() if value is not None}
    try:
        value = orjson.dumps(event)
        decode("model-events", None, value, (), now_ms, chosen.limits.max_record_bytes)
    except (InvalidRecord, TypeError) as error:
        raise typer.BadParameter(str(error)) from None

    topic = chosen.topics["model-events"]
    with opened(chosen) as bus:
        bus.partitions(topic)  # a missing topic is said at once, not after the delivery's time is over
        if not new:
            refuse_unknown(chosen, bus, stream)
        producer = bus.producer()
        try:
            taken = producer.produce(topic, key=stream.encode(), value=value, timestamp_ms=now_ms)
            left = producer.flush(DELIVERY_TIMEOUT_S)
            if not taken or left or producer.lost():
                raise BusError(f"the event was not delivered to {topic} within {DELIVERY_TIMEOUT_S:.0f} s")
        finally:
            producer.close(0)
    return topic


def _someone() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None

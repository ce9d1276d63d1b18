"""`driftbus retrain STREAM --reason …`: asks for a retrain by hand."""

from __future__ import annotations

import getpass
import time
from typing import Annotated

import typer

from driftbus.cli.options import ConfigOption, settings
from driftbus.errors import BusError

# Longer than a leader election, shorter than a person's patience.
DELIVERY_TIMEOUT_S = 30.0


def _name(value: str) -> str:
    if not 1 <= len(value) <= 256:
        raise typer.BadParameter("a stream's name has 1 to 256 characters")
    return value


def _someone() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return None


def retrain(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(callback=_name, help="The stream whose model is to be trained.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the request.")],
    by: Annotated[str | None, typer.Option(help="Who asks; default: the user's name.")] = None,
    config: ConfigOption = None,
) -> None:
    """Ask for a retrain by hand: past cooldown and minimum rows, unless a request is in flight."""
    import orjson

    from driftbus.core.codec import decode
    from driftbus.errors import InvalidRecord

    chosen = settings(ctx, config)
    now_ms = time.time_ns() // 1_000_000
    event = {
        "stream": stream,
        "ts": now_ms,
        "type": "retrain-requested",
        "by": by or _someone(),
        "reason": reason,
    }
    try:
        value = orjson.dumps(event)
        decode("model-events", None, value, (), now_ms, chosen.limits.max_record_bytes)
    except (InvalidRecord, TypeError) as error:
        raise typer.BadParameter(str(error)) from None

    from driftbus.wiring import open_bus

    topic = chosen.topics["model-events"]
    bus = open_bus(chosen)
    try:
        bus.partitions(topic)  # a missing topic is said at once, not after the delivery's time is over
        producer = bus.producer()
        try:
            taken = producer.produce(topic, key=stream.encode(), value=value, timestamp_ms=now_ms)
            left = producer.flush(DELIVERY_TIMEOUT_S)
            if not taken or left or producer.lost():
                raise BusError(f"the request was not delivered to {topic} within {DELIVERY_TIMEOUT_S:.0f} s")
        finally:
            producer.close(0)
    finally:
        bus.close()
    typer.echo(f"asked for a retrain of {stream}; the request comes on {chosen.topics['retrain-requests']}")

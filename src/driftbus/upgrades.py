"""State of another configuration or of another version of driftbus: what is said of it, what is refused."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from driftbus.core import snapshot
from driftbus.core.snapshot import Sealed
from driftbus.errors import StateError
from driftbus.steps import StepRecord

log = logging.getLogger("driftbus.restore")

# Streams named in one line of the log; the API has all of them.
TOLD = 10


def tell(partition: int, anew: Mapping[str, Collection[str]], why: str) -> None:
    """Say which parts (`core.parts`) of which streams begin anew; streams with the same parts in one line."""
    by_parts: dict[tuple[str, ...], list[str]] = {}
    for stream, parts in anew.items():
        if parts:
            by_parts.setdefault(tuple(sorted(parts)), []).append(stream)
    for parts, streams in by_parts.items():
        more = f" and {len(streams) - TOLD} more" if len(streams) > TOLD else ""
        log.warning(
            "partition %d: begin anew, since %s: %s of %s%s",
            *(partition, why, ", ".join(parts), ", ".join(map(repr, streams[:TOLD])), more),
        )


@contextmanager
def readable(what: str, sealed: Sealed) -> Iterator[None]:
    """Whatever goes wrong in loading what `sealed` holds is a `StateError` that names who wrote it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StateError(
            f"{what}, written by {sealed.libraries}, cannot be read by {snapshot.LIBRARIES}: "
            f"{type(error).__name__}: {error}"
        ) from error


def compare(stream: str, step: StepRecord, digest: str | None, config_hash: str) -> None:
    """Compare what a recorded step decided for a stream with the `digest` of what its fold gives now. A fold
    of other rules may differ; one of another version must not, or an episode that was told of would never
    end, and a request be repeated. Raises `StateError`."""
    if digest == step.digests.get(stream):
        return
    if step.fold != snapshot.FOLD_VERSION:
        raise StateError(
            f"stream {stream!r}: step {step.step}, of fold {step.fold}, published other decisions than fold "
            f"{snapshot.FOLD_VERSION} gives: start {step.libraries}, which wrote it, once more and end it by "
            "SIGTERM; it leaves no step to be folded again"
        )
    if step.config == config_hash:
        raise StateError(
            f"stream {stream!r}: step {step.step} published other decisions than its fold gives now"
        )

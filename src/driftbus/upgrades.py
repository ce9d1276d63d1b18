"""State of another configuration or of another version of driftbus: what is said of it, what is refused."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from driftbus.config import Settings
from driftbus.core import snapshot
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition
from driftbus.core.parts import VERSIONS, differing
from driftbus.core.snapshot import Sealed
from driftbus.errors import StateError
from driftbus.steps import StepRecord

log = logging.getLogger("driftbus.restore")

# Streams named in one line of the log; the API has all of them.
TOLD = 10


def begins_anew(raw: Any, now: Mapping[str, str], fold: int, upgraded: bool) -> frozenset[str]:
    """Which parts of a stream begin anew, whose snapshot is `raw`, of fold version `fold`, when their
    fingerprints are others `now`. Of a stream that an earlier version set aside all; but not while steps of
    that version are to be folded again (`upgraded`), in which nothing was decided about it."""
    if raw["state"].get("defect") is not None and fold != snapshot.FOLD_VERSION and not upgraded:
        return frozenset(VERSIONS)
    return differing(raw["fingerprint"], now)


def revive(partition: Partition) -> None:
    """Watch again what an earlier version set aside: this one may do better."""
    for name, monitor in list(partition.streams.items()):
        if monitor.defect is not None:
            state = orjson.loads(partition.snapshot(name))
            rules, limits = partition.settings_of(name), partition.limits
            revived = StreamMonitor.load(state, name, rules, limits, frozenset(VERSIONS), "version")
            partition.streams[name] = revived
            partition.note_due(name, revived)


def take_over(partition: Partition, then: Settings, now: Settings) -> None:
    """Go on by the rules of `now`, where they were those of `then`."""
    anew = {name: differing(then.fingerprint(name), now.fingerprint(name)) for name in partition.streams}
    partition.take_over(now.stream, now.limits, anew.__getitem__)
    tell(partition.number, anew, "the configuration changed")


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

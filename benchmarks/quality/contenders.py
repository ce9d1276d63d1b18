"""Who takes part: bare detectors by the registry's names, dummies, the oracle, and driftbus itself.

A bare detector is given the numbers and answers with alarms, of either direction; the protocol's rule makes
episodes of them. Under `auto` stands what driftbus by default watches an error with, each detector alone.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.quality import oracle, product
from benchmarks.quality.matching import Episode, merged
from benchmarks.quality.stream import Stream

from driftbus.core.detectors import registry
from driftbus.core.detectors.river_any import CLASSES
from driftbus.core.settings import DetectorSpec

# Numbers a detector is given at once: a block changes nothing but the time it takes.
BLOCK = 4_096
PRODUCT = "driftbus"
# River's own dummies: ours are told apart by what they do.
_DUMMIES = frozenset({"dummy", "no_drift"})
# As QUALITY.md counts it: a detector of errors looks for rises where it can be told to.
PARAMS: dict[str, dict[str, Any]] = {"page_hinkley": {"mode": "up"}}
ORACLES = {"oracle 1/100k": 1e5, "oracle 1/1M": 1e6}
DUMMIES = ("never", "always", "every 5,000")
# A detector this slow is given one repetition in so many, and is left out by `--quick`: KSWIN takes 200 µs
# a value.
SLOW = {"kswin": 25}


@dataclass(slots=True)
class Seen:
    """What a contender made of one stream.

    `alarms`: unmerged (of the product: episodes of any category). `first`: of each change, rows from its
    start to the first unmerged alarm (the product: episode of the error), None where none came before the
    next replacement.
    """

    name: str
    rows: int
    alarms: int
    cpu_s: float
    episodes: list[Episode] = field(default_factory=list)
    first: list[int | None] = field(default_factory=list)
    requests: int = 0
    # S5: rows predicted rightly with its retrains, with equally many periodic ones, with none.
    rights: list[int] = field(default_factory=list)


class Contender(Protocol):
    """One who takes part. `binary_only`: it reads 0 and 1; `knows`: it needs the true rates."""

    @property
    def name(self) -> str: ...

    @property
    def binary_only(self) -> bool: ...

    @property
    def knows(self) -> bool: ...

    def watch(self, stream: Stream) -> Seen:
        """Read a whole stream."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A detector of the registry; created anew where the stream's model is replaced."""

    name: str
    spec: DetectorSpec
    binary_only: bool = False
    knows: bool = False

    def watch(self, stream: Stream) -> Seen:
        values = stream.scaled().tolist()
        rows: list[int] = []
        onsets: list[int | None] = []
        started = time.process_time()
        for begin, end in segments(stream):
            detector = registry.make(self.spec)
            for start in range(begin, end, BLOCK):
                for hit in detector.update_block(values[start : min(start + BLOCK, end)]):
                    row = start + hit.index
                    rows.append(row)
                    onsets.append(None if hit.since is None else max(row - hit.since + 1, begin))
        cpu_s = time.process_time() - started
        return _seen(stream, rows, onsets, cpu_s)


@dataclass(frozen=True, slots=True)
class Dummy:
    """Alarms at every `every`-th row; 0: never."""

    name: str
    every: int
    binary_only: bool = False
    knows: bool = False

    def watch(self, stream: Stream) -> Seen:
        rows = list(range(self.every - 1, len(stream.signal), self.every)) if self.every else []
        return _seen(stream, rows, [None] * len(rows), 0.0)


@dataclass(frozen=True, slots=True)
class Oracle:
    """See `oracle`; false alarms come `rows_between` rows apart by design."""

    name: str
    rows_between: float
    binary_only: bool = True
    knows: bool = True

    def watch(self, stream: Stream) -> Seen:
        assert stream.rates is not None
        p0, p1 = stream.rates
        h = oracle.threshold(p0, p1, self.rows_between)
        started = time.process_time()
        rows = oracle.alarms(stream.signal, p0, p1, h)
        cpu_s = time.process_time() - started
        onsets: list[int | None] = list(oracle.onsets(stream.signal, p0, p1, rows))
        return _seen(stream, rows, onsets, cpu_s)


@dataclass(frozen=True, slots=True)
class Product:
    """driftbus in its default configuration: its own episodes, onsets and verdicts."""

    name: str = PRODUCT
    binary_only: bool = False
    knows: bool = False

    def watch(self, stream: Stream) -> Seen:
        started = time.process_time()
        told = product.watch(stream)
        cpu_s = time.process_time() - started
        episodes, requests = product.episodes(told)
        opened = [episode.start for episode in episodes if episode.category == "concept"]
        first = first_after(stream, opened)
        return Seen(stream.name, len(stream.signal), len(episodes), cpu_s, episodes, first, requests)


def segments(stream: Stream) -> Iterator[tuple[int, int]]:
    """Rows (start, end) of one model each."""
    edges = [0, *stream.replaced, len(stream.signal)]
    yield from itertools.pairwise(edges)


def _seen(stream: Stream, rows: Sequence[int], onsets: Sequence[int | None], cpu_s: float) -> Seen:
    episodes = merged(rows, onsets, stream.merge_rows, stream.replaced)
    return Seen(stream.name, len(stream.signal), len(rows), cpu_s, episodes, first_after(stream, rows))


def first_after(stream: Stream, rows: Sequence[int]) -> list[int | None]:
    """Rows from each change's start to the first of these rows that is not before it."""
    found: list[int | None] = []
    for change in stream.changes:
        ends = next((row for row in stream.replaced if row > change.start), len(stream.signal))
        at = bisect_left(rows, change.start)
        found.append(rows[at] - change.start if at < len(rows) and rows[at] < ends else None)
    return found


def everybody() -> dict[str, Contender]:
    """All contenders by name, in the order of the tables."""
    found: list[Contender] = [Product()]
    found += [Oracle(name, rows) for name, rows in ORACLES.items()]
    for spec in registry.default("error"):
        found.append(Bare(f"{spec.name} (auto)", spec))
    for name in registry.names():
        if name not in _DUMMIES:
            bits = name in CLASSES and ".binary" in CLASSES[name].__module__
            found.append(Bare(name, DetectorSpec(name, PARAMS.get(name, {})), bits))
    found += [Dummy("never", 0), Dummy("always", 1), Dummy("every 5,000", 5_000)]
    return {one.name: one for one in found}


def named(text: str) -> Contender:
    """A contender by its name, or a registered detector with parameters: `adwin:delta=0.1,clock=1`.

    Raises SystemExit for a name that nobody bears.
    """
    known = everybody()
    if text in known:
        return known[text]
    name, _, given = text.partition(":")
    params = dict(PARAMS.get(name, {}))
    for part in given.split(",") if given else ():
        key, _, value = part.partition("=")
        params[key] = _value(value)
    spec = DetectorSpec(name, params)
    try:
        registry.make(spec)
    except ValueError as error:
        raise SystemExit(f"--detectors {text}: {error}") from error
    bits = name in CLASSES and ".binary" in CLASSES[name].__module__
    return Bare(text, spec, bits)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text, text)

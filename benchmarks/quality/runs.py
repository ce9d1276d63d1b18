"""Running contenders over cells of streams, several processes at once, each result kept in the cache.

A cell is a maker of streams with its arguments and some repetitions: small enough to be sent to a process,
which makes the streams itself. What is kept is not the score but what was told: matching and tables can
change freely.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from benchmarks.quality import cache, contenders, recorded, returning, simulated, utility
from benchmarks.quality.contenders import Bare, Contender, Product, Seen
from benchmarks.quality.matching import OPENING, Change, Episode, Score, match
from benchmarks.quality.stream import Stream

from driftbus.core.detectors.river_any import CLASSES

MAKERS = {
    "s1": simulated.bernoulli,
    "s1 null": simulated.bernoulli_null,
    "s1b": simulated.twice,
    "s2": simulated.dependent,
    "s6": simulated.told_apart,
    "s6 returning": returning.returning,
    "s3": recorded.classified,
    "s4": recorded.regressed,
}
# What decides a stream or what a bare contender says of it.
_SOURCES = (
    "simulated",
    "stream",
    "matching",
    "contenders",
    "oracle",
    "recorded",
    "models",
    "data",
    "utility",
    "returning",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Streams `MAKERS[maker](zone, *args, rep, *tail)` for `reps`."""

    maker: str
    args: tuple[str | float | int, ...]
    reps: tuple[int, ...] = (0,)
    tail: tuple[int, ...] = ()

    def streams(self, zone: str) -> Iterable[Stream]:
        """Each of the streams, made anew."""
        for rep in self.reps:
            yield MAKERS[self.maker](zone, *self.args, rep, *self.tail)  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Run:
    """What a contender made of a stream, beside what is true of it."""

    seen: Seen
    binary: bool
    changes: tuple[Change, ...]
    replaced: tuple[int, ...]
    max_delay: int

    def score(self, opening: float = OPENING) -> Score:
        """The product's episodes of other categories than the error's neither find a change nor are false
        here: tables count them apart."""
        told = [episode for episode in self.seen.episodes if episode.category == "concept"]
        return match(told, self.changes, self.replaced, self.max_delay, opening)


Results = Mapping[tuple[str, Cell], Sequence[Run]]


def score(runs: Iterable[Run], opening: float = OPENING) -> Score:
    """Of several streams together."""
    total = Score()
    for run in runs:
        total.add(run.score(opening))
    return total


def chunks(maker: str, args: tuple[str | float | int, ...], reps: int, size: int = 5) -> list[Cell]:
    """Repetitions 0 … reps − 1 in cells of `size`, as `--quick` and a longer run share them."""
    return [Cell(maker, args, tuple(range(at, min(at + size, reps)))) for at in range(0, reps, size)]


def run_all(tasks: Sequence[tuple[str, Cell]], zone: str, jobs: int) -> dict[tuple[str, Cell], list[Run]]:
    """Every task's runs: from the cache, or computed by `jobs` processes."""
    tasks = list(dict.fromkeys(tasks))
    found: dict[tuple[str, Cell], list[Run]] = {}
    open_tasks = []
    for task in tasks:
        path = cache.folder() / f"{_key(task, zone)}.json"
        if path.exists():
            found[task] = _read(path.read_bytes())
        else:
            open_tasks.append(task)
    print(f"{len(tasks)} tasks, {len(open_tasks)} not in the cache", file=sys.stderr, flush=True)
    # The longest first: the last ones then end together.
    open_tasks.sort(key=lambda task: -_weight(task))
    work = [(task, zone, _key(task, zone)) for task in open_tasks]
    started, told = time.monotonic(), time.monotonic()
    # Forked processes run the sources that the keys were made of, even if these are edited meanwhile.
    with multiprocessing.get_context("fork").Pool(max(1, min(jobs, len(work) or 1))) as pool:
        for done, (task, raw) in enumerate(pool.imap_unordered(_work, work), 1):
            found[task] = _read(raw)
            if time.monotonic() - told > 15.0 or done == len(work):
                told = time.monotonic()
                print(f"{done}/{len(work)} tasks, {told - started:.0f} s", file=sys.stderr, flush=True)
    return found


def _work(given: tuple[tuple[str, Cell], str, str]) -> tuple[tuple[str, Cell], bytes]:
    (name, cell), zone, key = given
    contender = contenders.named(name)
    runs = []
    if cell.maker == "s5":
        seen = utility.trial(contender, str(cell.args[0]), str(cell.args[1]))
        runs.append(Run(seen, True, (), (), 0))
    for stream in cell.streams(zone) if cell.maker in MAKERS else ():
        seen = contender.watch(stream)
        runs.append(Run(seen, stream.binary, stream.changes, stream.replaced, stream.max_delay))
    raw = orjson.dumps(runs)
    cache.write(cache.folder() / f"{key}.json", lambda part: part.write_bytes(raw))
    return (name, cell), raw


def _read(raw: bytes) -> list[Run]:
    runs = []
    for one in orjson.loads(raw):
        seen = one["seen"] | {"episodes": [Episode(**episode) for episode in one["seen"]["episodes"]]}
        changes = tuple(Change(**change) for change in one["changes"])
        runs.append(Run(Seen(**seen), one["binary"], changes, tuple(one["replaced"]), one["max_delay"]))
    return runs


def _weight(task: tuple[str, Cell]) -> float:
    """A guess at how long a task takes."""
    name, cell = task
    heavy = {"kswin": 200.0, contenders.PRODUCT: 15.0, "hddm_a": 4.0, "hddm_w": 4.0}.get(name, 1.0)
    numbers = [n for n in (*cell.args, *cell.tail) if isinstance(n, int)]
    rows = 100_000 if cell.maker in ("s3", "s5") else max([25_000, *numbers])
    return heavy * len(cell.reps) * rows


def _key(task: tuple[str, Cell], zone: str) -> str:
    name, cell = task
    who = contenders.named(name)
    text = repr((name, getattr(who, "spec", None), cell, zone))
    return f"{cell.maker.replace(' ', '-')}-{cache.digest((), text, _sources(_kind(who)))}"


def _kind(who: Contender) -> str:
    if isinstance(who, Product):
        return "core"
    if isinstance(who, Bare):
        return "river" if who.spec.name in CLASSES else "own"
    return "none"


@lru_cache(maxsize=8)
def _sources(kind: str) -> str:
    """A digest of what decides the answers of contenders of this kind."""
    paths = {cache.HERE / f"{name}.py" for name in _SOURCES}
    detectors = cache.CORE / "detectors"
    if kind == "core":
        # The defaults are written down in the configuration.
        paths |= {*cache.CORE.rglob("*.py"), *cache.CORE.with_name("config").glob("*.py")}
        paths.add(cache.HERE / "product.py")
    elif kind == "own":
        paths |= set(detectors.glob("*.py"))
    elif kind == "river":
        paths |= {detectors / "river_any.py", detectors / "base.py"}
    return cache.digest(paths, importlib.metadata.version("river"))

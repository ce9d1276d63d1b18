"""Event files: JSON lines as a consumer would have seen them, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from driftbus.errors import DriftbusError

INPUTS = ("predictions", "labels", "model-events")
# Outputs may stand in a recording (a whole group's topics dumped together); they are passed over.
OTHERS = frozenset(
    {"outcomes", "label-corrections", "drift-events", "retrain-requests", "dead-letters", "state"}
)

Progress = Callable[[int, int], None]
# How often progress is told: about every tenth of a second at a million lines a minute.
PROGRESS_LINES = 2_000


class Line(NamedTuple):
    """One recorded input: `value` parsed, `text` what it was parsed from, `ts` in ms."""

    topic: str
    key: bytes | None
    ts: int
    value: Any
    text: bytes


class Unusable(NamedTuple):
    """One line that is no record."""

    file: Path
    line: int
    reason: str


def read_events(path: Path, advance: Callable[[int], None]) -> Iterator[Line | Unusable]:
    """Every line of one file. `advance` is told how many bytes of the file have been read, now and then."""
    with open(path, "rb") as raw:
        source: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
        try:
            for number, text in enumerate(source, 1):
                if number % PROGRESS_LINES == 0:
                    advance(raw.tell())
                if text.strip():
                    found = _line(text)
                    if isinstance(found, str):
                        yield Unusable(path, number, found)
                    elif found is not None:
                        yield found
        except BrokenPipeError:
            raise  # `advance` sends out what was decided so far: whoever reads it has gone, not this file
        except (EOFError, zlib.error, OSError) as error:
            raise DriftbusError(f"{path}: cannot be read further: {error}") from error
        advance(raw.tell())


def _line(text: bytes) -> Line | str | None:
    """The line's record; why there is none; or nothing, where it is no input."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error}"
    if type(raw) is not dict:
        return "not an object"
    topic, key, ts = raw.get("topic"), raw.get("key"), raw.get("ts")
    if topic not in INPUTS:
        if type(topic) is str and topic in OTHERS:
            return None
        return f"topic {topic!r:.60} is none of {', '.join(INPUTS)}"
    if type(ts) is not int or ts < 0:
        return "ts is no integer of milliseconds"
    if key is not None and type(key) is not str:
        return "key is no text"
    return Line(topic, None if key is None else key.encode(), ts, raw.get("value"), text)

"""What really happened to the streams, where somebody knows, and which episode found which change.

A truth file is one JSON object; its keys are names of streams, or of the files they were read from:

    {"fraud": {"drifts": [["2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"], [12000, 12001]],
               "type": ["sudden", "gradual"], "other_changes": [[15000, 16000]],
               "positions_known": true, "note": "the new checkout"}}

`drifts` are pairs: where a change began and where it was complete, as times (RFC 3339) or as numbers of
outcomes (the first is 0). All else is optional: `type` names each, `other_changes` are spans in which an
episode is neither right nor wrong, `positions_known: false` says that there may be changes which nobody has
listed; `categories` are those of the episodes that are held against all this, `["concept"]` where it is not
given: changes of the error. Other fields are passed over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from driftbus.errors import ConfigError

_FORM = 'one JSON object: {"STREAM": {"drifts": [[FROM, TO], …], "type": ["sudden", …]}, …}'
# What a truth speaks of, unless it says something else.
CONCEPT = frozenset({"concept"})
# How long after a change was complete an episode still counts as having found it, unless the next one comes
# first: QUALITY.md's limit for streams of tens of thousands of rows.
GRACE_ROWS = 2_000
# Share of a slow change's width by which its beginning is taken earlier, as the quality benchmark does:
# published gradual streams mix by a logistic curve, which is at 1 % there.
OPENING = 0.65


@dataclass(frozen=True, slots=True)
class Change:
    """One true change: from `start` until `end`, each a time in ms or a number of outcomes (`by_row`)."""

    start: int
    end: int
    by_row: bool
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one stream."""

    changes: tuple[Change, ...] = ()
    others: tuple[Change, ...] = ()
    complete: bool = True
    categories: frozenset[str] = CONCEPT
    note: str | None = None
    rows: frozenset[int] = field(default=frozenset())  # every row that is named by number


class Truth:
    """Known changes by stream. `only`: the stem of the one file that is read, whose name stands for
    whatever stream it holds."""

    def __init__(self, known: Mapping[str, Known], only: str | None = None) -> None:
        self._known = known
        self._only = known.get(only) if only is not None else None

    def of(self, stream: str) -> Known | None:
        """What is known of a stream; None: nothing, not even that nothing changed."""
        return self._known.get(stream, self._only)

    def rows(self, stream: str) -> frozenset[int]:
        known = self.of(stream)
        return known.rows if known is not None else frozenset()


def stem(name: str) -> str:
    """A file's name without what says how it is written."""
    for suffix in (".gz", ".csv", ".jsonl", ".ndjson", ".json", ".parquet"):
        name = name.removesuffix(suffix)
    return name


def read_truth(path: Path, files: Sequence[Path]) -> Truth:
    """The truth file at `path`. Raises `ConfigError` for one of another form."""
    try:
        document = orjson.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError("--truth", str(path), f"{_FORM} ({error})") from None
    except OSError as error:
        raise ConfigError("--truth", str(path), f"a file that can be read ({error.strerror})") from None
    if not isinstance(document, dict):
        raise ConfigError("--truth", str(path), _FORM)
    known: dict[str, Known] = {}
    for name, entry in document.items():
        try:
            known[stem(name)] = known[name] = _known(entry)
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError("--truth", str(path), f"{_FORM} (of {name!r:.80}: {error})") from None
    return Truth(known, stem(files[0].name) if len(files) == 1 else None)


def _known(entry: Any) -> Known:
    if not isinstance(entry, dict):
        raise TypeError("no object")
    kinds = entry.get("type") or []
    drifts = entry.get("drifts") or []
    categories = entry.get("categories")
    if not isinstance(kinds, list) or not isinstance(drifts, list):
        raise TypeError("drifts and type are lists")
    changes = tuple(
        _change(pair, str(kinds[index]) if index < len(kinds) else None) for index, pair in enumerate(drifts)
    )
    others = tuple(_change(pair, None) for pair in entry.get("other_changes") or [])
    rows = {row for change in (*changes, *others) if change.by_row for row in (change.start, change.end)}
    note = entry.get("note")
    return Known(
        tuple(sorted(changes, key=lambda change: change.start)),
        others,
        entry.get("positions_known") is not False,
        frozenset(map(str, categories)) if isinstance(categories, list) else CONCEPT,
        str(note) if note else None,
        frozenset(rows),
    )


def _change(pair: Any, kind: str | None) -> Change:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError(f"{pair!r:.60} is no pair")
    if all(type(each) is int and each >= 0 for each in pair):
        start, end, by_row = *pair, True
    elif all(type(each) is str for each in pair):
        start, end, by_row = _ms(pair[0]), _ms(pair[1]), False
    else:
        raise ValueError(f"{pair!r:.60} are neither two times nor two numbers of outcomes")
    if end < start:
        raise ValueError(f"{pair!r:.60} ends before it begins")
    return Change(start, end, by_row, kind)


def _ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Span:
    """A change as rows (numbers of outcomes)."""

    start: int
    end: int
    kind: str | None

    @property
    def width(self) -> int:
        """0 for a sudden change."""
        return 0 if self.end - self.start <= 1 else self.end - self.start


@dataclass(frozen=True, slots=True)
class Matching:
    """`found`: change → episode, by index (None: missed). `of`: what each episode was: `found 1`, `again 1`
    (of a change that was found), `not judged`, `elsewhere`, or `–`: the truth says nothing of its kind."""

    found: tuple[int | None, ...]
    of: tuple[str, ...]


def match(
    episodes: Sequence[int | None], changes: Sequence[Span], others: Sequence[Span], complete: bool
) -> Matching:
    """Which episode found which change. An episode is the row at which it opened; None: of something that the
    truth does not speak of.

    A change is found by the first episode that opens from its start to `GRACE_ROWS` after its end, before the
    next change.
    """
    windows = []
    for index, change in enumerate(changes):
        closes = change.end + GRACE_ROWS
        if index + 1 < len(changes):
            closes = min(closes, _opens(changes[index + 1]) - 1)
        windows.append((_opens(change), closes))
    opening = [opens for opens, _ in windows]
    found: list[int | None] = [None] * len(changes)
    words = []
    for i, row in enumerate(episodes):
        if row is None:
            words.append("–")
            continue
        at = bisect_right(opening, row) - 1
        beyond = any(other.start <= row <= other.end + GRACE_ROWS for other in others)
        if at >= 0 and row <= windows[at][1] and found[at] is None:
            found[at] = i
            words.append(f"found {at + 1}")
        elif beyond or not complete:
            words.append("not judged")
        elif at >= 0 and row <= windows[at][1]:
            words.append(f"again {at + 1}")
        else:
            words.append("elsewhere")
    return Matching(tuple(found), tuple(words))


def _opens(change: Span) -> int:
    return change.start - round(OPENING * change.width)

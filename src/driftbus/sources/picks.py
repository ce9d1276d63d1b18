"""Where in a foreign record a value stands: paths, JSON pointers, templates, constants, alternatives.

    amount            dotted path: a step into an object by name, into an array by number
    /orders/0/a~1b    JSON pointer (RFC 6901), for names that hold dots
    {region}-{model}  template: text with paths in braces
    $key $topic $partition $offset $timestamp $row $header.NAME $attribute.NAME $record.PATH
                      the record around the document: its key as text, its headers (names in any case), the
                      attributes of its CloudEvent, and where it is cut into rows the whole of it
    $rest             every field at the top that no other pick of the same mapping begins with

A pick that finds nothing, or null, answers `MISSING`; alternatives go on with the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from driftbus.errors import InvalidRecord
from driftbus.ports import Record
from driftbus.sources.envelope import attributes_of, text_of

Json = Any


class _Missing:
    """What is not there: unlike null, nothing JSON can say."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
# What a pick may begin with beside the names of a document.
ROOTS = (
    "$key",
    "$topic",
    "$partition",
    "$offset",
    "$timestamp",
    "$row",
    "$header",
    "$attribute",
    "$record",
    "$rest",
)
_WITH_NAME = ("$header", "$attribute")
_WITH_PATH = ("$record",)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Around(NamedTuple):
    """What surrounds a document: its record, which row of how many it is, and the record's own document."""

    record: Record
    row: int = 0
    rows: int = 1
    whole: Json = None
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """Steps into a document, or (`root`) into what is around it."""

    text: str
    root: str
    steps: tuple[str, ...]

    def take(self, document: Json, around: Around) -> Json:
        if not self.root:
            return walk(document, self.steps)
        return _ROOTED[self.root](self.steps, document, around)

    @property
    def per_row(self) -> bool:
        """Whether rows of one record may differ in it."""
        return self.root in ("", "$row", "$rest")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with values in it; missing as a whole where one of them is."""

    parts: tuple[str | Path, ...]

    def take(self, document: Json, around: Around) -> Json:
        said = []
        for part in self.parts:
            value = part if isinstance(part, str) else part.take(document, around)
            if value is MISSING or value is None:
                return MISSING
            said.append(as_text(value, str(part)))
        return "".join(said)

    @property
    def per_row(self) -> bool:
        return any(part.per_row for part in self.parts if isinstance(part, Path))


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every record."""

    value: Json

    def take(self, document: Json, around: Around) -> Json:
        return MISSING if self.value is None else self.value

    @property
    def per_row(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class First:
    """The first of several that finds something."""

    picks: tuple[Path | Template | Constant, ...]

    def take(self, document: Json, around: Around) -> Json:
        for pick in self.picks:
            value = pick.take(document, around)
            if value is not MISSING and value is not None:
                return value
        return MISSING

    @property
    def per_row(self) -> bool:
        return any(pick.per_row for pick in self.picks)


Pick = Path | Template | Constant | First


class WrongPick(ValueError):
    """A pick that cannot be read; the text says what is allowed."""


def parse(text: str) -> Path | Template:
    """A pick in its text form. Raises `WrongPick`."""
    return template(text) if "{" in text or "}" in text else path(text)


def path(text: str) -> Path:
    """A dotted path, a JSON pointer, or one that begins with `$`. Raises `WrongPick`."""
    if not text:
        raise WrongPick("a path such as amount, order.id, /orders/0/id, $key or $header.ce_id")
    if text.startswith("/"):
        return Path(text, "", _pointer(text))
    if not text.startswith("$"):
        return Path(text, "", _dotted(text, text))
    root, dot, rest = text.partition(".")
    if root not in ROOTS:
        raise WrongPick(f"one of {', '.join(ROOTS)}")
    if root in _WITH_NAME:
        if not rest:
            raise WrongPick(f"{root}.NAME")
        return Path(text, root, (_header_name(rest),))
    if root in _WITH_PATH:
        return Path(text, root, _dotted(rest, text) if rest else ())
    if dot:
        raise WrongPick(f"{root} alone: there is nothing inside of it")
    return Path(text, root, ())


def template(text: str) -> Template:
    """Text in which `{PATH}` stands for a value; without any it is what it says. Raises `WrongPick`."""
    parts: list[str | Path] = []
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [text[at : match.start()], path(match[1])]
        at = match.end()
    parts.append(text[at:])
    if any("{" in part or "}" in part for part in parts if isinstance(part, str)):
        raise WrongPick("text in which every { has its }, with a path between them")
    return Template(tuple(part for part in parts if part != ""))


def shown(pick: Pick) -> str:
    """A pick as it is written; alternatives one after the other."""
    if isinstance(pick, Path):
        return pick.text
    if isinstance(pick, Template):
        return "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in pick.parts)
    if isinstance(pick, First):
        return ", else ".join(map(shown, pick.picks))
    return repr(pick.value)


def as_text(value: Json, where: str) -> str:
    """A value as part of a text. Raises `InvalidRecord` for arrays and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # An id that JSON wrote as 17.0 is the same as 17.
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    raise InvalidRecord("wrong_type", f"{where:.80} is {_kind(value)}, not text or a number")


def walk(value: Json, steps: Iterable[str]) -> Json:
    """What stands at the end of the steps; `MISSING` where there is no such place."""
    for step in steps:
        if type(value) is dict:
            value = value.get(step, MISSING)
        elif type(value) is list and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def heads(picks: Iterable[Pick]) -> frozenset[str]:
    """The names at the top of a document that these picks begin with."""
    found: set[str] = set()
    for pick in picks:
        if isinstance(pick, Path) and not pick.root and pick.steps:
            found.add(pick.steps[0])
        elif isinstance(pick, Template):
            found |= heads(part for part in pick.parts if isinstance(part, Path))
        elif isinstance(pick, First):
            found |= heads(pick.picks)
    return frozenset(found)


def _pointer(text: str) -> tuple[str, ...]:
    steps = text.split("/")[1:]
    if any(re.search("~(?![01])", step) for step in steps):
        raise WrongPick("a JSON pointer, in which ~ is written ~0 and / is written ~1")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def _dotted(text: str, whole: str) -> tuple[str, ...]:
    steps = tuple(text.split("."))
    if not all(steps):
        raise WrongPick(
            f"a path without empty steps, not {whole!r:.60}; a JSON pointer where names hold dots"
        )
    return steps


def _header_name(name: str) -> str:
    return name.lower().replace("-", "_")


def _kind(value: Json) -> str:
    return {dict: "an object", list: "an array", type(None): "null"}.get(type(value), type(value).__name__)


def _key(steps: tuple[str, ...], document: Json, around: Around) -> Json:
    return _or_missing(text_of(around.record.key))


def _header(steps: tuple[str, ...], document: Json, around: Around) -> Json:
    for name, value in reversed(around.record.headers):
        if _header_name(name) == steps[0]:
            return _or_missing(text_of(value))
    return MISSING


def _attribute(steps: tuple[str, ...], document: Json, around: Around) -> Json:
    attributes = attributes_of(around.record.headers) if around.attributes is None else around.attributes
    return attributes.get(steps[0], MISSING)


def _or_missing(value: Json) -> Json:
    return MISSING if value is None else value


_ROOTED: Mapping[str, Callable[[tuple[str, ...], Json, Around], Json]] = {
    "$key": _key,
    "$topic": lambda steps, document, around: around.record.topic,
    "$partition": lambda steps, document, around: around.record.partition,
    "$offset": lambda steps, document, around: around.record.offset,
    "$timestamp": lambda steps, document, around: around.record.timestamp_ms,
    "$row": lambda steps, document, around: around.row,
    "$header": _header,
    "$attribute": _attribute,
    "$record": lambda steps, document, around: walk(around.whole, steps),
    # Resolved by the mapping, which knows what the others take.
    "$rest": lambda steps, document, around: document,
}

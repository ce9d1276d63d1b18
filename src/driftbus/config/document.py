"""A YAML document as plain values, with the line of every key.

Bare words are resolved by YAML 1.2's core schema, not 1.1's: `on`, `off`, `yes` and `no` stay the
words they are, so that a key `on_drift`, a stream `no` or a label value `off` means itself. Numbers
remember how they were written, because `kafka: {sasl.password: 00123}` and `labels: {version: 1.10}`
mean the text. Keys are always text. A key given twice, a tag that is not one of the core schema's,
and absurd depth or size are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from driftbus.errors import ConfigError

Path = tuple[str | int, ...]

# The configuration itself is eight levels deep; nothing that nests further can be one.
MAX_DEPTH = 32
# 20,000 streams with fifty keys each; aliases count as what they stand for, so a few lines of nested
# aliases cannot grow into billions of values.
MAX_NODES = 2_000_000
# Python refuses to read integers of more than 4,300 digits; no number of a configuration has a tenth of that.
_MAX_NUMBER_CHARS = 100

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG = "tag:yaml.org,2002:"
_TAGS_ALLOWED = "values without a tag, or !!str, !!int, !!float, !!bool, !!null, !!map, !!seq"


class WrittenInt(int):
    """An integer that remembers how it was written."""

    text: str


class WrittenFloat(float):
    """A number that remembers how it was written."""

    text: str


def plain(text: str) -> Any:
    """The value of a bare word: null, boolean, number, or the word itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_NUMBER_CHARS:
        return text
    if _INT.fullmatch(text):
        whole = WrittenInt(text, 0 if text[:2] in ("0o", "0x") else 10)
        whole.text = text
        return whole
    if _FLOAT.fullmatch(text):
        number = WrittenFloat(text.replace(".", "") if text[-1].isalpha() else text)  # .inf, .nan
        number.text = text
        return number
    return text


def read(text: str, name: str, lines: dict[Path, int] | None = None) -> Any:
    """The one document in `text`; None when there is none. `lines` receives the line of each key.

    `name` (a file, an environment variable) stands in the errors. Raises `ConfigError`.
    """
    return _Reader(text, name, {} if lines is None else lines).document()


class _Reader:
    def __init__(self, text: str, name: str, lines: dict[Path, int]) -> None:
        self._text, self._name, self._lines = text, name, lines
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def document(self) -> Any:
        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            events: Iterator[yaml.Event] = iter(yaml.parse(self._text, Loader=loader))
            value = None
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if self._nodes:
                        raise self._wrong(event, "a second document (---)", "one YAML document")
                    value = self._value(events, next(events), (), 0)
            return value
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self._name}:{mark.line + 1}" if mark else self._name
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
            raise ConfigError("(syntax)", problem, "YAML", where=where) from None
        except (UnicodeError, ValueError) as error:
            raise ConfigError("(syntax)", str(error), "YAML", where=self._name) from None

    def _value(self, events: Iterator[yaml.Event], event: yaml.Event, path: Path, depth: int) -> Any:
        self._count(event, 1)
        if depth > MAX_DEPTH:
            raise self._wrong(event, "deep nesting", f"at most {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._wrong(event, f"*{event.anchor}", "aliases of anchors that stand before them")
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        before = self._nodes
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            value = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                self._lines[(*path, len(value))] = _line(item)
                value.append(self._value(events, item, (*path, len(value)), depth + 1))
        else:
            self._check_tag(event, "map")
            value = self._mapping(events, path, depth)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = value, self._nodes - before
        return value

    def _mapping(self, events: Iterator[yaml.Event], path: Path, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise self._wrong(key, "a mapping or sequence as a key", "text as keys")
            inner = (*path, key.value)
            if key.value == "<<" and not key.style:
                merged = {**self._merge(key, self._value(events, next(events), inner, depth + 1)), **merged}
                continue
            if key.value in own:
                first = self._lines[inner]
                raise self._wrong(key, key.value, f"each key once; it stands in line {first} already", inner)
            self._lines[inner] = _line(key)
            own[key.value] = self._value(events, next(events), inner, depth + 1)
        return {**merged, **own}

    def _merge(self, event: yaml.Event, value: Any) -> dict[str, Any]:
        """What `<<: *anchor` or `<<: [*first, *second]` brings in; of several the first one wins."""
        result: dict[str, Any] = {}
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise self._wrong(event, part, "a mapping, or a sequence of mappings, after <<")
            result = {**part, **result}
        return result

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if event.tag in (None, "!") or event.tag == _TAG + "str":
            is_plain = not event.style and event.tag is None  # libyaml says "", PyYAML None
            return plain(event.value) if is_plain else event.value
        value = plain(event.value)
        kinds = {"int": int, "float": float, "bool": bool, "null": type(None)}
        kind = kinds.get(event.tag.removeprefix(_TAG))
        if kind is None:
            raise self._wrong(event, event.tag, _TAGS_ALLOWED)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._wrong(event, event.value, f"what its tag {event.tag} says")
        return value

    def _check_tag(self, event: yaml.Event, kind: str) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", _TAG + kind):
            raise self._wrong(event, tag, _TAGS_ALLOWED)

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._wrong(event, "a document this large", f"at most {MAX_NODES} values")

    def _wrong(self, event: yaml.Event, value: object, allowed: str, path: Path = ()) -> ConfigError:
        where = f"{self._name}:{_line(event)}"
        return ConfigError(".".join(map(str, path)) or "(document)", value, allowed, where=where)


def _line(event: yaml.Event) -> int:
    """Counted from 1."""
    return event.start_mark.line + 1 if event.start_mark else 1

"""The section `ingest`: foreign topics, and where in their records everything stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from driftbus.config.section import UNSET, Section, empty_section
from driftbus.config.values import (
    Flag,
    Name,
    SomeDuration,
    Texts,
    list_of,
    nearest,
    one_of,
    refuse,
    refuse_all,
    text_of,
    whole,
)
from driftbus.sources import picks
from driftbus.sources.picks import Constant, First, Path, Pick, Template, WrongPick
from driftbus.sources.registry import FORMS
from driftbus.sources.settings import BY_NAME, SINGLE, IngestSettings, SourceSettings, TimePick

# Kafka's own rule for topic names (org.apache.kafka.common.internals.Topic).
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
PICKS = (
    "a path such as order.amount, a JSON pointer, a template such as '{region}-{id}', {constant: VALUE}, "
    "or a list of those, of which the first that finds something counts"
)
UNITS = ("auto", "s", "ms", "us", "ns")


def pick(value: object) -> Pick:
    """A pick as it is written. Refused with what is allowed."""
    if isinstance(value, list):
        if not value:
            raise refuse(value, PICKS)
        found: list[Path | Template | Constant] = []
        refusals = []
        for position, each in enumerate(value):
            try:
                one = pick(each)
                found += one.picks if isinstance(one, First) else (one,)
            except PydanticCustomError as error:
                refusals.append((f"[{position}]", error))
        refuse_all(refusals)
        return First(tuple(found))
    if isinstance(value, dict):
        if set(value) != {"constant"}:
            wrong = next((name for name in value if name != "constant"), None)
            raise refuse(value if wrong is None else wrong, PICKS, "constant" if wrong else None)
        return Constant(_plain(value["constant"]))
    if not isinstance(value, str):
        raise refuse(value, PICKS)
    try:
        return picks.parse(value)
    except WrongPick as wrong:
        raise refuse(value, str(wrong), _nearest_root(value)) from None


def _nearest_root(text: str) -> str | None:
    root, dot, rest = text.partition(".")
    close = nearest(root, picks.ROOTS) if text.startswith("$") else None
    return None if close in (None, root) else f"{close}{dot}{rest}"


def _template(value: object) -> Pick:
    """Text that may hold values: without braces it is what it says."""
    if isinstance(value, list | dict):
        return pick(value)
    text = text_of(value)
    if not text:
        raise refuse(value, "text such as fraud or '{model_name}'")
    try:
        return picks.template(text)
    except WrongPick as wrong:
        raise refuse(value, str(wrong)) from None


def _identifier(value: object) -> Pick:
    found = pick(value)
    if isinstance(found, Constant) or (isinstance(found, Template) and not any(map(_is_path, found.parts))):
        raise refuse(value, "something that differs from record to record: a path, or a template with one")
    return found


def _is_path(part: object) -> bool:
    return isinstance(part, Path)


def _time(value: object) -> TimePick:
    if isinstance(value, dict) and set(value) & {"path", "unit"}:
        refusals = []
        for name in value:
            if name not in ("path", "unit"):
                refusals.append((f".{name}", refuse(name, "path, unit", nearest(name, ("path", "unit")))))
        unit = value.get("unit", "auto")
        if unit not in UNITS:
            refusals.append((".unit", refuse(unit, ", ".join(UNITS), nearest(unit, UNITS))))
        refuse_all(refusals)
        return TimePick(pick(value.get("path")), unit)
    return TimePick(pick(value))


def _named(value: object) -> Pick | dict[str, Pick]:
    """One pick for all, or one for each name."""
    if not isinstance(value, dict) or set(value) == {"constant"}:
        return pick(value)
    found, refusals = {}, []
    for name, each in value.items():
        try:
            found[name] = pick(each)
        except PydanticCustomError as error:
            refusals.append((f".{name}", error))
    refuse_all(refusals)
    return found


def _conditions(value: object) -> tuple[tuple[Pick, tuple[Any, ...]], ...]:
    if not isinstance(value, dict):
        raise refuse(value, "a mapping of paths to the value, or the values, that a record has to have there")
    found, refusals = [], []
    for name, each in value.items():
        try:
            found.append((pick(name), tuple(map(_plain, each if isinstance(each, list) else [each]))))
        except PydanticCustomError as error:
            refusals.append((f".{name}", error))
    refuse_all(refusals)
    return tuple(found)


def _plain(value: object) -> Any:
    """A YAML scalar as JSON has it: numbers as written keep their text otherwise."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise refuse(value, "text, a number, true or false")


def _topic(value: object) -> str:
    text = text_of(value)
    if text is None or not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise refuse(value, "a topic name: 1 to 249 of a-z A-Z 0-9 . _ -")
    return text


def _threshold(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise refuse(value, "a number")
    return float(value)


def _or_none(check: Callable[[object], Any]) -> PlainValidator:
    """Null takes a field of the format away."""
    return PlainValidator(lambda value: None if value is None else check(value))


_AS_TEXT = PlainSerializer(str)
PickField = Annotated[Any, _or_none(pick), _AS_TEXT]
NamedField = Annotated[Any, _or_none(_named), _AS_TEXT]
TimeField = Annotated[Any, _or_none(_time), _AS_TEXT]
TemplateField = Annotated[Any, _or_none(_template), _AS_TEXT]


class Source(Section):
    """One entry of `ingest.sources`."""

    format: Annotated[str, one_of(*FORMS)] = UNSET
    topics: Annotated[tuple[str, ...], list_of(_topic)] = UNSET
    when: Annotated[Any, PlainValidator(_conditions), _AS_TEXT] = UNSET
    rows: PickField = UNSET
    join: Flag = UNSET
    join_id: Annotated[Any, _or_none(_identifier), _AS_TEXT] = UNSET
    stream: TemplateField = UNSET
    prediction_id: Annotated[Any, _or_none(_identifier), _AS_TEXT] = UNSET
    ts: TimeField = UNSET
    prediction: PickField = UNSET
    output: Annotated[str, one_of("value", "score", "probabilities")] = UNSET
    threshold: Annotated[float, PlainValidator(_threshold)] = UNSET
    classes: Annotated[tuple[Any, ...], list_of(_plain)] = UNSET
    score: PickField = UNSET
    features: NamedField = UNSET
    columns: Texts = UNSET
    model_version: PickField = UNSET
    role: TemplateField = UNSET
    slices: NamedField = UNSET
    signals: NamedField = UNSET
    weight: PickField = UNSET
    label: PickField = UNSET
    label_ts: TimeField = UNSET
    label_signals: NamedField = UNSET


SourceSection = Annotated[Source, BeforeValidator(empty_section)]


class Ingest(Section):
    """`ingest`, without a word of which no `driftbus ingest` runs."""

    wait: SomeDuration = UNSET
    max_waiting: Annotated[int, whole(1, 100_000_000)] = UNSET
    max_waiting_bytes: Annotated[int, whole(1)] = UNSET
    halves_topic: Annotated[str, PlainValidator(_topic)] = UNSET
    sources: Annotated[dict[Name, SourceSection], BeforeValidator(empty_section)] = UNSET


class Incomplete(ValueError):
    """What a source lacks; `key` is the one that is missing or wrong, `value` what stands there."""

    def __init__(self, source: str, key: str, value: object, allowed: str) -> None:
        self.source, self.key, self.value, self.allowed = source, key, value, allowed
        super().__init__(allowed)


def ingest_settings(section: Ingest) -> IngestSettings:
    """The section as the settings of an ingest worker. Raises `Incomplete`."""
    given: dict[str, Any] = {}
    for name in section.model_fields_set - {"sources", "wait"}:
        given[name] = getattr(section, name)
    if "wait" in section.model_fields_set:
        given["wait_ms"] = section.wait
    sources = section.sources or {}
    return IngestSettings(sources=tuple(_source(name, each) for name, each in sources.items()), **given)


def _source(name: str, section: Source) -> SourceSettings:
    set_ = section.model_fields_set
    if "format" not in set_:
        raise Incomplete(name, "format", None, ", ".join(FORMS))
    if not section.topics:
        raise Incomplete(name, "topics", None, "the topics to read")
    form = FORMS[section.format]
    fields = {key: getattr(section, key) for key in (*SINGLE, *BY_NAME) if key in set_}
    all_fields: Mapping[str, Any] = {**form.fields, **fields}
    for key, allowed in (
        ("stream", "the stream that its events belong to: text, or a template such as '{model}'"),
        ("prediction_id", "where the id stands that joins a prediction and its label"),
    ):
        if all_fields.get(key) is None:
            raise Incomplete(name, key, None, allowed)
    if all(all_fields.get(key) is None for key in ("prediction", "signals", "label", "label_signals")):
        raise Incomplete(name, "prediction", None, "where the prediction stands, or `label`, or both")
    other = {
        key: getattr(section, key)
        for key in ("join_id", "join", "rows", "when", "columns", "output", "threshold", "classes")
        if key in set_ and getattr(section, key) is not None
    }
    if form.half is None:
        for key in ("join", "join_id"):
            if key in set_:
                raise Incomplete(name, key, None, f"nothing: records of format {form.name} say it all")
    if section.output == "score" and section.classes and len(section.classes) != 2:
        raise Incomplete(
            name, "classes", [*section.classes], "two classes: below the threshold, and above it"
        )
    if section.rows is not None and form.name != "json":
        raise Incomplete(name, "rows", None, f"nothing: format {form.name} knows its rows")
    return SourceSettings(name, section.format, section.topics, fields, **other)

"""The shape of a configuration file: sections, keys, and what each takes.

Defaults stand where the core keeps its rules (`core/settings.py`) and in `settings.py`, once each;
here a key is either set or not, so that entries of `streams` can be merged by what they set.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, PlainValidator, create_model
from pydantic_core import PydanticCustomError

from driftbus.config.ingest import Ingest
from driftbus.config.kafka import checked_properties
from driftbus.config.section import UNSET, Section
from driftbus.config.section import empty_section as _empty_section
from driftbus.config.values import (
    AS_LIST,
    AnyScalar,
    Duration,
    DurationOrNever,
    Flag,
    Name,
    Share,
    SomeDuration,
    Text,
    Texts,
    Windows,
    budget_text,
    checked_text,
    list_of,
    nearest,
    one_of,
    parse_duration_ms,
    refuse,
    refuse_all,
    text_of,
    whole,
)
from driftbus.config.watching import ChallengerField, DetectorsField, MetricClasses, Rules
from driftbus.core.records import Category, Kind
from driftbus.core.settings import AlarmBudget, Limits, Task
from driftbus.redaction import HIDDEN

# The contract's topics by their short names.
TOPICS = (
    "predictions", "labels", "model-events", "outcomes", "label-corrections",
    "drift-events", "retrain-requests", "dead-letters", "state",
)  # fmt: skip

# Kafka's own rule for topic names (org.apache.kafka.common.internals.Topic).
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
# Labels of a stream become labels of driftbus_stream_info: Prometheus' rule for label names.
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
# CloudEvents' `source` is a URI reference (RFC 3986): no spaces, controls, or these.
_NOT_IN_URI = re.compile(r"[\s\x00-\x1f\x7f\"<>\\^`{|}]")
# What stands in an Authorization header after `Bearer` (RFC 6750), long enough that nobody tries them all.
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,1024}")
TOKENS = "16 to 1024 of A-Z a-z 0-9 . _ ~ + / = -, such as `openssl rand -hex 32` writes"
_FALSE_ALARMS = re.compile(r"([0-9]+) per (\S+)(?: among ([0-9]+)(?: streams)?)?")


def _topic(value: object) -> str:
    text = text_of(value)
    if text is None or not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise refuse(value, "a topic name: 1 to 249 of a-z A-Z 0-9 . _ -")
    return text


def _prefix(value: object) -> str:
    text = "" if value is None else text_of(value)
    if text is None or (text and not re.fullmatch(r"[a-zA-Z0-9._-]{1,200}", text)):
        raise refuse(value, "the beginning of topic names: up to 200 of a-z A-Z 0-9 . _ -, or nothing")
    return text


def _instance(value: object) -> str:
    text = text_of(value)
    if not text or _NOT_IN_URI.search(text):
        raise refuse(value, "a URI reference without spaces, such as prod-eu or https://example.org/driftbus")
    return text


def _peer(value: object) -> str:
    text = text_of(value)
    allowed = (
        "an address such as http://worker-2:8711, or dns+http://workers:8711 for all that a name stands for"
    )
    try:
        parts = urlsplit(text or "")
        port = parts.port
    except ValueError:
        raise refuse(value, allowed) from None
    plain = parts.scheme.removeprefix("dns+") in ("http", "https") and not parts.path.strip("/")
    # A name and a password in it would be shown where addresses are.
    if not (plain and parts.hostname and port) or "@" in parts.netloc or parts.query or parts.fragment:
        raise refuse(value, allowed)
    return f"{parts.scheme}://{parts.netloc}"


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict | None):
        raise refuse(value, "a mapping of label names to texts, such as {team: risk}")
    refusals = []
    for key, each in (value or {}).items():
        if not _LABEL.fullmatch(key) or key == "stream":
            allowed = "a label name of a-z A-Z 0-9 _, not beginning with a digit or __, not 'stream'"
            refusals.append((f".{key}", refuse(key, allowed)))
        elif text_of(each) is None:
            refusals.append((f".{key}", refuse(each, "text")))
    refuse_all(refusals)
    return {key: checked_text(str(text_of(each))) for key, each in (value or {}).items()}


def _false_alarms(value: object) -> str:
    try:
        budget = false_alarms_of(value if isinstance(value, str) else "")
        if budget.count >= 1 and budget.span_ms > 0 and budget.among >= 1:
            return budget_text(budget)
    except (ValueError, PydanticCustomError):
        pass  # said below, with the whole form
    raise refuse(value, "COUNT per DURATION, such as 1 per 90d, or of a fleet, such as 1 per 7d among 200")


def false_alarms_of(text: str) -> AlarmBudget:
    """What `1 per 7d among 200` says. Raises ValueError or what a duration raises."""
    match = _FALSE_ALARMS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return AlarmBudget(int(match[1]), parse_duration_ms(match[2]), int(match[3] or 1))


def _path(value: object) -> Path:
    text = text_of(value)
    if not text or "\0" in text:
        raise refuse(value, "the path of a folder")
    return Path(text)


def _file_path(value: object) -> Path:
    text = text_of(value)
    if not text or "\0" in text:
        raise refuse(value, "the path of a file")
    return Path(text)


def _token(value: object) -> str:
    """What it was is not said in the error."""
    text = text_of(value)
    if text is None or not TOKEN.fullmatch(text):
        raise refuse(HIDDEN, TOKENS)
    return text


def _some_of(names: tuple[str, ...]) -> PlainValidator:
    def item(value: object) -> str:
        if value in names:
            return str(value)
        raise refuse(value, ", ".join(names), nearest(value, names))

    return list_of(item)


class Join(Section):
    horizon: SomeDuration = UNSET
    grace: Duration = UNSET
    expired_label: AnyScalar = UNSET
    dead_letter_unmatched: Flag = UNSET


class Features(Section):
    watch: Texts = UNSET
    ignore: Texts = UNSET
    categorical: Texts = UNSET
    max: Annotated[int, whole(0, 10_000)] = UNSET
    redact: Texts = UNSET


class Custom(Section):
    better: Annotated[str, one_of("higher", "lower")] = UNSET
    detectors: DetectorsField = UNSET


CustomSection = Annotated[Custom, BeforeValidator(_empty_section)]


class Signals(Section):
    error: DetectorsField = UNSET
    score: DetectorsField = UNSET
    features: DetectorsField = UNSET
    quality: DetectorsField = UNSET
    challenger_gap: DetectorsField = UNSET
    custom: Annotated[dict[Name, CustomSection], BeforeValidator(_empty_section)] = UNSET


class Retrain(Section):
    mode: Annotated[str, one_of("auto", "propose", "off", off=True)] = UNSET
    on_drift: Flag = UNSET
    kinds: Annotated[tuple[str, ...], _some_of(get_args(Kind)), AS_LIST] = UNSET
    categories: Annotated[tuple[str, ...], _some_of(get_args(Category)), AS_LIST] = UNSET
    without_labels: Flag = UNSET
    hold_doubtful: Flag = UNSET
    when: Rules = UNSET
    every: DurationOrNever = UNSET
    cooldown: Duration = UNSET
    min_rows: Annotated[int, whole(0)] = UNSET
    min_rows_per_class: Annotated[int, whole(0)] = UNSET
    max_wait: Duration = UNSET
    timeout: SomeDuration = UNSET
    max_attempts: Annotated[int, whole(1, 1_000)] = UNSET


class Metrics(Section):
    windows: Windows = UNSET
    custom: MetricClasses = UNSET


class Stream(Section):
    """One entry of `streams`, and `stream_defaults`."""

    task: Annotated[Literal["auto", "classification", "regression", "none"], one_of(*get_args(Task))] = UNSET
    positive_label: AnyScalar = UNSET
    labels: Annotated[dict[str, str], PlainValidator(_labels)] = UNSET
    sample: Share = UNSET
    join: Annotated[Join, BeforeValidator(_empty_section)] = UNSET
    features: Annotated[Features, BeforeValidator(_empty_section)] = UNSET
    signals: Annotated[Signals, BeforeValidator(_empty_section)] = UNSET
    challenger: ChallengerField = UNSET
    false_alarms: Annotated[str, PlainValidator(_false_alarms)] = UNSET
    retrain: Annotated[Retrain, BeforeValidator(_empty_section)] = UNSET
    metrics: Annotated[Metrics, BeforeValidator(_empty_section)] = UNSET


StreamSection = Annotated[Stream, BeforeValidator(_empty_section)]


class Embedded(Section):
    path: Annotated[Path, PlainValidator(_path)] = UNSET


class Tls(Section):
    cert: Annotated[Path, PlainValidator(_file_path)] = UNSET
    key: Annotated[Path, PlainValidator(_file_path)] = UNSET


class Http(Section):
    enabled: Flag = UNSET
    host: Text = UNSET
    port: Annotated[int, whole(0, 65_535)] = UNSET
    tls: Annotated[Tls, BeforeValidator(_empty_section)] = UNSET
    token: Annotated[str, PlainValidator(_token)] = UNSET
    token_file: Annotated[Path, PlainValidator(_file_path)] = UNSET
    peers: Annotated[tuple[str, ...], list_of(_peer), AS_LIST] = UNSET


class Worker(Section):
    max_records: Annotated[int, whole(1, 1_000_000)] = UNSET
    commit_interval: Duration = UNSET
    restart: Flag = UNSET
    restart_wait: SomeDuration = UNSET
    stall_timeout: SomeDuration = UNSET
    max_dead_letter_ratio: Share = UNSET


class TopicNames(Section):
    predictions: Annotated[str, PlainValidator(_topic)] = UNSET
    labels: Annotated[str, PlainValidator(_topic)] = UNSET
    model_events: Annotated[str, PlainValidator(_topic)] = UNSET
    outcomes: Annotated[str, PlainValidator(_topic)] = UNSET
    label_corrections: Annotated[str, PlainValidator(_topic)] = UNSET
    drift_events: Annotated[str, PlainValidator(_topic)] = UNSET
    retrain_requests: Annotated[str, PlainValidator(_topic)] = UNSET
    dead_letters: Annotated[str, PlainValidator(_topic)] = UNSET
    state: Annotated[str, PlainValidator(_topic)] = UNSET


# Every bound of the core is a key of `limits`, so that a new one needs no line here.
_BOUNDS: dict[str, Any] = {
    field.name: (Annotated[int, whole(1)], UNSET) for field in dataclasses.fields(Limits)
}
LimitsSection: type[Section] = create_model("LimitsSection", __base__=Section, **_BOUNDS)


class Document(Section):
    """A whole configuration."""

    bus: Annotated[Literal["kafka", "embedded"], one_of("kafka", "embedded")] = UNSET
    kafka: Annotated[dict[str, str], PlainValidator(checked_properties)] = UNSET
    embedded: Annotated[Embedded, BeforeValidator(_empty_section)] = UNSET
    group: Name = UNSET
    instance: Annotated[str, PlainValidator(_instance)] = UNSET
    worker_id: Name = UNSET
    topic_prefix: Annotated[str, PlainValidator(_prefix)] = UNSET
    topics: Annotated[TopicNames, BeforeValidator(_empty_section)] = UNSET
    partitioner: Annotated[
        Literal["murmur2_random", "consistent_random"], one_of("murmur2_random", "consistent_random")
    ] = UNSET
    http: Annotated[Http, BeforeValidator(_empty_section)] = UNSET
    worker: Annotated[Worker, BeforeValidator(_empty_section)] = UNSET
    limits: Annotated[LimitsSection, BeforeValidator(_empty_section)] = UNSET  # type: ignore[valid-type]
    include: Texts = UNSET
    ingest: Annotated[Ingest, BeforeValidator(_empty_section)] = UNSET
    stream_defaults: StreamSection = UNSET
    streams: Annotated[dict[Name, StreamSection], BeforeValidator(_empty_section)] = UNSET


def set_values(section: BaseModel) -> dict[str, Any]:
    """What a section sets, as nested mappings; what it leaves open does not appear."""
    return {name: _inner(getattr(section, name)) for name in sorted(section.model_fields_set)}


def _inner(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return set_values(value)
    if isinstance(value, dict):
        return {key: _inner(each) for key, each in value.items()}
    return value

"""A configuration file with every key commented out: its default, and what it does. Made from the model.

A line `# text` explains, a line `#key: value` is a key: without its `#` it says what holds anyway. Sections
stand open, since one whose keys are all commented out means an empty one; so one key is one line to change.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import yaml
from pydantic import BaseModel

from driftbus.config.model import Document, Stream
from driftbus.config.settings import Settings
from driftbus.config.texts import TEXTS
from driftbus.config.values import budget_text, duration_text
from driftbus.core.settings import AlarmBudget, ChallengerSpec, StreamSettings

HEAD = """\
# driftbus: every key with its default. Remove the # before a key to change it; all of it may be left out.
#
# `driftbus check --config FILE` says whether it is right and fits the broker. Every key can also come from
# the environment: DRIFTBUS_HTTP__PORT=9000. Durations have a unit: 500ms, 90s, 30m, 6h, 7d, 2w.
"""
STREAMS = """\
# Streams that need other rules than stream_defaults: globs in the order of the file, the exact name last, all
# that match merged. A stream needs no entry. For instance:
#   "fraud-*": {positive_label: 1, labels: {team: risk}}
#   fraud-eu: {retrain: {when: ["f1 < 0.70 over 1000"]}}
streams:
"""
# Keys that have no value of their own to fall back to, each with one that it could have.
EXAMPLES = {
    "instance": "prod-eu",
    "worker_id": "worker-1",
    "http.tls.cert": "/etc/driftbus/tls/tls.crt",
    "http.tls.key": "/etc/driftbus/tls/tls.key",
    "http.token": "… # 16 characters or more: `openssl rand -hex 32`",
    "http.token_file": "/run/secrets/driftbus-token",
    "ingest.halves_topic": "driftbus.ingest-halves",
    "ingest.sources": "{iris: {format: kserve, topics: [kserve-logger]}}",
}
# Where the settings keep what the file calls otherwise.
_ELSEWHERE = {
    "embedded.path": "embedded_path",
    "retrain.when": "retrain.rules",
    "metrics.windows": "windows",
    "metrics.custom": "custom_metrics",
}
# As wide as a terminal of 100 columns shows beside an editor's margin.
_WIDTH = 96


def commented() -> str:
    """The whole file. Raises `KeyError` for a key without a text."""
    settings = Settings()
    lines = [HEAD.rstrip("\n")]
    for name, field in Document.model_fields.items():
        inner = field.annotation
        if name == "streams":
            lines += ["", STREAMS.rstrip("\n")]
        elif name == "kafka":
            lines += ["", *_prose(TEXTS[name], ""), "kafka:"]
            lines += [f"  #{key}: {value}" for key, value in settings.kafka.items()]
        elif name == "topics":
            lines += ["", *_prose("The topics, where a name shall not begin with the prefix.", ""), "topics:"]
            for short, full in settings.topics.items():
                lines.append(f"  #{short.replace('-', '_')}: {full}")
        elif name == "stream_defaults":
            lines += ["", *_prose("How streams are watched that have no entry of their own.", ""), f"{name}:"]
            lines += _section(Stream, StreamSettings(), "", "  ")
        elif name == "include":  # said by the file alone: nothing of it is kept
            lines += ["", *_key(name, "[]", "")]
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            lines += ["", f"{name}:", *_section(inner, settings, f"{name}.", "  ")]
        else:
            lines += ["", *_key(name, _default(name, settings), "")]
    return "\n".join(lines) + "\n"


def _section(model: type[BaseModel], settings: object, path: str, indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            # A section without any default is refused when it is empty: it is an example as a whole.
            is_example = all(f"{path}{name}.{key}" in EXAMPLES for key in inner.model_fields)
            yield f"{indent}#   {name}:" if is_example else f"{indent}{name}:"
            yield from _section(inner, settings, f"{path}{name}.", f"{indent}  ")
        else:
            yield from _key(f"{path}{name}", _default(f"{path}{name}", settings), indent)


def _key(key: str, value: str | None, indent: str) -> Iterator[str]:
    """A key as it can be uncommented; one without a default as an example within its text."""
    name = key.rpartition(".")[2]
    if value is None:
        yield from _prose(f"{TEXTS[key]} None by default; for instance", indent)
        yield f"{indent}#   {name}: {EXAMPLES[key]}"
    else:
        yield from _prose(TEXTS[key], indent)
        yield f"{indent}#{name}: {value}"


def _prose(text: str, indent: str) -> Iterator[str]:
    width = _WIDTH - len(indent)
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"


def _default(key: str, settings: object) -> str | None:
    """A key's default as YAML in one line; None where it has none."""
    if key in EXAMPLES:
        return None
    value: Any = settings
    for part in _ELSEWHERE.get(key, key).split("."):
        names = {field.name for field in fields(value)}
        is_duration = part not in names
        value = getattr(value, f"{part}_ms" if is_duration else part)
        if is_duration and value is not None:
            return duration_text(value)
    if (key.startswith("signals.") and value is None) or isinstance(value, ChallengerSpec):
        return "auto"
    if isinstance(value, AlarmBudget):
        return budget_text(value)
    if key == "metrics.windows":
        return f"[{', '.join(window.text for window in value)}]"
    return _yaml(value if isinstance(value, str | bool | int | float | dict | None) else _plain(value))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value)


def _yaml(value: Any) -> str:
    """A value in one line, such as `[concept]`, `driftbus.`, `null`."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")

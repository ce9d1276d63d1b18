"""docs/configuration.md from the configuration's own model: every key, its default, what it does.

A key without a text in `driftbus.config.texts`, or a text without a key, is an error: nothing can be left out or invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

from pydantic import BaseModel

from driftbus.config import Settings
from driftbus.config.ingest import Source
from driftbus.config.model import Document, Stream
from driftbus.config.texts import SOURCE_TEXTS, TEXTS
from driftbus.config.values import duration_text
from driftbus.core.settings import StreamSettings
from driftbus.sources.picks import shown
from driftbus.sources.registry import FORMS
from driftbus.sources.settings import TimePick

HEAD = """\
# Configuration

One YAML file, named by `--config FILE` or `DRIFTBUS_CONFIG`. Every key is optional: without a file, driftbus
works with the defaults below. Unknown keys are refused with the nearest right name, and every mistake is named
with its line. `driftbus init` writes a file with all of them, commented out; `driftbus check` says whether a
configuration and its broker fit together.

**Environment.** Every key can also come from `DRIFTBUS_` and its path with `__` between the parts, which wins over
the file: `DRIFTBUS_HTTP__PORT=9000`, `DRIFTBUS_STREAM_DEFAULTS__RETRAIN__COOLDOWN=1h`. Below `kafka` one underscore is
a dot (`DRIFTBUS_KAFKA__BOOTSTRAP_SERVERS`); what a variable's name cannot spell is given a level above, as YAML:
`DRIFTBUS_STREAMS='{"fraud-*": {task: regression}}'`.

**Durations** are written with their unit: `500ms`, `90s`, `30m`, `6h`, `7d`, `2w`. Everything about a stream is event
time (the events' own `ts`); only `worker` is wall-clock time.

**Taking over changes.** SIGHUP makes a worker validate the file and take it over; a file with a mistake changes
nothing and is named in the log. Changing `retrain`, `labels` or names resets nothing; changing what watches a signal
starts that signal anew.

## The process
"""

STREAMS = """
## Streams

A stream needs no entry: it is watched by `stream_defaults` from its first event on. Entries of `streams` are merged
over them: globs in the order of the file, the exact name last. Keys of one entry, and of `stream_defaults`:

```yaml
stream_defaults:
  retrain: {cooldown: 6h}
streams:
  "fraud-*": {positive_label: 1, labels: {team: risk}}
  fraud-eu: {retrain: {when: ["f1 < 0.70 over 1000"]}}
```
"""

SOURCES = """
## Sources

What `driftbus ingest` reads, and where in it everything stands ([the guide](guides/sources.md)):

```yaml
ingest:
  sources:
    iris: {format: kserve, topics: [kserve-logger], columns: [sepal_length, sepal_width, petal_length, petal_width]}
    clicks:
      format: json
      topics: [shop.events]
      when: {type: [impression]}
      stream: "ranking-{country}"
      prediction_id: impression.id
      ts: {path: at, unit: s}
      prediction: impression.clicked_guess
      features: {position: impression.position, price: /items/0/price}
```

A value's place is a path (`order.amount`, `items.0.price`), a JSON pointer (`/items/0/price`), text with paths in it
(`"{region}-{id}"`), `{constant: VALUE}`, or a list of those, of which the first that finds something counts. Around the
record there are `$key`, `$topic`, `$partition`, `$offset`, `$timestamp`, `$row`, `$header.NAME`, `$attribute.NAME` (of its
CloudEvent) and `$record.PATH`. Keys of one entry of `ingest.sources`:
"""

FORMATS = """
What each format gives by itself; a key of the source takes its place, `null` takes it away:
"""

# What is not a plain value in the core's settings, or is worked out at start.
DEFAULTS = {
    "kafka": "`bootstrap.servers: 127.0.0.1:9092`",
    "embedded.path": "`./driftbus-data`",
    "instance": "the group",
    "worker_id": "host and port",
    "join.expired_label": "none",
    "positive_label": '`1`, `true` or `"1"` where there is one',
    "challenger": "`auto`",
    "include": "none",
    "http.tls.cert": "none",
    "http.tls.key": "none",
    "http.token": "none",
    "http.token_file": "none",
    "ingest.halves_topic": "`topic_prefix` and `ingest-halves`",
    "ingest.sources": "none",
    "false_alarms": "`1 per 90d`",
    "metrics.windows": "`[1000, 1h]`",
    "retrain.when": "none",
    "retrain.every": "`null`",
}
# Names that the core writes differently.
CORE_NAMES = {"retrain.when": "rules", "metrics.custom": "custom_metrics"}


def _sections(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The dotted path of every key, sections opened; mappings with free keys count as one key."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if path == "" and name in ("streams", "stream_defaults"):
            continue
        if isinstance(inner, type) and issubclass(inner, BaseModel) and name != "topics":
            yield from _sections(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def _default(key: str, settings: object) -> str:
    if key in DEFAULTS:
        return DEFAULTS[key]
    value: Any = settings
    for part in CORE_NAMES.get(key, key).split("."):
        names = {field.name for field in fields(value)}
        is_duration = part not in names and f"{part}_ms" in names
        if part not in names and not is_duration:
            part = {"topics": "topic_names"}[part]
        value = getattr(value, f"{part}_ms" if is_duration else part)
        if is_duration:
            return f"`{duration_text(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return "`auto`"
    if isinstance(value, tuple):
        return "`[" + ", ".join('"*"' if each == "*" else str(each) for each in value) + "]`"
    if isinstance(value, int) and value >= 10_000:
        return f"`{value:_}`"
    return f"`{value}`" if value != {} else "none"


def _table(keys: list[str], settings: object) -> str:
    rows = ["| key | default | what it does |", "|---|---|---|"]
    for key in keys:
        text = TEXTS[key]
        if key == "topics":
            names = get_args(Document.model_fields["topics"].annotation) or [
                Document.model_fields["topics"].annotation
            ]
            text = text.replace("{topics}", ", ".join(f"`{name}`" for name in names[0].model_fields))
        rows.append(f"| `{key}` | {_default(key, settings)} | {text} |")
    return "\n".join(rows)


def _source_table() -> str:
    """The keys of a source; KeyError for one without a text."""
    if unknown := SOURCE_TEXTS.keys() - Source.model_fields.keys():
        raise ValueError(f"texts for keys that do not exist: {sorted(unknown)}")
    formats = ", ".join(f"`{name}`" for name in FORMS)
    rows = ["| key | what it says |", "|---|---|"]
    for key in Source.model_fields:
        rows.append(f"| `{key}` | {SOURCE_TEXTS[key].replace('{formats}', formats)} |")
    return "\n".join(rows)


def _format_table() -> str:
    rows = ["| format | what it is | its own picks |", "|---|---|---|"]
    for form in FORMS.values():
        picks = [
            f"`{name}`: `{shown(pick.pick if isinstance(pick, TimePick) else pick)}`"
            + (f" ({pick.unit})" if isinstance(pick, TimePick) and pick.unit != "auto" else "")
            for name, pick in form.fields.items()
        ]
        rows.append(
            f"| `{form.name}` | [{form.summary}]({form.specification}) | {'; '.join(picks) or 'none'} |"
        )
    return "\n".join(rows)


def page() -> str:
    """The whole page. KeyError for a key without a text; ValueError for a text without a key."""
    process, stream = list(_sections(Document)), list(_sections(Stream))
    if unknown := TEXTS.keys() - {*process, *stream}:
        raise ValueError(f"texts for keys that do not exist: {sorted(unknown)}")
    parts = [HEAD, _table(process, Settings()), STREAMS, _table(stream, StreamSettings())]
    parts += [SOURCES, _source_table(), FORMATS, _format_table()]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")

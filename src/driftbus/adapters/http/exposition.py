"""How a metric family is written, in Prometheus's text format and in OpenMetrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from driftbus.adapters.http.metric_table import Metric

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_NOT_LABEL_NAME = re.compile(r"[^a-zA-Z0-9_]")


def escape(value: str) -> str:
    """A label value as it stands between quotes: backslash, quote and newline escaped as both formats ask;
    control characters spelled out, since readers that split lines at more than newlines exist, and lone
    surrogates, which UTF-8 cannot hold."""
    if value.isalnum():
        return value
    if not value.isprintable():
        value = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def label_name(key: str, taken: Iterable[str]) -> str:
    """A configured label's key as a Prometheus label name, never one of `taken` nor a reserved one."""
    name = _NOT_LABEL_NAME.sub("_", key)
    if name[:1].isdigit() or name.startswith("__") or name in taken or not name:
        name = f"label_{name}"
    return name


def number(value: float) -> str:
    value = float(value)
    if isfinite(value):
        return repr(value)
    return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")


def labelled(metric: Metric, values: Sequence[str], extra: str = "") -> str:
    pairs = ",".join(f'{k}="{escape(v)}"' for k, v in zip(metric.labels, values, strict=True))
    return f"{metric.name}{{{pairs}{extra}}}"


@dataclass(frozen=True, slots=True)
class Family:
    metric: Metric
    lines: list[str]

    def text(self, openmetrics: bool) -> str:
        m = self.metric
        if openmetrics:
            unit = f"# UNIT {m.family} {m.unit}\n" if m.unit else ""
            head = f"# TYPE {m.family} {m.kind}\n{unit}# HELP {m.family} {m.help}\n"
        else:
            kind = "gauge" if m.kind == "info" else m.kind
            head = f"# HELP {m.name} {m.help}\n# TYPE {m.name} {kind}\n"
        return head + "\n".join(self.lines) + "\n" if self.lines else ""

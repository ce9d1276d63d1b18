"""What differs between two configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from driftbus.report.episodes import table
from driftbus.report.markup import Child, Markup, tag

# Keys that are listed; a configuration has some two hundred.
MOST_KEYS = 60
# A value is shown up to here.
MOST_TEXT = 120
_ABSENT = object()


def differences(this: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys (`a.b.c`) whose values differ, with both values; None where one does not say."""
    mine, theirs = dict(_leaves(this, "")), dict(_leaves(other, ""))
    return {
        key: (mine.get(key), theirs.get(key))
        for key in sorted(mine.keys() | theirs.keys())
        if mine.get(key, _ABSENT) != theirs.get(key, _ABSENT)
    }


def _leaves(value: Any, key: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [
            leaf
            for name, each in value.items()
            for leaf in _leaves(each, f"{key}.{name}" if key else str(name))
        ]
    return [(key, value)]


def comparison(differing: Mapping[str, tuple[Any, Any]], label: str, other_label: str) -> Markup:
    """The section that says what differs."""
    if not differing:
        said = f"{label} and {other_label} say the same of streams and limits."
        return tag("section", tag("h2", "Two configurations"), tag("p", said))
    rows: list[list[Child]] = [
        [key, _shown(mine), _shown(theirs)] for key, (mine, theirs) in list(differing.items())[:MOST_KEYS]
    ]
    heads = ["key", label, other_label]
    return tag(
        "section", tag("h2", "Two configurations"), table(heads, rows, "numbers", len(differing) - len(rows))
    )


def _shown(value: Any) -> str:
    if value is None:
        return "default"
    said = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return said if len(said) <= MOST_TEXT else said[: MOST_TEXT - 1] + "…"

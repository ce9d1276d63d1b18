"""Which rules a stream is watched by: defaults, then matching globs in file order, then its exact name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from driftbus.config.environ import merge
from driftbus.config.model import Stream, false_alarms_of, set_values
from driftbus.core.settings import (
    CustomSignal,
    FeaturePolicy,
    JoinPolicy,
    RetrainPolicy,
    SignalPlan,
    StreamSettings,
)

# Above the 20,000 streams that `limits.max_streams` lets a process hold, and a few hundred bytes each.
_REMEMBERED_STREAMS = 32_768
# Streams that match the same entries share one object; more combinations than this are exact names.
_REMEMBERED_COMBINATIONS = 32_768
_GLOB = re.compile(r"[*?\[]")

_CORE_NAMES = {
    "horizon": "horizon_ms",
    "grace": "grace_ms",
    "when": "rules",
    "every": "every_ms",
    "cooldown": "cooldown_ms",
    "max_wait": "max_wait_ms",
    "timeout": "timeout_ms",
}


class StreamRules:
    """All entries of `stream_defaults` and `streams`, validated; answers for any stream name.

    A name that is a glob (`*`, `?`, `[…]`) matches as `fnmatch` does, case and all; every other one is
    the exact name of a stream and comes last, wherever it stands in the file.
    """

    def __init__(self, defaults: Stream, entries: Mapping[str, Stream]) -> None:
        self._defaults, self._entries = defaults, dict(entries)
        self._values = {name: set_values(entry) for name, entry in entries.items()}
        self._default_values = set_values(defaults)
        self._globs = [
            (name, re.compile(fnmatch.translate(name))) for name in self._entries if _GLOB.search(name)
        ]
        self._entries_of = lru_cache(_REMEMBERED_STREAMS)(self._matching)
        self._of_name = lru_cache(_REMEMBERED_STREAMS)(self._settings_of_name)
        self._of_entries = lru_cache(_REMEMBERED_COMBINATIONS)(self._settings_of_entries)
        # Asked for with every snapshot, and takes 100 µs: a fifth of one.
        self._fingerprint_of = lru_cache(_REMEMBERED_COMBINATIONS)(self._fingerprint_of_entries)

    def stream(self, name: str) -> StreamSettings:
        """The settings of one stream. Equal combinations of entries give the same object."""
        return self._of_name(name)

    def fingerprint(self, name: str) -> Mapping[str, str]:
        """A hash of each part that a stream's models are made of (`core.parts`).

        Policy, labels, join, sampling, windows and redaction are in none: changing them resets nothing.
        """
        return self._fingerprint_of(self._entries_of(name))

    def _fingerprint_of_entries(self, names: tuple[str, ...]) -> Mapping[str, str]:
        # River loads with it: not for commands that only read the configuration.
        from driftbus.core.parts import fingerprints

        return fingerprints(self._of_entries(names))

    def document(self) -> dict[str, Any]:
        """All entries as plain JSON values in their canonical spelling; `load` takes it back."""
        return {
            "stream_defaults": _dump(self._defaults),
            "streams": [[name, _dump(entry)] for name, entry in self._entries.items()],
        }

    @classmethod
    def load(cls, document: Mapping[str, Any]) -> StreamRules:
        """The rules that `document` wrote. Raises `pydantic.ValidationError` when it is none."""
        entries = TypeAdapter(list[tuple[str, Stream]]).validate_python(document["streams"])
        return cls(Stream.model_validate(document["stream_defaults"]), dict(entries))

    def _settings_of_name(self, name: str) -> StreamSettings:
        return self._of_entries(self._entries_of(name))

    def _matching(self, name: str) -> tuple[str, ...]:
        matching = [glob for glob, pattern in self._globs if pattern.match(name)]
        if name in self._entries and not _GLOB.search(name):
            matching.append(name)
        return tuple(matching)

    def _settings_of_entries(self, names: tuple[str, ...]) -> StreamSettings:
        values = self._default_values
        for name in names:
            values = merge(values, self._values[name])
        return _settings(values)


def _settings(values: dict[str, Any]) -> StreamSettings:
    """The core's settings from what the merged entries set; the rest are the core's own defaults."""
    given = dict(values)
    if "false_alarms" in given:
        given["false_alarms"] = false_alarms_of(given["false_alarms"])
    signals = dict(given.pop("signals", {}))
    custom = {name: CustomSignal(**each) for name, each in signals.pop("custom", {}).items()}
    metrics = given.pop("metrics", {})
    if "windows" in metrics:
        given["windows"] = metrics["windows"]
    if "custom" in metrics:
        given["custom_metrics"] = metrics["custom"]
    return StreamSettings(
        join=JoinPolicy(**_renamed(given.pop("join", {}))),
        features=FeaturePolicy(**given.pop("features", {})),
        signals=SignalPlan(**signals, custom=custom),
        retrain=RetrainPolicy(**_renamed(given.pop("retrain", {}))),
        **given,
    )


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_CORE_NAMES.get(name, name): value for name, value in values.items()}


def _dump(entry: Stream) -> Any:
    return entry.model_dump(mode="json", exclude_unset=True)

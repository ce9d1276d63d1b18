"""What a stream's models are made of, part by part: what is another now begins anew, and nothing else does.

    error            detectors on `error` and `squared_error`
    log_loss         detectors on `log_loss`
    score            detectors on `score`
    custom/<name>    detectors on one custom signal
    features         levels of features, and their references
    quality          shares of missing, unseen and far values
    feature_policy   which features are watched, and as what
    challenger       the model beside production
    challenger_gap   detectors on the gap
    metrics          metrics, in windows and slices
    history          the error's history and classes, which judge episodes of concept drift and labelling
    states           the states of the world that are remembered

A part is another one when its rules are (the configuration changed), when its version here is (driftbus was
upgraded), or when it holds one of River's detectors and River's version is another. Counters, episodes, the
policy, the stream's rows and what people said belong to no part: they are always kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

import orjson

from driftbus.core.cries import Cries
from driftbus.core.detectors import registry
from driftbus.core.detectors.registry import SignalKind
from driftbus.core.detectors.river_any import CLASSES
from driftbus.core.settings import CustomSignal, Detectors, StreamSettings
from driftbus.core.watched import LABEL_SIGNAL

# Raise a part's version, and `snapshot.FOLD_VERSION`, when the same values would make another state of it, or
# when its old dump cannot be read any more; the golden files say when that is so.
VERSIONS: dict[str, int] = {
    "error": 1,
    "log_loss": 1,
    "score": 1,
    "custom": 1,
    "features": 1,
    "quality": 1,
    "feature_policy": 1,
    "challenger": 1,
    "challenger_gap": 1,
    "metrics": 1,
    "history": 1,
    "states": 1,
}
# What another task makes another: all that is learned of outcomes.
LABELLED = frozenset({"error", "log_loss", "challenger", "challenger_gap", "metrics", "history", "states"})
# What makes slices, and the counts that judge their episodes, others.
SLICED = frozenset({"error", "history", "feature_policy"})
# Twelve hexadecimal digits: a change goes unseen once in 3e14 changes, and a snapshot stays small.
_DIGITS = 12
_ANY_CUSTOM = "custom/*"
# The part of each kind of signal that is not of its own name.
_PARTS = {
    "squared_error": "error",
    "feature": "features",
    **dict.fromkeys(("missing", "range", "unseen"), "quality"),
}

RIVER_VERSION = version("river")


def fingerprints(settings: StreamSettings) -> dict[str, str]:
    """A short hash of each part, by its name. Custom signals that are not configured share `custom/*`."""
    signals, positive = settings.signals, settings.positive_label
    challenger = settings.challenger and dataclasses.asdict(settings.challenger)
    policy = dataclasses.asdict(settings.features)
    policy.pop("redact")  # shown otherwise, watched the same
    rules: dict[str, list[Any]] = {
        "error": _watched(signals.error, "error", "real_error"),
        "log_loss": [*_watched(signals.error, "loss"), positive],
        "score": _watched(signals.score, "score"),
        "features": _watched(signals.features, "feature"),
        "quality": _watched(signals.quality, "quality"),
        "feature_policy": [policy],
        "challenger": [challenger, positive],
        "challenger_gap": [*_watched(signals.challenger_gap, "challenger_gap"), challenger, positive],
        "metrics": [positive],
        "history": [],
        "states": [],
        _ANY_CUSTOM: _custom(CustomSignal()),
        **{f"custom/{name}": _custom(one) for name, one in signals.custom.items()},
    }
    return {part: _hash([VERSIONS[part.partition("/")[0]], *rule]) for part, rule in rules.items()}


def differing(kept: Mapping[str, str], now: Mapping[str, str]) -> frozenset[str]:
    """The parts that are others `now` than when they were `kept`; `custom/*` stands for all signals that
    neither names."""
    return frozenset(
        part for part in {*kept, *now} if kept.get(part, _else(part, kept)) != now.get(part, _else(part, now))
    )


def begins_anew(signal: str, anew: Collection[str], named: Collection[str]) -> bool:
    """Whether a signal, or a watch, by its name, is of one of the parts `anew`; `named`: the custom signals
    that the configuration names."""
    kind, _, name = signal.partition("/")
    if name and kind in ("custom", LABEL_SIGNAL.rstrip("/")):
        return f"custom/{name}" in anew or (_ANY_CUSTOM in anew and name not in named)
    return _PARTS.get(kind, kind) in anew


def left_open(
    episodes: Any, anew: Collection[str], named: Collection[str], lost: Collection[str]
) -> tuple[Any, Any]:
    """What `Episodes.dump` gave, parted: episodes that go on; and those that nothing judges any more, as all
    their signals begin anew or are `lost` features, or as the error's history does. The latter have to be
    closed by somebody; None: none."""

    def over(signal: str) -> bool:
        return "feature/" + signal.partition("/")[2] in lost or begins_anew(signal, anew, named)

    history = "history" in anew
    ends = [
        bool(SLICED.intersection(anew) if one["local"] else history)
        if _by_history(one)
        else all(over(signal["name"]) for signal in one["signals"])
        for one in episodes["episodes"]
    ]
    stay = [one for one, end in zip(episodes["episodes"], ends, strict=True) if not end]
    left = [one for one, end in zip(episodes["episodes"], ends, strict=True) if end]
    cries = Cries().dump() if history else episodes["cries"]
    going = {**episodes, "episodes": stay, "cries": cries}
    return going, {**episodes, "episodes": left} if left else None


def _by_history(episode: Any) -> bool:
    """Whether an episode needs no detector: it is judged by the error's history, or by the classes in it."""
    return bool(episode["fitted"]) or episode["category"] == "labelling"


def _else(part: str, known: Mapping[str, str]) -> str | None:
    return known.get(_ANY_CUSTOM) if part.startswith("custom/") else None


def _custom(signal: CustomSignal) -> list[Any]:
    return [signal.better, *_watched(signal.detectors, "custom")]


def _watched(specs: Detectors, *kinds: SignalKind) -> list[Any]:
    """Detectors as what they are: `auto` means what the defaults are today, and a detector of River's own is
    that of today's River."""
    found: list[Any] = ["auto" if specs is None else "named"]
    for spec in specs if specs is not None else [spec for kind in kinds for spec in registry.default(kind)]:
        found.append([spec.name, dict(spec.params)])
        if spec.name in CLASSES:
            found.append(RIVER_VERSION)
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGITS]

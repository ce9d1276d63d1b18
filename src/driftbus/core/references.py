"""The references a stream has been given: of which version, and what a version does with one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from driftbus.core.columns import VersionKey
from driftbus.core.reference import Reference
from driftbus.core.reference_checks import reference_of
from driftbus.core.signals import SignalWatch, score_rule
from driftbus.core.version import VersionMonitor

# Parts (`core.parts`) that learn from a reference: when they begin anew they begin with it.
_OF_FEATURES = frozenset({"features", "feature_policy"})


class References:
    """By model version, the newest last. Under None: that of predictions without a version, or, as long as
    nothing is in production, of whichever version is there first."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str | None, Reference] = {}

    def keep(self, model_version: str | None, reference: Reference, most: int) -> None:
        """Of at most `most` versions, the newest ones."""
        self._kept.pop(model_version, None)
        self._kept[model_version] = reference
        while len(self._kept) > most:
            del self._kept[next(iter(self._kept))]

    def of(self, key: VersionKey, *, first: bool) -> Reference | None:
        """What a version begins with, if anything; `first`: nothing has been in production before it."""
        model_version, role = key
        if model_version not in self._kept and first and role == "production" and None in self._kept:
            self._kept[model_version] = self._kept.pop(None)
        return self._kept.get(model_version)

    def rows_of(self, model_version: str | None) -> int | None:
        """How many rows the training set had that a version is held against; None: none is."""
        reference = self._kept.get(model_version)
        return None if reference is None else reference.rows

    def forget(self, model_version: str | None) -> None:
        """The model it was of is another now."""
        self._kept.pop(model_version, None)

    def clear(self) -> None:
        self._kept.clear()

    def go_on(self, version: VersionMonitor, anew: Collection[str]) -> None:
        """A version whose parts in `anew` have begun anew begins them with its reference, if it has one."""
        reference = self._kept.get(version.model_version)
        if reference is None:
            return
        if _OF_FEATURES.intersection(anew):
            version.features.refer(reference.features)
        if "score" in anew:
            _begin_score(version, reference)

    def dump(self) -> dict[str, Any]:
        """Their field of the stream's state; none where there are none."""
        kept = [[model_version, reference.as_json()] for model_version, reference in self._kept.items()]
        return {"references": kept} if kept else {}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> References:
        """What `dump` was called on."""
        self = cls()
        self._kept = {version: reference_of(raw) for version, raw in state.get("references", [])}
        return self


def begin(version: VersionMonitor, reference: Reference) -> None:
    """From now on hold a version's signals against the reference. Its episodes stay as they are."""
    version.features.refer(reference.features)
    _begin_score(version, reference)


def _begin_score(version: VersionMonitor, reference: Reference) -> None:
    if reference.score is None:
        return
    rule = score_rule(version.setup.settings.signals)
    watch = SignalWatch(rule, reference=reference.score)
    known = version.watches.get("score")
    if known is not None:
        watch.seen, watch.rejected = known.seen, known.rejected
    version.watches["score"] = watch

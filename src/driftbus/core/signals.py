"""One watched number with its detectors: numbers in, hits in the signal's own unit out.

    rule = error_rule(plan)                      # what is watched, and how: frozen
    watch = SignalWatch(rule)                    # its memory
    for hit in watch.observe([0.0, 1.0, …]):     # one number per row of the signal, oldest first
        hit.index                                # which of these rows decided it
    SignalWatch.load(watch.dump(), rule)         # goes on bit for bit

Where blocks are cut changes nothing: the same numbers give the same hits and the same dump.

A number of known range (`Clip`) reaches its detectors row by row. One whose range is learned is taken in
bins of 16 rows, and a bin is decided by the row that completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from driftbus.core.detectors import registry
from driftbus.core.detectors.registry import SignalKind
from driftbus.core.levels import Level
from driftbus.core.probes import Side, SignalHit, Standing, probes
from driftbus.core.reference import NumberSummary
from driftbus.core.scaling import AS_IT_IS, BIN, HUGE, LEARNED, LOG_LOSS, UNIT, Clip, Scaling
from driftbus.core.settings import CustomSignal, Detectors, DetectorSpec, SignalPlan
from driftbus.core.warp import Warp

__all__ = [
    "Side",
    "SignalHit",
    "SignalRule",
    "SignalWatch",
    "challenger_gap_rule",
    "custom_rule",
    "error_rule",
    "log_loss_rule",
    "regression_rule",
    "score_rule",
]

# Rows of the reference level that is shown; as long as the reference of features.
REFERENCE = 960
# Weight of the newest number in the recent level: it forgets half in 177 rows, as features do.
RECENT = 1.0 / 256.0
# Until then the plain mean weighs the newest number more.
YOUNG = 256


@dataclass(frozen=True, slots=True)
class SignalRule:
    """What is watched and how. `specs` None = the default: for a `Clip` that of `kind`, row by row; for a
    learned range means of 16, and only changes from a quarter of the reference's standard deviation on.
    () = off. Detectors that are named read every number, scaled, and all they find is reported. `auto`: what
    an alarm of a default detector is worth that does not decide by itself.
    """

    name: str
    kind: SignalKind
    specs: Detectors = None
    scaling: Scaling = UNIT
    side: Side = "rise"
    auto: Standing = "asks"

    def standing(self, spec: DetectorSpec) -> Standing:
        """What an alarm of this detector is worth."""
        if spec.name in registry.DECIDING and self.scaling in (UNIT, AS_IT_IS):
            return "decides"
        return self.auto if self.specs is None else "asks"


def error_rule(plan: SignalPlan) -> SignalRule:
    """`error` of a classifier: 0 or 1 per outcome; only rises alarm."""
    return SignalRule("error", "error", plan.error, auto="asks")


def log_loss_rule(plan: SignalPlan) -> SignalRule:
    """`log_loss` in nats, where there is a score; only rises alarm."""
    return SignalRule("log_loss", "loss", plan.error, LOG_LOSS, auto="opinion")


def regression_rule(plan: SignalPlan, name: str = "error") -> SignalRule:
    """`error` (absolute) or `squared_error` of a regressor, in the label's unit; only rises alarm."""
    if name == "error" and plan.error is None:
        return SignalRule(name, "real_error", None, AS_IT_IS)
    return SignalRule(name, "error", plan.error, LEARNED, auto="opinion")


def challenger_gap_rule(plan: SignalPlan) -> SignalRule:
    """`challenger_gap`: production's loss minus the challenger's per outcome; only rises alarm."""
    return SignalRule("challenger_gap", "challenger_gap", plan.challenger_gap, LEARNED, auto="opinion")


def score_rule(plan: SignalPlan) -> SignalRule:
    """`score`: a number per prediction; both directions alarm."""
    return SignalRule("score", "score", plan.score, LEARNED, "both")


def custom_rule(plan: SignalPlan, name: str) -> SignalRule:
    """`custom/<name>`: any number; only the harmful direction alarms."""
    custom = plan.custom.get(name, CustomSignal())
    side: Side = "fall" if custom.better == "higher" else "rise"
    return SignalRule(f"custom/{name}", "custom", custom.detectors, LEARNED, side)


class SignalWatch:
    """One signal's memory. `seen` counts finite numbers, `rejected` those that were not (never watched)."""

    def __init__(
        self, rule: SignalRule, state: Any = None, *, reference: NumberSummary | None = None
    ) -> None:
        """`reference`: what a signal whose range is learned is held against instead of its first rows."""
        self.rule = rule
        self.seen = 0
        self.rejected = 0
        inner = None
        if state is not None:
            self.seen, self.rejected, inner = state
        self._memory: _Rows | _Bins = (
            _Bins(rule, inner, reference) if rule.scaling == LEARNED else _Rows(rule, inner)
        )

    def observe(self, values: Sequence[float], exposures: Sequence[int] | None = None) -> list[SignalHit]:
        """Take a block, one number per row; hits in the order of the rows that decided them. `exposures`:
        what each row stands for (`core.season`), of 0/1 errors alone."""
        # One pass at C speed: a NaN or an infinity makes the sum one (so can huge numbers, which the careful
        # way then keeps), and neither less itself is 0.
        total = sum(values)
        if total - total == 0.0:
            self.seen += len(values)
            if exposures is not None and isinstance(self._memory, _Rows):
                return self._memory.take(values, exposures)
            return self._memory.take(values)
        places = [place for place, value in enumerate(values) if value - value == 0.0]
        self.rejected += len(values) - len(places)
        self.seen += len(places)
        hits = self._memory.take([values[place] for place in places])
        return [replace(hit, index=places[hit.index]) for hit in hits]

    def keep_to(self, rate: float) -> None:
        """False alarms per number, at most, that the default detectors which decide keep to from now on."""
        if self.rule.specs is None:
            self._memory.keep_to(rate)

    def restart(self) -> None:
        """Detectors learn anew what is usual: rows stand for something else from now on."""
        if isinstance(self._memory, _Rows):
            self._memory.restart()

    def level(self) -> tuple[float | None, float | None]:
        """Mean of the reference and of lately, in the signal's own unit; None while too few."""
        return self._memory.levels()

    def dump(self) -> Any:
        """The memory as JSON-able values."""
        return [self.seen, self.rejected, self._memory.dump()]

    @classmethod
    def load(cls, state: Any, rule: SignalRule) -> SignalWatch:
        """The watch that `dump` was called on; `rule` as it was then."""
        return cls(rule, state)


class _Rows:
    """A number row by row: of known range, or as it is."""

    __slots__ = ("_clip", "_high", "_low", "_n", "_probes", "_recent", "_reference", "_warp", "_whole")

    def __init__(self, rule: SignalRule, state: Any) -> None:
        # A signal whose unit is the detectors' is kept from what is huge only.
        self._clip = rule.scaling if isinstance(rule.scaling, Clip) else Clip(-HUGE, HUGE)
        self._whole = rule.scaling in (UNIT, AS_IT_IS)
        self._low, self._high = (0.0, 1.0) if rule.scaling == UNIT else (-HUGE, HUGE)
        self._n = 0
        self._reference = 0.0  # the sum of the first REFERENCE numbers
        self._recent = 0.0
        self._warp: Warp | None = None  # rows by what they stand for, while there is a season
        inner = None
        if state is not None:
            self._n, self._reference, self._recent, inner, warp = state
            self._warp = None if warp is None else Warp.load(warp)
        specs = registry.default(rule.kind) if rule.specs is None else rule.specs
        self._probes = probes(rule.name, specs, rule.side, inner, [rule.standing(spec) for spec in specs])

    def take(self, values: Sequence[float], exposures: Sequence[int] | None = None) -> list[SignalHit]:
        if not values:
            return []
        clip, low, high = self._clip, self._low, self._high
        scaled = values
        if self._whole:
            if min(values) < low or max(values) > high:
                scaled = [low if x < low else high if x > high else x for x in values]
        else:
            low, width = clip.low, clip.high - clip.low
            scaled = [0.0 if y < 0.0 else 1.0 if y > 1.0 else y for y in [(x - low) / width for x in values]]
        self._follow(scaled)
        if exposures is not None:
            return self._take_by_exposure(scaled, exposures)
        hits: list[SignalHit] = []
        for probe in self._probes:
            for hit in probe.update_block(scaled):
                before, after = hit.before, hit.after
                if not self._whole:
                    before, after = clip.unscale(before), clip.unscale(after)
                found = probe.judge(hit, hit.index, before, after)
                if found is not None:
                    hits.append(found)
        if len(hits) > 1:
            hits.sort(key=_index)  # stable: detectors of one row stay in their order
        return hits

    def _take_by_exposure(self, values: Sequence[float], exposures: Sequence[int]) -> list[SignalHit]:
        """0/1 values, of rows that stand for more or less than one."""
        if self._warp is None:
            self._warp = Warp()
        counted, places = self._warp.take(values, exposures)
        hits = []
        for probe in self._probes:
            for hit in probe.update_block(counted):
                found = probe.judge(hit, hit.index, hit.before, hit.after)
                if found is not None:
                    index, since = places[hit.index], found.since
                    if since is not None:
                        later = len(values) - 1 - index, len(counted) - 1 - hit.index
                        since = self._warp.rows_since(*later, since)
                    hits.append(replace(found, index=index, since=since))
        hits.sort(key=_index)
        return hits

    def restart(self) -> None:
        self._warp = None
        for probe in self._probes:
            probe.restart()

    def keep_to(self, rate: float) -> None:
        for probe in self._probes:
            probe.keep_to(rate)

    def _follow(self, scaled: Sequence[float]) -> None:
        """Levels for display: the plain mean while young, then exponentially forgetting."""
        n, recent = self._n, self._recent
        self._n = n + len(scaled)
        if n < REFERENCE:
            reference = self._reference
            for y in scaled[: REFERENCE - n]:
                reference += y
            self._reference = reference
            if n < YOUNG:
                for y in scaled[: YOUNG - n]:
                    n += 1
                    recent += (y - recent) * (1.0 / n)
                scaled = scaled[n - self._n :] if n < self._n else ()
        for y in scaled:
            recent += (y - recent) * RECENT
        self._recent = recent

    def levels(self) -> tuple[float | None, float | None]:
        if not self._n:
            return None, None
        reference = self._reference / min(self._n, REFERENCE)
        if self._whole:
            return reference, self._recent
        return self._clip.unscale(reference), self._clip.unscale(self._recent)

    def dump(self) -> Any:
        inner = [probe.dump() for probe in self._probes]
        warp = None if self._warp is None else self._warp.dump()
        return [self._n, self._reference, self._recent, inner, warp]


class _Bins:
    """A number whose range is learned, in bins of 16."""

    __slots__ = ("_held", "_level")

    def __init__(self, rule: SignalRule, state: Any, reference: NumberSummary | None) -> None:
        self._held: list[float] = []
        inner = None
        if state is not None:
            held, inner = state
            self._held = list(held)
        self._level = Level(
            rule.name, rule.specs, rule.side, state=inner, standing=rule.auto, reference=reference
        )

    def take(self, values: Sequence[float]) -> list[SignalHit]:
        held = self._held
        before = len(held)
        held.extend(values)
        hits: list[SignalHit] = []
        full = len(held) - len(held) % BIN
        for start in range(0, full, BIN):
            self._level.take(held[start : start + BIN], start + BIN - 1 - before, hits)
        if full:
            del held[:full]
        return hits

    def keep_to(self, rate: float) -> None:
        """None of its detectors decides."""

    def levels(self) -> tuple[float | None, float | None]:
        return self._level.levels()

    def dump(self) -> Any:
        return [list(self._held), self._level.dump()]


def _index(hit: SignalHit) -> int:
    return hit.index

"""The level of a number without a known range: bins of 16 values against a learned, frozen reference.

Used for numeric features and for the score, losses, gaps and custom signals of `core.signals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from driftbus.core.detectors.base import Hit
from driftbus.core.probes import Side, SignalHit, Standing, probes
from driftbus.core.reference import NumberSummary
from driftbus.core.reference_start import FirstBins
from driftbus.core.scaling import BIN, MEAN_BINS, LevelScale
from driftbus.core.settings import Detectors, DetectorSpec

# What watches means of 16 under `auto`: a two-sided cumulative sum, in eighths of the means' standard
# deviation (`HALF_WIDTH`): tolerance .75, threshold 16.8. Measured on 7.5 million rows each of normal,
# lognormal, |t3|, uniform and 0/1 values (3 % ones): no alarm; on 1.9 million of AR(.5), of 2 % sentinels
# of 1e9, and of .2 % ones: none; AR(.9): .05 per 100,000 rows. Rows to an alarm after a shift of one standard
# deviation, median (90 %): 103 (119), lognormal 87 (89); of half a one 247 (329), lognormal 135 (183).
# ADWIN (delta .002, each mean tested) needs 17 means, 272 rows, by its bound even for means at the map's
# end, and keeps two numbers for every bucket: 1-2 kB a feature against .3.
LEVEL_DETECTORS = (
    DetectorSpec(
        "page_hinkley", {"mode": "both", "delta": 0.09375, "threshold": 2.1, "min_instances": MEAN_BINS}
    ),
)
# A change of a level under a quarter of the reference's standard deviation is not worth an alarm.
MATERIAL = 0.25
# Levels at most so far from the middle of [0, 1] were hardly cut off by its ends: three of the means'
# standard deviations of four.
ON_THE_MAP = 0.375
# After each change that much more variation is expected, up to WIDEST. A number that wanders (AR .99) needs
# twice the spread its first 960 rows show, three changes' worth: 50,000 rows of it have 3 alarms, without
# this 20; a sine of one standard deviation every 5,000 rows has 7, then none, without this 11.
WIDENED = 1.25
WIDEST = 8.0
# Recent and reference level are called different from half a standard deviation on.
MOVED = 0.5


class Level:
    """One number's level: `take` bins, get hits.

    `specs` None: the default detectors, which read means of 16 and report material changes only. Detectors
    named by the user read single values, scaled, and all they find is reported. `hidden`: levels in hits
    are standard deviations from the reference instead of values.

    After a change the default map does not stay as it is. It expects more variation (`WIDENED`), and when
    the new level lies at its end a successor is learned meanwhile and takes its place, so that a number
    that has gone from euros to cents is watched on as closely. The reference shown stays the first one.

    With a `reference` from elsewhere nothing is learned first: the level is live at once, and how much means
    vary is learned while they are judged (`core.reference_start`).
    """

    __slots__ = (
        "_aside",
        "_first",
        "_hidden",
        "_origin",
        "_probes",
        "_side",
        "_signal",
        "_single",
        "_specs",
        "_successor",
        "_widened",
        "scale",
    )

    def __init__(
        self,
        signal: str,
        specs: Detectors,
        side: Side,
        *,
        hidden: bool = False,
        state: Any = None,
        standing: Standing = "asks",
        reference: NumberSummary | None = None,
    ) -> None:
        self._signal = signal
        self._side = side
        self._hidden = hidden
        self._single = specs is not None
        self._specs = LEVEL_DETECTORS if specs is None else specs
        self.scale = LevelScale()
        self._origin: tuple[float, float] | None = None  # center and spread of the first map, once it changed
        self._widened = 1.0
        self._successor: LevelScale | None = None
        self._first: FirstBins | None = None
        inner = None
        if state is not None:
            scale, inner, *changed = state
            self.scale = LevelScale.load(scale)
            if len(changed) == 1:
                self._first = FirstBins.load(changed[0])
            elif changed:
                center, spread, self._widened, successor = changed
                self._origin = (center, spread)
                self._successor = None if successor is None else LevelScale.load(successor)
        standings = None if self._single else [standing] * len(self._specs)
        self._probes = probes(signal, self._specs, side, inner, standings)
        if reference is not None:
            self._refer(reference)
        # Bins go another way than the usual one: values one by one, or the first against a given reference.
        self._aside = self._single or self._first is not None

    def _refer(self, reference: NumberSummary) -> None:
        """Begin with a reference from elsewhere, which is normal by definition."""
        ends = reference.quantiles[0], reference.quantiles[-1]
        self.scale = scale = LevelScale.given(reference.mean, reference.deviation, reference.fences, *ends)
        for probe in self._probes:
            probe.anchor = scale.center
            if self._single:
                values = [scale.scale_value(x) for x in reference.values(MEAN_BINS * BIN * 2)]
                probe.update_block(values)
        if not self._single and self._probes:
            self._first = FirstBins(reference.deviation, reference.means_deviation, reference.count // BIN)
            scale.settle(reference.deviation, self._first.deviation_of_means())

    def take(self, values: Sequence[float], index: int, hits: list[SignalHit]) -> None:
        """One bin of finite values, at least one; `index` is the row that completed it."""
        scale, least, most = self.scale, min(values), max(values)
        if scale.live:
            self.push(scale.mean(values, least, most), values, index, hits)
        else:
            self.learn(values, least, most)

    def learn(self, values: Sequence[float], least: float, most: float) -> None:
        """One bin while the reference is learned, from `least` to `most`."""
        self.scale.learn(values, least, most)
        means = self.scale.freeze()
        if means is not None:
            self._begin(means)

    def _begin(self, means: Sequence[float]) -> None:
        """Detectors read the reference's means; it is normal by definition, so what they say is dropped."""
        for probe in self._probes:
            probe.anchor = self.scale.center
            if not self._single:
                probe.update_block([self.scale.scale(mean) for mean in means])

    def push(self, mean: float, values: Sequence[float], index: int, hits: list[SignalHit]) -> None:
        """One bin of a live level, its mean already taken."""
        scale = self.scale
        y = scale.place(mean, values)
        if self._aside:
            if self._first is None:
                self._push_single(values, index, hits)
            else:
                self._push_first(self._first, mean, values, index, hits)
            return
        for probe in self._probes:
            hit = probe.update(y)
            if hit is not None:
                before, after = self._levels_of(hit, probe.anchor)
                found = probe.judge(
                    hit, index, before, after, least=MATERIAL * scale.spread, rows_per_value=BIN
                )
                if found is not None:
                    hits.append(self._shown(found))
                if probe.anchor == after:  # it moved, for better or worse
                    self._adapt(after)
        if self._successor is not None:
            self._follow_on(self._successor, values)

    def _push_first(
        self, first: FirstBins, mean: float, values: Sequence[float], index: int, hits: list[SignalHit]
    ) -> None:
        """One of the first bins against a reference from elsewhere: all of them are judged anew, by how much
        means are known to vary now."""
        scale = self.scale
        low, high = scale.low, scale.high
        first.take(mean, [low if x < low else high if x > high else x for x in values])
        scale.settle(first.deviation, first.deviation_of_means())
        ys = [scale.scale(one) for one in first.means]
        changed = False
        for probe, begun in zip(self._probes, first.begun(self._probes), strict=True):
            probe.restart(begun)
            # Only one can be new; an earlier one shows now that means vary less than was thought.
            for hit in probe.update_block(ys)[:1]:
                changed = True
                since = None if hit.since is None else hit.since + len(ys) - 1 - hit.index
                before, after = self._levels_of(replace(hit, since=since), probe.anchor)
                least = MATERIAL * scale.spread
                found = probe.judge(hit, index, before, after, least=least, rows_per_value=BIN)
                if found is not None:
                    hits.append(self._shown(replace(found, since=None if since is None else since * BIN)))
        if changed:
            # Few bins have told how much means vary, and of another world: it is learned anew.
            self._origin, self._successor = (scale.center, scale.spread), LevelScale()
        if changed or len(first.means) >= MEAN_BINS:
            self._first, self._aside = None, False

    def _adapt(self, after: float) -> None:
        """The level has gone to `after`: what the map has to learn from it."""
        scale = self.scale
        if self._origin is None:
            self._origin = (scale.center, scale.spread)
        off_the_map = abs(after - scale.center) * scale.slope > ON_THE_MAP
        self._successor = LevelScale() if off_the_map else None
        if self._widened < WIDEST:
            self._widened *= WIDENED
            scale.widen(WIDENED)

    def _follow_on(self, successor: LevelScale, values: Sequence[float]) -> None:
        """One bin for the successor, which takes over when it has learned enough."""
        successor.learn(values, min(values), max(values))
        means = successor.freeze()
        if means is None:
            return
        successor.widen(self._widened)
        self.scale, self._successor = successor, None
        for probe in self._probes:
            probe.restart()
        self._begin(means)

    def _levels_of(self, hit: Hit, anchor: float | None) -> tuple[float, float]:
        """Levels before and after a hit. The detector's own, unless they lie at the end of the map: then
        what was last reported, and the recent level."""
        scale = self.scale
        before, after = scale.unscale(hit.before), scale.unscale(hit.after)
        if abs(hit.before - 0.5) > ON_THE_MAP and anchor is not None:
            before = anchor
        if abs(hit.after - 0.5) > ON_THE_MAP:
            after = scale.level_since(hit.since, before) if hit.since else scale.recent
        return before, after

    def _push_single(self, values: Sequence[float], index: int, hits: list[SignalHit]) -> None:
        scale = self.scale
        ys = [scale.scale_value(x) for x in values]
        for probe in self._probes:
            for hit in probe.update_block(ys):
                before, after = scale.unscale_value(hit.before), scale.unscale_value(hit.after)
                found = probe.judge(hit, index, before, after)
                if found is not None:
                    hits.append(self._shown(found))

    def _shown(self, hit: SignalHit) -> SignalHit:
        if not self._hidden:
            return hit
        center, spread = self._origin or (self.scale.center, self.scale.spread)
        unit = spread or 1.0
        return replace(hit, before=(hit.before - center) / unit, after=(hit.after - center) / unit)

    def levels(self) -> tuple[float | None, float | None]:
        """Reference and recent level in the signal's own unit; None while the reference is learned."""
        scale = self.scale
        if not scale.live:
            return None, None
        return (scale.center if self._origin is None else self._origin[0]), scale.recent

    def moved(self) -> bool:
        """Whether the recent level is away from the reference."""
        scale = self.scale
        center, spread = self._origin or (scale.center, scale.spread)
        return scale.live and abs(scale.recent - center) > MOVED * spread

    def dump(self) -> Any:
        """The state as JSON-able values."""
        state = [self.scale.dump(), [probe.dump() for probe in self._probes]]
        if self._origin is not None:
            successor = None if self._successor is None else self._successor.dump()
            state += [*self._origin, self._widened, successor]
        elif self._first is not None:
            state.append(self._first.dump())
        return state

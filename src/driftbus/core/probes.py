"""A probe: one detector on one scaled signal, whose hits come out in the signal's own unit.

It also keeps to what the signal calls harm: a side (only rises, only falls) and a least change. The latter
is measured from the detector's own `before` or from the level last reported, whichever is further: a slow
drift that a detector follows in steps too small to matter is reported once they add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from driftbus.core.detectors import registry
from driftbus.core.detectors.base import Detector, Hit
from driftbus.core.detectors.focus_bernoulli import FocusBernoulli
from driftbus.core.detectors.focus_ranks import FocusRanks
from driftbus.core.settings import DetectorSpec

# Which changes are alarms: any, only upwards (an error), only downwards (a custom signal, better: higher).
Side = Literal["both", "rise", "fall"]
# What an alarm is worth. "decides": the detector keeps to a budget of false alarms by itself. "asks": it has
# to be confirmed by the error's history. "opinion": it is told beside others, and does nothing alone.
Standing = Literal["decides", "asks", "opinion"]
_UNWANTED: dict[Side, int] = {"both": 0, "rise": -1, "fall": 1}


@dataclass(frozen=True, slots=True)
class SignalHit:
    """A detector found a change. `index` is the row of the block given that decided it, `direction` +1
    (rise), -1 (fall) or 0 (unknown), `before` and `after` are levels in the signal's own unit, `since` how
    many of the signal's rows ago the change began (the deciding row included; None unknown), `evidence` a
    log-likelihood ratio (0.0: the detector has none to offer)."""

    index: int
    signal: str
    detector: str
    direction: int
    before: float
    after: float
    since: int | None
    evidence: float
    standing: Standing = "asks"


class Probe:
    """One detector on one signal. `anchor` is the level last reported, None until one is known."""

    __slots__ = ("_detector", "_side", "_signal", "_spec", "anchor", "standing", "update", "update_block")

    def __init__(
        self, signal: str, spec: DetectorSpec, side: Side, state: Any = None, standing: Standing = "asks"
    ) -> None:
        self._signal = signal
        self._spec = spec
        self._side = side
        self.standing = standing
        self.anchor: float | None = None if state is None else state[0]
        self._use(registry.make(spec) if state is None else registry.load(spec, state[1]))

    def judge(
        self,
        hit: Hit,
        index: int,
        before: float,
        after: float,
        *,
        least: float = 0.0,
        rows_per_value: int = 1,
    ) -> SignalHit | None:
        """The hit in the signal's own unit, or None where it is no alarm. The level moves either way, so
        that what gets better and then worse again is reported.

        `before` and `after` are the hit's levels unscaled, `least` the least material change (0 = any).
        """
        anchor = before if self.anchor is None else self.anchor
        if max(abs(after - before), abs(after - anchor)) < least:
            return None
        self.anchor = after
        direction = hit.direction or (after > before) - (after < before)
        if direction and direction == _UNWANTED[self._side]:
            return None
        since = None if hit.since is None else hit.since * rows_per_value
        return SignalHit(
            *(index, self._signal, self._detector.name, direction, before, after, since, hit.evidence),
            standing=self.standing,
        )

    def keep_to(self, rate: float) -> None:
        """Another budget of false alarms, where the detector keeps to one."""
        if isinstance(self._detector, FocusBernoulli | FocusRanks):
            self._detector.keep_to(rate)

    def restart(self, state: Any = None) -> None:
        """A fresh detector, or one as `detector_state` had it: the scale of the signal is another from now
        on."""
        self._use(registry.make(self._spec) if state is None else registry.load(self._spec, state))

    def detector_state(self) -> Any:
        """The detector alone, as JSON-able values."""
        return self._detector.dump()

    def _use(self, detector: Detector) -> None:
        self._detector = detector
        self.update: Callable[[float], Hit | None] = detector.update
        self.update_block: Callable[[Sequence[float]], list[Hit]] = detector.update_block

    def dump(self) -> Any:
        """The state as JSON-able values."""
        return [self.anchor, self._detector.dump()]


def probes(
    signal: str,
    specs: Sequence[DetectorSpec],
    side: Side,
    state: Any = None,
    standings: Sequence[Standing] | None = None,
) -> tuple[Probe, ...]:
    """A probe per spec; `state` is the list of their dumps, None for fresh ones. `standings`: what each one's
    alarms are worth (None: all of them ask)."""
    kept = [None] * len(specs) if state is None else state
    worth: Sequence[Standing] = ["asks"] * len(specs) if standings is None else standings
    return tuple([Probe(signal, spec, side, *rest) for spec, *rest in zip(specs, kept, worth, strict=True)])

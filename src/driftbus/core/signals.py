"""One watched number with its detectors: numbers in, hits in the signal's own unit out.

    rule = error_rule(plan)                      # what is watched, and how: frozen
    watch = SignalWatch(rule)                    # its memory
    for hit in watch.observe([0.0, 1.0, …]):     # one number per row of the signal, oldest first
        hit.index                                # which of these rows decided it
    SignalWatch.load(watch.dump(), rule)         # goes on bit for bit

Where blocks are cut changes nothing: the same numbers give the same hits and the same dump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from driftbus.core.scaling import UNIT, Scaling
from driftbus.core.settings import Detectors, SignalPlan

# Which changes are alarms: any, only upwards (an error), only downwards (a custom signal, better: higher).
Side = Literal["both", "rise", "fall"]


class SignalHit(NamedTuple):
    """A detector found a change. `index` is the row of the block given that decided it, `direction` +1 (rise)
    or -1 (fall), `before` and `after` are levels in the signal's own unit, `since` how many of the signal's
    rows ago the change began (the deciding row included), `evidence` a log-likelihood ratio."""

    index: int
    signal: str
    detector: str
    direction: int
    before: float
    after: float
    since: int
    evidence: float


@dataclass(frozen=True, slots=True)
class SignalRule:
    """What is watched and how. `kind` chooses the default detectors where `specs` is None; () = off.

    `material` is the least change worth a hit, in standard deviations of the reference's values (0 = any);
    it needs `scaling` LEARNED.
    """

    name: str
    kind: str
    specs: Detectors = None
    scaling: Scaling = UNIT
    side: Side = "rise"
    material: float = 0.0


def error_rule(plan: SignalPlan) -> SignalRule:
    """`error` of a classifier: 0 or 1 per outcome; only rises alarm."""
    raise NotImplementedError


def log_loss_rule(plan: SignalPlan) -> SignalRule:
    """`log_loss` in nats, where there is a score; only rises alarm."""
    raise NotImplementedError


def regression_rule(plan: SignalPlan, name: str = "error") -> SignalRule:
    """`error` (absolute) or `squared_error` of a regressor, in the label's unit; only rises alarm."""
    raise NotImplementedError


def challenger_gap_rule(plan: SignalPlan) -> SignalRule:
    """`challenger_gap`: production's loss minus the challenger's per outcome; only rises alarm."""
    raise NotImplementedError


def score_rule(plan: SignalPlan) -> SignalRule:
    """`score`: a number per prediction; both directions alarm."""
    raise NotImplementedError


def custom_rule(plan: SignalPlan, name: str) -> SignalRule:
    """`custom/<name>`: any number; only the harmful direction alarms."""
    raise NotImplementedError


class SignalWatch:
    """One signal's memory. `seen` counts finite numbers, `rejected` those that were not (never watched)."""

    def __init__(self, rule: SignalRule) -> None:
        self.rule = rule
        self.seen = 0
        self.rejected = 0

    def observe(self, values: Sequence[float]) -> list[SignalHit]:
        """Take a block, one number per row; hits in the order of the rows that decided them."""
        raise NotImplementedError

    def level(self) -> tuple[float | None, float | None]:
        """Mean of the reference and of lately, in the signal's own unit; None while too few."""
        raise NotImplementedError

    def dump(self) -> Any:
        """The memory as JSON-able values."""
        raise NotImplementedError

    @classmethod
    def load(cls, state: Any, rule: SignalRule) -> SignalWatch:
        """The watch that `dump` was called on; `rule` as it was then."""
        raise NotImplementedError

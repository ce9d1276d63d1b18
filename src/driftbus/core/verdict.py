"""What kind of change: one step, or a rise over some rows? Pure fits over a history's bins."""

from __future__ import annotations

from dataclasses import dataclass

from driftbus.core.history import Columns
from driftbus.core.records import Kind


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fitted change. `onset`, `earliest`, `latest`, `ramp_end` are indices into the columns; `llr` is the
    log-likelihood ratio of the change against none, corrected for autocorrelation; `moving`: the rise has
    not clearly ended."""

    kind: Kind
    confidence: float
    onset: int
    earliest: int
    latest: int
    ramp_end: int
    before: float
    after: float
    llr: float
    moving: bool

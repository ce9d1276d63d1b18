"""A stream as every contender reads it: one number per event, and what is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.quality.matching import Change
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The first numbers, from which the scale of a real-valued signal is learned for bare detectors.
SCALE_ROWS = 2_000
# So many standard deviations to each side of the mean are the range [0, 1].
SCALE_DEVIATIONS = 4.0


@dataclass(frozen=True, slots=True)
class Table:
    """What a model saw, said, and what was true, per row of a real stream."""

    features: Sequence[dict[str, Any] | None]
    predictions: Sequence[Any]
    labels: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """`signal`: 0/1 errors (`binary`) or absolute errors, one per row. `replaced`: rows at which a new model
    begins. `merge_rows`: alarms so close are one episode; `max_delay`: see `matching`. `rates`: error before
    and after, where an oracle may know them. `seed` draws what the product sees beside the errors."""

    name: str
    signal: Floats
    binary: bool
    changes: tuple[Change, ...] = ()
    replaced: tuple[int, ...] = ()
    merge_rows: int = 2_000
    max_delay: int = 5_000
    rates: tuple[float, float] | None = None
    seed: tuple[int, ...] = (0,)
    table: Table | None = None

    def scaled(self) -> Floats:
        """The signal within [0, 1], as detectors that know no other range want it."""
        if self.binary:
            return self.signal
        first = self.signal[:SCALE_ROWS]
        width = 2.0 * SCALE_DEVIATIONS * max(float(first.std()), 1e-12)
        return np.clip((self.signal - float(first.mean())) / width + 0.5, 0.0, 1.0)

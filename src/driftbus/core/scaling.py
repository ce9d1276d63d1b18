"""Any number becomes a value in [0, 1], which is what detectors read; levels are turned back for people.

`Clip` is a fixed linear map, for numbers whose range is known (probabilities, log loss). `LEARNED` asks for
a map learned from the signal's own first rows and frozen then (`core.reference`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Clip:
    """`low` … `high` becomes 0 … 1, what lies outside the nearer end."""

    low: float
    high: float

    def scale(self, x: float) -> float:
        """The value in [0, 1] for a finite `x`."""
        raise NotImplementedError

    def unscale(self, y: float) -> float:
        """The `x` in the signal's own unit for a value in [0, 1]."""
        raise NotImplementedError


Scaling = Clip | Literal["learned"]

# Numbers that are in [0, 1] by nature: 0/1 errors, shares.
UNIT = Clip(0.0, 1.0)
# A probability under 1e-3 for what happened costs as much as 1e-3: else one outcome outweighs hundreds.
LOG_LOSS = Clip(0.0, -math.log(1e-3))
# Learned from the first rows of the reference, then frozen.
LEARNED: Literal["learned"] = "learned"

"""The share of rows in which something seldom happens: a missing value, an unseen category.

Per turn of 64 rows one number: the share after `asin √`, whose chance variation is the same at every level
(±.04 for 64 rows), so that one detector fits a share near 0 and one near ½. A share is made when the thing
first happens; the clean turns before and between are made up for then, so a clean stream pays nothing.
"""

from __future__ import annotations

from math import asin, pi, sin, sqrt
from typing import Any

from driftbus.core.probes import SignalHit, probes
from driftbus.core.settings import Detectors, DetectorSpec

# Rows per turn: four bins. 64 rows tell a share of 10 % from none (chance of none: 0.1 %).
TURN = 64
# Turns a reference takes: 960 rows, as long as a level's.
REFERENCE_TURNS = 15
# Clean turns made up for at once at most: a mean over 128 turns is far from moved by one more, and a load
# of a long clean stream stays short.
MADE_UP = 128
# What watches shares under `auto`: a cumulative sum over `asin √ share`, tolerance half of its chance
# variation (.02), threshold 15 times it (.6). Both directions are followed, so that a share that came back
# down can alarm again; only rises are reported. Measured: a share that goes from 0 to 30 % alarms after 135
# rows, to 10 % after 263; a steady 5 % of missing values never in 1.9 million rows.
SHARE_DETECTORS = (
    DetectorSpec(
        "page_hinkley",
        {"mode": "both", "delta": 0.02, "threshold": 0.6, "min_instances": 10},
    ),
)
# Weight of the newest turn in the recent share: it forgets half in 5 turns, 333 rows.
RECENT = 1.0 / 8.0
# A share that rose by less than this is not worth an alarm.
MATERIAL = 0.05


class Share:
    """One share. `count` is how often it happened in the turn that is under way; `first` the turn that its
    reference begins with, which is `turns` long."""

    __slots__ = ("_fed", "_probes", "_reference", "_turns", "count", "recent")

    def __init__(self, signal: str, specs: Detectors, first: int, turns: int, state: Any = None) -> None:
        self._turns = turns
        self._fed = first - 1  # the last turn the detectors were given
        self._reference = 0.0  # sum of the reference's shares
        self.count = 0
        self.recent = 0.0
        inner = None
        if state is not None:
            self._fed, self._reference, self.count, self.recent, inner = state
        self._probes = probes(signal, SHARE_DETECTORS if specs is None else specs, "rise", inner)

    def refer(self, turn: int, share: float, turns: int) -> None:
        """Begin with turn `turn` as if `turns` turns of this share had come before it."""
        self._fed = turn - 1
        self._reference = share * self._turns
        self.recent = share
        for probe in self._probes:
            probe.anchor = share
            probe.update_block([_scaled(share)] * turns)

    def close(self, turn: int, index: int, hits: list[SignalHit], *, normal: bool) -> None:
        """End of turn `turn` with `count` > 0; `index` is the row that completed it. `normal`: the turn
        belongs to the reference, and nothing is reported."""
        share = min(self.count / TURN, 1.0)
        self.count = 0
        clean = min(turn - self._fed - 1, MADE_UP)
        self._fed = turn
        for _ in range(clean):
            self.recent -= self.recent * RECENT
        self.recent += (share - self.recent) * RECENT
        if normal:
            self._reference += share
        values = [0.0] * clean
        values.append(_scaled(share))
        for probe in self._probes:
            if probe.anchor is None and not normal:
                probe.anchor = self._reference / self._turns
            for hit in probe.update_block(values):
                if normal:
                    continue
                found = probe.judge(
                    hit, index, _share(hit.before), _share(hit.after), least=MATERIAL, rows_per_value=TURN
                )
                if found is not None:
                    hits.append(found)

    def lately(self, turn: int) -> float:
        """The recent share as of the end of turn `turn`."""
        return float(self.recent * (1.0 - RECENT) ** min(max(turn - self._fed, 0), MADE_UP))

    def dump(self) -> Any:
        """The state as JSON-able values."""
        return [
            *(self._fed, self._reference, self.count, self.recent),
            [probe.dump() for probe in self._probes],
        ]


def _scaled(share: float) -> float:
    """`asin √` of a share, in [0, 1] as detectors read it."""
    return asin(sqrt(share)) * (2.0 / pi)


def _share(y: float) -> float:
    """The share whose `asin √` is `y`, in [0, 1] as detectors read it."""
    return sin(min(max(y, 0.0), 1.0) * (pi / 2.0)) ** 2

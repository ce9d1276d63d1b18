"""Any other detector of River, by name, behind the same protocol.

Idea: River's object does the testing; this file gives it the input it is written for, and reports levels:
`before` is the mean since the previous alarm, `after` that of the last 30 values.

Input: numbers in [0, 1]; detectors for bits (DDM, EDDM, HDDM_A, HDDM_W, FHDDM) see 1 where the value is
over 0.5. FHDDM watches for a *fall* of the share of ones, being defined on "was right" (paper), so it is
given the complement: all of them alarm when errors become more.
Parameters: the constructor's own; a `seed` left out is 0, so that results can be repeated.
Guaranteed: the alarms are River's. Cost: River's, 0.6 µs (EDDM), 3.5 µs (HDDM) to 200 µs (KSWIN) a value.

>>> detector = RiverDetector("ddm", {})
>>> [hit.index for hit in detector.update_block(([0.0] * 9 + [1.0]) * 30 + [1.0] * 50)]
[310]
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from river import drift
from river.base.drift_detector import _BaseDriftDetector
from river.drift import binary

from driftbus.core.detectors.base import Hit, bernoulli_evidence, bounded
from driftbus.core.detectors.river_state import NotRepresentableError, attributes, decode, encode

# As many values as River's own detectors wait for before they test; enough for a level to one tenth.
_RECENT = 30
# These have a form of their own here (`adwin.py`, `page_hinkley.py`).
_OWN = (drift.ADWIN, drift.PageHinkley)


def _discover() -> dict[str, type]:
    """River's concrete detectors by the name of the file each stands in: ddm, hddm_a, kswin, dummy …"""
    found: dict[str, type] = {}
    for module in (drift, binary):
        for cls in vars(module).values():
            if (
                inspect.isclass(cls)
                and issubclass(cls, _BaseDriftDetector)
                and not inspect.isabstract(cls)
                and cls not in _OWN
            ):
                found[cls.__module__.rsplit(".", 1)[-1]] = cls
    return found


CLASSES: dict[str, type] = _discover()


class RiverDetector:
    """One of River's detectors by name; see the module's text."""

    def __init__(self, name: str, params: Mapping[str, Any]) -> None:
        cls = CLASSES[name]
        params = dict(params)
        if "seed" in inspect.signature(cls).parameters and params.get("seed") is None:
            params["seed"] = 0
        self.name = name
        self._inner = cls(**params)
        self._bits = cls.__module__.startswith(binary.__name__)
        self._complement = cls is binary.FHDDM
        self._n = 0
        self._mean = 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def update(self, value: float) -> Hit | None:
        """Take one value; the alarm it raised, if any."""
        usable = bounded(value)
        if usable is None:
            return None
        self._n += 1
        self._mean += (usable - self._mean) / self._n
        self._recent.append(usable)
        if self._bits:
            self._inner.update(int((usable > 0.5) is not self._complement))
        else:
            self._inner.update(usable)
        return self._hit() if self._inner.drift_detected else None

    def update_block(self, values: Sequence[float]) -> list[Hit]:
        """Take a block of values; the alarms with their positions."""
        hits: list[Hit] = []
        for index, value in enumerate(values):
            hit = self.update(value)
            if hit is not None:
                hits.append(Hit(index, hit.direction, hit.before, hit.after, hit.since, hit.evidence))
        return hits

    def _hit(self) -> Hit:
        after = 0.0
        for value in self._recent:
            after += value
        after /= len(self._recent)
        before, earlier = self._mean, max(self._n - len(self._recent), 0)
        direction = (after > before) - (after < before)
        evidence = bernoulli_evidence(earlier, before, len(self._recent), after)
        self._n, self._mean = 0, 0.0
        self._recent.clear()
        return Hit(0, direction, before, after, None, evidence)

    def dump(self) -> Any:
        """[n, mean, recent values, River's attributes]; None when River holds something without a shape."""
        try:
            inner = {name: encode(value) for name, value in attributes(self._inner).items()}
        except NotRepresentableError:
            return None
        return [self._n, self._mean, list(self._recent), inner]

    @classmethod
    def load(cls, state: Any, name: str, params: Mapping[str, Any]) -> RiverDetector:
        """Continue from `dump`; None starts fresh. Raises ValueError when the state does not fit."""
        detector = cls(name, params)
        if state is None:
            return detector
        try:
            n, mean, recent, inner = state
            detector._n, detector._mean = int(n), float(mean)
            detector._recent.extend(map(float, recent))
        except TypeError as error:
            raise ValueError(f"{name}: a state that cannot be read: {error}") from error
        if not isinstance(inner, dict) or inner.keys() != attributes(detector._inner).keys():
            raise ValueError(f"{name}: a state of another version of this detector")
        for attribute, value in inner.items():
            setattr(detector._inner, attribute, decode(value))
        return detector

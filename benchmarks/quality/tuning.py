"""Protocol 5: every detector at the same rate of false alarms, by the one parameter that makes it careful.

The parameter is found by halving its range on a logarithmic scale, over independent errors at two rates
without a change; a detector that reaches the rate nowhere in its range is left out.
"""

from __future__ import annotations

import sys
from math import exp, log
from typing import NamedTuple

import numpy as np
import orjson
from benchmarks.quality import cache
from benchmarks.quality.contenders import PARAMS
from benchmarks.quality.simulated import seed_of

from driftbus.core.detectors import registry
from driftbus.core.settings import DetectorSpec

# False alarms per event that is tuned to, and rows that it is measured on: 20 alarms, ± 22 %.
TARGET, ROWS = 1e-5, 2_000_000
QUICK_ROWS = 500_000
RATES = (0.05, 0.2)
HALVINGS = 8
BLOCK = 4_096


class Knob(NamedTuple):
    """A parameter with the range in which it is looked for, from careless to careful."""

    parameter: str
    careless: float
    careful: float


KNOBS = {
    "adwin": Knob("delta", 0.99, 1e-6),
    "page_hinkley": Knob("threshold", 2.0, 500.0),
    "ddm": Knob("drift_threshold", 1.5, 12.0),
    "eddm": Knob("beta", 0.95, 0.2),
    "fhddm": Knob("confidence_level", 1e-2, 1e-14),
    "hddm_a": Knob("drift_confidence", 0.1, 1e-9),
    "hddm_w": Knob("drift_confidence", 0.1, 1e-12),
}


def alarms(spec: DetectorSpec, zone: str, rows: int) -> int:
    """False alarms of a detector over `rows` errors, half at each rate."""
    count = 0
    for p in RATES:
        detector = registry.make(spec)
        rng = np.random.default_rng(seed_of(zone, "tuning", p))
        for _ in range(0, rows // len(RATES), BLOCK):
            count += len(detector.update_block((rng.random(BLOCK) < p).astype(float).tolist()))
    return count


def tuned(name: str, zone: str, rows: int) -> str | None:
    """The contender (`name:parameter=value`) that raises false alarms at the target rate; None where none
    does. Kept in the cache."""
    knob = KNOBS[name]
    # River's version stands in the lock; ours are not tuned.
    used = {cache.CORE / "detectors" / "river_any.py", cache.HERE / "tuning.py", cache.HERE / "simulated.py"}
    sources = cache.digest(used, name, zone, str(rows))
    path = cache.folder() / f"tuned-{name}-{sources}.json"
    if not path.exists():
        print(f"tuning {name}", file=sys.stderr, flush=True)
        found = _search(name, knob, zone, rows)
        cache.write(path, lambda part: part.write_bytes(orjson.dumps(found)))
    value = orjson.loads(path.read_bytes())
    return None if value is None else f"{name}:{knob.parameter}={value:.3g}"


def _search(name: str, knob: Knob, zone: str, rows: int) -> float | None:
    wanted = TARGET * rows
    careless, careful = log(knob.careless), log(knob.careful)
    for end, right in ((careless, True), (careful, False)):
        if (alarms(_spec(name, knob, end), zone, rows) >= wanted) is not right:
            return None
    for _ in range(HALVINGS):
        middle = (careless + careful) / 2.0
        if alarms(_spec(name, knob, middle), zone, rows) > wanted:
            careless = middle
        else:
            careful = middle
    return exp(careful)


def _spec(name: str, knob: Knob, at: float) -> DetectorSpec:
    return DetectorSpec(name, {**PARAMS.get(name, {}), knob.parameter: exp(at)})

"""FOCuS: what its warm-up hides from the suite over all detectors, and its alarms against every onset."""

from __future__ import annotations

import doctest
import random
from importlib import import_module
from math import log

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.core.detectors import registry
from driftbus.core.detectors.base import Hit
from driftbus.core.detectors.budget import FLOOR, at_least
from driftbus.core.detectors.dispersion import Dispersion
from driftbus.core.detectors.focus_bernoulli import CONSTANT, FocusBernoulli
from driftbus.core.settings import DetectorSpec
from tests.contracts.test_detectors import SPECS, cut, placed, shown

FOCUS = [s for s in SPECS if s.name.startswith("focus")]


@pytest.mark.parametrize("spec", FOCUS, ids=shown)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_what_warms_up_for_long_is_cut_and_restarted_too(spec: DetectorSpec, data: st.DataObject) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    bits = spec.name == "focus_bernoulli" or data.draw(st.booleans())
    values: list[float] = []
    for level, length in ((0.1, 1_500), (0.8, 900), (0.3, 1_200)):
        values += [float(rng.random() < level) if bits else rng.gauss(level, 0.3) for _ in range(length)]
    expected = registry.make(spec).update_block(values)
    assert spec.params.get("mode") == "down" or any(hit.direction > 0 for hit in expected)
    detector, found, offset = registry.make(spec), [], 0
    for block in data.draw(cut(values)):
        found += [placed(hit, offset + hit.index) for hit in detector.update_block(block)]
        offset += len(block)
        state = orjson.loads(orjson.dumps(detector.dump()))
        detector = registry.load(spec, state)
        assert orjson.loads(orjson.dumps(detector.dump())) == state
    assert found == expected


def entropy(ones: int, rows: int) -> float:
    """Greatest log-likelihood of so many ones."""
    return sum(k * log(k / rows) for k in (ones, rows - ones) if k)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), p=st.sampled_from([0.02, 0.1, 0.4]), rise=st.sampled_from([1.5, 2.0, 2.4]))
def test_focus_alarms_where_every_onset_tried_alone_does(seed: int, p: float, rise: float) -> None:
    """No pruned corner and no skipped look hides the first crossing (φ is held at 1, as it is per corner)."""
    rng = random.Random(seed)
    values = [float(rng.random() < (p if i < 700 else min(rise * p, 1.0))) for i in range(1_800)]
    detector = FocusBernoulli(rate=1e-4, mode="up")
    detector._dispersion = Level()
    hits = detector.update_block(values)
    need, sums, first = at_least(1e-4, CONSTANT), [0], None
    for n, value in enumerate(values, 1):
        sums.append(sums[-1] + int(value))
        if not value or n < 512:
            continue
        for onset in range(128, n):
            m, s = n - onset, sums[n] - sums[onset]
            before = sums[onset] / onset
            if s < 3 or s / m - before < max(0.01, 0.1 * before):
                continue
            ratio = entropy(sums[onset], onset) + entropy(s, m) - entropy(sums[n], n)
            if ratio >= max(need - log(m), FLOOR):
                first = n - 1
                break
        if first is not None:
            break
    assert (hits[0].index if hits else None) == first


class Level(Dispersion):
    """Independent rows, known from the beginning."""

    def _refresh(self) -> None:
        self.factor = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.0


@pytest.mark.parametrize("spec", [DetectorSpec("focus_ranks"), DetectorSpec("focus_gaussian")], ids=shown)
@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, -3e6)])
def test_the_unit_of_real_values_changes_no_alarm(spec: DetectorSpec, scale: float, shift: float) -> None:
    rng = random.Random(3)
    values = [rng.gauss(0.0, 1.0) + (1.5 if i >= 2_000 else 0.0) for i in range(2_600)]
    plain = registry.make(spec).update_block(values)
    other = registry.make(spec).update_block([scale * x + shift for x in values])
    assert [(h.index, h.direction, h.since) for h in plain] == [
        (h.index, h.direction, h.since) for h in other
    ]
    assert [h.direction for h in plain][:1] == [1]


def first_alarm(spec: DetectorSpec, values: list[float]) -> int:
    hits: list[Hit] = [h for h in registry.make(spec).update_block(values) if h.index >= 3_000]
    return hits[0].index - 3_000 if hits else len(values) - 3_000


@pytest.mark.parametrize("name", ["focus_bernoulli", "focus_ranks", "focus_gaussian", "adwin"])
def test_a_larger_change_is_found_no_later_on_average(name: str) -> None:
    sizes, means = (0.1, 0.2, 0.4, 0.8), []
    for size in sizes:
        delays = []
        for seed in range(8):
            rng = random.Random(seed)
            rates = [0.1 if i < 3_000 else 0.1 + size for i in range(5_000)]
            bits = [float(rng.random() < rate) for rate in rates]
            values = bits if name in ("focus_bernoulli", "adwin") else [b + rng.gauss(0.0, 0.3) for b in bits]
            delays.append(first_alarm(DetectorSpec(name), values))
        means.append(sum(delays) / len(delays))
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize(
    "name", ["adwin", "focus_bernoulli", "focus_gaussian", "focus_ranks", "page_hinkley"]
)
def test_the_example_in_a_detectors_text_is_so(name: str) -> None:
    module = import_module(f"driftbus.core.detectors.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed

"""One suite of properties over every registered detector."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from driftbus.core.detectors import registry
from driftbus.core.detectors.adwin import Adwin
from driftbus.core.detectors.base import LIMIT, Hit, bernoulli_evidence
from driftbus.core.settings import DetectorSpec

# Every detector with its defaults, and with parameters that make it alarm often and use its other branches.
SPECS = [
    *(DetectorSpec(name) for name in registry.names()),
    DetectorSpec("adwin", {"delta": 0.5, "clock": 3, "max_buckets": 2, "grace_period": 5}),
    DetectorSpec("page_hinkley", {"mode": "up", "threshold": 2.0, "min_instances": 3}),
    DetectorSpec("page_hinkley", {"mode": "down", "threshold": 2.0, "min_instances": 3, "alpha": 0.9}),
    DetectorSpec("page_hinkley", {"mode": "both", "threshold": 0.5, "min_instances": 1, "delta": 0.0}),
    DetectorSpec("focus_bernoulli", {"rate": 0.1, "min_before": 8, "min_errors": 1}),
    DetectorSpec("focus_bernoulli", {"rate": 0.1, "min_before": 8, "mode": "down"}),
    DetectorSpec("focus_gaussian", {"rate": 0.1, "min_before": 4, "min_variance": 0.01}),
    DetectorSpec("focus_gaussian", {"rate": 0.1, "min_before": 4, "mode": "up"}),
    DetectorSpec("focus_ranks", {"rate": 0.01}),
    DetectorSpec("ddm", {"warm_start": 5, "drift_threshold": 1.0}),
    DetectorSpec("eddm", {"warm_start": 3}),
    DetectorSpec("hddm_a", {"two_sided_test": True, "drift_confidence": 0.2}),
    DetectorSpec("hddm_w", {"two_sided_test": True, "drift_confidence": 0.2}),
    DetectorSpec("fhddm", {"sliding_window_size": 10, "short_window_size": 4, "confidence_level": 0.5}),
    DetectorSpec("kswin", {"window_size": 20, "stat_size": 6, "alpha": 0.2}),
    DetectorSpec("dummy", {"trigger_method": "random", "t_0": 20, "w": 5, "seed": 4}),
]
# Dummies alarm by the clock and by chance, and one never does: that is what they are for.
HONEST = [s for s in SPECS if s.name not in ("dummy", "no_drift")]


def shown(spec: DetectorSpec) -> str:
    return spec.name + "".join(f",{k}={v}" for k, v in spec.params.items())


every = pytest.mark.parametrize("spec", SPECS, ids=shown)
honest = pytest.mark.parametrize("spec", HONEST, ids=shown)
quick = settings(max_examples=25, deadline=None)


@st.composite
def signals(draw: Callable[..., Any]) -> list[float]:
    """A few stretches of 0/1 errors or of numbers, each at a level of its own."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    bits = draw(st.booleans())
    values: list[float] = []
    for _ in range(draw(st.integers(1, 4))):
        level, length = draw(st.sampled_from([0.0, 0.05, 0.4, 0.9, 1.0])), draw(st.integers(1, 150))
        values += [float(rng.random() < level) if bits else rng.gauss(level, 0.1) for _ in range(length)]
    return values


anything = st.lists(
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, 1.0, -0.0])),
    max_size=80,
)


@st.composite
def cut(draw: Callable[..., Any], values: list[float]) -> list[list[float]]:
    places = sorted(draw(st.lists(st.integers(0, len(values)), max_size=8)))
    return [values[a:b] for a, b in zip([0, *places], [*places, len(values)], strict=True)]


def singly(spec: DetectorSpec, values: list[float]) -> list[Hit]:
    """The alarms of single updates, with their positions in the whole."""
    detector, hits = registry.make(spec), []
    for index, value in enumerate(values):
        hit = detector.update(value)
        if hit is not None:
            assert hit.index == 0
            hits.append(placed(hit, index))
    return hits


def placed(hit: Hit, index: int) -> Hit:
    return Hit(index, hit.direction, hit.before, hit.after, hit.since, hit.evidence)


@every
@quick
@given(data=st.data())
def test_cuts_and_restarts_change_nothing(spec: DetectorSpec, data: st.DataObject) -> None:
    values = data.draw(st.one_of(signals(), anything))
    expected = singly(spec, values)
    detector, found, offset = registry.make(spec), [], 0
    for block in data.draw(cut(values)):
        found += [placed(hit, offset + hit.index) for hit in detector.update_block(block)]
        offset += len(block)
        if data.draw(st.booleans()):
            state = orjson.loads(orjson.dumps(detector.dump()))
            detector = registry.load(spec, state)
            assert orjson.loads(orjson.dumps(detector.dump())) == state
    assert found == expected


@every
@quick
@given(
    values=anything, place=st.integers(0, 80), odd=st.sampled_from([float("nan"), float("inf"), -1e308 * 10])
)
def test_what_is_not_finite_is_ignored(
    spec: DetectorSpec, values: list[float], place: int, odd: float
) -> None:
    place = min(place, len(values))
    expected = [
        placed(hit, hit.index + (hit.index >= place)) for hit in registry.make(spec).update_block(values)
    ]
    assert registry.make(spec).update_block([*values[:place], odd, *values[place:]]) == expected


@every
@quick
@given(values=st.one_of(signals(), anything))
def test_an_alarm_is_made_of_finite_numbers(spec: DetectorSpec, values: list[float]) -> None:
    for hit in registry.make(spec).update_block(values):
        assert 0 <= hit.index < len(values)
        assert hit.direction in (-1, 0, 1)
        assert all(number - number == 0.0 for number in (hit.before, hit.after, hit.evidence))
        assert hit.evidence >= 0.0
        assert hit.since is None or 0 < hit.since <= hit.index + 1
        assert hit.direction == 0 or (hit.after - hit.before) * hit.direction >= 0.0


@honest
@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, 1 / 3, -7.1, 1e9, 5e-324])
def test_a_constant_never_alarms(spec: DetectorSpec, value: float) -> None:
    assert registry.make(spec).update_block([value] * 1_500) == []


@pytest.mark.parametrize(
    "kind", ["error", "real_error", "loss", "score", "feature", "quality", "challenger_gap", "custom"]
)
def test_the_defaults_find_a_huge_shift_and_keep_still_before(kind: registry.SignalKind) -> None:
    rng = random.Random(21)
    before = [float(rng.random() < 0.1) for _ in range(3_000)]
    after = [float(rng.random() < 0.9) for _ in range(500)]
    for spec in registry.default(kind):
        hits = registry.make(spec).update_block(before + after)
        assert [hit.direction for hit in hits] == [1]
        hit = hits[0]
        assert 3_000 <= hit.index < 3_200
        assert hit.before < 0.2 < hit.after
        assert hit.since is not None
        assert hit.evidence > 5.0


@pytest.mark.parametrize(("name", "river"), [("adwin", drift.ADWIN), ("page_hinkley", drift.PageHinkley)])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_our_own_forms_alarm_exactly_where_rivers_do(name: str, river: Any, data: st.DataObject) -> None:
    if name == "adwin":
        params = {
            "delta": data.draw(st.sampled_from([0.002, 0.1, 0.9])),
            "clock": data.draw(st.sampled_from([1, 5, 32])),
            "max_buckets": data.draw(st.sampled_from([2, 3, 5])),
            "min_window_length": data.draw(st.sampled_from([1, 5])),
        }
    else:
        params = {
            "mode": data.draw(st.sampled_from(["up", "down", "both"])),
            "threshold": data.draw(st.sampled_from([0.0, 0.7, 5.0])),
            "delta": data.draw(st.sampled_from([0.0, 0.005, 2.0])),
            "alpha": data.draw(st.sampled_from([1.0, 1 - 0.0001, 0.9, 0.0])),
            "min_instances": data.draw(st.sampled_from([1, 2, 30])),
        }
    values = data.draw(signals())
    theirs, expected = river(**params), []
    for index, value in enumerate(values):
        theirs.update(value)
        if theirs.drift_detected:
            expected.append(index)
    found = registry.make(DetectorSpec(name, params)).update_block(values)
    assert [hit.index for hit in found] == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_adwins_state_is_the_compiled_windows_own_bytes(data: st.DataObject) -> None:
    detector = Adwin(delta=0.3, max_buckets=data.draw(st.sampled_from([2, 5])))
    params = {"delta": 0.3, "max_buckets": detector._params[2]}
    for values in data.draw(st.lists(signals(), max_size=4)):
        detector.update_block(values)
    again = Adwin.load(orjson.loads(orjson.dumps(detector.dump())), **params)
    assert again._window.__getstate__() == detector._window.__getstate__()


@pytest.mark.parametrize("spec", [s for s in SPECS if s.name != "no_drift"], ids=shown)
@pytest.mark.parametrize(
    "state",
    [
        [],
        {},
        [1, 2, 3],
        [1, 2.0, [], {}],
        "text",
        [[0.0] * 4, [0] * 4, []],
        [0, 0.0, [], {"os": {"object": "os.system"}}],
    ],
)
def test_a_forged_state_is_refused(spec: DetectorSpec, state: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        registry.load(spec, state)


def test_an_object_that_is_not_on_the_list_is_refused_where_one_is_expected() -> None:
    spec = DetectorSpec("ddm")
    state: Any = registry.make(spec).dump()
    state[3]["_p"] = {"object": "subprocess.Popen", "state": {}}
    with pytest.raises(ValueError, match=r"subprocess.Popen"):
        registry.load(spec, state)


def test_a_window_that_does_not_add_up_is_refused() -> None:
    detector = registry.make(DetectorSpec("adwin"))
    detector.update_block([0.5] * 100)
    state = detector.dump()
    state[2][0][1] -= 1
    state[2][0][2].pop()
    state[2][0][3].pop()
    with pytest.raises(ValueError, match="add up"):
        registry.load(DetectorSpec("adwin"), state)


def test_no_state_starts_fresh() -> None:
    for spec in SPECS:
        assert registry.load(spec, None).dump() == registry.make(spec).dump()


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("adwim", {}, "adwin"),
        ("adwin", {"dleta": 0.1}, "delta"),
        ("adwin", {"delta": 2.0}, "adwin: delta=2.0 cannot be used"),
        ("adwin", {"delta": "small"}, "delta must be a number"),
        ("adwin", {"delta": float("nan")}, "delta must be finite"),
        ("adwin", {"clock": 1.5}, "clock must be a whole number"),
        ("adwin", {"clock": 0}, "clock"),
        ("adwin", {"max_buckets": 1}, "max_buckets"),  # River's compiled window panics
        ("adwin", {"max_buckets": 10**9}, "max_buckets"),
        ("adwin", {"grace_period": 2**40}, "grace_period"),
        ("page_hinkley", {"mode": "sideways"}, "mode"),
        ("page_hinkley", {"min_instances": 0}, "min_instances"),
        ("page_hinkley", {"alpha": 1.1}, "alpha"),
        ("page_hinkley", {"threshold": -1.0}, "threshold"),
        ("kswin", {"alpha": 3.0}, "Alpha"),
        ("kswin", {"window": 3}, "window"),
        ("kswin", {"window_size": 5}, "stat_size"),
        ("kswin", {"seed": "x"}, "seed"),
        ("kswin", {"alpha": [0.1]}, "alpha must be a number"),
        ("fhddm", {"sliding_window_size": 0}, "sliding_window_size"),
        ("fhddm", {"short_window_size": 200}, "short_window_size"),
        ("ddm", {"warm_start": -1}, "warm_start"),
        ("hddm_a", {"two_sided_test": 1}, "true or false"),
        ("dummy", {"trigger_method": "random"}, "'w'"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        registry.make(DetectorSpec(name, params))


@given(n=st.integers(1, 10**6), m=st.integers(1, 10**6), p=st.floats(-1, 2), q=st.floats(-1, 2))
def test_evidence_is_never_negative_and_none_for_one_level(n: int, m: int, p: float, q: float) -> None:
    assert 0.0 <= bernoulli_evidence(n, p, m, q) <= (n + m) * 0.7  # at most ln 2 a value
    assert bernoulli_evidence(n, p, m, p) < 1e-6


def test_a_value_beyond_the_bound_counts_as_the_bound() -> None:
    for spec in (DetectorSpec("adwin"), DetectorSpec("page_hinkley")):
        huge, bound = registry.make(spec), registry.make(spec)
        huge.update_block([0.5, 1e300])
        bound.update_block([0.5, LIMIT])
        assert huge.dump() == bound.dump()

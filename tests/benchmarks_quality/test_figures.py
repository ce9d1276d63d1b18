"""The oracle against simulation, intervals against published values, models against what they can know."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.quality import oracle
from benchmarks.quality.layout import rate, share
from benchmarks.quality.models import Linear, Tree
from benchmarks.quality.poisson import rate_interval, share_interval
from benchmarks.quality.results import put
from benchmarks.quality.simulated import bernoulli, bernoulli_null, course, dependent, twice


def test_the_oracle_is_as_rare_and_as_fast_as_computed() -> None:
    p0, p1 = 0.05, 0.125
    rng = np.random.default_rng(7)
    h = oracle.threshold(p0, p1, 5_000.0)
    calm = (rng.random(1_500_000) < p0).astype(float)
    # Some 300 alarms: a standard error of 6 %.
    assert 1_500_000 / len(oracle.alarms(calm, p0, p1, h)) == pytest.approx(5_000, rel=0.2)
    delays = []
    for _ in range(300):
        signal = (rng.random(3_000) < np.repeat((p0, p1), (1_000, 2_000))).astype(float)
        after = [row for row in oracle.alarms(signal, p0, p1, h) if row >= 1_000]
        delays.append(after[0] - 1_000)
    assert np.mean(delays) == pytest.approx(oracle.mean_delay(p0, p1, 5_000.0), rel=0.12)


def test_the_oracle_s_alarms_are_those_of_the_recursion() -> None:
    p0, p1, h = 0.1, 0.3, 3.0
    signal = (np.random.default_rng(1).random(5_000) < 0.2).astype(float)
    up, down = np.log(p1 / p0), np.log((1 - p1) / (1 - p0))
    level, expected = 0.0, []
    for row, error in enumerate(signal):
        level = max(0.0, level + (up if error else down))
        if level >= h:
            expected.append(row)
            level = 0.0
    assert oracle.alarms(signal, p0, p1, h) == expected
    assert len(expected) > 50
    for row, onset in zip(expected, oracle.onsets(signal, p0, p1, expected), strict=True):
        assert onset <= row
        assert signal[onset] == 1.0


def test_the_intervals_are_exact() -> None:
    # Garwood's table: 0 events [0, 3.689], 5 events [1.623, 11.668].
    assert rate_interval(0, 1_000_000, 1_000_000) == pytest.approx((0.0, 0.0, 3.689), abs=1e-3)
    assert rate_interval(5, 1_000_000, 1_000_000) == pytest.approx((5.0, 1.623, 11.668), abs=1e-3)
    assert share_interval(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert share_interval(10, 10) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert rate(20, 1_000_000) == "2.00 [1.22, 3.09]"
    assert rate(0, 1_000_000) == "0 [0, .37]"
    assert (share(0.9123), share(1.0), share(None)) == (".912", "1.000", "–")


def test_streams_are_what_they_say() -> None:
    assert bernoulli("development", 0.1, "large", "step", 0, 1).signal[10_000:].mean() == pytest.approx(
        0.4, abs=0.02
    )
    again = bernoulli("development", 0.1, "large", "step", 0, 1).signal
    assert (again == bernoulli("development", 0.1, "large", "step", 0, 1).signal).all()
    assert (again != bernoulli("confirmation", 0.1, "large", "step", 0, 1).signal).any()
    assert bernoulli_null("development", 0.2, 50_000, 0).signal.mean() == pytest.approx(0.2, abs=0.01)
    line, smooth = course("linear", 2_000, 25_000), course("sigmoid", 2_000, 25_000)
    assert (line[10_000], line[11_000], line[12_000]) == (0.0, 0.5, 1.0)
    assert (smooth[10_000], smooth[11_000]) == pytest.approx((0.119, 0.5), abs=1e-3)
    assert [change.start for change in twice("development", 0.05, "medium", 3_000, 0).changes] == [
        10_000,
        13_000,
    ]
    for kind, lag in (("AR(.9)", 0.9), ("AR(.5)", 0.5), ("bursty 0/1", 0.5)):
        signal = dependent("development", kind, 0, 100_000).signal
        centred = signal - signal.mean()
        assert (centred[1:] * centred[:-1]).mean() / centred.var() == pytest.approx(lag, abs=0.03), kind


def test_the_models_learn_what_they_can() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((3_000, 2))
    curve = (x[:, 1] > 0.5 + 0.3 * np.sin(6 * x[:, 0])).astype(int)
    line = (x[:, 1] > x[:, 0]).astype(int)
    tree = Tree(x[:2_000], np.eye(2)[curve[:2_000]])
    assert (np.argmax(tree.scores(x[2_000:]), 1) == curve[2_000:]).mean() > 0.92
    linear = Linear(x[:2_000], np.eye(2)[line[:2_000]], True)
    assert (np.argmax(linear.scores(x[2_000:]), 1) == line[2_000:]).mean() > 0.97
    amounts = (3.0 * x[:, :1] - 2.0 * x[:, 1:]) + 5.0
    assert Linear(x, amounts, False).scores(x) == pytest.approx(amounts + 0.0, abs=0.01)


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    page = "# Results\n\n## Speed\n\nfast\n\n## Detection: old\n\nold\n\n### part\n\n## After\n\nlast\n"
    new = put("new\n", "## Detection", page)
    assert new == "# Results\n\n## Speed\n\nfast\n\n## Detection\n\nnew\n\n## After\n\nlast\n"
    assert put("newer", "## Detection", new) == new.replace("new", "newer")
    assert put("x", "## Detection", "# Results\n") == "# Results\n\n## Detection\n\nx\n"

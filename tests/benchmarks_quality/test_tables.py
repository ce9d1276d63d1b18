"""Tables of results made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks.quality import cache, goals, oracle
from benchmarks.quality.__main__ import chosen, failures
from benchmarks.quality.contenders import PRODUCT, Dummy, Seen, named
from benchmarks.quality.matching import Change, Episode
from benchmarks.quality.runs import Cell, Run, run_all
from benchmarks.quality.suites import s1, s1b, s6
from benchmarks.quality.suites.plan import Plan
from benchmarks.quality.utility import Periodic, gains

START = 10_000
PLAN = Plan(chosen("driftbus", True), "development", True, 1)


def run(
    *episodes: Episode, kind: str = "sudden", width: int = 1, first: int | None = None, alarms: int = 0
) -> Run:
    """A stream with one change, and what was told of it."""
    seen = Seen("s", 25_000, alarms or len(episodes), 0.0, list(episodes), [first])
    return Run(seen, True, (Change(START, START + width, kind=kind),), (), 5_000)


def test_delays_are_divided_by_the_oracle_s() -> None:
    p0, size = 0.05, "medium"
    theirs = oracle.mean_delay(p0, 2.5 * p0, 1e5)
    results = {
        (PRODUCT, Cell("s1", (p0, size, "step", 0))): [run(first=100), run(first=None), run(first=9_000)]
    }
    mean = (100 + 5_000 + 5_000) / 3
    assert s1.ratio(results, PRODUCT, size, 1e5).startswith(f"{mean / theirs:.2f} ± ")
    assert s1.ratio(results, PRODUCT, "small", 1e5) == "–"


def test_nulls_of_the_product_count_every_category() -> None:
    quality = Episode(5, category="quality")
    results = {
        (PRODUCT, Cell("s1 null", (0.05, 250_000))): [run(quality), run()],
        (PRODUCT, Cell("s1b", (0.05, "large", 3_000))): [run(quality, Episode(START + 5))],
    }
    assert s1.null_rate(results, PRODUCT) == (1, 50_000)
    assert "| driftbus | – | 1.000 | – | 0 / 0 / 0 |" in s1b.report(PLAN, results)


@pytest.mark.parametrize(
    ("kinds", "determined", "right"),
    [
        (["sudden", "sudden", "gradual", "undetermined"], 0.75, 2 / 3),
        (["undetermined"], 0.0, None),
        # Whether it was known before is another question.
        (["recurrent", "sudden"], 0.5, 1.0),
    ],
)
def test_kinds_are_right_or_wrong_or_not_told(
    kinds: Sequence[str], determined: float, right: float | None
) -> None:
    runs = [run(Episode(START + 9, kind=kind, last_kind="gradual")) for kind in kinds]
    assert s6.told(s6.pairs(runs)) == (determined, right)
    assert s6.told(s6.pairs(runs), last=True) == (1.0, 0.0)


def test_a_staircase_is_no_step() -> None:
    assert s6.told(s6.pairs([run(Episode(START + 9, kind="incremental"))])) == (1.0, 0.0)
    assert s6.told(s6.pairs([run(Episode(START + 9, kind="incremental"), kind="gradual", width=2_000)])) == (
        1.0,
        1.0,
    )


def test_goals_are_met_or_not() -> None:
    good = {(PRODUCT, Cell("s1b", (0.05, "large", 3_000))): [run(Episode(START + 9))]}
    assert "| 1.000 | yes |" in goals.report(PLAN, good, ["s1b"])
    bad = {(PRODUCT, Cell("s1b", (0.05, "large", 3_000))): [run(Episode(9))]}
    assert "| .000 | **no** |" in goals.report(PLAN, bad, ["s1b"])


def test_gains_are_over_as_many_periodic_retrains_and_over_none() -> None:
    seen = Seen("s", 1_000, 2, 0.0, rights=[900, 850, 700])
    assert gains([seen]) == ([0.05], [0.2])


def test_periodic_retrains_lie_at_equal_distances() -> None:
    import numpy as np

    asks = Periodic(3, 1_000, 9_000)
    windows = [(start, asks.take(start, np.zeros(100), [])) for start in range(1_000, 9_000, 100)]
    assert [start + 100 for start, window in windows if window] == [3_000, 5_000, 7_000]
    assert [window for _, window in windows if window] == [(1_000, 3_000), (3_000, 5_000), (5_000, 7_000)]


def test_what_was_run_is_kept_and_read_back(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cell = Cell("s1", (0.05, "large", "sigmoid", 2_000), (0, 1))
    tasks = [("every 5,000", cell), ("adwin:delta=0.1", cell)]
    computed = run_all(tasks, "development", 1)
    assert len(list(cache.folder().iterdir())) == 2
    assert run_all(tasks, "development", 1) == computed
    dummy = computed["every 5,000", cell][0]
    assert [episode.start for episode in dummy.seen.episodes] == [4_999, 9_999, 14_999, 19_999, 24_999]
    assert isinstance(named("every 5,000"), Dummy)
    score = dummy.score()
    assert (len(score.pairs), score.early, score.duplicates) == (1, 1, 3)


def test_streams_that_went_wrong_are_named() -> None:
    cell = Cell("s1b", (0.05, "large", 3_000))
    found = {(PRODUCT, cell): [run(Episode(START + 9)), run(Episode(9))]}
    (line,) = failures(found)
    assert line == "driftbus, s1b, s: changes [10000], episodes [(9, None, 'concept', None)]"

"""Truth files, and which episode found which change."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftbus.errors import ConfigError
from driftbus.report.truth import Span, match, read_truth

SUDDEN, SLOW = Span(1_000, 1_001, "sudden"), Span(5_000, 7_000, "gradual")


def test_each_change_takes_the_first_episode_in_its_window() -> None:
    found = match([500, 1_100, 1_500, None, 4_000, 9_500], [SUDDEN, SLOW], [], True)
    assert found.found == (1, 4)
    assert found.of == ("elsewhere", "found 1", "again 1", "–", "found 2", "elsewhere")


def test_a_missed_change_is_none() -> None:
    assert match([3_500], [SUDDEN], [], True).found == (None,)


def test_where_nothing_can_be_judged_nothing_is_wrong() -> None:
    others = [Span(1_200, 1_800, None)]
    assert match([1_100, 1_300, 9_000], [SUDDEN], others, True).of == ("found 1", "not judged", "elsewhere")
    assert match([1_100, 9_000], [SUDDEN], [], False).of == ("found 1", "not judged")


def test_times_rows_and_the_file_s_own_name(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(
        '{"a.csv.gz": {"drifts": [[10, 11]], "type": ["sudden"], "use": "drift"},'
        ' "b": {"drifts": [["2026-03-02T00:00:00+01:00", "2026-03-03"]], "categories": ["data"]}}'
    )
    truth = read_truth(path, [tmp_path / "a.csv.gz"])
    named, read = truth.of("b"), truth.of("whatever --stream said")
    assert named is not None
    assert read is not None
    assert (named.changes[0].start, named.categories) == (1_772_406_000_000, {"data"})
    assert (read.changes[0].kind, truth.rows("a")) == ("sudden", {10, 11})
    assert read_truth(path, [tmp_path / "a.csv", tmp_path / "c.csv"]).of("c") is None


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", '{"a": 1}', '{"a": {"drifts": [1]}}', '{"a": {"drifts": [[1, "2026-01-01"]]}}',
     '{"a": {"drifts": [[5, 1]]}}', '{"a": {"drifts": [["yesterday", "today"]]}}',
     '{"a": {"drifts": {"b": 1}}}'],
)  # fmt: skip
def test_another_form_is_refused_with_the_right_one(text: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="drifts"):
        read_truth(path, [])

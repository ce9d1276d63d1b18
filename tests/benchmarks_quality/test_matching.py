"""The protocol's rules on cases made by hand."""

from __future__ import annotations

import numpy as np
from benchmarks.quality.contenders import first_after
from benchmarks.quality.matching import Change, Episode, Score, match, merged
from benchmarks.quality.stream import Stream

SUDDEN = Change(1_000, 1_001)
SMOOTH = Change(1_000, 2_000, smooth=True)


def at(*rows: int) -> list[Episode]:
    return [Episode(row) for row in rows]


def starts(episodes: list[Episode]) -> list[int]:
    return [episode.start for episode in episodes]


def counts(score: Score) -> tuple[int, int, int, int]:
    """Found, missed, early, duplicates."""
    return len(score.pairs), len(score.missed), score.early, score.duplicates


def test_alarms_close_to_the_last_one_join_however_long_that_goes_on() -> None:
    rows = [100, 2_100, 4_100, 6_101]
    assert starts(merged(rows, [None] * 4, 2_000, ())) == [100, 6_101]
    assert starts(merged(rows, [None] * 4, 500, ())) == rows


def test_the_onset_is_that_of_the_first_alarm() -> None:
    (episode,) = merged([100, 150], [90, 20], 2_000, ())
    assert episode.onset == 90


def test_a_replacement_closes_an_episode() -> None:
    assert starts(merged([100, 149, 150, 151], [None] * 4, 2_000, (150,))) == [100, 150]


def test_a_sudden_change_is_found_from_its_start_until_the_longest_delay() -> None:
    for row, found in ((999, False), (1_000, True), (6_001, True), (6_002, False)):
        score = match(at(row), (SUDDEN,), (), 5_000)
        assert (len(score.pairs) == 1) is found, row


def test_before_the_change_is_early_after_it_a_duplicate() -> None:
    score = match(at(10, 900, 1_200, 4_000, 9_000), (SUDDEN,), (), 5_000)
    assert counts(score) == (1, 0, 2, 2)
    assert score.delays(5_000) == [200]
    assert score.f1 == 2 / (2 + 4)


def test_a_miss_counts_as_the_longest_delay() -> None:
    score = match(at(10), (SMOOTH,), (), 5_000)
    assert counts(score) == (0, 1, 1, 0)
    assert score.delays(5_000) == [6_000]
    assert score.f1 == 0.0


def test_the_window_of_a_smooth_change_opens_before_its_start() -> None:
    for opening, row, found in (
        (0.0, 999, False),
        (0.0, 1_000, True),
        (0.5, 499, False),
        (0.5, 500, True),
        (0.65, 350, True),
        (1.0, 0, True),
    ):
        score = match(at(row), (SMOOTH,), (), 5_000, opening)
        assert (len(score.pairs) == 1) is found, (opening, row)
    assert match(at(350), (SMOOTH,), (), 5_000).delays(5_000) == [-650]


def test_a_line_and_a_step_do_not_open_early() -> None:
    line = Change(1_000, 2_000)
    assert counts(match(at(999), (line,), (), 5_000, 1.0)) == (0, 1, 1, 0)


def test_the_window_ends_before_the_replacement() -> None:
    assert counts(match(at(2_999), (SUDDEN,), (3_000,), 5_000)) == (1, 0, 0, 0)
    # The new model's episode is no late finding of what happened to the old one, and no duplicate of it.
    assert counts(match(at(3_000), (SUDDEN,), (3_000,), 5_000)) == (0, 1, 1, 0)
    assert counts(match(at(1_500, 3_500), (SUDDEN,), (3_000,), 5_000)) == (1, 0, 1, 0)


def test_each_of_two_changes_takes_one_episode() -> None:
    two = (SUDDEN, Change(2_000, 2_001))
    assert counts(match(at(1_100, 2_100), two, (), 5_000)) == (2, 0, 0, 0)
    assert counts(match(at(1_100), two, (), 5_000)) == (1, 1, 0, 0)
    assert counts(match(at(1_100, 2_100, 2_500), two, (), 5_000)) == (2, 0, 0, 1)
    # The second episode comes after the second change has begun, and the first change's window is still open.
    score = match(at(2_100, 2_200), two, (), 5_000)
    assert [change.start for change, _ in score.pairs] == [1_000, 2_000]


def test_the_episode_goes_to_the_window_that_closes_first() -> None:
    wide, narrow = Change(1_000, 4_000), Change(2_000, 2_001)
    score = match(at(2_500, 8_000), (wide, narrow), (), 5_000)
    assert counts(score) == (2, 0, 0, 0)
    assert [(change.start, episode.start) for change, episode in score.pairs] == [
        (2_000, 2_500),
        (1_000, 8_000),
    ]


def test_what_does_not_count_is_neither_right_nor_false() -> None:
    faint = Change(1_000, 1_001, counts=False)
    assert counts(match(at(1_200, 1_300), (faint,), (), 5_000)) == (0, 0, 0, 0)
    assert counts(match(at(900), (faint,), (), 5_000)) == (0, 0, 1, 0)
    both = (SUDDEN, Change(2_000, 2_001, counts=False))
    assert counts(match(at(1_100, 2_100), both, (), 5_000)) == (1, 0, 0, 0)


def test_onset_errors_as_first_told_and_as_told_in_the_end() -> None:
    told = [Episode(1_200, onset=990, last_onset=1_002)]
    score = match(told, (SUDDEN,), (), 5_000)
    assert (score.onset_errors(), score.onset_errors(last=True)) == ([10], [2])
    assert match(at(1_200), (SUDDEN,), (), 5_000).onset_errors() == []


def test_scores_of_streams_add_up() -> None:
    total = Score()
    total.add(match(at(1_100), (SUDDEN,), (), 5_000))
    total.add(match(at(900), (SUDDEN,), (), 5_000))
    assert counts(total) == (1, 1, 1, 0)
    assert total.f1 == 0.5
    assert Score().f1 is None


def test_the_first_alarm_after_a_change_does_not_care_for_episodes() -> None:
    two = (SUDDEN, Change(2_000, 2_001))
    stream = Stream("s", np.zeros(5_000), True, two, replaced=(1_500,))
    assert first_after(stream, [900, 1_004, 1_007, 2_000]) == [4, 0]
    assert first_after(stream, [900, 1_500]) == [None, None]

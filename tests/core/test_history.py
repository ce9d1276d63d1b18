"""The history of a version: exact windows in any label order, no matter where blocks were cut."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.classes import OTHER_CLASSES, label_text
from driftbus.core.history import BIN_ROWS, History
from driftbus.core.packed import pack, unpack, unpack_arrays

Row = tuple[int, int, float, object]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows with rising, gappy seqs, times in order, jittered or backwards, and mostly 0/1 values."""
    count = draw(st.integers(0, 900))
    order = draw(st.sampled_from(["in order", "jittered", "backlog"]))
    random = Random(draw(st.integers(0, 10**9)))
    binary = draw(st.booleans())
    seq = draw(st.integers(0, 5))
    out: list[Row] = []
    for index in range(count):
        seq += random.choice([1, 1, 3])
        ts = {
            "in order": index * 10,
            "jittered": index * 10 + random.randrange(300),
            "backlog": 9000 - index,
        }[order]
        value = (
            float(random.random() < 0.3)
            if binary
            else random.gauss(1.0, 2.0) * 10 ** random.choice([0, 0, 200])
        )
        out.append((seq, 1_700_000_000_000 + ts, value, random.choice([1, 0, 0, "1", True, "no", None, 2.5])))
    return out


def fill(history: History, block: list[Row]) -> None:
    seqs, tss, values, labels = zip(*block, strict=True) if block else ((), (), (), ())
    history.extend(seqs, tss, values, labels)


@given(rows(), st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_where_blocks_are_cut_changes_nothing(data: list[Row], cuts: list[int]) -> None:
    whole, parts = History(), History()
    fill(whole, data)
    at = step = 0
    while at < len(data):
        size = cuts[step % len(cuts)]
        fill(parts, data[at : at + size])
        at, step = at + size, step + 1
    assert whole.dump() == parts.dump()


@given(rows(), st.integers(0, 2000), st.data())
def test_a_window_is_exact_in_any_label_order(data: list[Row], start: int, draw: st.DataObject) -> None:
    history = History()
    fill(history, data)
    window = history.window(start)
    if not data:
        assert window.rows == 0
        assert window.start_seq == window.end_seq
        return
    inside = [row for row in data if window.start_seq <= row[0] < window.end_seq]
    assert data[-1][0] + 1 == window.end_seq
    assert window.rows == len(inside)
    assert window.start_ts == min(row[1] for row in inside)
    assert window.end_ts == max(row[1] for row in inside)
    assert window.onset_ts == inside[0][1]
    assert window.rows_since_onset == sum(row[1] >= inside[0][1] for row in inside)
    counts: dict[str, int] = {}
    texts: dict[object, str] = {}
    for row in data:
        if row[3] is not None:
            texts.setdefault(row[3], label_text(row[3]) or "")
    for row in inside:
        if row[3] is not None:
            counts[texts[row[3]]] = counts.get(texts[row[3]], 0) + 1
    assert window.class_counts == counts


@given(rows(), st.integers(0, 900), st.booleans())
def test_without_windows_the_bins_are_the_same(data: list[Row], cut: int, restored: bool) -> None:
    full, plain = History(), History(windows=False)
    for one in (full, plain):
        fill(one, data)
        one.cut(cut)
    if restored:
        plain = History.load(orjson.loads(orjson.dumps(plain.dump())))
    for mine, theirs in zip(full.columns(), plain.columns(), strict=True):
        assert mine.tolist() == theirs.tolist()
    assert full.rows_ago(cut) == plain.rows_ago(cut)
    with pytest.raises(ValueError, match="without windows"):
        plain.window()


@given(rows(), rows(), st.integers(0, 900))
def test_restored_from_json_it_goes_on_alike(before: list[Row], after: list[Row], cut: int) -> None:
    history = History()
    fill(history, before)
    history.cut(cut)
    restored = History.load(orjson.loads(orjson.dumps(history.dump())))
    shift = history.end_seq
    for one in (history, restored):
        fill(one, [(seq + shift, ts, value, label) for seq, ts, value, label in after])
        one.correct(shift + 3, 1.0, 0.0)
    assert history.dump() == restored.dump()
    assert history.window(cut) == restored.window(cut)
    for mine, theirs in zip(history.columns(), restored.columns(), strict=True):
        assert mine.tolist() == theirs.tolist()


def test_memory_and_snapshot_stay_small() -> None:
    history = History()
    count = 100_000
    history.extend(
        range(count),
        range(0, count * 60_000, 60_000),
        [float(index % 11 == 0) for index in range(count)],
        [index % 3 == 0 for index in range(count)],
    )
    columns = history.columns()
    assert len(columns.n) < 260
    assert columns.n.sum() == history.rows == history.seen == count
    assert len(orjson.dumps(history.dump())) < 3_200
    distance = columns.n[::-1].cumsum()
    assert (columns.n[::-1] <= BIN_ROWS + distance / 8).all()  # fine near the end, coarser further back


def test_a_correction_puts_the_sums_right_and_leaves_the_classes() -> None:
    history = History()
    history.extend(range(100), range(100), [0.0] * 100, [0] * 100)
    history.correct(17, 0.0, 1.0)
    history.correct(500, 0.0, 1.0)  # not here
    columns = history.columns()
    assert columns.total.tolist() == [0, 0, 1] + [0] * 10
    assert columns.squares.tolist() == columns.total.tolist()
    assert history.window().class_counts == {"0": 100}


def test_classes_beyond_the_limit_are_counted_together() -> None:
    history = History(max_classes=3)
    history.extend(range(10), range(10), [0.0] * 10, [*range(10)])
    assert history.window().class_counts == {"0": 1, "1": 1, "2": 1, OTHER_CLASSES: 7}


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (2.5, "2.5"),
        ("x", "x"),
        (None, None),
        ({}, None),
    ],
)
def test_labels_as_text(label: object, text: str | None) -> None:
    assert label_text(label) == text


def test_true_one_and_one_point_zero_are_one_class_named_by_the_first() -> None:
    history = History()
    history.extend(range(4), range(4), [0.0] * 4, [True, 1, 1.0, "1"])
    assert history.window().class_counts == {"true": 3, "1": 1}


def test_cut_begins_a_new_reference() -> None:
    history = History()
    history.extend(range(1000), range(1000), [0.0] * 1000)
    history.cut(900)
    window = history.window()
    assert window.start_seq >= 900
    assert window.rows == history.rows == 1000 - window.start_seq
    assert history.seen == 1000
    history.cut(5000)
    assert history.window().rows > 0  # the newest bin always stays


def test_places_by_rows_and_by_time() -> None:
    history = History()
    assert history.rows_ago(5) == (0, 0)
    assert history.oldest_ts is None
    assert history.window_since(0).rows == 0
    history.extend(range(0, 2000, 2), range(0, 10_000, 10), [0.0] * 1000)
    seq, ts = history.rows_ago(40)
    assert (seq, ts) == (1920, 9600)
    assert history.oldest_ts == history.rows_ago(10_000)[1] == 0
    since = history.window_since(9_555)
    assert since.onset_ts == 9_600
    assert since.rows == 40
    assert history.window_since(10_000).rows == 0


@given(st.lists(st.lists(st.integers() | st.integers(-200, 200))))
def test_packed_integers_come_back(columns: list[list[int]]) -> None:
    assert unpack(pack(columns)) == columns
    fits = [column for column in columns if all(-(1 << 63) <= number < 1 << 63 for number in column)]
    text = pack(fits)
    assert pack([np.array(column, np.int64) for column in fits]) == text
    assert [column.tolist() for column in unpack_arrays(text)] == fits


@given(st.text(max_size=40))
def test_any_text_unpacks_or_is_refused(text: str) -> None:
    try:
        unpack(text)
    except ValueError:
        return
    assert pack(unpack(text))


@pytest.mark.parametrize("seed", range(20))
def test_long_blocks_of_counts_equal_their_rows(seed: int) -> None:
    """Whole bins are added at once where rows come in order; late rows among them, and new classes."""
    rng = Random(seed)
    windows, count = seed % 2 == 0, rng.randint(1, 600)
    block, single = History(5, windows), History(5, windows)
    tss = sorted(rng.randint(0, 10**6) for _ in range(count))
    for _ in range(seed % 3):
        tss[rng.randrange(count)] = rng.randint(0, 10**6)
    values = None if seed % 5 == 0 else [rng.choice([0, 1, 0.0, 1.0]) for _ in range(count)]
    labels = (
        None if seed % 4 == 0 else [rng.choice([0, 1, True, "x", None, 2, 3, 4, 6.0]) for _ in range(count)]
    )
    start = 0
    while start < count:
        part = slice(start, start + rng.choice([1, 5, 8, 30, 200]))
        these: list[Any] = [None if column is None else column[part] for column in (values, labels)]
        block.extend(range(start, start + len(tss[part])), tss[part], *these)
        start = part.stop
    for i in range(count):
        row: list[Any] = [None if column is None else [column[i]] for column in (values, labels)]
        single.extend([i], [tss[i]], *row)
    assert orjson.dumps(block.dump()) == orjson.dumps(single.dump())

"""Places of rows: the same wherever blocks are cut, restorable, and those that a history would give."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from driftbus.core.history import History
from driftbus.core.places import Places

blocks = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 3000)), max_size=30)


@given(blocks, st.lists(st.integers(0, 50_000), max_size=20))
def test_places_are_those_of_a_history_however_blocks_are_cut(sizes: list[int], ago: list[int]) -> None:
    places, whole, history = Places(), Places(), History()
    seqs = [3 * index + index % 2 for index in range(sum(sizes))]
    tss = [1_700_000_000_000 + index * 10 - (index * 7919) % 500 for index in range(sum(sizes))]
    start = 0
    for size in sizes:
        places.extend(seqs[start : start + size], tss[start : start + size])
        start += size
        if size % 3 == 0:
            places = Places.load(orjson.loads(orjson.dumps(places.dump())))
    whole.extend(tuple(seqs), tuple(tss))
    history.extend(seqs, tss, [0.0] * len(seqs))
    assert places.dump() == whole.dump()
    assert places.seen == history.seen
    for count in [0, 1, 8, 9, *ago]:
        assert places.rows_ago(count) == history.rows_ago(count)


def test_memory_and_snapshot_stay_small() -> None:
    places = Places()
    places.extend(range(1_000_000), range(0, 1_000_000_000, 1_000))
    assert len(orjson.dumps(places.dump())) < 1_500

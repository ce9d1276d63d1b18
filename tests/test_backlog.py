"""What is read ahead waits: nothing is lost or reordered, and topics are folded up to the same time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus import backlog
from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.backlog import SLACK_MS, STALLED_S, Backlog, LagMeter
from driftbus.errors import Unavailable
from driftbus.intake import INPUTS
from driftbus.ports import Record, TopicPartition, TopicSpec

SHORT = {f"t.{name}": name for name in INPUTS}
NOW_MS = 1_767_225_600_000


def record(topic: str, partition: int, offset: int, ts: int) -> Record:
    return Record(f"t.{topic}", partition, offset, b"k", b"v", (), ts)


def begun(*partitions: int) -> Backlog:
    backlog = Backlog(SHORT)
    for partition in partitions:
        backlog.start(partition, 0.0)
    return backlog


polls = st.lists(
    st.lists(
        st.tuples(st.sampled_from(INPUTS), st.integers(0, 1), st.integers(0, 20_000), st.integers(1, 30)),
        max_size=5,
    ),
    max_size=12,
)


@given(polls, st.data())
def test_every_record_comes_once_in_its_order(
    drawn: list[list[tuple[str, int, int, int]]], data: st.DataObject
) -> None:
    backlog = begun(0, 1)
    next_offset = {(topic, p): 0 for topic in INPUTS for p in (0, 1)}
    taken: dict[tuple[str, int], list[int]] = {key: [] for key in next_offset}

    def take(ended: set[str]) -> None:
        for p in backlog.partitions():
            for topic, rows in backlog.take(p, ended.__contains__, 1.0, NOW_MS).items():
                assert rows
                taken[topic, p] += [row.offset for row in rows]

    for poll in drawn:
        batch = []
        for topic, p, ago_ms, length in poll:
            first = next_offset[topic, p]
            next_offset[topic, p] += length
            batch += [record(topic, p, first + i, NOW_MS - ago_ms + i) for i in range(length)]
        backlog.add(batch, 1.0)
        take(data.draw(st.sets(st.sampled_from(INPUTS))))
    for key, n in next_offset.items():
        assert taken[key] + list(range(len(taken[key]), n)) == list(range(n))
        assert backlog.count(key[1], key[0]) == n - len(taken[key])
    take(set(INPUTS))
    assert {key: len(offsets) for key, offsets in taken.items()} == next_offset
    assert backlog.partitions() == []


def at(topic: str, *ago_s: int) -> list[Record]:
    return [record(topic, 0, i, NOW_MS - 1000 * ago) for i, ago in enumerate(ago_s)]


def count(taken: dict[str, list[Record]]) -> dict[str, int]:
    return {topic: len(rows) for topic, rows in taken.items()}


def test_labels_wait_for_predictions_of_their_time() -> None:
    backlog = begun(0)
    backlog.add(at("labels", 900, 800, 700, 600, 500), 1.0)
    ended = {"model-events"}.__contains__
    assert backlog.take(0, ended, 1.0, NOW_MS) == {}
    backlog.add(at("predictions", 900, 700), 1.0)
    assert count(backlog.take(0, ended, 1.0, NOW_MS)) == {"predictions": 2, "labels": 3}
    assert backlog.take(0, ended, 1.0, NOW_MS) == {}
    assert backlog.count(0, "labels") == 2
    assert count(backlog.take(0, {"model-events", "predictions"}.__contains__, 1.0, NOW_MS)) == {"labels": 2}


def test_a_topic_that_does_not_answer_holds_nobody_back_for_ever() -> None:
    backlog = begun(0)
    backlog.add(at("labels", 900), 0.0)
    ended = {"model-events"}.__contains__
    assert backlog.take(0, ended, STALLED_S, NOW_MS) == {}
    backlog.add(at("labels", 800), STALLED_S)
    assert count(backlog.take(0, ended, STALLED_S + 0.1, NOW_MS)) == {"labels": 2}


def test_live_records_and_clocks_that_are_ahead_wait_for_nobody() -> None:
    backlog = begun(0)
    hour = 3_600_000
    backlog.add([record("labels", 0, 0, NOW_MS + hour), record("labels", 0, 1, NOW_MS + 2 * hour)], 1.0)
    backlog.add([record("predictions", 0, 0, NOW_MS - SLACK_MS // 2)], 1.0)
    taken = backlog.take(0, {"model-events"}.__contains__, 1.0, NOW_MS)
    assert count(taken) == {"labels": 2, "predictions": 1}


def test_a_partition_that_went_away_is_forgotten() -> None:
    backlog = begun(0)
    backlog.add(at("labels", 5), 1.0)
    backlog.drop(0)
    assert backlog.partitions() == []
    backlog.start(0, 2.0)
    assert backlog.take(0, lambda topic: True, 2.0, NOW_MS) == {}


class Away(EmbeddedBus):
    """Its ends are not to be had for a while."""

    away = False

    def end_offset(self, topic: str, partition: int, *, committed: bool) -> int:
        if self.away:
            raise Unavailable("the broker is away")
        return super().end_offset(topic, partition, committed=committed)


def test_the_lag_is_what_was_not_taken_held_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "LAG_EVERY_S", 0.0)
    with closing(Away(tmp_path / "bus")) as bus:
        bus.create_topics([TopicSpec("far", 1), TopicSpec("near", 1)])
        producer = bus.producer()
        for topic, n in (("far", 7), ("near", 2)):
            for _ in range(n):
                assert producer.produce(topic, key=None, value=b"x")
        assert producer.flush(10) == 0
        producer.close(1)
        far, near = TopicPartition("far", 0), TopicPartition("near", 0)
        consumer = bus.consumer("g", ["near"])
        try:
            while not consumer.at_end(near):
                consumer.poll(10, 0.1)
            meter = LagMeter(bus)
            # Nothing of `far` was read: its end is asked for. `near` was, to its end: what is held counts.
            places = [(far, 0, 3), (near, 2, 0)]
            assert list(meter.measure(consumer, places)) == [(far, 4), (near, 2)]
            bus.away = True
            assert list(meter.measure(consumer, [places[1], places[0], places[1]])) == [(near, 2)]
            bus.away = False
            monkeypatch.setattr(backlog, "LAG_EVERY_S", 3_600.0)
            assert list(meter.measure(consumer, places)) == []
        finally:
            consumer.close()

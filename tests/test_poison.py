"""A worker stops rather than drain a topic into the dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.config import Settings
from driftbus.errors import TooManyDeadLetters
from driftbus.poison import MIN_RECORDS, WINDOW, PoisonTally
from driftbus.ports import Bus, TopicPartition
from driftbus.topics import topic_specs
from tests.test_worker import START, Running, pair, read, running, send, settings_of

BAD = {"not_json": 1}


def test_few_records_say_nothing() -> None:
    tally = PoisonTally()
    tally.add("labels", MIN_RECORDS - 1, {"not_json": MIN_RECORDS - 1}, 0.5)
    with pytest.raises(TooManyDeadLetters, match=r"1000 of the last 1000 records of labels.*'not_json'"):
        tally.add("labels", 1, BAD, 0.5)


def test_a_step_that_is_well_does_not_stop_for_what_lies_behind() -> None:
    tally = PoisonTally({"labels": (900, 900)})
    tally.add("labels", 200, {"not_json": 100}, 0.5)
    with pytest.raises(TooManyDeadLetters):
        tally.add("labels", 100, {"not_json": 51}, 0.5)


def test_what_has_no_room_is_no_poison() -> None:
    tally = PoisonTally()
    tally.add("predictions", 5_000, {"stream_limit": 5_000}, 0.5)
    assert tally.counts == {"predictions": (5_000, 0)}


def test_ratio_1_lets_all_pass_and_forgets() -> None:
    tally = PoisonTally({"labels": (5_000, 5_000), "predictions": (10, 1)})
    tally.add("labels", 5_000, {"not_json": 5_000}, 1.0)
    assert tally.counts == {"predictions": (10, 1)}


@given(st.lists(st.tuples(st.integers(0, 3_000), st.floats(0, 1)), max_size=50))
def test_counts_stay_bounded_and_survive_a_dump(steps: list[tuple[int, float]]) -> None:
    tally = PoisonTally()
    for records, share in steps:
        tally = PoisonTally.load(orjson.loads(orjson.dumps(tally.dump())))
        bad = int(records * share)
        before = tally.dump()
        try:
            tally.add("labels", records, {"not_json": bad} if bad else {}, 0.5)
        except TooManyDeadLetters:
            assert tally.dump() == before  # what was not taken is not counted
            continue
        seen, dead = tally.counts["labels"]
        assert 0 <= dead <= seen <= WINDOW


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    settings = settings_of(tmp_path)
    found = EmbeddedBus(settings.embedded_path, partitioner=settings.partitioner)
    found.create_topics(topic_specs(settings, 1))
    yield found
    found.close()


def garbage(bus: Bus, settings: Settings, n: int, topic: str = "predictions") -> None:
    producer = bus.producer()
    for i in range(n):
        assert producer.produce(settings.topics[topic], key=b"s", value=b"{not json %d" % i)
    assert producer.flush(10.0) == 0
    producer.close(5.0)


def letters(bus: Bus, settings: Settings) -> int:
    return len(list(bus.read_from(settings.topics["dead-letters"], 0, 0)))


def committed(bus: Bus, settings: Settings) -> int:
    tp = TopicPartition(settings.topics["predictions"], 0)
    return bus.committed(settings.group, [tp]).get(tp, 0)


def stopped(bus: Bus, settings: Settings) -> None:
    one = Running(bus, settings)
    with pytest.raises(TooManyDeadLetters, match=r"DRIFTBUS_WORKER__MAX_DEAD_LETTER_RATIO=1"):
        one.until(lambda: False)


def test_a_topic_of_poison_stops_the_worker_and_a_restart_stops_again(bus: Bus, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    garbage(bus, settings, 600)
    send(bus, settings, pair("a", START))
    with running(bus, settings) as one:
        one.until(one.all_read)
    assert letters(bus, settings) == 600
    # The 600 of before count, though another worker met them.
    garbage(bus, settings, 500)
    for _ in range(3):
        stopped(bus, settings)
        assert (letters(bus, settings), committed(bus, settings)) == (600, 601)
    assert len(read(bus, settings, "outcomes")) == 1

    # The way past them, as the log says it, and then as before.
    passing = settings_of(tmp_path, worker={"max_dead_letter_ratio": 1})
    with running(bus, passing) as one:
        one.until(one.all_read)
    assert letters(bus, settings) == 1_100
    garbage(bus, settings, 900)
    with running(bus, settings) as one:
        one.until(one.all_read)
    assert letters(bus, settings) == 2_000


def test_late_and_orphan_labels_never_count(bus: Bus, tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, {"join": {"dead_letter_unmatched": True, "horizon": "1h", "grace": "0s"}}
    )
    rows: list[tuple[str, Any, int]] = [
        ("labels", {"prediction_id": f"o{i}", "stream": "s", "ts": START + i, "label": 1}, START)
        for i in range(1_500)
    ]
    send(bus, settings, [*rows, *pair("late", START + 10 * 3_600_000)])
    with running(bus, settings) as one:
        one.until(one.all_read)
        one.until(lambda: letters(bus, settings) == 1_500)
        assert one.worker.tasks[0].poison.counts["labels"] == (1_501, 0)

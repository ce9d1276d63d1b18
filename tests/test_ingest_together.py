"""Two ingest workers of one group on the embedded bus: what moves from one to the other is nobody's twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driftbus.adapters.embedded.bus import EmbeddedBus
from driftbus.errors import Fenced
from driftbus.ingest import Ingest
from driftbus.ports import Consumer, TopicPartition, Transaction
from tests.test_ingest import (
    bus,
    events,
    has_read_all,
    request,
    response,
    running,
    send,
    settings,
    truth,
    wait_until,
)

__all__ = ["bus"]  # the fixture


def test_halves_move_with_their_partitions(bus: EmbeddedBus, tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    send(bus, "ask", *(request(f"r{i}") for i in range(20)))
    with running(bus, chosen, "one") as one:
        wait_until(lambda: len(one.joining.waiting) == 20)
        with running(bus, chosen, "two") as two:
            wait_until(lambda: two.ready and one.ready and 0 < len(two.joining.waiting) < 20)
            wait_until(lambda: len(one.joining.waiting) + len(two.joining.waiting) == 20)
            send(bus, "answer", *(response(f"r{i}") for i in range(20)))
            wait_until(lambda: len(events(bus, "driftbus.predictions")) >= 20)
            wait_until(lambda: len(one.joining.waiting) + len(two.joining.waiting) == 0)
    said = Counter(event["prediction_id"] for event in events(bus, "driftbus.predictions"))
    assert said == Counter(f"r{i}" for i in range(20))


def test_records_that_were_held_when_partitions_moved_are_read_again_and_once(
    bus: EmbeddedBus, tmp_path: Path
) -> None:
    # So long a step gathers that the other one joins in the midst of it.
    chosen = settings(tmp_path, commit_interval="1500ms")
    with running(bus, chosen, "one") as one:
        wait_until(lambda: one.ready and one.counters.rebalances == 1)
        send(bus, "truth", *(truth(f"t{i}") for i in range(30)))
        with running(bus, chosen, "two"):
            wait_until(lambda: one.counters.rebalances == 2)
            wait_until(lambda: has_read_all(bus, "truth"))
    said = Counter(event["prediction_id"] for event in events(bus, "driftbus.labels"))
    assert said == Counter(f"t{i}" for i in range(30))


class Watched(EmbeddedBus):
    """Remembers which positions went along with each transaction."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.sent: list[Mapping[TopicPartition, int]] = []

    def transaction(self, transactional_id: str) -> Transaction:
        made = super().transaction(transactional_id)
        send_offsets = made.send_offsets

        def remembered(consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
            self.sent.append(dict(offsets))
            send_offsets(consumer, offsets)

        made.send_offsets = remembered  # type: ignore[method-assign]
        return made


class Failing(EmbeddedBus):
    """A process that dies when all of a transaction is on its way, but for the commit."""

    def transaction(self, transactional_id: str) -> Transaction:
        made = super().transaction(transactional_id)

        def die() -> None:
            raise Fenced("died")

        made.commit = die  # type: ignore[method-assign]
        return made


def test_what_was_not_committed_was_not_read_either(bus: EmbeddedBus, tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    send(bus, "truth", truth("a"))
    send(bus, "ask", request("a"))
    failing = Failing(tmp_path / "data")
    try:
        with pytest.raises(Fenced, match="died"):
            Ingest(failing, chosen, "one").run()
    finally:
        failing.close()
    partitions = [TopicPartition(topic, p) for topic in ("truth", "ask") for p in range(2)]
    assert bus.committed("driftbus-ingest", partitions) == {}
    with running(bus, chosen, "one") as one:
        send(bus, "answer", response("a"))
        wait_until(lambda: one.published["predictions"] == 1 and one.published["labels"] == 1)
    assert len(events(bus, "driftbus.labels")) == 1


def test_whoever_gives_a_half_up_says_that_it_holds_its_partition(bus: EmbeddedBus, tmp_path: Path) -> None:
    """Else one that was thrown out of its group could do so as well, since nothing was read."""
    chosen = settings(tmp_path, wait="50ms")
    send(bus, "ask", request("a"))
    watched = Watched(tmp_path / "data")
    try:
        with running(watched, chosen, "one") as one:
            wait_until(lambda: one.given_up == {("models", "expired"): 1})
    finally:
        watched.close()
    assert all(watched.sent)
    gave_up = next(
        offsets for offsets in watched.sent if {tp.topic for tp in offsets} == {chosen.halves_topic}
    )
    assert len(gave_up) == 1

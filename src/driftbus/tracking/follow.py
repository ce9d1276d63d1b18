"""Follows drift events and retrain requests as a consumer group of its own, at least once: an offset is
committed when the tracker has the note."""

from __future__ import annotations

import logging
import threading

from driftbus.errors import Unavailable
from driftbus.ports import Bus, TopicPartition
from driftbus.tracking.notes import note
from driftbus.tracking.trackers import Tracker

# A poll waits so long for its first record; what asks to end waits as long at most.
POLL_S = 1.0
# Notes are few and each is a call or more to a server: a commit for every so many is often enough.
TOGETHER = 100

log = logging.getLogger("driftbus.tracking")


def follow(
    bus: Bus, group: str, topics: list[str], tracker: Tracker, ended: threading.Event, *, once: bool
) -> int:
    """Until `ended` is set, or with `once` until everything that is there was read; how many notes were
    taken. What the tracker's client raises ends it, with that note uncommitted."""
    consumer = bus.consumer(group, topics)
    taken = 0
    try:
        while not ended.is_set():
            try:
                records = consumer.poll(TOGETHER, POLL_S)
            except Unavailable as error:
                log.warning("reading %s: %s; trying again", ", ".join(topics), error)
                ended.wait(POLL_S)
                continue
            done: dict[TopicPartition, int] = {}
            try:
                for record in records:
                    found = note(record.value)
                    if found is None:
                        log.warning("passed over %s[%d] %d", record.topic, record.partition, record.offset)
                    else:
                        tracker.take(found)
                        taken += 1
                    done[TopicPartition(record.topic, record.partition)] = record.offset + 1
            finally:
                if done:
                    consumer.commit(done)
            assigned = consumer.assignment()
            if once and assigned and not records and all(consumer.at_end(one) for one in assigned):
                break
    finally:
        consumer.close()
    return taken

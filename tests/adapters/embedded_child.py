"""What a test of the embedded bus runs in a process of its own, to kill, to stop, or to starve.

`python -m tests.adapters.embedded_child MODE DIRECTORY [NAME]`
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
from pathlib import Path

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.errors import BusError, Fenced
from driftbus.ports import TopicPartition

# A stopped member is noticed soon. A dead one is noticed at once, so where processes are killed nothing may
# depend on a timeout.
SESSION_TIMEOUT_S = 0.6
NEVER_S = 1e6


def say(text: str) -> None:
    print(text, flush=True)


def work(directory: Path, name: str) -> None:
    """Copies `in` to `out` exactly once, and says in `cites` at which offset each record went."""
    bus = EmbeddedBus(directory, session_timeout_s=NEVER_S, transaction_timeout_s=NEVER_S)
    consumer = bus.consumer("workers", ["in"])
    transaction = bus.transaction(name)
    while True:
        records = consumer.poll(50, 0.2)
        if not records:
            continue
        transaction.begin()
        for record in records:
            transaction.produce(
                "out", key=record.key, value=record.value, partition=record.partition, want_offset=True
            )
        offsets = transaction.flush()
        # A chance to die while offsets are promised.
        time.sleep(random.random() * 0.01)
        for record, offset in zip(records, offsets, strict=True):
            transaction.produce("cites", key=record.key, value=b"%d/%d" % (record.partition, offset))
        transaction.send_offsets(consumer, {TopicPartition("in", r.partition): r.offset + 1 for r in records})
        transaction.commit()


def produce(directory: Path, name: str) -> None:
    """Sends numbers without end."""
    producer = EmbeddedBus(directory).producer()
    number = 0
    while True:
        if producer.produce("sent", key=name.encode(), value=b"%d" % number):
            number += 1
        else:
            time.sleep(0.001)


def belong(directory: Path, name: str) -> None:
    """A member that is stopped, wakes up and tries to commit."""
    bus = EmbeddedBus(directory, session_timeout_s=SESSION_TIMEOUT_S)
    consumer = bus.consumer("workers", ["in"])
    while not consumer.assignment():
        consumer.poll(1, 0.1)
    mine = consumer.assignment()
    transaction = bus.transaction(name)
    transaction.begin()
    transaction.produce("out", key=b"k", value=b"of the zombie")
    transaction.send_offsets(consumer, dict.fromkeys(mine, 1))
    say("ready")
    sys.stdin.readline()
    try:
        transaction.commit()
    except Fenced:
        say("fenced")


def promise(directory: Path, name: str) -> None:
    """A member that dies with partitions in its hands and offsets promised to it."""
    bus = EmbeddedBus(directory, session_timeout_s=NEVER_S, transaction_timeout_s=NEVER_S)
    consumer = bus.consumer("workers", ["in"])
    while not consumer.assignment():
        consumer.poll(1, 0.1)
    transaction = bus.transaction(name)
    transaction.begin()
    transaction.produce("out", key=b"k", value=b"never", want_offset=True)
    say(f"promised {transaction.flush()}")
    sys.stdin.readline()


def open_it(directory: Path, name: str) -> None:
    """Opens a file that others open for the first time at this moment."""
    bus = EmbeddedBus(directory)
    say("created" if bus.create_topics([]) == [] else "?")
    bus.close()


def starve(directory: Path, name: str) -> None:
    """Writes until there is no room, then goes on when there is room again."""
    bus = EmbeddedBus(directory)
    files = [path.stat().st_size for path in directory.iterdir()]
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(files) + 300_000, resource.RLIM_INFINITY))
    transaction = bus.transaction(name)
    written = 0
    try:
        while True:
            transaction.begin()
            for _ in range(10):
                transaction.produce("out", key=b"k", value=os.urandom(10_000), partition=0)
            transaction.commit()
            written += 10
    except Fenced:
        say(f"fenced {written}")
    producer = bus.producer()
    for number in range(100):
        producer.produce("sent", key=b"k", value=b"%d" % number + bytes(10_000))
    say(f"queued {producer.flush(0.5) > 0}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say(f"left {producer.flush(60)} lost {producer.lost()}")
    again = bus.transaction(name)
    again.begin()
    again.produce("out", key=b"k", value=b"after", partition=0)
    again.commit()
    bus.close()


MODES = {
    "work": work,
    "produce": produce,
    "belong": belong,
    "promise": promise,
    "open": open_it,
    "starve": starve,
}

if __name__ == "__main__":
    try:
        MODES[sys.argv[1]](Path(sys.argv[2]), (sys.argv[3:] or [""])[0])
    except BusError as error:
        # Crash-only, as a worker: whoever started this process starts it again.
        sys.exit(f"{type(error).__name__}: {error}")

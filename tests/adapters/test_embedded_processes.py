"""The embedded bus between processes: killed, stopped, starved, all at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from driftbus.adapters.embedded import EmbeddedBus
from driftbus.ports import TopicPartition, TopicSpec

from .embedded_child import NEVER_S, SESSION_TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
# A limit for a hanging test, never part of a result.
LIMIT_S = 120.0
PARTITIONS = 4
KILLS = 20


def start(mode: str, directory: Path, name: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.embedded_child", mode, str(directory), name],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def wait_until(true: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline_s, "it never came true"
        meanwhile()
        time.sleep(0.01)


def test_twenty_kills_leave_every_transaction_whole(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    bus = EmbeddedBus(tmp_path)
    bus.create_topics([TopicSpec(name, PARTITIONS) for name in ("in", "out", "cites")])
    inputs = [TopicPartition("in", p) for p in range(PARTITIONS)]
    producer = bus.producer()
    sent = 0

    def feed(count: int = 20) -> None:
        nonlocal sent
        for _ in range(count):
            assert producer.produce("in", key=b"stream-%d" % (sent % 10), value=b"%d" % sent)
            sent += 1

    def done() -> int:
        return sum(bus.committed("workers", inputs).values())

    def moved_everywhere(since: dict[TopicPartition, int]) -> bool:
        now = bus.committed("workers", inputs)
        return all(now.get(partition, 0) > since.get(partition, 0) for partition in inputs)

    workers = {name: start("work", tmp_path, name) for name in ("worker-0", "worker-1")}

    def restart_the_dead() -> None:
        for name, worker in workers.items():
            if worker.poll() is not None:
                # Fenced by a rebalance: the only way a worker ends by itself.
                errors = worker.communicate()[1]
                assert worker.returncode < 0 or errors.startswith("Fenced"), errors
                workers[name] = start("work", tmp_path, name)

    def feed_and_restart() -> None:
        feed()
        restart_the_dead()

    try:
        for _ in range(KILLS):
            # All partitions have moved since the last kill: both workers are at work.
            before = bus.committed("workers", inputs)
            wait_until(partial(moved_everywhere, before), feed_and_restart)
            time.sleep(dice.random() * 0.05)
            victim = workers[dice.choice(sorted(workers))]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            feed()
        assert producer.flush(LIMIT_S) == 0
        assert sum(bus.end_offset("in", p, committed=True) for p in range(PARTITIONS)) == sent
        wait_until(lambda: done() == sent, restart_the_dead)
    finally:
        for worker in workers.values():
            end(worker)

    cites = {r.value for p in range(PARTITIONS) for r in bus.read_from("cites", p, 0)}
    for p in range(PARTITIONS):
        given = [(r.key, r.value) for r in bus.read_from("in", p, 0)]
        made = list(bus.read_from("out", p, 0))
        # Nothing twice, nothing missing, in order, and cited by the offset it really has.
        assert [(r.key, r.value) for r in made] == given
        assert {b"%d/%d" % (p, r.offset) for r in made} == {
            cite for cite in cites if cite is not None and cite.startswith(b"%d/" % p)
        }
    assert len(cites) == sum(1 for p in range(PARTITIONS) for _ in bus.read_from("cites", p, 0)) == sent
    bus.close()


def test_killed_producers_leave_their_records_in_order_without_gaps(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path)
    bus.create_topics([TopicSpec("sent", 2)])
    for round_ in range(5):
        name = f"producer-{round_}"
        child = start("produce", tmp_path, name)
        partition = bus.partition_for("sent", name.encode())
        first = bus.end_offset("sent", partition, committed=True)
        wait_until(lambda p=partition, first=first: bus.end_offset("sent", p, committed=True) > first + 1000)
        end(child)
        values = [r.value for r in bus.read_from("sent", partition, first)]
        assert values == [b"%d" % number for number in range(len(values))]
    bus.close()


def test_a_stopped_member_is_replaced_and_its_commit_refused(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path, session_timeout_s=SESSION_TIMEOUT_S)
    bus.create_topics([TopicSpec("in", 2), TopicSpec("out", 1)])
    zombie = start("belong", tmp_path, "zombie")
    try:
        assert zombie.stdout is not None
        assert zombie.stdout.readline() == "ready\n"
        zombie.send_signal(signal.SIGSTOP)
        heir = bus.consumer("workers", ["in"])
        both = [TopicPartition("in", 0), TopicPartition("in", 1)]
        wait_until(lambda: heir.assignment() == both, lambda: heir.poll(1, 0.0) and None)
        heir.commit(dict.fromkeys(both, 7))
        zombie.send_signal(signal.SIGCONT)
        out, errors = zombie.communicate("commit\n")
        assert (out, errors) == ("fenced\n", "")
    finally:
        end(zombie)
    assert bus.committed("workers", both) == dict.fromkeys(both, 7)
    assert list(bus.read_from("out", 0, 0)) == []
    bus.close()


def test_what_a_killed_process_held_is_free_at_once(tmp_path: Path) -> None:
    """Its partitions and the offsets promised to it, though both have timeouts of days."""
    bus = EmbeddedBus(tmp_path, session_timeout_s=NEVER_S, transaction_timeout_s=NEVER_S)
    bus.create_topics([TopicSpec("in", 2), TopicSpec("out", 1)])
    victim = start("promise", tmp_path, "victim")
    try:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "promised [0]\n"
    finally:
        end(victim)
    transaction = bus.transaction("heir")
    transaction.begin()
    transaction.produce("out", key=b"k", value=b"behind it")
    transaction.commit()
    assert [(r.offset, r.value) for r in bus.read_from("out", 0, 0, 2)] == [(1, b"behind it")]
    heir = bus.consumer("workers", ["in"])
    both = [TopicPartition("in", 0), TopicPartition("in", 1)]
    wait_until(lambda: heir.assignment() == both, lambda: heir.poll(1, 0.0) and None)
    bus.close()
    assert [path.name for path in tmp_path.iterdir()] == ["bus.sqlite3"]


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    children = [start("open", tmp_path / "new" / "bus") for _ in range(6)]
    answers = [child.communicate() for child in children]
    assert answers == [("created\n", "")] * 6


def test_without_room_nothing_is_torn_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path)
    bus.create_topics([TopicSpec("out", 1), TopicSpec("sent", 1)])
    child = start("starve", tmp_path, "worker")
    out, errors = child.communicate()
    assert errors == ""
    fenced, queued, left = out.splitlines()
    written = int(fenced.removeprefix("fenced "))
    assert queued == "queued True"
    assert left == "left 0 lost 0"
    values = [r.value or b"" for r in bus.read_from("out", 0, 0)]
    assert len(values) == written + 1
    assert values[-1] == b"after"
    assert [(r.value or b"").rstrip(b"\0") for r in bus.read_from("sent", 0, 0)] == [
        b"%d" % number for number in range(100)
    ]
    bus.close()

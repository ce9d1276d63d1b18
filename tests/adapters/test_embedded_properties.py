"""Any interleaving of writers, readers, members and cleaning against a model of a few lines."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftbus.adapters.embedded import EmbeddedBus, cleaning
from driftbus.adapters.embedded.consumer import EmbeddedConsumer
from driftbus.adapters.embedded.database import Database
from driftbus.adapters.embedded.transaction import EmbeddedTransaction
from driftbus.errors import Fenced
from driftbus.ports import TopicPartition, TopicSpec

# Every example opens a file of its own (about 20 ms): fewer of them, each with many steps.
several = settings(max_examples=40, deadline=None)

WRITERS = 3
# Nobody but the test cleans, and nothing expires.
QUIET = {
    "clean_interval_s": 1e6,
    "transaction_timeout_s": 1e6,
    "session_timeout_s": 1e6,
    "max_poll_interval_s": 1e6,
}

action = st.sampled_from(["produce", "want", "flush", "commit", "abort", "replace", "read"])


@several
@given(st.lists(st.tuples(action, st.integers(0, WRITERS - 1), st.integers(0, 1)), max_size=60))
def test_readers_see_every_committed_record_once_in_order_and_nothing_else(
    steps: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        bus = EmbeddedBus(Path(directory), **QUIET)
        bus.create_topics([TopicSpec("topic", 2)])
        writers: list[EmbeddedTransaction] = [bus.transaction(f"writer-{w}") for w in range(WRITERS)]
        reader = bus.consumer("group", ["topic"])
        pending: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        wanted: dict[int, list[bytes]] = defaultdict(list)
        promised: dict[bytes, int] = {}
        committed: list[tuple[int, bytes]] = []
        seen: list[tuple[int, int, bytes]] = []
        for number, (what, w, partition) in enumerate(steps):
            writer = writers[w]
            if what == "read":
                seen += [(r.partition, r.offset, r.value or b"") for r in reader.poll(3, 0.0)]
                assert {value for _, _, value in seen} <= {value for _, value in committed}
                continue
            if what == "replace":
                writers[w] = bus.transaction(f"writer-{w}")
                if w in pending:
                    try:
                        writer.commit()
                        raise AssertionError("the older producer was not fenced")
                    except Fenced:
                        pass
                pending.pop(w, None)
                wanted.pop(w, None)
                continue
            if w not in pending:
                writer.begin()
                pending[w] = []
            if what in ("produce", "want"):
                value = b"%d" % number
                writer.produce(
                    "topic", key=b"k", value=value, partition=partition, want_offset=what == "want"
                )
                pending[w].append((partition, value))
                if what == "want":
                    wanted[w].append(value)
            elif what == "flush":
                promised.update(zip(wanted.pop(w, []), writer.flush(), strict=True))
            else:
                if what == "commit":
                    writer.commit()
                    committed += pending[w]
                else:
                    writer.abort()
                del pending[w]
                wanted.pop(w, None)
        for w in pending:
            writers[w].abort()
        while True:
            some = reader.poll(100, 0.0)
            seen += [(r.partition, r.offset, r.value or b"") for r in some]
            if not some and reader.assignment():
                break
        held = [(r.partition, r.offset, r.value or b"") for p in (0, 1) for r in bus.read_from("topic", p, 0)]
        bus.close()
        assert sorted(seen) == held
        assert sorted((p, value) for p, _, value in seen) == sorted(committed)
        for p in (0, 1):
            offsets = [offset for partition, offset, _ in seen if partition == p]
            assert offsets == sorted(set(offsets))
        for _, offset, value in held:
            assert promised.get(value, offset) == offset
        # Within a transaction's partition, in the order of produce (numbers grow).
        assert len(set(seen)) == len(committed)


@several
@given(
    st.lists(
        st.tuples(st.sampled_from(["poll", "poll", "poll", "come", "go"]), st.integers(0, 2)), max_size=50
    )
)
def test_no_partition_is_held_twice_and_all_are_held_in_the_end(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        bus = EmbeddedBus(Path(directory), **QUIET)
        bus.create_topics([TopicSpec("one", 5), TopicSpec("two", 5)])
        members: dict[int, EmbeddedConsumer] = {}

        def held() -> list[TopicPartition]:
            return sorted(each for member in members.values() for each in member.assignment())

        for what, m in steps:
            if what == "come" and m not in members:
                members[m] = bus.consumer("group", ["one", "two"])
            elif what == "go" and m in members:
                members.pop(m).close()
            elif what == "poll" and m in members:
                members[m].poll(1, 0.0)
            assert len(held()) == len(set(held()))
        everything = [TopicPartition(topic, p) for topic in ("one", "two") for p in range(5)]
        for _ in range(10):
            for member in members.values():
                member.poll(1, 0.0)
        if members:
            assert held() == everything
            sizes = sorted(len(member.assignment()) for member in members.values())
            assert sizes == {1: [10], 2: [4, 6], 3: [2, 4, 4]}[len(members)]
            for member in members.values():
                assert {p for t, p in member.assignment() if t == "one"} == {
                    p for t, p in member.assignment() if t == "two"
                }
        bus.close()


NOW_S = 1_700_000_000.0
# key, value (None: a tombstone), age in seconds; or None: clean now
entry = st.none() | st.tuples(
    st.none() | st.sampled_from([b"a", b"b", b"c"]), st.none() | st.binary(max_size=3), st.integers(0, 20)
)


@several
@given(
    st.lists(entry, max_size=60),
    st.sampled_from(["delete", "compact", "compact,delete"]),
    st.sampled_from([1, 2, 500]),
)
def test_cleaning_keeps_exactly_what_it_must(
    entries: list[tuple[bytes | None, bytes | None, int] | None], policy: str, step_rows: int
) -> None:
    """The newest of each key, tombstones for a while, the records from the first young one on."""
    retention_s = 10
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "STEP_ROWS", step_rows)
        bus = EmbeddedBus(Path(directory), **QUIET)
        config = {
            "cleanup.policy": policy,
            "retention.ms": str(retention_s * 1000),
            "delete.retention.ms": "5000",
        }
        bus.create_topics([TopicSpec("topic", 1, config)])
        handle = Database(Path(directory), 1.0).connect()
        transaction = bus.transaction("tx")
        written: list[tuple[int, bytes | None, bytes | None, int]] = []
        for each in [*entries, None]:
            if each is None:
                assert max(cleaning.clean(handle, NOW_S), default=0) <= step_rows
                continue
            key, value, age_s = each
            transaction.begin()
            transaction.produce(
                "topic", key=key, value=value, timestamp_ms=int((NOW_S - age_s) * 1000), want_offset=True
            )
            (offset,) = transaction.flush()
            transaction.commit()
            written.append((offset, key, value, age_s))

        expected = written
        if "delete" in policy.split(","):
            # Compaction may have removed the young record that protected older ones: both orders are right,
            # so only the beginning is compared there.
            young = [i for i, (_, _, _, age_s) in enumerate(written) if age_s <= retention_s]
            expected = written[young[0] :] if young else []
        if "compact" in policy:
            newest = {key: offset for offset, key, _, _ in written}
            expected = [each for each in expected if each[1] is None or newest[each[1]] == each[0]]
        begin = bus.begin_offset("topic", 0)
        found = [(r.offset, r.key, r.value) for r in bus.read_from("topic", 0, begin)]
        assert bus.end_offset("topic", 0, committed=True) == len(written)
        if policy == "compact,delete":
            assert set(found) <= {each[:3] for each in expected}
            assert {each[:3] for each in expected if each[3] <= retention_s} <= set(found)
        else:
            assert found == [each[:3] for each in expected]
            assert begin == (expected[0][0] if expected and policy == "delete" else begin)

        # Later the tombstones go, and nothing else that compaction would keep.
        if policy == "compact":
            for _ in cleaning.clean(handle, NOW_S + 5.0):
                pass
            later = [(r.offset, r.key, r.value) for r in bus.read_from("topic", 0, begin)]
            assert later == [each for each in found if each[1] is None or each[2] is not None]
        handle.close()
        bus.close()


def test_nothing_is_cleaned_beyond_an_open_transaction(tmp_path: Path) -> None:
    bus = EmbeddedBus(tmp_path, **QUIET)
    bus.create_topics([TopicSpec("topic", 1, {"cleanup.policy": "compact"})])
    early, late = bus.transaction("early"), bus.transaction("late")
    early.begin()
    early.produce("topic", key=b"k", value=b"early", want_offset=True)
    early.flush()
    late.begin()
    late.produce("topic", key=b"k", value=b"late")
    late.commit()
    bus.clean()
    early.commit()
    assert [r.value for r in bus.read_from("topic", 0, 0)] == [b"early", b"late"]
    bus.clean()
    assert [r.value for r in bus.read_from("topic", 0, 0)] == [b"late"]
    bus.close()

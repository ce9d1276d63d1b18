"""Halves of inferences: what meets in a step, what waits, what is given up; stories, and a model of all."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftbus.joining import MAX_HALF_BYTES, MOST_GIVEN_UP, Joining, Step
from driftbus.ports import Record
from driftbus.sources import IngestSettings, SourceSettings
from driftbus.sources.pairing import place_of, to_half

ASK, ANSWER, HALVES = "ask", "answer", "halves"


def joining(**rules: int) -> Joining:
    return Joining(IngestSettings((SourceSettings("s", "seldon", (ASK, ANSWER)),), **rules), 1_000_000)


def request(known: str, offset: int = 0, more: str = "") -> Record:
    body = {"id": known, "inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": [more or "a"]}]}
    return Record(ASK, 1, offset, None, orjson.dumps(body), (("h", b"1"), ("n", None)), 1_000 + offset)


def response(known: str, offset: int = 0) -> Record:
    outputs = [{"name": "y", "shape": [1], "datatype": "INT64", "data": [1]}]
    body = {"id": known, "model_name": "m", "outputs": outputs}
    return Record(ANSWER, 0, offset, b"\xff", orjson.dumps(body), (), 2_000 + offset)


def step(joins: Joining, *records: Record, now_s: float = 0.0) -> Step:
    done = Step()
    for record in records:
        if record.topic == HALVES:
            joins.arrived(record, done, now_s)
        else:
            joins.map(record, done)
    joins.settle(done)
    joins.give_up(done, now_s)
    return done


def written(done: Step, offset: int = 0) -> list[Record]:
    """A step's lonely halves as the halves topic gives them back."""
    return [
        Record(HALVES, 3, offset + i, place.key, record.value, to_half(record), 9)
        for i, (place, record) in enumerate(done.fresh.values())
    ]


def ids(done: Step) -> list[str]:
    return [orjson.loads(event.value)["prediction_id"] for event in done.events]


def test_both_in_one_step_in_either_order() -> None:
    joins = joining()
    done = step(joins, request("a"), response("b"), response("a"), request("b"))
    assert ids(done) == ["a", "b"]
    assert not done.fresh
    assert not done.taken_back


def test_a_half_that_is_alone_is_written_down_and_comes_back_as_it_was() -> None:
    joins = joining()
    record = request("a", 7)
    (half,) = written(step(joins, record))
    assert step(joins, half).events == []
    assert len(joins.waiting) == 1
    done = step(joins, response("a"))
    assert ids(done) == ["a"]
    (event,) = done.events
    assert orjson.loads(event.value)["ts"] == record.timestamp_ms
    assert [(place.half.side, p) for place, p in done.taken_back] == [("request", 3)]
    assert (len(joins.waiting), joins.waiting.size_bytes) == (0, 0)


def test_halves_of_two_workers_meet_in_the_halves_topic() -> None:
    one, other, third = joining(), joining(), joining()
    halves = written(step(one, request("a"))) + written(step(other, response("a")), 1)
    done = step(third, *halves)
    assert ids(done) == ["a"]
    assert sorted(place.half.side for place, _ in done.taken_back) == ["request", "response"]


def test_one_of_this_step_meets_one_that_arrives_in_it() -> None:
    joins = joining()
    (half,) = written(step(joining(), request("a")))
    done = step(joins, response("a"), half)
    assert ids(done) == ["a"]
    assert len(done.taken_back) == 1
    assert not done.fresh


def test_what_waits_too_long_is_a_dead_letter_as_it_came() -> None:
    joins = joining(wait_ms=10_000)
    record = request("a", 7)
    step(joins, *written(step(joins, record)), now_s=100.0)
    assert not joins.waiting.has_given_up(109.9)
    assert joins.waiting.has_given_up(110.0)
    done = step(joins, now_s=110.0)
    (letter,) = done.letters
    assert (letter.record, letter.reason) == (record, "unmatched_request")
    assert "10 s" in letter.message
    assert done.given_up == {("s", "expired"): 1}
    assert len(done.taken_back) == 1
    assert done.poison(ASK) == {}
    assert joins.waiting.size_bytes == 0


@pytest.mark.parametrize("rules", [{"max_waiting": 2}, {"max_waiting_bytes": 3_500}])
def test_beyond_its_bounds_the_oldest_are_given_up(rules: dict[str, int]) -> None:
    joins = joining(**rules)
    done = step(joins, *written(step(joins, *(request(f"r{i}") for i in range(4)))))
    assert [letter.record for letter in done.letters] == [request("r0"), request("r1")]
    assert done.given_up == {("s", "evicted"): 2}
    assert len(joins.waiting) == 2


def test_very_many_are_given_up_a_step_at_a_time() -> None:
    joins = joining(max_waiting=1)
    for half in written(step(joining(), *(request(f"r{i}") for i in range(MOST_GIVEN_UP + 11)))):
        joins.wait(half, 0.0)
    assert len(step(joins).letters) == MOST_GIVEN_UP
    assert len(step(joins).letters) == 10
    assert len(joins.waiting) == 1


def test_a_half_that_comes_twice_waits_once() -> None:
    joins = joining()
    halves = written(step(joining(), request("a", 1))) + written(step(joining(), request("a", 2)), 1)
    step(joins, *halves)
    assert len(joins.waiting) == 1
    assert ids(step(joins, response("a"))) == ["a"]


def test_a_pair_that_cannot_be_mapped_is_two_dead_letters() -> None:
    broken = response("a")._replace(value=b'{"id": "a", "model_name": "m", "outputs": []}')
    done = step(joining(), request("a"), broken)
    assert [letter.topic for letter in done.letters] == [ASK, ANSWER]
    assert {letter.reason for letter in done.letters} == {"no_rows"}
    assert done.poison(ASK) == {"no_rows": 1}


def test_a_half_too_large_to_be_kept_is_a_dead_letter_at_once() -> None:
    done = step(joining(), request("a", more="x" * MAX_HALF_BYTES))
    assert [letter.reason for letter in done.letters] == ["too_large"]
    assert not done.fresh


def test_a_partition_that_went_to_another_worker_is_forgotten() -> None:
    joins = joining()
    step(joins, *written(step(joins, request("a"))))
    joins.waiting.drop(2)
    assert len(joins.waiting) == 1
    joins.waiting.drop(3)
    assert (len(joins.waiting), joins.waiting.size_bytes) == (0, 0)


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a", b"ask\0s\0\0a", b"request\0other\0\0a"])
def test_what_somebody_else_wrote_into_the_topic_harms_nobody(key: bytes | None) -> None:
    joins = joining()
    assert not step(joins, Record(HALVES, 0, 0, key, b"{}", (), 0)).letters
    assert len(joins.waiting) == 0


def test_a_stranger_under_a_good_key_is_a_dead_letter_in_the_end() -> None:
    joins = joining()
    stranger = Record(HALVES, 0, 0, b"request\0s\0\0a", b"{", (), 0)
    assert place_of(stranger.key) is not None
    done = step(joins, stranger, response("a"))
    assert not done.events
    assert len(done.letters) == 2


def test_a_record_is_offered_to_every_source_of_its_topic() -> None:
    seldon = SourceSettings("halves", "seldon", (ASK,))
    labels = SourceSettings("arize", "arize", (ASK,))
    joins = Joining(IngestSettings((seldon, labels)), 1_000_000)
    done = step(joins, request("a"))
    assert len(done.fresh) == 1
    # Of the other source it is none of the rows that it knows.
    assert [letter.reason for letter in done.letters] == ["missing_field"]


HALF = st.tuples(st.sampled_from([request, response]), st.sampled_from("abcdef"))


@given(st.lists(st.one_of(HALF, st.just("step"), st.just("kill")), max_size=60))
def test_whatever_the_steps_and_kills_each_pair_comes_once(story: list) -> None:
    """A model of the loop over one halves partition: a kill forgets the worker, and the log is read back."""
    log: list[tuple[bytes, Record | None]] = []
    position = 0
    joins = joining()
    pending: list[Record] = []
    found: list[str] = []
    used: set[tuple[object, str]] = set()

    def turn() -> None:
        nonlocal position
        arrived = [record for _, record in log[position:] if record is not None]
        done = Step()
        for record in pending:
            joins.map(record, done)
        for record in arrived:
            joins.arrived(record, done, 0.0)
        joins.settle(done)
        position = len(log)
        found.extend(ids(done))
        for place, record in done.fresh.values():
            log.append((place.key, Record(HALVES, 0, len(log), place.key, record.value, to_half(record), 0)))
        log.extend((place.key, None) for place, _ in done.taken_back)
        pending.clear()

    for what in [*story, "step", "step", "step"]:
        if what == "step":
            turn()
        elif what == "kill":
            joins = joining()
            live: dict[bytes, Record] = {}
            for offset, (key, record) in enumerate(log):
                if record is None:
                    live.pop(key, None)
                elif offset < position:
                    live[key] = record
            for record in live.values():
                joins.wait(record, 0.0)
        elif what not in used:
            used.add(what)
            make, known = what
            pending.append(make(known))
    sides = [{make for make, known in used if known == each} for each in "abcdef"]
    assert sorted(found) == [each for each, made in zip("abcdef", sides, strict=True) if len(made) == 2]
    assert len(joins.waiting) == sum(len(made) == 1 for made in sides)

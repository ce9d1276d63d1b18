"""Where bytes come in, each as a function of bytes: what it raises, but for the errors named, is a finding.

A fuzzer's bytes are choices first (which record, which part of it, what stands there instead) and content
then; so most of what is tried gets past the first check.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from driftbus.client.request import parse_request
from driftbus.core import snapshot
from driftbus.core.alike import decode_alike
from driftbus.core.codec import MODEL_EVENT_TYPES, decode, decode_outcome
from driftbus.core.packed import pack, squeeze, unpack, unsqueeze
from driftbus.core.packed_rows import block_of, groups_of, packed_groups, rows_of
from driftbus.errors import DriftbusError, InvalidRecord, StateError
from driftbus.letters import Wanted, find, letter_json, letters, read_letter, refusal
from driftbus.ports import Record
from driftbus.replay import CsvColumns, replay
from driftbus.restore import Task, restore
from driftbus.steps import StepRecord
from driftbus.told import explained, line, stories
from tests.fuzz.choices import Choices
from tests.fuzz.foreign import foreign
from tests.fuzz.recorded import RecordedBus, recorded

Target = Callable[[bytes], None]
START = 1_767_225_600_000


@cache
def state_records() -> dict[str, bytes]:
    """The newest value of each key of the recorded state."""
    bus, settings = recorded()
    return {
        (r.key or b"").decode(): r.value for r in bus.logs[settings.topics["state"]] if r.value is not None
    }


@cache
def events(topic: str) -> list[Any]:
    bus, settings = recorded()
    return [orjson.loads(record.value or b"") for record in bus.logs[settings.topics[topic]][:50]]


def state_header(data: bytes) -> None:
    """`unseal`, `joined`, `json` of any bytes, and of bent ones of ours."""
    choices = Choices(data)
    seed = choices.of([b"", *state_records().values(), b"driftbus-parts 2 00000000"])
    value = choices.bent_bytes(seed) if seed else choices.rest()
    with suppress(StateError):
        snapshot.unseal(value).json()
    with suppress(StateError):
        snapshot.joined("k", {"k": value, "part/0/k": value[:9], "part/1/k": value})


def packed_columns(data: bytes) -> None:
    """`unpack` and `unsqueeze` of any text: their one error is ValueError."""
    choices = Choices(data)
    text = choices.of([b"", pack([[1, 2, 300], [2**40, 0], [2**70]]).encode(), squeeze(data).encode()])
    shown = (choices.bent_bytes(text) if text else choices.rest()).decode("utf-8", "replace")
    for read in (unpack, unsqueeze):
        with suppress(ValueError):
            read(shown)


def block(data: bytes) -> None:
    """A block of waiting predictions."""
    choices = Choices(data)
    seed = block_of(packed_groups([b'{"prediction_id":"%d"' % i for i in range(20)]))
    value = choices.bent_bytes(seed) if choices.below(4) else choices.rest()
    with suppress(StateError):
        rows_of(groups_of(value))


def step(data: bytes) -> None:
    """A step's record of another shape."""
    choices = Choices(data)
    sealed = snapshot.unseal(state_records()["step/1"])
    with suppress(StateError):
        StepRecord.of(choices.bent(sealed.json()), sealed.config, sealed.fold)


def restored(data: bytes) -> None:
    """A restore over state of which one record is torn, another's, of another shape under a good checksum."""
    choices = Choices(data)
    bus, settings = recorded()
    topic = settings.topics["state"]
    records = list(bus.logs[topic])
    for _ in range(1 + choices.below(2)):
        keys = sorted(state_records(), key=lambda key: (not key.startswith(("join", "stream", "block")), key))
        key = choices.of(keys)
        at = max((i for i, record in enumerate(records) if record.key == key.encode()), default=0)
        what = choices.below(8)
        value = records[at].value or b""
        if what == 0:
            records[at] = records[at]._replace(value=choices.bent_bytes(value))
        elif what == 1:
            records[at] = records[at]._replace(value=None)
        elif what == 2:
            records[at] = records[at]._replace(value=choices.of(list(state_records().values())))
        elif what == 3:
            records[at] = records[at]._replace(key=choices.bent_bytes(key.encode()))
        else:
            try:
                sealed = snapshot.unseal(value)
            except StateError:
                continue  # an earlier turn tore it
            body = sealed.body
            if key.startswith("block/"):
                body = choices.bent_bytes(body)
            else:
                with suppress(ValueError):
                    body = choices.bent_json(orjson.loads(body))
            records[at] = records[at]._replace(value=snapshot.seal(body, sealed.config))
    _restore(bus.replaced(topic, records))


def log_behind_state(data: bytes) -> None:
    """A restore whose inputs or outcomes are not those that were folded."""
    choices = Choices(data)
    bus, settings = recorded()
    topic = settings.topics[choices.of(["outcomes", "predictions", "labels", "model-events"])]
    records = list(bus.logs[topic])
    for _ in range(1 + choices.below(3)):
        at = len(records) - 1 - choices.below(min(len(records), 400))
        value = records[at].value or b"{}"
        if value[:1] != b"{" or value[-1:] != b"}":
            continue  # an earlier turn tore it
        with suppress(ValueError):
            value = choices.bent_json(orjson.loads(value))
        bent = choices.bent_bytes(value) if choices.below(2) else value
        records[at] = records[at]._replace(value=choices.of([bent, bent, bent, None]))
        if len(records) > 1 and not choices.below(8):
            del records[at]
    _restore(bus.replaced(topic, records))


def _restore(bus: RecordedBus) -> None:
    _, settings = recorded()
    with suppress(DriftbusError):
        *_, task = restore(bus, settings, 0)  # type: ignore[arg-type]
        assert isinstance(task, Task)
        for name in task.partition.streams:
            orjson.loads(task.partition.snapshot(name))


def event_records(data: bytes) -> None:
    """An input record of any bytes, or bent from an event, with headers."""
    choices = Choices(data)
    topic = choices.of(["predictions", "labels", "model-events"])
    headers = ((choices.of(["ce_specversion", "a", "é"]), choices.of([b"1.0", b"2", None])),)
    if topic == "model-events":
        seed: Any = {
            "stream": "s", "ts": START, "type": choices.of(sorted(MODEL_EVENT_TYPES)), "model_version": "v2",
            "retrain_request_id": "r", "by": "me", "reason": "why", "episode_id": "e", "accept": True,
            "until": "2026-02-01T00:00:00.000Z",
        }  # fmt: skip
    else:
        seed = choices.of(events(topic))
    if not choices.below(4):
        seed = {"specversion": "1.0", "type": "t", "data": seed}
    value = [choices.bent_json(seed), choices.bent_bytes(orjson.dumps(seed)), choices.rest()][
        choices.below(3)
    ]
    for key in (b"s", b"\xff", None):
        with suppress(InvalidRecord):
            decode(topic, key, value, headers if choices.below(2) else (), choices.of([0, START, -1]))
    decode_alike(topic, [orjson.dumps(seed), value, orjson.dumps(seed)], 900_000)


def outcome(data: bytes) -> None:
    """An outcome read back."""
    choices = Choices(data)
    seed = choices.of(events("outcomes"))
    value = choices.bent_json(seed) if choices.below(3) else choices.bent_bytes(orjson.dumps(seed))
    with suppress(InvalidRecord):
        hash(decode_outcome(value).prediction.stream)


def request(data: bytes) -> None:
    """A retrain request as a trainer reads it: ValueError is what the client passes over."""
    choices = Choices(data)
    seed = choices.of(events("retrain-requests"))
    value = choices.bent_json(seed) if choices.below(3) else choices.bent_bytes(orjson.dumps(seed))
    with suppress(ValueError):
        parse_request(value, None, lambda: None)  # type: ignore[arg-type]


def drift_events(data: bytes) -> None:
    """`driftbus episodes` and `explain` over topics in which others have written, too."""
    choices = Choices(data)
    bus, settings = recorded()
    for name in ("drift-events", "retrain-requests"):
        topic = settings.topics[name]
        seed = choices.of(events(name))
        value = choices.bent_json(seed) if choices.below(4) else choices.bent_bytes(orjson.dumps(seed))
        last = bus.logs[topic][-1]
        bus = bus.replaced(topic, [*bus.logs[topic], last._replace(value=value, offset=last.offset + 1)])
    told = stories(bus, settings.topics)  # type: ignore[arg-type]
    assert told
    for story in told:
        line(story)
        explained(story)
        # What `driftbus episodes` filters by.
        assert isinstance(story.newest["stream"], str)
        assert story.newest["onset"]["ts"] >= ""


_LETTER = [
    "__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset", "driftbus.resubmitted",
    "__connect.errors.exception.class.name", "driftbus.value.cut", "driftbus.headers.left_out", "other", "",
]  # fmt: skip


def dead_letters(data: bytes) -> None:
    """Dead letters, whoever wrote them."""
    choices = Choices(data)
    _, settings = recorded()
    topic = settings.topics["dead-letters"]
    values = [b"7", b"driftbus.labels", b"\xff", b"9" * 30, b"9" * 5000, b"", None, "٣".encode()]
    headers = tuple((choices.of(_LETTER), choices.of(values)) for _ in range(choices.below(9)))
    key, ts = choices.of([b"s", b"\xff", None]), choices.of([0, START, -1, 2**62])
    value = choices.of([None, choices.bent_json({"data": {"stream": "s"}, "stream": "t"}), choices.rest()])
    record = Record(topic, 0, 0, key, value, headers, ts)
    letter = read_letter(record)
    orjson.dumps(letter_json(letter, None))
    refusal(letter, {"driftbus.labels": "labels"})
    letter.again()
    bus = RecordedBus({topic: [record]}, {}, {})
    list(letters(bus, topic, Wanted("driftbus.labels", "x", "s", 5)))  # type: ignore[arg-type]
    known = choices.of(
        [f"{topic}-0-0", "0-0", "٣-٣", f"0-{'9' * 5000}", f"0-{2**70}", data.decode("utf-8", "replace")]
    )
    with suppress(DriftbusError):
        find(bus, topic, known)  # type: ignore[arg-type]


def replay_lines(data: bytes) -> None:
    """A file of recorded events."""
    choices = Choices(data)
    _, settings = recorded()
    lines = []
    for number in range(choices.below(6)):
        topic = choices.of(["predictions", "labels"])
        seed = {"topic": topic, "key": "s", "ts": START + number, "value": choices.of(events(topic))}
        lines.append(choices.bent_json(seed) if choices.below(2) else choices.bent_bytes(orjson.dumps(seed)))
    content = b"\n".join([*lines, choices.rest()])
    name = choices.of(["a.jsonl", "a.jsonl.gz", "a.csv"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        columns = CsvColumns("label", "prediction", None, None, None) if name == "a.csv" else None
        if columns is not None:
            path.write_bytes(b"label,prediction,x\n1,1,2\n" + content)
        with suppress(DriftbusError):
            replay([path], settings, csv=columns, out=io.BytesIO(), progress=lambda done, total: None)


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        *(
            state_header,
            packed_columns,
            block,
            step,
            restored,
            log_behind_state,
            event_records,
            outcome,
            request,
        ),
        *(drift_events, dead_letters, replay_lines, foreign),
    )
}


def seeds() -> Iterator[bytes]:
    """What a fuzzer begins with: choices of every size."""
    yield b""
    for size in (4, 16, 64):
        for step_ in (1, 7, 37, 101):
            yield bytes(i * step_ % 256 for i in range(size))

"""A configuration's sources tried on recorded events, without a bus: what `driftbus ingest` would write of
them.

A line a record, as `kcat -C -J` prints them or as `driftbus replay` reads them:

    {"topic": "kserve-logger", "ts": 1767225600000, "key": "k", "headers": ["ce_id", "a-1"], "payload": "{…}"}
    {"topic": "shop.events", "headers": {"type": "click"}, "value": {…}}

All lines are one step, so that halves meet however far apart they are; those left over would wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from driftbus.errors import DriftbusError
from driftbus.joining import Joining, Step
from driftbus.ports import Headers, Record
from driftbus.sources import IngestSettings


class Trial:
    """`counts` says what became of the records, once `lines` has come to its end."""

    def __init__(self, settings: IngestSettings, max_record_bytes: int) -> None:
        self._joining = Joining(settings, max_record_bytes)
        self.counts: Counter[str] = Counter()

    def lines(self, text: Iterable[bytes]) -> Iterator[bytes]:
        """Each event, and each dead letter, as a line of JSON; events in the form that `driftbus replay`
        reads.

        Raises `DriftbusError` for a line that is no record.
        """
        step = Step()
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            record = _record(line, number)
            if record.topic not in self._joining.topics:
                self.counts["of no source's topic"] += 1
                continue
            self._joining.map(record, step)
            yield from self._said(step)
        self._joining.settle(step)
        yield from self._said(step)
        self.counts["left out"] += step.ignored.total()
        self.counts["waiting for their other half"] += len(step.fresh)

    def _said(self, step: Step) -> Iterator[bytes]:
        for event in step.events:
            self.counts[event.topic] += 1
            value = orjson.loads(event.value)
            yield orjson.dumps({"topic": event.topic, "key": event.stream, "ts": value["ts"], "value": value})
        for letter in step.letters:
            self.counts["dead letters"] += 1
            record = letter.record
            place = {"topic": record.topic, "line": record.offset}
            yield orjson.dumps(
                {"topic": "dead-letters", "reason": letter.reason, "message": letter.message, "from": place}
            )
        step.events.clear()
        step.letters.clear()


def _record(line: bytes, number: int) -> Record:
    """One line as a record; its number stands for the offset. Raises `DriftbusError`."""
    try:
        found = orjson.loads(line)
        if not isinstance(found["topic"], str):
            raise TypeError("topic")
        ts = found.get("ts", 0)
        return Record(
            found["topic"],
            0,
            number,
            _bytes(found.get("key")),
            _bytes(found["payload"] if "payload" in found else found.get("value")),
            _headers(found.get("headers")),
            ts if isinstance(ts, int) else 0,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DriftbusError(
            f"line {number} is no record: a JSON object with topic, key, headers, ts and value, "
            "or what `kcat -C -J` prints"
        ) from None


def _bytes(value: Any) -> bytes | None:
    """Text is what the record held; anything else is JSON that it held."""
    if value is None or isinstance(value, str):
        return None if value is None else value.encode()
    return orjson.dumps(value)


def _headers(value: Any) -> Headers:
    """An object, or kcat's list of names and values one after the other."""
    pairs = (
        list(value.items())
        if isinstance(value, dict)
        else list(zip(value or [], (value or [])[1:], strict=False))[::2]
    )
    return tuple((str(name), _bytes(each)) for name, each in pairs)

"""Foreign records of one step → what it is to write. Knows sources and what waits; no bus, no clock.

A half of an inference looks for its other half in this order: among the halves of the same step; among
those that wait here; else it goes to the halves topic, into the partition of its inference, where the same
is asked of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from driftbus.errors import InvalidRecord
from driftbus.intake import DeadLetter
from driftbus.ports import Record
from driftbus.sources import Event, IngestSettings, Source, Waiting, WaitingHalf
from driftbus.sources.pairing import Place, from_half, place_of, size_bytes

log = logging.getLogger("driftbus.ingest")

# A half is written to the halves topic whole. That takes 10 MB (`topics.py`); beside it stand its headers,
# and where it came from.
MAX_HALF_BYTES = 9_000_000
# Of one step: where very many have to go at once, a transaction of all would be too large.
MOST_GIVEN_UP = 1_000
# Given up for want of the other half, not for what they are: as with labels without a prediction, no poison.
UNMATCHED = {"request": "unmatched_request", "response": "unmatched_response"}


@dataclass(slots=True)
class Step:
    """What one transaction is to write. `taken_back`: halves that wait no more, with the partition of the
    halves topic that holds them; `given_up`: how many of them by (source, `expired` or `evicted`)."""

    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    fresh: dict[bytes, tuple[Place, Record]] = field(default_factory=dict)
    taken_back: list[tuple[Place, int]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    given_up: Counter[tuple[str, str]] = field(default_factory=Counter)

    def poison(self, topic: str) -> Mapping[str, int]:
        """Records of a topic that could not be mapped, by reason."""
        return Counter(
            letter.reason
            for letter in self.letters
            if letter.topic == topic and letter.reason not in UNMATCHED.values()
        )


class Joining:
    """The sources of one ingest worker. `topics`: who reads each of the foreign topics."""

    def __init__(self, settings: IngestSettings, max_record_bytes: int) -> None:
        self._wait_ms = settings.wait_ms
        self._sources = {each.name: Source(each, max_record_bytes) for each in settings.sources}
        self.topics: dict[str, list[Source]] = {}
        for source in self._sources.values():
            for topic in dict.fromkeys(source.settings.topics):
                self.topics.setdefault(topic, []).append(source)
        self.waiting = Waiting(settings.max_waiting, settings.max_waiting_bytes, settings.wait_ms / 1000)

    @property
    def joins(self) -> bool:
        """Whether any source has halves that wait."""
        return any(source.joins for source in self._sources.values())

    def map(self, record: Record, step: Step) -> None:
        """A foreign record, offered to every source of its topic."""
        refused: InvalidRecord | None = None
        for source in self.topics[record.topic]:
            try:
                if source.joins:
                    half = source.half(record)
                    if half is not None:
                        self._meet(Place(source.name, half), record, step)
                        continue
                else:
                    mapped = source.map(record)
                    if mapped is not None:
                        step.events += mapped.events
                        refused = refused or mapped.refused
                        continue
                step.ignored[source.name] += 1
            except InvalidRecord as error:
                refused = refused or error
        if refused is not None:
            step.letters.append(DeadLetter(record, record.topic, refused.reason, str(refused)))

    def arrived(self, record: Record, step: Step, now_s: float) -> None:
        """A record of the halves topic, in the partition where both halves of its inference come."""
        place = place_of(record.key)
        if record.value is None or place is None:
            return
        other = self.waiting.other(place)
        if other is None:
            self.wait(record, now_s)
            return
        step.taken_back += [(place, record.partition), (other.place, other.partition)]
        self._join(place, from_half(record), other.record, step)

    def wait(self, record: Record, now_s: float) -> None:
        """A record of the halves topic waits from now on."""
        place = place_of(record.key)
        if place is None or place.source not in self._sources:
            return  # of a source that is configured no more, or somebody else's
        self.waiting.put(WaitingHalf(place, from_half(record), record.partition, now_s))

    def settle(self, step: Step) -> None:
        """The step's lonely halves: for some another waits here; the others stay in `fresh`, to be
        written."""
        lonely = {}
        for key, (place, record) in step.fresh.items():
            other = self.waiting.other(place)
            if other is None:
                lonely[key] = (place, record)
            else:
                step.taken_back.append((other.place, other.partition))
                self._join(place, record, other.record, step)
        step.fresh = lonely

    def give_up(self, step: Step, now_s: float) -> None:
        """What has waited for too long, or has no room, goes to the dead letters as it came."""
        for half, why in islice(self.waiting.given_up(now_s), MOST_GIVEN_UP):
            side = half.place.half.side
            missing = "response" if side == "request" else "request"
            text = (
                f"no {missing} within {self._wait_ms / 1000:g} s"
                if why == "expired"
                else f"no {missing} yet, and no room: more waits than ingest.max_waiting or max_waiting_bytes"
            )
            step.letters.append(DeadLetter(half.record, half.record.topic, UNMATCHED[side], text))
            step.taken_back.append((half.place, half.partition))
            step.given_up[half.place.source, why] += 1

    def _meet(self, place: Place, record: Record, step: Step) -> None:
        """A half from a foreign topic: its other half may be in this very step."""
        if size_bytes(record) > MAX_HALF_BYTES:
            raise InvalidRecord("too_large", f"a half of more than {MAX_HALF_BYTES} bytes cannot be kept")
        other = step.fresh.pop(place.other.key, None)
        if other is None:
            step.fresh[place.key] = (place, record)
        else:
            self._join(place, record, other[1], step)

    def _join(self, place: Place, record: Record, other: Record, step: Step) -> None:
        request, response = (record, other) if place.half.side == "request" else (other, record)
        try:
            mapped = self._sources[place.source].map_pair(request, response)
            step.events += mapped.events
            refused = mapped.refused
        except InvalidRecord as error:
            refused = error
        if refused is not None:
            both: Sequence[Record] = (request, response)
            step.letters += [DeadLetter(each, each.topic, refused.reason, str(refused)) for each in both]

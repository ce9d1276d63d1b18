"""One configured source: records of its topics in, events of ours out. Pure, and of any bytes: what cannot be
mapped raises `InvalidRecord`, what is none of its business is None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from driftbus.errors import InvalidRecord
from driftbus.ports import Record
from driftbus.sources.envelope import content_of
from driftbus.sources.formats.form import Documents, Half, Part
from driftbus.sources.mapping import Event, FieldMapping, merged
from driftbus.sources.payloads import MAX_ROWS
from driftbus.sources.picks import MISSING, Around, as_text
from driftbus.sources.registry import FORMS
from driftbus.sources.settings import SourceSettings

Json = Any
# As many characters as an id of ours may have.
_MAX_ID_CHARS = 256


class Mapped(NamedTuple):
    """The events of one record; `refused` where some of its rows gave none: the first reason, and how
    many."""

    events: list[Event]
    refused: InvalidRecord | None = None


class Source:
    """`max_bytes`: of an event of ours (`limits.max_record_bytes`)."""

    def __init__(self, settings: SourceSettings, max_bytes: int = 1_000_000) -> None:
        self.settings, self.name = settings, settings.name
        self._form = FORMS[settings.format]
        self._mapping = FieldMapping(
            merged(self._form.fields, settings.fields),
            settings.columns,
            settings.output,
            settings.threshold,
            settings.classes,
        )
        self._max_bytes = max_bytes
        self._id_per_row = self._mapping.fields["prediction_id"].per_row

    @property
    def joins(self) -> bool:
        """Whether requests wait for their responses."""
        return self._form.half is not None and self.settings.join

    def half(self, record: Record) -> Half | None:
        """Which half of an inference a record is, of a source that `joins`. Raises `InvalidRecord`; None:
        none of ours."""
        return self._half(Part(record, content_of(record.value, record.headers)))

    def map(self, record: Record) -> Mapped | None:
        """What a record gives that says it all. Raises `InvalidRecord`; None: none of ours."""
        part = Part(record, content_of(record.value, record.headers))
        if self._form.pair is not None:
            half = self._half(part)
            if half is None or half.side == "request":
                return None
            return self._rows(part, self._form.pair(None, part, self.settings.columns, half.id))
        if not self._wanted(part) or self._form.documents is None:
            return None
        documents = self._form.documents(part, self.settings.columns)
        return None if documents is None else self._rows(part, documents)

    def map_pair(self, request: Record, response: Record) -> Mapped:
        """What both halves of an inference give. Raises `InvalidRecord`."""
        asked = Part(request, content_of(request.value, request.headers))
        said = Part(response, content_of(response.value, response.headers))
        half = self._half(said)
        if half is None or self._form.pair is None:
            raise InvalidRecord("unknown_body", "not a response of this source")
        # The request is what was predicted for: its time and key are the prediction's.
        return self._rows(asked, self._form.pair(asked, said, self.settings.columns, half.id))

    def _half(self, part: Part) -> Half | None:
        if self._form.half is None or not self._wanted(part):
            return None
        found = self._form.half(part)
        if found is None:
            return None
        if self.settings.join_id is not None:
            value = self.settings.join_id.take(self._seen(part), self._around(part))
            if value is MISSING or value is None:
                raise InvalidRecord("missing_field", "the id to join by is missing")
            found = found._replace(id=as_text(value, "join_id"))
        if not 0 < len(found.id) <= _MAX_ID_CHARS:
            raise InvalidRecord("too_long", f"an id of {len(found.id)} characters, not 1 to {_MAX_ID_CHARS}")
        return found

    def _wanted(self, part: Part) -> bool:
        """Whether it fits every condition of `when`."""
        if not self.settings.when:
            return True
        seen, around = self._seen(part), self._around(part)
        return all(
            any(type(value) is type(each) and value == each for each in allowed)
            for pick, allowed in self.settings.when
            for value in [pick.take(seen, around)]
        )

    def _seen(self, part: Part) -> Json:
        """The record as conditions and `join_id` see it: its body, and its attributes as the documents have
        them."""
        body = part.content.body
        if self._form.half is None or type(body) is not dict:
            return body
        return {**body, "attributes": part.content.attributes}

    @staticmethod
    def _around(part: Part) -> Around:
        return Around(part.record, 0, 1, part.content.body, part.content.attributes)

    def _rows(self, part: Part, documents: Documents) -> Mapped:
        rows: Sequence[Json] = documents.rows
        shared = documents.shared_id
        if self.settings.rows is not None:
            rows = self._cut(part, rows[0])
            shared = not self._id_per_row
        events: list[Event] = []
        refused: InvalidRecord | None = None
        bad = 0
        for number, document in enumerate(rows):
            around = Around(part.record, number, len(rows), part.content.body, part.content.attributes)
            try:
                events += self._mapping.events(document, around, shared_id=shared, max_bytes=self._max_bytes)
            except InvalidRecord as error:
                bad += 1
                if refused is None:
                    where = f"row {number}: " if len(rows) > 1 else ""
                    refused = InvalidRecord(error.reason, f"{where}{error}")
        if refused is not None and bad > 1:
            refused = InvalidRecord(refused.reason, f"{refused} ({bad} of {len(rows)} rows)")
        if refused is not None and not events:
            raise refused
        return Mapped(events, refused)

    def _cut(self, part: Part, document: Json) -> Sequence[Json]:
        if self.settings.rows is None:
            return [document]
        found = self.settings.rows.take(document, self._around(part))
        if type(found) is not list:
            raise InvalidRecord("missing_field", "no array where rows should be")
        if not 0 < len(found) <= MAX_ROWS:
            raise InvalidRecord("too_many_rows" if found else "no_rows", f"{len(found)} rows in one record")
        return found

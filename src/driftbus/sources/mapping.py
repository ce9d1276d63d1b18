"""One document → a prediction, a label, or both, by picks; checked as any event of ours, so never poison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from driftbus.core.codec import decode
from driftbus.errors import InvalidRecord
from driftbus.sources.payloads import named, unwrapped
from driftbus.sources.picks import MISSING, Around, Path, Pick, as_text, heads
from driftbus.sources.settings import BY_NAME, SINGLE, Output, TimePick

Json = Any
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Event(NamedTuple):
    """A record to be written: `topic` by its short name, keyed by `stream`."""

    topic: str
    stream: str
    value: bytes


@dataclass(frozen=True)
class FieldMapping:
    """The picks of one source. `shared_id`: rows of one record have one id, which `#ROW` tells apart."""

    fields: Mapping[str, Any]
    columns: Sequence[str] = ()
    output: Output = "value"
    threshold: float = 0.5
    classes: Sequence[Json] = ()

    def events(self, document: Json, around: Around, *, shared_id: bool, max_bytes: int) -> list[Event]:
        """Raises `InvalidRecord` where the document does not give at least one of them."""
        said = self._one("prediction", document, around)
        signals = self._named("signals", document, around)
        label = self._one("label", document, around)
        label_signals = self._named("label_signals", document, around)
        base = self._base(document, around, shared_id)
        found = []
        if said is not MISSING or signals:
            found.append(self._prediction(dict(base), said, signals, document, around, max_bytes))
        if label is not MISSING or label_signals:
            event = dict(base)
            event["ts"] = self._ts("label_ts" if "label_ts" in self.fields else "ts", document, around)
            if label is not MISSING:
                event["label"] = unwrapped(label)
            if label_signals:
                event["signals"] = label_signals
            found.append(_checked("labels", event, around, max_bytes))
        if not found:
            wanted = [name for name in ("prediction", "label") if name in self.fields]
            raise InvalidRecord(
                "missing_field", f"no {' and no '.join(wanted) or 'prediction'} in the record"
            )
        return found

    def id_of(self, document: Json, around: Around) -> str:
        """The id as text. Raises `InvalidRecord`."""
        value = self._one("prediction_id", document, around)
        if value is MISSING:
            raise InvalidRecord("missing_field", "prediction_id is missing")
        return as_text(value, "prediction_id")

    def _base(self, document: Json, around: Around, shared_id: bool) -> dict[str, Json]:
        stream = self._one("stream", document, around)
        if stream is MISSING:
            raise InvalidRecord("missing_field", "stream is missing")
        known = self.id_of(document, around)
        suffix = f"#{around.row}" if shared_id and around.rows > 1 else ""
        return {
            "prediction_id": known + suffix,
            "stream": as_text(stream, "stream"),
            "ts": self._ts("ts", document, around),
        }

    def _prediction(
        self,
        event: dict[str, Json],
        said: Json,
        signals: Mapping[str, Json] | None,
        document: Json,
        around: Around,
        max_bytes: int,
    ) -> Event:
        score = self._one("score", document, around)
        if said is not MISSING:
            event["prediction"], derived = self._spoken(unwrapped(said))
            score = derived if score is MISSING else score
        if score is not MISSING and score is not None:
            event["score"] = score if isinstance(score, dict) else self._as_score(unwrapped(score))
        features = self._features(document, around)
        if features is not None:
            event["features"] = features
        for name in ("model_version", "role"):
            value = self._one(name, document, around)
            if value is not MISSING:
                event[name] = as_text(value, name)
        weight = self._one("weight", document, around)
        if weight is not MISSING:
            event["weight"] = weight
        slices = self._named("slices", document, around)
        if slices:
            event["slices"] = {
                name: as_text(value, name) for name, value in slices.items() if value is not None
            }
        if signals:
            event["signals"] = dict(signals)
        return _checked("predictions", event, around, max_bytes)

    def _spoken(self, value: Json) -> tuple[Json, Json]:
        """Prediction and score out of a model's output."""
        if self.output == "value":
            return value, MISSING
        if self.output == "score":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidRecord("wrong_type", f"the output is {type(value).__name__}, not a score")
            no, yes = self.classes or (0, 1)
            return (yes if value >= self.threshold else no), value
        shares = self._as_score(value)
        if not isinstance(shares, dict) or not shares:
            raise InvalidRecord("wrong_type", "the output is no probability for each class")
        if not all(type(p) in (int, float) for p in shares.values()):
            raise InvalidRecord("wrong_type", "a probability is no number")
        best = max(shares, key=shares.__getitem__)
        classes = self.classes or (range(len(value)) if isinstance(value, list) else ())
        return next((each for each in classes if _class_text(each) == best), best), shares

    def _as_score(self, value: Json) -> Json:
        """A list of probabilities as an object by class."""
        if type(value) is not list:
            return value
        classes = self.classes or range(len(value))
        if len(classes) != len(value):
            raise InvalidRecord(
                "wrong_shape", f"{len(value)} probabilities, but {len(classes)} classes configured"
            )
        return {_class_text(each): share for each, share in zip(classes, value, strict=True)}

    def _features(self, document: Json, around: Around) -> dict[str, Json] | None:
        pick = self.fields.get("features")
        if pick is None:
            return None
        if isinstance(pick, Mapping):
            return {name: _or_null(each.take(document, around)) for name, each in pick.items()}
        if isinstance(pick, Path) and pick.root == "$rest":
            return self._rest(document)
        value = pick.take(document, around)
        if value is MISSING or value is None:
            return None
        if type(value) is dict:
            return value
        return named(value if type(value) is list else [value], self.columns)

    def _rest(self, document: Json) -> dict[str, Json] | None:
        if type(document) is not dict:
            return None
        picks: list[Pick] = []
        for value in self.fields.values():
            if isinstance(value, Mapping):
                picks += value.values()
            elif value is not None:
                picks.append(value.pick if isinstance(value, TimePick) else value)
        taken = heads(picks)
        return {name: value for name, value in document.items() if name not in taken}

    def _one(self, name: str, document: Json, around: Around) -> Json:
        pick = self.fields.get(name)
        if pick is None:
            return MISSING
        value = pick.take(document, around)
        return MISSING if value is None else value

    def _named(self, name: str, document: Json, around: Around) -> dict[str, Json] | None:
        pick = self.fields.get(name)
        if pick is None:
            return None
        if not isinstance(pick, Mapping):
            value = pick.take(document, around)
            if value is MISSING or value is None:
                return None
            if type(value) is not dict:
                raise InvalidRecord("wrong_type", f"{name} is {type(value).__name__}, not an object")
            return value
        found = {key: each.take(document, around) for key, each in pick.items()}
        return {key: value for key, value in found.items() if value is not MISSING and value is not None}

    def _ts(self, name: str, document: Json, around: Around) -> int:
        wanted = self.fields.get(name)
        if wanted is None:
            return around.record.timestamp_ms
        value = wanted.pick.take(document, around)
        return (
            around.record.timestamp_ms if value is MISSING or value is None else time_ms(value, wanted.unit)
        )


def time_ms(value: Json, unit: str) -> int:
    """A foreign time as epoch milliseconds: a number in its unit (`auto`: milliseconds), or ISO 8601 text;
    without a zone it counts as UTC. Raises `InvalidRecord`."""
    if isinstance(value, str):
        text = value.strip()
        if unit != "auto" and text.isascii() and text.isdigit() and len(text) < 20:
            return time_ms(int(text), unit)
        try:
            moment = datetime.fromisoformat(text[:-1] + "Z" if text.endswith("z") else text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            return (moment - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            raise InvalidRecord("bad_timestamp", f"{value!r:.60} is no time") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecord("bad_timestamp", f"a time is {type(value).__name__}, not text or a number")
    if isinstance(value, int):
        return value if unit in ("auto", "ms") else value * 1000 // _PER_SECOND[unit]
    if unit == "auto" and not value.is_integer():
        raise InvalidRecord("bad_timestamp", "a time with a fraction: say in which unit it is")
    scaled = value * 1000 / _PER_SECOND["ms" if unit == "auto" else unit]
    if not math.isfinite(scaled) or abs(scaled) > 2**62:
        raise InvalidRecord("bad_timestamp", f"{value!r:.60} is no time")
    return round(scaled)


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A format's own picks, changed by what a configuration says; null there takes one away."""
    fields = {**defaults, **given}
    return {name: pick for name, pick in fields.items() if pick is not None and name in (*SINGLE, *BY_NAME)}


def _checked(topic: str, event: Mapping[str, Json], around: Around, max_bytes: int) -> Event:
    """The event as bytes, if our own codec takes it: what is wrong is known here, not at the worker."""
    try:
        # Copied: orjson leaves what it wrote in a block of at least 4 kB, and a step holds thousands of them.
        value = orjson.dumps(event)[:-1] + b"}"
    except (TypeError, ValueError) as error:
        raise InvalidRecord("not_json", f"the event cannot be written: {error}") from None
    decode(topic, None, value, (), around.record.timestamp_ms, max_bytes)
    return Event(topic, event["stream"], value)


def _class_text(value: Json) -> str:
    return value if isinstance(value, str) else as_text(value, "class")


def _or_null(value: Json) -> Json:
    return None if value is MISSING else value

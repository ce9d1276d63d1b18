"""What was published about drift, read back: each episode with its events and the requests it led to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from driftbus.core.grounds import grounds
from driftbus.core.shape import fits
from driftbus.ports import Bus

Event = dict[str, Any]

# What is told of an event, by type: whoever else writes into a topic must not end a command for everybody.
_DRIFT = {
    "episode_id": str,
    "stream": str,
    "status": str,
    "resolution": (str, None),
    "category": str,
    "kind": str,
    "confidence": float,
    "model_version": (str, None),
    "muted": bool,
    "detected_at": str,
    "outcomes_seen": int,
    "predictions_seen": int,
    "onset": {"ts": str, "earliest": str, "latest": str},
    "signals": [{"name": str, "before": float, "after": float, "detector": str, "evidence": float}],
}
_EARLIER = {"state": int, "model_version": (str, None), "window": {"start_ts": str, "end_ts": str}}
_REQUEST = {
    "request_id": str,
    "stream": str,
    "status": str,
    "attempt": int,
    "episode_id": (str, None),
    "evidence": {},
    "training_window": {"rows": int, "rows_since_onset": int},
}


@dataclass(slots=True)
class Story:
    """One episode: the `data` of its drift events and of the requests that name it, oldest first. `times`:
    when each drift event was decided (RFC 3339)."""

    events: list[Event] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    requests: list[Event] = field(default_factory=list)

    @property
    def newest(self) -> Event:
        return self.events[-1]

    @property
    def is_open(self) -> bool:
        return bool(self.newest["status"] != "closed")


def stories(bus: Bus, topics: Mapping[str, str]) -> list[Story]:
    """Every episode that `drift-events` still holds, in the order in which they opened.

    `topics`: short name → name on the bus. What is no event of ours is passed over. Raises `BusError`.
    """
    found: dict[str, Story] = {}
    for time, data in _events(bus, topics["drift-events"]):
        if fits(data, _DRIFT) and data["signals"]:
            story = found.setdefault(data["episode_id"], Story())
            story.events.append(data)
            story.times.append(time)
    for _, data in _events(bus, topics["retrain-requests"]):
        if fits(data, _REQUEST) and data["episode_id"] in found:
            found[data["episode_id"]].requests.append(data)
    return sorted(found.values(), key=lambda story: story.times[0])


def _events(bus: Bus, topic: str) -> Iterator[tuple[str, Event]]:
    """(time, data) of the CloudEvents in a topic; a stream's own come in their order."""
    for partition in range(bus.partitions(topic)):
        for record in bus.read_from(topic, partition, bus.begin_offset(topic, partition)):
            try:
                event = orjson.loads(record.value or b"")
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("data"), dict):
                yield str(event.get("time", "")), event["data"]


def line(story: Story) -> str:
    """One episode in one line."""
    data = story.newest
    first = data["signals"][0]
    state = "open" if story.is_open else str(data["resolution"])
    return "  ".join(
        [
            minute(data["onset"]["ts"]),
            f"{data['stream']:20}",
            f"{data['category']:10}",
            f"{data['kind']:12} {data['confidence']:4.2f}",
            f"{state:9}",
            f"{first['name']} {number(first['before'])} → {number(first['after'])}{_in_slice(data, first)}",
            data["episode_id"],
        ]
    )


def explained(story: Story) -> str:
    """One episode in plain words, with its numbers."""
    data = story.newest
    onset, opened = data["onset"], story.events[0]
    labelled = data["category"] in ("concept", "label_prior", "labelling")
    seen = opened["outcomes_seen"] if labelled else opened["predictions_seen"]
    counted = f"{seen:,} {'outcomes' if labelled else 'predictions'}"
    ended = "It is still open." if story.is_open else f"It ended: {RESOLUTIONS.get(data['resolution'])}."
    model = f", model version {data['model_version']}" if data["model_version"] is not None else ""
    paragraphs = [
        f"Episode {data['episode_id']} of stream {data['stream']}{model}",
        "",
        f"{CATEGORIES.get(data['category'], data['category'])}{only_where(data.get('slice'))} "
        f"{_kind(data)} {ended}",
        f"It began at {minute(onset['ts'])} (between {minute(onset['earliest'])} and "
        f"{minute(onset['latest'])}) and was found at {minute(opened['detected_at'])}, after {counted}.",
    ]
    if data["muted"]:
        paragraphs.append("The stream was muted, so it asked for nothing.")
    paragraphs += ["", "What moved:"]
    width = max(len(signal["name"]) for signal in data["signals"])
    for signal in data["signals"]:
        moved = f"{number(signal['before'])} → {number(signal['after'])}"
        said = f"{signal['detector']}, evidence {number(signal['evidence'])}"
        paragraphs.append(f"  {signal['name']:{width}}  {moved:24}  by {said}")
    paragraphs += ["", "What was said:"]
    for time, event in zip(story.times, story.events, strict=True):
        end = f", {event['resolution']}" if event["resolution"] else ""
        paragraphs.append(
            f"  {minute(time)}  {event['status']}{end}: {event['kind']} ({event['confidence']:.2f})"
        )
    paragraphs += ["", "What was asked:" if story.requests else "Nothing was asked because of it."]
    for request in story.requests:
        window = request["training_window"]
        note = request["evidence"].get("note")
        reasons = grounds(request["evidence"])
        paragraphs.append(
            f"  {request['status']}, attempt {request['attempt']}: {window['rows']:,} rows, "
            f"{window['rows_since_onset']:,} of them since the onset; request {request['request_id']}"
            + (f" ({note})" if note else "")
        )
        paragraphs += [f"    {reason}" for reason in reasons]
    return "\n".join(paragraphs)


CATEGORIES = {
    "concept": "The model makes more errors than it did.",
    "data": "What the model is given has changed.",
    "prediction": "What the model says has changed.",
    "quality": "The quality of what the model is given has changed.",
    "label_prior": "The classes come in other shares than they did.",
    "labelling": "Predictions and labels do not fit together.",
}
RESOLUTIONS = {
    "settled": "the new level has held",
    "replaced": "another model took over",
    "passed": "it passed, and all is as before",
    "season": "it is a season",
    "dismissed": "somebody said that it is none",
    "timed_out": "it had its time",
}


def only_where(which: Any) -> str:
    """A sentence on the one slice that a change is of, after another; nothing without one."""
    if not isinstance(which, Mapping) or not which:
        return ""
    return f" Only where {' and '.join([f'{name} = {value}' for name, value in which.items()])}."


def _in_slice(data: Event, first: Event) -> str:
    """The slice, where the signal does not name it."""
    which = data.get("slice")
    if not isinstance(which, Mapping) or not which or "/" in first["name"]:
        return ""
    return f" in {', '.join([f'{name}={value}' for name, value in which.items()])}"


def _kind(data: Event) -> str:
    if data["kind"] == "undetermined":
        return "Whether it is sudden or gradual cannot be told."
    earlier: Any = data.get("earlier_state")
    again = ""
    if fits(earlier, _EARLIER):
        window = earlier["window"]
        made = earlier["model_version"]
        again = (
            f" The world is again as it was from {minute(window['start_ts'])} to {minute(window['end_ts'])}"
            f" (state {earlier['state']}{'' if made is None else f', model version {made}'})."
        )
    return f"It is {data['kind']} (confidence {data['confidence']:.2f}).{again}"


def minute(text: str) -> str:
    """A time of an event, for people: to the minute, UTC."""
    return text[:16].replace("T", " ")


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"

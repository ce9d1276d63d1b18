"""An episode of one slice in words: in a line, explained, and in the report."""

from __future__ import annotations

from typing import Any

import orjson

from driftbus.core.encode import drift_event
from driftbus.core.records import DriftEvent, Json
from driftbus.report.words import sentence, what
from driftbus.told import Story, explained, line
from tests.core.sliced import Driven, World


def in_a_slice() -> list[DriftEvent]:
    def rate(i: int, of: dict[str, Json]) -> float:
        return 0.5 if i >= 6_000 and of["region"] == "eu" else 0.1

    return Driven().feed(list(World(rate, {"region": {"eu": 0.3, "us": 0.7}}).rows(8_000))).events


def story(events: list[DriftEvent], **changes: Any) -> Story:
    place = {"topic": "outcomes", "partition": 0, "offset": 0}
    told = Story()
    for event in events:
        raw = orjson.loads(orjson.dumps(drift_event(event, "group", place)))
        told.events.append({**raw["data"], **changes})
        told.times.append(raw["time"])
    return told


def test_an_episode_of_one_slice_says_which() -> None:
    events = in_a_slice()
    assert "  error/region=eu 0." in line(story(events))
    assert " in region=eu" not in line(story(events))
    of_the_whole = story(events)  # which the slice explains: its signals come in the other order
    for event in of_the_whole.events:
        event["signals"].reverse()
    assert "  error 0." in line(of_the_whole)
    assert " in region=eu  " in line(of_the_whole)
    said = explained(story(events))
    assert "The model makes more errors than it did. Only where region = eu. " in said
    assert "\n  error/region=eu  " in said
    assert "\n  error            " in said
    assert what(events[-1]).endswith(", in region = eu")
    assert "Only where region = eu." in sentence(events[-1])


def test_one_of_everything_does_not_and_neither_does_what_is_no_slice() -> None:
    events = in_a_slice()
    for slice in (None, {}, [1], "eu", 3):
        assert "Only where" not in explained(story(events, slice=slice))

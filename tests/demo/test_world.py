"""The world is what it says: changes big enough to matter, nothing else changing, all from one seed."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from driftbus.demo.models import Model, train
from driftbus.demo.traffic import END_MS, START_MS, Answered, Asked, Traffic, event_index
from driftbus.demo.world import EVENTS, Example, Stream, world

NAMES = [stream.name for stream in world(0)]


def stream_of(seed: int, name: str) -> Stream:
    return next(stream for stream in world(seed) if stream.name == name)


def first_model(stream: Stream) -> Model:
    sample = stream.warm_up()
    return train(stream.name, "v1", stream.task, [x for x, _ in sample], [y for _, y in sample])


def errors(model: Model, examples: list[Example]) -> np.ndarray:
    answers = [model.answer(x)[0] for x, _ in examples]
    gaps = np.abs(np.array(answers) - np.array([y for _, y in examples]))
    return gaps if model.task == "regression" else (gaps > 0).astype(float)


def judged(name: str, seed: int) -> None:
    """The closed loop's arithmetic without the loop: old model before and after, new model on the window."""
    stream = stream_of(seed, name)
    events = list(islice(stream.events(), EVENTS))
    model = first_model(stream)
    begin = 0
    ends = [change.start for change in stream.changes[1:]] + [EVENTS]
    for change, end in zip(stream.changes, ends, strict=True):
        before = errors(model, events[begin : change.start]).mean()
        drifted = errors(model, events[change.end : end]).mean()
        # Gradual worlds wait longer for their request (see the demo's configuration).
        window = events[change.start : (change.end if change.end > change.start else change.start + 700)]
        model = train(stream.name, "v2", stream.task, [x for x, _ in window], [y for _, y in window])
        begin = change.start + len(window)
        after = errors(model, events[begin:end]).mean()
        assert drifted > 2 * before, f"{name}: {before:.3f} then only {drifted:.3f}"
        assert after < 0.6 * drifted, f"{name}: {drifted:.3f}, retrained {after:.3f}"
        assert end - begin > 1_000, f"{name}: too little left after the retrain"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixed-control"])
def test_changes_hurt_and_retraining_on_the_window_helps(name: str) -> None:
    for seed in range(3):
        judged(name, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in NAMES if name != "mixed-control"])
def test_changes_hurt_and_retraining_helps_for_many_seeds(name: str) -> None:
    for seed in range(3, 40):
        judged(name, seed)


@pytest.mark.parametrize("name", NAMES)
def test_before_its_first_change_a_stream_is_stationary(name: str) -> None:
    """The halves of that time differ by no more than chance: four standard errors, for five seeds."""
    for seed in range(5):
        stream = stream_of(seed, name)
        calm = stream.changes[0].start if stream.changes else EVENTS
        seen = errors(first_model(stream), list(islice(stream.events(), calm)))
        first, second = np.array_split(seen, 2)
        standard_error = seen.std() * np.sqrt(1 / len(first) + 1 / len(second))
        assert abs(first.mean() - second.mean()) < 4 * standard_error


@pytest.mark.parametrize("name", NAMES)
def test_a_change_leaves_the_features_alone(name: str) -> None:
    stream = stream_of(1, name)
    change = stream.changes[0].end if stream.changes else EVENTS // 2
    events = [features for features, _ in islice(stream.events(), EVENTS)]
    for feature, sample in events[0].items():
        if isinstance(sample, str):
            before, after = (
                [row[feature] == sample for row in part] for part in (events[:change], events[change:])
            )
        else:
            before, after = (
                [float(row[feature]) for row in part] for part in (events[:change], events[change:])
            )
        spread = np.std(before + after) * np.sqrt(1 / len(before) + 1 / len(after))
        assert abs(np.mean(before) - np.mean(after)) < 4.5 * spread, feature


def test_one_seed_gives_one_world_and_another_another() -> None:
    def told(seed: int) -> list[object]:
        return [[s.name, s.changes, list(islice(s.events(), 50)), s.warm_up()[:5]] for s in world(seed)]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_the_kinds_that_the_demo_promises_are_there() -> None:
    kinds = [change.kind for stream in world(0) for change in stream.changes]
    assert kinds.count("sudden") >= 2
    assert {"sudden", "gradual", "recurrent"} == set(kinds)
    assert any(not stream.changes for stream in world(0))
    assert {stream.task for stream in world(0)} == {"classification", "regression"}


def test_traffic_is_in_the_order_of_time_and_every_answer_comes_late_and_once() -> None:
    traffic = Traffic(world(5))
    events = [*traffic.until(START_MS + 2_000_000), *traffic.until(END_MS)]
    assert [event.ts for event in events] == sorted(event.ts for event in events)
    asked = {event.prediction_id: event.ts for event in events if isinstance(event, Asked)}
    answered = {event.prediction_id: event.ts for event in events if isinstance(event, Answered)}
    assert len(asked) + len(answered) == len(events)
    assert all(answered[prediction_id] > asked[prediction_id] for prediction_id in answered)
    judged_part = {prediction_id for prediction_id in asked if event_index(prediction_id) < EVENTS}
    assert len(judged_part) == EVENTS * len(NAMES)
    assert judged_part <= answered.keys()
    of_one = [event_index(key) for key in answered if key.startswith("mixed-control")]
    assert of_one != sorted(of_one), "labels should come out of order"


def test_traffic_does_not_depend_on_how_time_is_cut() -> None:
    end = START_MS + 3_000_000
    streams = world(5)
    pieces = Traffic(streams)
    cut = [event for t in range(START_MS, end + 1, 250_000) for event in pieces.until(t)]
    assert cut == list(Traffic(streams).until(end))

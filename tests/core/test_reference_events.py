"""`reference-set` in the fold: of which version, before or after its first rows; and what it may hold."""

from __future__ import annotations

import copy
import random
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftbus.core.codec import decode
from driftbus.core.monitor import StreamMonitor
from driftbus.core.partition import Partition, StepInput
from driftbus.core.records import DriftEvent
from driftbus.core.reference_checks import reference_of
from driftbus.core.reference_summary import TrainingRows
from driftbus.core.settings import FeaturePolicy, Limits, StreamSettings
from driftbus.core.stream_views import stream_detail
from driftbus.errors import InvalidRecord
from tests.core.streams import START_MS, as_runs

SPACING = 30_000
RULES = StreamSettings(challenger=None)
Event = tuple[str, dict[str, Any], int]


def reference_json(shift: float = 0.0) -> dict[str, Any]:
    """Of a training set from N(shift, 1), with a category and a score around .3."""
    rng, rows = random.Random(1), TrainingRows(FeaturePolicy())
    for _ in range(3_000):
        rows.add({"x": rng.gauss(shift, 1.0), "c": rng.choice("abc")}, rng.betavariate(3, 7))
    return rows.reference()[0].as_json()


TRAINING = reference_json()


def predictions(
    n: int, *, version: str | None = "v1", start: int = 0, role: str = "production", shift: float = 1.0
) -> list[Event]:
    """From N(shift, 1)."""
    rng = random.Random(start)
    rows: list[Event] = []
    for place in range(start, start + n):
        ts = START_MS + place * SPACING
        features = {"x": rng.gauss(shift, 1.0), "c": rng.choice("abc")}
        value = {"prediction_id": f"{role}-{place}", "stream": "s", "ts": ts, "prediction": 1}
        value |= {"features": features, "score": rng.betavariate(3, 7), "role": role}
        if version is not None:
            value["model_version"] = version
        rows.append(("predictions", value, ts))
    return rows


def said(at: int, kind: str = "reference-set", **fields: Any) -> Event:
    """A model event before row `at`."""
    ts = START_MS + at * SPACING - 1
    if kind == "reference-set":
        fields = {"reference": TRAINING, **fields}
    return ("model-events", {"stream": "s", "ts": ts, "type": kind, **fields}, ts)


def fold(rows: list[Event], cuts: list[int] | None = None, *, reload: bool = False) -> list[Any]:
    """All decisions, with the place of the row that made each."""
    rows = sorted(rows, key=lambda row: row[2])
    partition, decided = Partition(0, lambda stream: RULES, Limits()), []
    places = sorted({0, len(rows), *(cuts or [])})
    for start, stop in pairwise(places):
        result = partition.step(StepInput(as_runs(rows[start:stop], start)))
        decided += [(start + pos, decision) for pos, decision in result.decisions]
        if reload:
            for name, monitor in partition.streams.items():
                state = orjson.loads(orjson.dumps(monitor.dump()))
                partition.streams[name] = type(monitor).load(state, name, RULES, Limits())
    return decided


def opened(decided: list[Any]) -> list[tuple[int, str, str | None]]:
    return [
        (place, one.category, one.model_version)
        for place, one in decided
        if isinstance(one, DriftEvent) and one.status == "opened"
    ]


def test_drift_between_training_and_deployment_is_an_episode_of_data() -> None:
    rows = predictions(1_500)
    assert opened(fold(rows)) == []
    for named in ({}, {"model_version": "v1"}):
        ((place, category, version),) = opened(fold([said(0, **named), *rows]))
        assert (category, version) == ("data", "v1")
        assert place < 200


def test_a_training_set_like_production_changes_nothing() -> None:
    assert opened(fold([said(0, reference=reference_json(1.0)), *predictions(3_000)])) == []


def test_it_may_come_later_and_is_of_the_version_in_production() -> None:
    ((place, category, _),) = opened(fold([*predictions(2_000), said(1_200)]))
    assert category == "data"
    assert 1_200 < place < 1_400


def test_it_is_of_one_version_in_every_role_and_of_no_other() -> None:
    rows = [*predictions(1_000), *predictions(1_000, version="v2", role="canary")]
    assert [found[1:] for found in opened(fold([said(0, model_version="v2"), *rows]))] == [("data", "v2")]
    assert [found[1:] for found in opened(fold([said(500), *rows]))] == [("data", "v1")]


def test_the_first_in_production_takes_what_was_said_before_it_and_the_next_does_not() -> None:
    rows = [*predictions(700), *predictions(1_000, version="v2", start=700)]
    assert [found[2] for found in opened(fold([said(0), *rows]))] == ["v1"]


def test_a_version_that_is_rolled_back_to_has_its_reference_again() -> None:
    rows = [*predictions(500), *predictions(500, version="v2", start=500)]
    rows += predictions(500, start=1_000)
    rows.append(said(1_000, "model-rolled-back", model_version="v1"))
    assert [found[2] for found in opened(fold([said(0, model_version="v1"), *rows]))] == ["v1", "v1"]


def test_predictions_without_versions_forget_it_with_the_next_deployment() -> None:
    rows = [*predictions(2_000, version=None), said(400, "model-deployed")]
    assert len(opened(fold([said(0), *rows]))) == 1


def test_an_open_episode_stays_when_the_reference_changes() -> None:
    decided = fold([said(0), said(400, reference=reference_json(1.0)), *predictions(1_000)])
    assert [one.status for _, one in decided if isinstance(one, DriftEvent)] == ["opened"]
    assert decided[0][0] < 200


def test_the_score_is_held_against_it_too() -> None:
    reference = copy.deepcopy(TRAINING)
    reference["features"] = {}
    rows = predictions(1_000)
    for _, value, _ in rows:
        value["score"] = min(value["score"] + 0.2, 1.0)
    ((place, category, _),) = opened(fold([said(0, reference=reference), *rows]))
    assert (place < 200, category) == (True, "prediction")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    at=st.sampled_from([0, 3, 640, 1_100]),
    named=st.booleans(),
    cuts=st.lists(st.integers(1, 1_800), max_size=12),
    reload=st.booleans(),
)
def test_where_steps_are_cut_and_state_is_read_back_changes_nothing(
    at: int, named: bool, cuts: list[int], reload: bool
) -> None:
    rows = [*predictions(900), *predictions(900, version="v2", start=900, shift=2.0)]
    rows += predictions(300, version="v2", role="shadow", start=300)
    rows.append(said(at, model_version="v2") if named else said(at))
    assert fold(rows, cuts, reload=reload) == fold(rows)


# What it may hold


def test_what_is_read_is_what_was_written() -> None:
    assert reference_of(TRAINING).as_json() == TRAINING
    assert reference_of(orjson.loads(orjson.dumps(TRAINING))) == reference_of(TRAINING)


def changed(path: str, value: Any) -> Any:
    """The reference with something else at a place in it."""
    raw: Any = copy.deepcopy(TRAINING)
    *path_there, last = path.split("/")
    there = raw
    for part in path_there:
        there = there[int(part) if isinstance(there, list) else part]
    there[int(last) if isinstance(there, list) else last] = value
    return raw


X, C = "features/x/", "features/c/"
HOSTILE: list[Any] = [
    *(None, [], "reference", {}, {"rows": 10, "features": []}),
    *(changed("rows", value) for value in (0, -1, 1.5, True, 2**60, None)),
    changed("features", {f"f{i}": TRAINING["features"]["x"] for i in range(1_001)}),
    changed("features", {"f" * 300: TRAINING["features"]["x"]}),
    *(changed(X + "kind", value) for value in (None, "ordinal", 3, "categorical")),
    *(changed(X + "count", value) for value in (0, "many", 1e9)),
    *(changed(X + "missing", value) for value in (-0.1, 1.1, "none", None)),
    *(changed(X + "mean", value) for value in (1e9, "0", None, True, [])),
    *(changed(X + "deviation", value) for value in (-1.0, 1e200, None, 1e6)),
    *(changed(X + "means_deviation", value) for value in (-1.0, "x", 1e6)),
    *(changed(X + "quantiles", value) for value in ([], [0.0] * 12, [1e160] * 13, list(range(13))[::-1])),
    changed(X + "quantiles/3", "low"),
    *(changed(C + "shares", value) for value in ([], {}, [["a", 1.0], ["a", 0.0]], [["a"]], [["a", 2.0]])),
    *(changed(C + "shares", value) for value in ([[None, 1.0]], [[[], 1.0]], [["a", 0.2]], [["a", "1"]])),
    changed(C + "shares", [[f"c{i}", 0.0] for i in range(1_001)]),
    changed("features", {f"f{i}": changed(C + "shares", [[j, 0.001] for j in range(1_000)])["features"]["c"]
                         for i in range(21)}),
    *(changed(C + "other", value) for value in (-1.0, 0.5, "x")),
    changed(C + "unseen", 1.5),
    *(changed("score", value) for value in (0.3, {}, {"kind": "categorical"})),
]  # fmt: skip


@pytest.mark.parametrize("reference", HOSTILE)
def test_what_is_no_reference_is_refused(reference: Any) -> None:
    event = {"stream": "s", "ts": 0, "type": "reference-set", "reference": reference}
    with pytest.raises(InvalidRecord):
        decode("model-events", b"s", orjson.dumps(event), (), 0, 10**9)


def test_numbers_that_are_no_json_are_refused() -> None:
    text = orjson.dumps({"type": "reference-set", "reference": TRAINING})
    for bad in (b"NaN", b"Infinity", b"1e999"):
        value = text.replace(b'"deviation":', b'"deviation":' + bad + b',"was":', 1)
        with pytest.raises(InvalidRecord):
            decode("model-events", b"s", value, (), 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PATHS = ["rows", "features", "score", *(X + f for f in ("count", "mean", "quantiles", "quantiles/0", "kind"))]
PATHS += [C + f for f in ("shares", "shares/0", "shares/0/0", "shares/0/1", "other", "missing")]


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(PATHS), value=JSON)
def test_anything_else_is_refused_or_folded(path: str, value: Any) -> None:
    event = said(0, reference=changed(path, value))
    try:
        decode("model-events", b"s", orjson.dumps(event[1]), (), 0)
    except InvalidRecord:
        return
    fold([event, *predictions(200)], [100], reload=True)


def test_the_page_tells_of_which_training_set_a_version_is() -> None:
    partition = Partition(0, lambda stream: RULES, Limits())
    rows = [said(0, model_version="v1"), *predictions(20), *predictions(20, version="v2", start=20)]
    partition.step(StepInput(as_runs(rows, 0)))
    versions = stream_detail(partition.streams["s"], 0).versions
    assert [(one.model_version, one.training_rows) for one in versions] == [("v1", 3_000), ("v2", None)]


def test_what_begins_anew_begins_with_the_reference() -> None:
    """The configuration named a detector of features, and does no longer."""
    rows = [said(0, reference=reference_json(1.0)), *predictions(1_600)]
    partition = Partition(0, lambda stream: RULES, Limits())
    partition.step(StepInput(as_runs(rows, 0)))
    state = orjson.loads(orjson.dumps(partition.streams["s"].dump()))
    later = predictions(800, start=1_600, shift=0.0)
    for anew, found in ((frozenset({"features"}), 1), (frozenset({"metrics"}), 1), (None, 0)):
        if anew is None:  # as if there had been no reference
            state = {**state, "references": []}
            anew = frozenset({"features"})
        monitor = StreamMonitor.load(state, "s", RULES, Limits(), anew)
        partition = Partition(0, lambda stream: RULES, Limits())
        partition.streams["s"] = monitor
        result = partition.step(StepInput(as_runs(later, len(rows))))
        assert len(result.decisions) == found, anew

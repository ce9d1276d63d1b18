"""The section `ingest`: what is taken, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from driftbus.config import load
from driftbus.sources.picks import Constant, First, Template, shown
from driftbus.sources.picks import Path as PickPath
from tests.config.files import loaded, refused

GOOD: dict[str, Any] = {
    "format": "json", "topics": ["t"], "stream": "s", "prediction_id": "id", "prediction": "p",
}  # fmt: skip


def text(**changes: Any) -> str:
    return yaml.safe_dump({"ingest": {"sources": {"mine": {**GOOD, **changes}}}}, allow_unicode=True)


def without(key: str) -> str:
    return yaml.safe_dump({"ingest": {"sources": {"mine": {k: v for k, v in GOOD.items() if k != key}}}})


def test_picks_of_every_kind(tmp_path: Path) -> None:
    fields = loaded(
        tmp_path,
        text(
            prediction=["a.b", "/c~1d/0", {"constant": 1.5}, "{x}-{/y}", "$header.ce-id"],
            stream="ranking",
            ts={"path": "at", "unit": "s"},
            features={"price": "items.0.price"},
        ),
    ).ingest.sources[0].fields  # fmt: skip
    assert isinstance(fields["prediction"], First)
    kinds = [type(each) for each in fields["prediction"].picks]
    assert kinds == [PickPath, PickPath, Constant, Template, PickPath]
    assert fields["prediction"].picks[1].steps == ("c/d", "0")
    assert shown(fields["prediction"]) == "a.b, else /c~1d/0, else 1.5, else {x}-{/y}, else $header.ce-id"
    assert fields["stream"] == Template(("ranking",))
    assert (fields["ts"].unit, fields["ts"].pick.steps) == ("s", ("at",))
    assert fields["features"]["price"].steps == ("items", "0", "price")


def test_the_rest(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "ingest: {wait: 5m, max_waiting: 10, max_waiting_bytes: 20, halves_topic: h, sources: {m: {"
        "format: kserve, topics: one, when: {attributes.component: predictor, n: [1, 2.5, true]}, "
        "classes: [a, 1], columns: x}}}",
    ).ingest
    assert (found.wait_ms, found.max_waiting, found.max_waiting_bytes, found.halves_topic) == (
        300_000,
        10,
        20,
        "h",
    )
    (source,) = found.sources
    assert (source.topics, source.classes, source.columns) == (("one",), ("a", 1), ("x",))
    assert [values for _, values in source.when] == [("predictor",), (1, 2.5, True)]
    # Plain values, which JSON and comparisons know; not those that remember how they were written.
    assert orjson.dumps(source.classes[1]) == b"1"
    assert type(source.when[1][1][1]) is float


def test_without_a_word_there_are_no_sources(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{}").ingest.sources == ()
    assert loaded(tmp_path, "ingest:").ingest.sources == ()


def test_from_the_environment() -> None:
    source = "{format: kserve, topics: [k]}"
    found = load(None, {"DRIFTBUS_INGEST__SOURCES__iris": source, "DRIFTBUS_INGEST__WAIT": "2m"}).ingest
    assert (found.sources[0].name, found.wait_ms) == ("iris", 120_000)


@pytest.mark.parametrize(
    ("written", "key", "nearest"),
    [
        (text(format="kserv"), "format", "kserve"),
        (text(predicton="p"), "predicton", "prediction"),
        (text(output="scores"), "output", "score"),
        (text(topics=["a b"]), "topics[0]", None),
        (text(prediction="$heder.x"), "prediction", "$header.x"),
        (text(prediction="$header"), "prediction", None),
        (text(prediction="$key.x"), "prediction", None),
        (text(prediction="a..b"), "prediction", None),
        (text(prediction="/a~2"), "prediction", None),
        (text(prediction=""), "prediction", None),
        (text(prediction=7), "prediction", None),
        (text(prediction=[]), "prediction", None),
        (text(prediction=["a", "b..c"]), "prediction[1]", None),
        (text(prediction={"const": 1}), "prediction", "constant"),
        (text(prediction={"constant": [1]}), "prediction", None),
        (text(stream="{a"), "stream", None),
        (text(stream="{}"), "stream", None),
        (text(stream="a}b"), "stream", None),
        (text(prediction_id={"constant": "a"}), "prediction_id", None),
        (text(ts={"path": "a", "unit": "sec"}), "ts.unit", "s"),
        (text(ts={"path": "a", "units": "s"}), "ts.units", "unit"),
        (text(features={"a": "b..c"}), "features.a", None),
        (text(when=["a"]), "when", None),
        (text(when={"a": {"b": 1}}), "when.a", None),
        (text(threshold="high"), "threshold", None),
        (text(rows="a..b"), "rows", None),
        # Known keys, but not for this format, or not without another.
        (text(join=False), "join", None),
        (text(join_id="a"), "join_id", None),
        (text(format="arize", rows="a"), "rows", None),
        (text(output="score", classes=["a", "b", "c"]), "classes", None),
        (text(prediction_id=None), "prediction_id", None),
        (without("format"), "format", None),
        (without("topics"), "topics", None),
        (without("stream"), "stream", None),
        (without("prediction_id"), "prediction_id", None),
        (without("prediction"), "prediction", None),
    ],
)
def test_refused(tmp_path: Path, written: str, key: str, nearest: str | None) -> None:
    error = refused(tmp_path, written)
    assert error.key == f"ingest.sources.mine.{key}"
    assert error.nearest == nearest
    assert error.allowed
    assert str(tmp_path) in (error.where or "")


@pytest.mark.parametrize(
    ("written", "key", "nearest"),
    [
        ("ingest: {sorces: {}}", "ingest.sorces", "sources"),
        ("ingest: {max_waitng: 1}", "ingest.max_waitng", "max_waiting"),
        ("ingest: {wait: 0}", "ingest.wait", None),
        ("ingest: {max_waiting: 0}", "ingest.max_waiting", None),
        ("ingest: []", "ingest", None),
        ("ingest: {sources: {a: []}}", "ingest.sources.a", None),
        ("ingst: {}", "ingst", "ingest"),
    ],
)
def test_the_section_refused(tmp_path: Path, written: str, key: str, nearest: str | None) -> None:
    error = refused(tmp_path, written)
    assert (error.key, error.nearest) == (key, nearest)

"""What is measured is what `driftbus replay` does."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from benchmarks.quality import product
from benchmarks.quality.__main__ import chosen, split
from benchmarks.quality.matching import Change
from benchmarks.quality.stream import Stream, Table

from driftbus.config import load
from driftbus.core.encode import drift_event
from driftbus.core.records import DriftEvent
from driftbus.replay import CsvColumns, replay


def changing(rows: int) -> Stream:
    """A classifier whose error rises from .05 to .5 in the middle, with two features."""
    rng = np.random.default_rng(11)
    errors = (rng.random(rows) < np.repeat((0.05, 0.5), rows // 2)).astype(float)
    labels = rng.integers(0, 2, rows)
    features = [
        {"a": a, "b": b}
        for a, b in zip(
            rng.random(rows).round(6).tolist(), rng.choice(list("xyz"), rows).tolist(), strict=True
        )
    ]
    table = Table(features, (labels ^ errors.astype(int)).tolist(), labels.tolist())
    return Stream("s", errors, True, (Change(rows // 2, rows // 2 + 1),), table=table)


def told(event: dict[str, Any]) -> dict[str, Any]:
    """What an event says, without ids and the time of the file's first row."""
    keys = ("status", "category", "kind", "confidence", "resolution", "outcomes_seen", "predictions_seen")
    return {key: event.get(key) for key in keys} | {"seq": event["onset"]["offset"]["offset"]}


def test_the_product_is_measured_as_replay_runs_it(tmp_path: Path) -> None:
    stream = changing(6_000)
    table = stream.table
    assert table is not None
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["a", "b", "prediction", "label"])
        for x, said, label in zip(table.features, table.predictions, table.labels, strict=True):
            writer.writerow([x["a"], x["b"], said, label])
    printed = io.BytesIO()
    settings = load(None, {})
    replay([path], settings, csv=CsvColumns("label", "prediction"), out=printed, progress=lambda a, b: None)
    lines = [orjson.loads(line) for line in printed.getvalue().splitlines()]
    replayed = [told(line["value"]["data"]) for line in lines if line["topic"] == "drift-events"]
    place = {"topic": "outcomes", "partition": 0}
    measured = [
        told(
            orjson.loads(orjson.dumps(drift_event(one, settings.source, place | {"offset": one.onset.seq})))[
                "data"
            ]
        )
        for one in product.watch(stream)
        if isinstance(one, DriftEvent)
    ]
    assert measured == replayed
    assert len(measured) >= 2


def test_episodes_are_read_as_they_are_told() -> None:
    (episode,), requests = product.episodes(product.watch(changing(8_000)))
    assert 4_000 <= episode.start < 4_100
    assert episode.onset is not None
    assert abs(episode.onset - 4_000) < 50
    assert (episode.last_kind, episode.category) == ("sudden", "concept")
    assert requests >= 1  # nobody answers, so it is asked again


def test_contenders_by_name() -> None:
    assert split("adwin:delta=0.1,clock=1,driftbus") == ["adwin:delta=0.1,clock=1", "driftbus"]
    names = [one.name for one in chosen("driftbus,dummies,adwin:delta=0.1", False)]
    assert names[:5] == ["driftbus", "never", "always", "every 5,000", "adwin:delta=0.1"]
    assert "kswin" in [one.name for one in chosen(None, False)]
    assert "kswin" not in [one.name for one in chosen(None, True)]

"""S3 and S4: streams of the recorded files, as a frozen model sees them.

S3: a tree and a linear model are trained on the first 3,000 rows (fast files: 1,500), and anew on as many
rows after the end of each drift; the new one takes over where its training rows end. S4: one model for the
whole series.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from benchmarks.quality import data
from benchmarks.quality.cache import kept
from benchmarks.quality.matching import OPENING, Change
from benchmarks.quality.models import fit, fit_classes
from benchmarks.quality.stream import Floats, Stream, Table
from numpy.typing import NDArray

_HARVARD = ("sine_0123", "mixed_0101", "stagger_0120", "rt_2563789698568873", "sea_0123")


def _harvard(name: str, kind: str) -> str:
    return f"harvard_{name}_{kind}" + ("_noise_0.2" if name.startswith("sea") else "")


SUDDEN = (
    *(_harvard(name, "abrupto") for name in _HARVARD),
    "tornado_mixed_101",
    "tornado_sine1_101",
    "syn_sea_50k",
)
GRADUAL = (*(_harvard(name, "gradual") for name in _HARVARD), "tornado_circles_101")
FAST = ("syn_interchanging_rbf",)
# Drifts after which the stream is as it was in an earlier block (TRUTH.json and the files' own names).
RECURRENT = {
    "harvard_mixed_0101_abrupto": (1, 2),
    "harvard_mixed_0101_gradual": (1, 2),
    "harvard_stagger_0120_abrupto": (2,),
    "harvard_stagger_0120_gradual": (2,),
    "tornado_mixed_101": (1, 2, 3),
    "tornado_sine1_101": (1, 2, 3),
}
TRAIN_ROWS, FAST_TRAIN_ROWS = 3_000, 1_500
MAX_DELAY, FAST_MAX_DELAY = 3_000, 1_000
MERGE_ROWS, FAST_MERGE_ROWS = 2_000, 500
# A drift that raises the error less is nobody's fault to miss.
LEAST_RISE = 0.02

SERIES = ("vic_electricity_halfhourly", "bike_sharing_hourly", "nab_nyc_taxi")


def classified(zone: str, name: str, model: str, rep: int) -> Stream:
    """S3: one file under one kind of model. Recorded, so neither zone nor repetition changes anything."""
    table, features, labels, known = _file(name)
    train = FAST_TRAIN_ROWS if name in FAST else TRAIN_ROWS
    drifts = [tuple(drift) for drift in data.truth(name)["drifts"]]
    deployed = [end + train for _, end in drifts if end + train < len(labels)]
    said = kept(
        f"s3-{name}-{model}",
        (__file__,),
        lambda: _said(model, features, labels, len(known), [train, *deployed], train),
    )
    errors = (said != labels[train:]).astype(float)
    changes: list[Change] = []
    for index, (start, end) in enumerate(drifts):
        begin, until = start - train, min(end + train, len(labels)) - train
        since = max([0, *(row - train for row in deployed if row <= start)])
        width = 0 if end - start <= 1 else end - start
        smooth = "_gradual" in name
        calm = errors[since : begin - (round(OPENING * width) if smooth else 0)]
        rise = float(errors[end - train : until].mean() - calm.mean())
        kind = data.truth(name)["type"][index]
        change = Change(
            begin,
            end - train,
            smooth,
            rise >= LEAST_RISE,
            None if kind == "irregular" else kind,
            index in RECURRENT.get(name, ()),
        )
        changes.append(change)
        if smooth and kind == "irregular":
            # It jumps a second time at its end (TRUTH.json): to say so again there is not wrong.
            changes.append(Change(end - train, end - train + 1, counts=False))
    names = [column for column in table if column != data.truth(name)["label"]]
    return Stream(
        name=f"{name}, {model}",
        signal=errors,
        binary=True,
        changes=tuple(changes),
        replaced=tuple(row - train for row in deployed),
        merge_rows=FAST_MERGE_ROWS if name in FAST else MERGE_ROWS,
        max_delay=FAST_MAX_DELAY if name in FAST else MAX_DELAY,
        table=Table(
            _dicts(name, tuple(names))[train:],
            [known[index] for index in said],
            table[data.truth(name)["label"]][train:],
        ),
    )


@lru_cache(maxsize=1)
def _file(name: str) -> tuple[dict[str, list[Any]], Floats, NDArray[np.int64], list[Any]]:
    table = data.columns(name)
    label = data.truth(name)["label"]
    labels, known = data.classes(table[label])
    return table, data.matrix(table, [key for key in table if key != label]), labels, known


@lru_cache(maxsize=1)
def _dicts(name: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    table = data.columns(name)
    return [dict(zip(names, row, strict=True)) for row in zip(*(table[n] for n in names), strict=True)]


def _said(
    model: str, features: Floats, labels: NDArray[np.int64], count: int, begins: list[int], train: int
) -> NDArray[np.int64]:
    """What was predicted from row `begins[0]` on; each model learned the `train` rows before it began."""
    parts = []
    for begin, end in zip(begins, [*begins[1:], len(labels)], strict=True):
        learned = slice(begin - train, begin)
        fitted = fit_classes(model, features[learned], labels[learned], count)
        parts.append(np.argmax(fitted.scores(features[begin:end]), 1))
    return np.concatenate(parts)


def regressed(zone: str, name: str, model: str, rep: int) -> Stream:
    """S4: a series without a lasting change, as a regressor sees it that was frozen after its first part."""
    features, target, train = _series(name)
    matrix = data.matrix(features, list(features))
    if model == "linear":
        # A line through the hour of the day says nothing: its seasons as waves.
        turn = 2.0 * np.pi * matrix[:, :1] / 24.0
        waves = [f(k * turn) for k in (1, 2, 3) for f in (np.sin, np.cos)]
        matrix = np.hstack((matrix, *waves))
    matrix = np.nan_to_num(matrix)
    fitted = fit(model, matrix[:train], target[:train, None], False)
    said = fitted.scores(matrix[train:])[:, 0]
    rows = [
        dict(zip(features, row, strict=True))
        for row in zip(*(c[train:] for c in features.values()), strict=True)
    ]
    return Stream(
        name=f"{name}, {model}",
        signal=np.abs(target[train:] - said),
        binary=False,
        table=Table(rows, said.tolist(), target[train:].tolist()),
    )


def _series(name: str) -> tuple[dict[str, list[Any]], Floats, int]:
    """Features, target, and how many rows are learned from: a year of seasons, where there are several."""
    table = data.columns(name)
    if name.startswith("vic"):
        times = np.array([text.rstrip("Z") for text in table["Time"]], "datetime64[m]") + np.timedelta64(
            10, "h"
        )
        # Victoria's own time is ten hours ahead of UTC.
        found = _calendar(times) | {"temperature": table["Temperature"], "holiday": table["Holiday"]}
        return found, np.array(table["Demand"], float), 17_520
    if name.startswith("bike"):
        names = ("hour", "weekday", "month", "workingday", "weather", "temp", "hum", "windspeed")
        return {key: table[key] for key in names}, np.array(table["users"], float), 8_760
    times = np.array(table["timestamp"], "datetime64[m]")
    found = _calendar(times)
    del found["month"]  # seven months in all: most of them were never learned
    return found, np.array(table["value"], float), 3_000


def _calendar(times: Any) -> dict[str, list[Any]]:
    days = times.astype("datetime64[D]")
    hours = (times - days).astype(int) / 60.0
    weekdays = (days.astype(int) + 3) % 7
    months = times.astype("datetime64[M]").astype(int) % 12 + 1
    return {"hour": hours.tolist(), "weekday": weekdays.tolist(), "month": months.tolist()}

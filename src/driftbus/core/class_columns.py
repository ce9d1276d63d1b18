"""Rows of a classifier's outcomes turned into the whole numbers that tallies count."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

import numpy as np

from driftbus.core.class_codes import ClassCodes
from driftbus.core.class_tally import (
    CLIP,
    FINE,
    LOSS_UNIT,
    MAX_WEIGHT,
    ONE,
    TABLE,
    UNRANKED,
    UNSCORED,
    ClassColumns,
    ClassRow,
)


def fixed_weight(weight: float | None) -> int:
    """A weight in units of ONE; what is missing counts 1, what is out of range the nearest bound."""
    return ONE if weight is None else round(min(max(weight, 0.0), MAX_WEIGHT) * ONE)


def columns(
    codes: ClassCodes, pairs: array[int], scores: Sequence[Any] | None, labels: Sequence[Any], weights: Any
) -> ClassColumns:
    """Turn pending rows into what tallies count. `labels` are only looked at beside scores per class."""
    n = len(pairs)
    pair_codes = np.array(pairs, dtype=np.uint16)
    fixed = None if weights is None else np.array([fixed_weight(w) for w in weights], dtype=np.int64)
    if scores is None:
        return ClassColumns(pair_codes, np.full(n, UNSCORED), np.zeros(n, dtype=np.int64), fixed)
    try:
        values = np.array(scores, dtype=np.float64)  # None becomes NaN
    except TypeError:  # scores per class among them
        rows = [
            score_row(codes, code, score, label, w)
            for code, score, label, w in zip(pairs, scores, labels, weights or [None] * n, strict=True)
        ]
        keys = np.array([row.key for row in rows], dtype=np.int64)
        losses = np.array([row.loss for row in rows], dtype=np.int64)
        return ClassColumns(pair_codes, keys, losses, fixed)
    usable = (values >= 0.0) & (values <= 1.0) & (pair_codes > 0)
    gaps = not usable.all()
    if gaps:
        values[~usable] = 0.5
    positive = np.array(codes.positive, dtype=bool)[pair_codes]
    truth = np.where(positive, values, 1.0 - values)
    np.maximum(truth, CLIP, out=truth)
    # `math.log` row by row, not numpy's: its vector forms may differ in the last bit between machines.
    amounts = np.fromiter(map(log, truth.tolist()), dtype=np.float64, count=n) * -LOSS_UNIT
    if fixed is not None:
        amounts *= fixed / ONE
    losses = np.rint(amounts).astype(np.int64)
    buckets = TABLE[np.minimum((values * FINE).astype(np.int64), FINE - 1)]
    keys = buckets * 2 + positive
    if gaps:
        losses[~usable], keys[~usable] = 0, UNSCORED
    return ClassColumns(pair_codes, keys, losses, fixed)


def score_row(codes: ClassCodes, code: int, score: Any, label: Any, weight: float | None) -> ClassRow:
    """One row as `columns` counts it, its score a number or an object class → probability."""
    fixed = fixed_weight(weight)
    positive = codes.positive[code]
    if isinstance(score, Mapping):
        truth = _lookup(score, label)
        ranked = next((p for name in _positive_names(codes) if (p := score.get(name)) is not None), None)
        truth = 0.0 if truth is None else truth
    elif score is None or not 0.0 <= score <= 1.0:  # 1 less a tiny negative number would be 1
        ranked = truth = None
    else:
        ranked = score
        truth = score if positive else 1.0 - score
    if code == 0 or truth is None or not 0.0 <= truth <= 1.0:
        return ClassRow(code, UNSCORED, 0, fixed)
    amount = log(max(truth, CLIP)) * -LOSS_UNIT
    loss = round(amount if weight is None else amount * (fixed / ONE))
    key = UNRANKED
    if ranked is not None and 0.0 <= ranked <= 1.0:
        key = int(TABLE[min(int(ranked * FINE), FINE - 1)]) * 2 + positive
    return ClassRow(code, key, loss, fixed)


def _texts(label: Any) -> tuple[str, ...]:
    """How a class may be written as the name of a JSON field."""
    if isinstance(label, bool):
        return (str(label).lower(), str(label), str(int(label)))
    if isinstance(label, float) and label.is_integer():
        return (str(int(label)), str(label))
    return (str(label),)


def _lookup(score: Mapping[str, float], label: Any) -> float | None:
    return next((p for name in _texts(label) if (p := score.get(name)) is not None), None)


def _positive_names(codes: ClassCodes) -> tuple[str, ...]:
    return ("1", "true", "True") if codes.positive_label is None else _texts(codes.positive_label)

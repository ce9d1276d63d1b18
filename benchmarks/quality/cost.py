"""What watching one number costs, in blocks of 25, as a busy worker's many streams are given them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from benchmarks.quality import product
from benchmarks.quality.contenders import PRODUCT, Bare, named
from benchmarks.quality.stream import Table

from driftbus.core.detectors import registry
from driftbus.core.features import FeatureWatch
from driftbus.core.settings import Limits, StreamSettings
from driftbus.core.signals import SignalWatch, error_rule

BLOCK = 25
VALUES = 20_000
# Slow detectors need no such many to be told apart.
MOST_S = 1.0
ROUNDS = 3


def _blocks(values: list[float]) -> list[list[float]]:
    return [values[i : i + BLOCK] for i in range(0, len(values), BLOCK)]


def _errors() -> list[float]:
    return [float(value < 0.1) for value in np.random.default_rng(1).random(VALUES)]


def _best(make: Callable[[], Callable[[list[float]], object]], blocks: list[list[float]]) -> float:
    """The least CPU µs per value over a few rounds; a round ends early when it takes too long."""
    best = float("inf")
    for _ in range(ROUNDS):
        take = make()
        started = time.process_time()
        count = 0
        for block in blocks:
            take(block)
            count += len(block)
            if time.process_time() - started > MOST_S:
                break
        best = min(best, (time.process_time() - started) / count * 1e6)
    return best


@lru_cache(maxsize=64)
def measured(name: str) -> float | None:
    """CPU µs per event; of driftbus, the error signal with all its detectors. None: nothing to measure."""
    if name == PRODUCT:
        plan = product.settings()[0].signals
        return _best(lambda: SignalWatch(error_rule(plan)).observe, _blocks(_errors()))
    contender = named(name)
    if not isinstance(contender, Bare):
        return None
    return _best(lambda: registry.make(contender.spec).update_block, _blocks(_errors()))


def cost_us(name: str) -> str:
    """As a cell of a table."""
    found = measured(name)
    return "–" if found is None else f"{found:.2f}"


def feature_us(features: int = 10) -> float:
    """CPU µs per event and numeric feature of driftbus's watch, after its reference is known."""
    settings, limits = StreamSettings(), Limits()
    rng = np.random.default_rng(2)
    rows = [
        dict(zip("abcdefghij", row, strict=True)) for row in rng.standard_normal((VALUES, features)).tolist()
    ]
    watch = FeatureWatch(settings.features, settings.signals, max_categories=limits.max_categories)
    watch.observe(rows[: VALUES // 4])
    started = time.process_time()
    for i in range(VALUES // 4, VALUES, BLOCK):
        watch.observe(rows[i : i + BLOCK])
    return (time.process_time() - started) / (VALUES * 3 // 4) / features * 1e6


def whole_us() -> float:
    """CPU µs per row of driftbus's whole fold of an outcome without features, in blocks of 25."""
    feed = product.Feed()
    errors = np.array(_errors(), int)
    said = np.random.default_rng(3).integers(0, 2, VALUES)
    labels = said ^ errors
    parts = [
        (i, Table([None] * BLOCK, said[i : i + BLOCK].tolist(), labels[i : i + BLOCK].tolist()))
        for i in range(0, VALUES, BLOCK)
    ]
    started = time.process_time()
    for start, part in parts:
        feed.take(start, part)
    return (time.process_time() - started) / VALUES * 1e6

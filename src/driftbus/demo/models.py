"""The demo's production models: small, explicit, trained by one fixed recipe, kept as JSON.

A model sees each numeric feature (standardised) with its square, its cube and the products of pairs, and
each other feature by its values; on top of that a logistic regression (0 or 1, with a probability) or a
linear one. That fits every concept of the demo's world well enough for its changes to hurt.

Deployment is a file: the trainer writes `<stream>.json` in one move, the inference service looks whether
it is newer than what it has. Nothing in it can run: names, numbers, no code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

Task = Literal["classification", "regression"]
Vector = NDArray[np.float64]

# Ridge penalty on standardised columns: keeps separable data (STAGGER has no noise of its own) finite and
# costs nothing visible at the demo's 400 to 2,000 rows.
PENALTY = 1.0
# Newton's method on a penalised logistic loss is quadratic near the solution; 25 steps were never needed.
MAX_STEPS = 25
CONVERGED = 1e-6


@dataclass(frozen=True)
class Model:
    """One trained version. `categories` lists the known values of each non-numeric feature, as text."""

    stream: str
    version: str
    task: Task
    numeric: Sequence[str]
    mean: Sequence[float]
    scale: Sequence[float]
    categories: Mapping[str, Sequence[str]]
    coefficients: Sequence[float]

    def answer(self, features: Mapping[str, Any]) -> tuple[int | float, float | None]:
        """(prediction, probability of class 1); a regression has no probability."""
        value = float(self._columns([features])[0] @ self._weights)
        if self.task == "regression":
            return value, None
        score = float(_sigmoid(np.array(value)))
        return int(score >= 0.5), score

    @cached_property
    def _weights(self) -> Vector:
        return np.array(self.coefficients)

    def _columns(self, rows: Sequence[Mapping[str, Any]]) -> Vector:
        return _design(rows, self.numeric, np.array(self.mean), np.array(self.scale), self.categories)


def train(
    stream: str, version: str, task: Task, rows: Sequence[Mapping[str, Any]], labels: Sequence[float]
) -> Model:
    """The recipe. `rows` are feature dictionaries in the order of their labels' arrival, oldest first.

    Newer rows count more, the oldest an eighth of the newest: where the world changed slowly, the first
    rows since the onset still show mostly the old one.
    """
    numeric = sorted(name for name, value in rows[0].items() if _is_number(value))
    values = _numbers(rows, numeric)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    categories = {
        name: sorted({str(row[name]) for row in rows}) for name in sorted(rows[0]) if name not in numeric
    }
    design = _design(rows, numeric, mean, scale, categories)
    importance = 2.0 ** (3 * (np.arange(len(rows)) / len(rows) - 1))
    target = np.array(labels, dtype=float)
    fit = _linear if task == "regression" else _logistic
    coefficients = fit(design, target, importance)
    return Model(
        stream, version, task, numeric, mean.tolist(), scale.tolist(), categories, coefficients.tolist()
    )


def _design(
    rows: Sequence[Mapping[str, Any]],
    numeric: Sequence[str],
    mean: Vector,
    scale: Vector,
    categories: Mapping[str, Sequence[str]],
) -> Vector:
    z = (_numbers(rows, numeric) - mean) / scale
    flags = np.array(
        [[str(row[name]) == value for name, known in categories.items() for value in known] for row in rows],
        dtype=float,
    ).reshape(len(rows), sum(map(len, categories.values())))
    base = np.hstack([z, flags])
    first, second = np.triu_indices(base.shape[1], k=1)
    return np.hstack([np.ones((len(rows), 1)), base, z**2, z**3, base[:, first] * base[:, second]])


def _numbers(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Vector:
    return np.array([[float(row[name]) for name in names] for row in rows]).reshape(len(rows), len(names))


def _linear(design: Vector, target: Vector, importance: Vector) -> Vector:
    weighted = design * importance[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ design + _penalty(design), weighted.T @ target), float)


def _logistic(design: Vector, target: Vector, importance: Vector) -> Vector:
    coefficients = np.zeros(design.shape[1])
    penalty = _penalty(design)
    for _ in range(MAX_STEPS):
        probability = _sigmoid(design @ coefficients)
        gradient = design.T @ (importance * (target - probability)) - penalty @ coefficients
        curvature = design.T @ (design * (importance * probability * (1 - probability))[:, None]) + penalty
        step = np.linalg.solve(curvature, gradient)
        coefficients += step
        if np.abs(step).max() < CONVERGED:
            break
    return coefficients


def _penalty(design: Vector) -> Vector:
    penalty = PENALTY * np.eye(design.shape[1])
    penalty[0, 0] = 1e-9  # the constant column is free
    return penalty


def _sigmoid(value: Vector) -> Vector:
    return 1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def deploy(model: Model, folder: Path) -> None:
    """Put the model where the inference service looks, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    unfinished = folder / f"{model.stream}.json.{os.getpid()}"
    unfinished.write_bytes(orjson.dumps(fields))
    unfinished.replace(folder / f"{model.stream}.json")


def deployed(stream: str, folder: Path) -> Model:
    """The model that answers for `stream` now."""
    return Model(**orjson.loads((folder / f"{stream}.json").read_bytes()))

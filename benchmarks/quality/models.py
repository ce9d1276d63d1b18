"""Two models for real streams: a tree (CART) and a linear one, frozen once fitted. Plain numpy and scipy.

Both take targets as columns (classes one-hot), so that one criterion serves both tasks: with one-hot targets
the sum of squares within leaves is Gini's impurity.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from benchmarks.quality.stream import Floats
from numpy.typing import NDArray
from scipy.optimize import minimize

# A tree that can follow a sine boundary from 3,000 rows, and does not learn 20 % label noise by heart.
DEPTH, LEAF = 10, 20
# Weight decay per row: enough that separable classes have finite weights.
DECAY = 1e-4


class Model(Protocol):
    """Fitted: features (rows × columns) in, one score per target out."""

    def scores(self, features: Floats) -> Floats: ...


class Tree:
    """Classification and regression tree (Breiman et al. 1984)."""

    def __init__(self, features: Floats, targets: Floats) -> None:
        # Per node: feature (-1: a leaf), threshold, left and right node, mean of the targets.
        self._nodes: list[tuple[int, float, int, int, Floats]] = []
        self._grow(features, targets, 0)

    def _grow(self, x: Floats, y: Floats, depth: int) -> int:
        node = len(self._nodes)
        self._nodes.append((-1, 0.0, -1, -1, y.mean(0)))
        split = None if depth >= DEPTH or len(y) < 2 * LEAF else _best_split(x, y)
        if split is not None:
            feature, threshold = split
            left = x[:, feature] <= threshold
            low = self._grow(x[left], y[left], depth + 1)
            high = self._grow(x[~left], y[~left], depth + 1)
            self._nodes[node] = (feature, threshold, low, high, self._nodes[node][4])
        return node

    def scores(self, features: Floats) -> Floats:
        found = np.empty((len(features), len(self._nodes[0][4])))
        waiting = [(0, np.arange(len(features)))]
        while waiting:
            node, rows = waiting.pop()
            feature, threshold, low, high, mean = self._nodes[node]
            if not len(rows):
                continue
            if feature < 0:
                found[rows] = mean
            else:
                left = features[rows, feature] <= threshold
                waiting += [(low, rows[left]), (high, rows[~left])]
        return found


def _best_split(x: Floats, y: Floats) -> tuple[int, float] | None:
    best, found = 1e-9, None
    rows = len(y)
    whole = float((y.sum(0) ** 2).sum()) / rows
    n = np.arange(1, rows)
    for feature in range(x.shape[1]):
        order = np.argsort(x[:, feature], kind="stable")
        values = x[order, feature]
        left = np.cumsum(y[order], axis=0)
        right = left[-1] - left[:-1]
        gain = (left[:-1] ** 2).sum(1) / n + (right**2).sum(1) / (rows - n) - whole
        allowed = (values[1:] > values[:-1]) & (n >= LEAF) & (rows - n >= LEAF)
        if allowed.any():
            at = int(np.argmax(np.where(allowed, gain, -np.inf)))
            if gain[at] > best:
                best, found = float(gain[at]), (feature, float((values[at] + values[at + 1]) / 2.0))
    return found


class Linear:
    """Least squares of amounts (`classes` false), else multinomial logistic regression, both standardised."""

    def __init__(self, features: Floats, targets: Floats, classes: bool) -> None:
        self._centre = features.mean(0)
        self._scale = np.where(features.std(0) > 1e-12, features.std(0), 1.0)
        design = self._design(features)
        shape = (design.shape[1], targets.shape[1])
        if not classes:
            penalty = DECAY * len(design) * np.eye(shape[0])
            self._weights = np.linalg.solve(design.T @ design + penalty, design.T @ targets)
            return

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(shape)
            logits = design @ weights
            logits -= logits.max(1, keepdims=True)
            norm = np.log(np.exp(logits).sum(1, keepdims=True))
            value = -(targets * (logits - norm)).sum() / len(design) + DECAY * (weights**2).sum()
            slope = design.T @ (np.exp(logits - norm) - targets) / len(design) + 2 * DECAY * weights
            return float(value), slope.ravel()

        fitted = minimize(
            loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100}
        )
        self._weights = fitted.x.reshape(shape)

    def _design(self, features: Floats) -> Floats:
        scaled = (features - self._centre) / self._scale
        return np.hstack((scaled, np.ones((len(scaled), 1))))

    def scores(self, features: Floats) -> Floats:
        found: Floats = self._design(features) @ self._weights
        return found


MODELS = ("tree", "linear")


def fit(model: str, features: Floats, targets: Floats, classes: bool) -> Model:
    """A model of this name, fitted to rows of features and targets."""
    return Tree(features, targets) if model == "tree" else Linear(features, targets, classes)


def fit_classes(model: str, features: Floats, classes: NDArray[np.int64], count: int) -> Model:
    """A classifier of the classes 0 … count − 1."""
    return fit(model, features, np.eye(count)[classes], True)

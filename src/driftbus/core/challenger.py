"""The challenger: a model per stream that predicts first and learns after, beside the production model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

from driftbus.core.linear_models import LinearRegression, LogisticRegression
from driftbus.core.parameters import check_params
from driftbus.core.records import Features, Json
from driftbus.core.settings import ChallengerSpec, Limits, Scalar
from driftbus.core.trees import MODELS, RiverModel

# What River's own bound on a tree (`max_size`, which closes leaves) may take of a challenger's bytes: it is
# only looked at now and then, and does not count a forest's detectors and spare trees. Measured over 2 and 8
# features and bounds of .2 and 1 MB: a half, looked at every 200 rows, stays under the bound.
_TREE_SHARE = 0.5
_LOOK_EVERY = 200
# A forest divides that among its trees; with River's ten of them each could hardly grow. Measured in 200 kB
# on 8 features, three still halve the error of guessing the mean.
_TREES = 3
# One categorical feature may take this many of the linear model's coordinates.
_CATEGORIES = 100


class Challenger(Protocol):
    """A model that learns online. A block equals its rows one by one, bit for bit."""

    resets: int  # how often it grew beyond its bound, or broke, and began anew

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row the prediction made before learning it (None: nothing learnt yet, or the row has no
        usable label and is skipped) and the positive class's probability (None: not a binary classifier)."""

    def dump(self) -> Any:
        """The state as plain JSON values; None when it cannot be represented (it then learns anew)."""

    def bytes(self) -> int:
        """An estimate of the memory the model takes."""


def make(spec: ChallengerSpec, task: str, positive_label: Scalar | None, limits: Limits) -> Challenger | None:
    """A fresh challenger; None for `task: none` and while the task is undecided (`auto`).

    Models: `auto` and `linear` (scaled logistic or linear regression), and by name `hoeffding_tree`,
    `hoeffding_adaptive_tree`, `arf` with River's parameters; a `seed` left out is 0.
    Raises ValueError naming an unknown model, parameter or value, and the nearest right one.
    """
    check(spec)
    if task not in ("classification", "regression"):
        return None
    if spec.name in MODELS:
        return _river(spec, task, positive_label, limits)
    categories = min(limits.max_categories, _CATEGORIES)
    if task == "regression":
        return LinearRegression(limits.max_challenger_bytes, categories)
    return LogisticRegression(limits.max_challenger_bytes, categories, positive_label)


def restorable(spec: ChallengerSpec | None) -> bool:
    """Whether a restored challenger goes on where it was. One that learns anew is shown beside production,
    but nothing is decided by it: a decision must come out the same when it is folded again."""
    return spec is not None and spec.name not in MODELS


def load(
    spec: ChallengerSpec, task: str, positive_label: Scalar | None, limits: Limits, state: Any
) -> Challenger | None:
    """The challenger that `dump` wrote; a fresh one for None or when the state is of another model.

    Raises ValueError when the state is of this model and cannot be read.
    """
    challenger = make(spec, task, positive_label, limits)
    if isinstance(challenger, LinearRegression | LogisticRegression) and isinstance(state, dict):
        own = "linear" if isinstance(challenger, LinearRegression) else "logistic"
        if state.get("model") == own:
            try:
                challenger.restore(state)
            except (KeyError, TypeError) as error:
                raise ValueError(f"challenger: a state that cannot be read: {error}") from error
    return challenger


def names() -> list[str]:
    """All models that can be asked for, sorted."""
    return sorted(["auto", "linear", *MODELS])


def check(spec: ChallengerSpec) -> None:
    """Raise ValueError when the specification cannot be used, whatever the task turns out to be."""

    def without_parameters() -> None: ...

    known = {"auto": without_parameters, "linear": without_parameters}
    # A parameter must be known for one of the two tasks; the other model goes without it.
    both = {name: by_task["classification"] for name, by_task in MODELS.items()}
    for key, value in spec.params.items():
        one = "regression" if spec.name in MODELS and not _takes(spec.name, "classification", key) else None
        constructors = {n: t["regression"] for n, t in MODELS.items()} if one else both
        check_params("challenger", spec.name, {key: value}, {**known, **constructors})
    check_params("challenger", spec.name, {}, {**known, **both})


def _takes(name: str, task: str, key: str) -> bool:
    return key in inspect.signature(MODELS[name][task]).parameters


def _river(spec: ChallengerSpec, task: str, positive_label: Scalar | None, limits: Limits) -> RiverModel:
    params = {key: value for key, value in spec.params.items() if _takes(spec.name, task, key)}
    if _takes(spec.name, task, "seed"):
        params.setdefault("seed", 0)
    if _takes(spec.name, task, "leaf_model"):
        # River's default puts linear models on raw values into the leaves, which take no texts and diverge.
        params.setdefault("leaf_prediction", "mean")
    if _takes(spec.name, task, "n_models"):
        params.setdefault("n_models", _TREES)
    params["memory_estimate_period"] = min(params.get("memory_estimate_period", _LOOK_EVERY), _LOOK_EVERY)
    size_mib = limits.max_challenger_bytes * _TREE_SHARE / max(1, params.get("n_models", 1)) / 2**20
    params["max_size"] = min(params.get("max_size", size_mib), size_mib)
    try:
        return RiverModel(spec.name, params, task, positive_label, limits.max_challenger_bytes)
    except (ArithmeticError, TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in spec.params.items())
        raise ValueError(f"challenger {spec.name}: {given} cannot be used: {error}") from error

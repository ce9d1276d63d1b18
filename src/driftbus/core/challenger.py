"""The challenger: a model per stream that predicts first and learns after, beside the production model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from driftbus.core.records import Features, Json
from driftbus.core.settings import ChallengerSpec, Limits, Scalar


class Challenger(Protocol):
    """A model that learns online. A block equals its rows one by one, bit for bit."""

    resets: int  # how often it grew beyond its bound and began anew

    def predict_then_learn(
        self, features: Sequence[Features | None], labels: Sequence[Json]
    ) -> tuple[list[Json], list[float | None]]:
        """Per row the prediction made before learning it (None: nothing learnt yet, or the row has no
        label and is skipped) and the positive class's probability (None: not a binary classifier)."""

    def dump(self) -> Any:
        """The state as plain JSON values; None when it cannot be represented (it then learns anew)."""

    def bytes(self) -> int:
        """An estimate of the memory the model takes."""


def make(spec: ChallengerSpec, task: str, positive_label: Scalar | None, limits: Limits) -> Challenger | None:
    """A fresh challenger; None for `task: none` and while the task is undecided (`auto`).

    Raises ValueError naming an unknown model, parameter or value, and the nearest right one.
    """
    raise NotImplementedError


def load(
    spec: ChallengerSpec, task: str, positive_label: Scalar | None, limits: Limits, state: Any
) -> Challenger | None:
    """The challenger that `dump` wrote; a fresh one for None or when the state is of another model."""
    raise NotImplementedError


def names() -> list[str]:
    """All models that can be asked for, sorted."""
    raise NotImplementedError

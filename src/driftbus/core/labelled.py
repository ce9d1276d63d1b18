"""Outcomes of one version as columns, and the numbers that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, NamedTuple

from driftbus.core.records import Json, Outcome
from driftbus.core.settings import Scalar
from driftbus.core.task import positive_class

# A probability is trusted no further than this: beyond it one confident mistake would outweigh a
# hundred honest ones. -log(1e-3) = 6.9 nats is also where the log-loss signal is scaled to 1.
LEAST_PROBABILITY = 1e-3


class Labelled(NamedTuple):
    """Outcomes of one version that can be compared, as columns; `gaps` is None without a challenger."""

    pos: Sequence[int]
    seqs: Sequence[int]
    tss: Sequence[int]
    label_tss: Sequence[int]
    labels: Sequence[Json]
    predictions: Sequence[Json]
    scores: Sequence[Any]
    weights: Sequence[float | None]
    slices: Sequence[dict[str, str] | None]
    errors: Sequence[float]
    challenger_predictions: Sequence[Json] | None
    challenger_scores: Sequence[float | None] | None


def labelled(
    outcomes: Sequence[Outcome], pos: Sequence[int], errors: Sequence[float | None], guesses: Any
) -> Labelled:
    """Outcomes that can be compared, as columns."""
    if errors.count(None):
        kept = [i for i, error in enumerate(errors) if error is not None]
        outcomes, pos = [outcomes[i] for i in kept], [pos[i] for i in kept]
        errors = [errors[i] for i in kept]
        guesses = None if guesses is None else tuple([column[i] for i in kept] for column in guesses)
    if not outcomes:
        return Labelled((), (), (), (), (), (), (), (), (), (), None, None)
    seqs, predictions, labels, label_tss, _ = zip(*outcomes, strict=True)
    columns = list(zip(*predictions, strict=True))
    challenger_predictions, challenger_scores = guesses or (None, None)
    return Labelled(
        pos,
        seqs,
        columns[2],
        label_tss,
        labels,
        columns[4],
        columns[5],
        columns[10],
        columns[8],
        errors,  # type: ignore[arg-type]
        challenger_predictions,
        challenger_scores,
    )


def log_losses(labels: Sequence[Json], scores: Sequence[Any], positive: Scalar | None) -> list[float | None]:
    """−log of the probability given to the label, per row; None where no score tells."""
    losses: list[float | None] = []
    for label, score in zip(labels, scores, strict=True):
        if score is None:
            losses.append(None)
            continue
        if type(score) is dict:
            p = score.get(label if type(label) is str else str(label))
        else:
            one = positive_class(positive, label)
            p = None if one is None else score if label == one else 1.0 - score
        losses.append(None if p is None else -log(min(1.0, max(LEAST_PROBABILITY, p))))
    return losses


def gaps_of(task: str, rows: Labelled) -> list[float | None]:
    """Production's error minus the challenger's, per row."""
    gaps: list[float | None] = []
    for error, label, guess in zip(rows.errors, rows.labels, rows.challenger_predictions or (), strict=True):
        if guess is None:
            gaps.append(None)
        elif task == "classification":
            gaps.append(error - (0 if guess == label else 1))
        else:
            gaps.append(error - abs(guess - label))
    return gaps

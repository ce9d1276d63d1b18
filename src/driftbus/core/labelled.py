"""The numbers that are made of outcomes: errors, losses, and how far the challenger is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log
from typing import Any

from driftbus.core.classes import label_text
from driftbus.core.records import Json
from driftbus.core.settings import Scalar
from driftbus.core.task import outcome_error, positive_class

# A probability is trusted no further than this: beyond it one confident mistake would outweigh a
# hundred honest ones. -log(1e-3) = 6.9 nats is also where the log-loss signal is scaled to 1.
LEAST_PROBABILITY = 1e-3
_WORST = -log(LEAST_PROBABILITY)


def log_losses(labels: Sequence[Json], scores: Sequence[Any], positive: Scalar | None) -> list[float | None]:
    """−log of the probability given to the label, per row; None where no score tells."""
    if not _NUMBERS.issuperset(map(type, scores)):
        return [_log_loss(label, score, positive) for label, score in zip(labels, scores, strict=True)]
    pairs = zip(labels, scores, strict=True)
    given: list[float | None]
    if positive is not None:
        given = [score if label == positive else 1.0 - score for label, score in pairs]
    elif _NUMBERS.issuperset(map(type, labels)):
        given = [score if label == 1 else 1.0 - score if label == 0 else None for label, score in pairs]
    else:
        return [_log_loss(label, score, positive) for label, score in pairs]
    # As `_log_loss`, written out: a call for each row would be most of the cost.
    return [
        None if p is None else -log(p if p < 1.0 else 1.0) if p > LEAST_PROBABILITY else _WORST for p in given
    ]


def _log_loss(label: Json, score: Any, positive: Scalar | None) -> float | None:
    """One row's; the score is a number, probabilities by class, or None."""
    if score is None:
        return None
    if type(score) is dict:
        p = score.get(label_text(label))
    else:
        one = positive_class(positive, label)
        p = None if one is None else score if label == one else 1.0 - score
    return None if p is None else -log(min(1.0, max(LEAST_PROBABILITY, p)))


def errors_of(task: str, labels: Sequence[Json], predictions: Sequence[Json]) -> list[float | None]:
    """`outcome_error` of each row."""
    kinds = set(map(type, labels))
    kinds.update(map(type, predictions))
    if task == "classification" and kinds <= _SCALARS:
        return [0 if label == said else 1 for label, said in zip(labels, predictions, strict=True)]
    if task == "regression" and kinds <= _NUMBERS:
        errors = [abs(label - said) for label, said in zip(labels, predictions, strict=True)]
        if max(errors) < inf:
            return errors
    return [outcome_error(task, label, said) for label, said in zip(labels, predictions, strict=True)]


def challenger_errors(
    task: str, labels: Sequence[Json], errors: Sequence[float | None], guesses: Sequence[Json]
) -> list[float | None]:
    """The challenger's error on each row; None where it had no guess or there is nothing to compare."""
    if task == "classification":
        return [
            None if guess is None else 0 if guess == label else 1
            for guess, label in zip(guesses, labels, strict=True)
        ]
    return [
        None if guess is None or error is None else abs(guess - label)
        for guess, label, error in zip(guesses, labels, errors, strict=True)
    ]


def gaps_of(errors: Sequence[float], challenger: Sequence[float | None]) -> list[float | None]:
    """Production's error minus the challenger's, per row; None where the latter is."""
    return [
        None if theirs is None else ours - theirs for ours, theirs in zip(errors, challenger, strict=True)
    ]


# What can be compared as classes, and as amounts.
_NUMBERS = frozenset({bool, int, float})
_SCALARS = _NUMBERS | {str}

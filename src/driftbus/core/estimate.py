"""How well a classifier does before its labels have come, by its own scores, and whether to believe that.

Idea: labels that came tell how often a score of .8 was right; the newest predictions' scores then tell how
often they will be. Formula: q[b], the share of positives among outcomes whose score lies in bin b (20 of
them, each beginning with one row at its own middle); of the newest predictions n[b, said] the expected
confusion is tp = Σ n[b, 1] q[b], fp = Σ n[b, 1] (1 − q[b]), fn = Σ n[b, 0] q[b], and so accuracy, precision,
recall, F1. Labels are never guessed, and nothing is decided by it: drift that changes what a score means is
just what scores cannot show.

So it audits itself: each turn of 256 outcomes is foretold by the q of the turns before, then compared with
what came, then learned. It is doubted while the last four turns differ by more than chance and two points,
while fewer than four were learned, and where the newest scores are such as had hardly been seen.

Input: scores in [0, 1] of the positive class, of binary classifiers. Everything kept is a whole number, so
where blocks are cut changes nothing; O(1) memory, some .3 µs a row.
Source: confidence-based performance estimation as in NannyML (CBPE; Białek et al., arXiv:2401.08348), on
scores calibrated by histogram (Zadrozny and Elkan, ICML 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import nextafter, sqrt
from typing import Any

from driftbus.core.classes import is_positive
from driftbus.core.settings import Scalar
from driftbus.core.views import Estimated

# A bin holds a twentieth of the scores: finer ones would know their share too badly (256 rows: ± .14).
BINS = 20
# Rows that a bin begins with at its own middle: a score is taken at its word until rows say otherwise. More
# than one of them outweigh, where scores mean the opposite, what the first turns say.
PRIOR = 1
# Outcomes foretold before they are learned; predictions in each part of the window.
TURN = 256
# The window of newest predictions, and of outcomes that the audit is about: so many turns.
TURNS = 4
# Learned rows beyond which all counts are halved: a model's calibration wanders with its inputs. So they are
# after every turn that came otherwise than foretold: what scores meant before is forgotten in a few turns.
MOST_LEARNED = 32 * TURN
# A difference under this is no reason for doubt; above it, one of three standard deviations is.
TOLERANCE, SIGMAS = 0.02, 3.0
# Bins with fewer rows are hardly known; more than this share of the newest predictions in them is too much.
LEAST_ROWS, MOST_UNKNOWN = 10, 0.1

_CELLS = 2 * BINS
_NUMBERS = frozenset({int, float})
_CLASSES = frozenset({int, float, bool, str})
# The largest number under BINS, so that a score of 1 belongs to the last bin.
_SCALE = nextafter(BINS, 0.0)


class Estimate:
    """`predicted` and `came` take blocks; `read` says what is expected, None without a scored prediction."""

    __slots__ = ("_audit", "_came", "_learned", "_newest", "_turns")

    def __init__(self) -> None:
        # Cells are 2 · bin + (1: said positive). Of each: how many, and how many of them came positive.
        self._learned = [[0] * BINS, [0] * BINS]
        self._turns = 0
        self._came = [[0] * _CELLS, [0] * _CELLS]
        self._newest: list[list[int]] = [[0] * _CELLS]  # by turn, the newest last
        self._audit: list[list[float]] = []  # by turn: errors expected, errors, variance

    def predicted(self, scores: Sequence[Any], said: Sequence[Any], positive: Scalar | None) -> None:
        """Predictions with their scores; `positive`: the configured positive class."""
        cells, _ = _cells(scores, said, (), positive)
        start = 0
        while start < len(cells):
            newest = self._newest[-1]
            room = TURN - sum(newest)
            if not room:
                self._newest = [*self._newest[1 - TURNS :], [0] * _CELLS]
                continue
            for cell in cells[start : start + room]:
                newest[cell] += 1
            start += room

    def came(
        self, scores: Sequence[Any], said: Sequence[Any], labels: Sequence[Any], positive: Scalar | None
    ) -> None:
        """Outcomes: their predictions' scores, and labels."""
        cells, true = _cells(scores, said, labels, positive)
        start = 0
        while start < len(cells):
            every, positives = self._came
            stop = start + TURN - sum(every)
            for cell, yes in zip(cells[start:stop], true[start:stop], strict=True):
                every[cell] += 1
                positives[cell] += yes
            start = stop
            if sum(every) == TURN:
                self._turn()

    def _turn(self) -> None:
        """Compare what was foretold with what came, then learn it."""
        every, positives = self._came
        shares = self._shares()
        errors = expected = variance = 0.0
        for cell, n in enumerate(every):
            if n:
                wrong = 1.0 - shares[cell // 2] if cell % 2 else shares[cell // 2]
                expected += n * wrong
                variance += n * wrong * (1.0 - wrong)
                errors += n - positives[cell] if cell % 2 else positives[cell]
        self._audit = [*self._audit[1 - TURNS :], [expected, errors, variance]]
        self._turns += 1
        if sum(self._learned[0]) > MOST_LEARNED or self._differs():
            self._learned = [[n // 2 for n in counts] for counts in self._learned]
        rows, of_these = self._learned
        for cell, n in enumerate(every):
            rows[cell // 2] += n
            of_these[cell // 2] += positives[cell]
        self._came = [[0] * _CELLS, [0] * _CELLS]

    def _audited(self) -> tuple[int, float, float, float]:
        """Outcomes of the last turns; errors expected of them, errors there were, variance of that."""
        expected, errors, variance = (sum(column) for column in zip(*self._audit, strict=True))
        return len(self._audit) * TURN, expected, errors, variance

    def _differs(self) -> bool:
        """Whether what came is not what was foretold, beyond chance."""
        seen, expected, errors, variance = self._audited()
        return abs(errors - expected) > max(TOLERANCE * seen, SIGMAS * sqrt(variance))

    def _shares(self) -> list[float]:
        rows, positives = self._learned
        return [(positives[b] + PRIOR * (b + 0.5) / BINS) / (rows[b] + PRIOR) for b in range(BINS)]

    def read(self) -> Estimated | None:
        """What the newest predictions' labels will say."""
        newest = [sum(counts) for counts in zip(*self._newest, strict=True)]
        rows = sum(newest)
        if not rows:
            return None
        shares = self._shares()
        tp = fp = fn = tn = 0.0
        for cell, n in enumerate(newest):
            q = shares[cell // 2]
            if cell % 2:
                tp, fp = tp + n * q, fp + n * (1.0 - q)
            else:
                fn, tn = fn + n * q, tn + n * (1.0 - q)
        metrics = {"error": (fp + fn) / rows, "accuracy": (tp + tn) / rows}
        if tp + fp > 0:
            metrics["precision"] = tp / (tp + fp)
        if tp + fn > 0:
            metrics["recall"] = tp / (tp + fn)
        if tp + fp + fn > 0:
            metrics["f1"] = 2.0 * tp / (2.0 * tp + fp + fn)
        return Estimated(metrics, rows, self._doubt(newest, rows))

    def _doubt(self, newest: Sequence[int], rows: int) -> str | None:
        if self._turns < TURNS:
            return f"{self._turns * TURN} outcomes learned, fewer than {TURNS * TURN}"
        if self._differs():
            seen, expected, errors, _ = self._audited()
            return (
                f"of the last {seen} outcomes {errors / seen:.1%} were wrong, "
                f"{expected / seen:.1%} had been expected by their scores"
            )
        unknown = sum(n for cell, n in enumerate(newest) if self._learned[0][cell // 2] < LEAST_ROWS)
        if unknown > MOST_UNKNOWN * rows:
            return f"{unknown / rows:.0%} of the newest predictions have scores that had hardly been seen"
        return None

    def dump(self) -> Any:
        """The state as JSON-able values."""
        return [self._turns, self._learned, self._came, self._newest, self._audit]

    @classmethod
    def load(cls, state: Any) -> Estimate:
        """What `dump` was called on."""
        one = cls()
        one._turns, one._learned, one._came, one._newest, one._audit = state
        return one


def _cells(
    scores: Sequence[Any], said: Sequence[Any], labels: Sequence[Any], positive: Scalar | None
) -> tuple[list[int], list[bool]]:
    """Of each row with a score in [0, 1] and plain classes its cell; with `labels`, whether each of these is
    positive."""
    if not scores:
        return [], []
    plain = _NUMBERS.issuperset(map(type, scores)) and _CLASSES.issuperset(map(type, (*said, *labels)))
    if not (plain and min(scores) >= 0.0 and max(scores) <= 1.0):
        kept = [
            type(score) in _NUMBERS
            and 0.0 <= score <= 1.0
            and type(one) in _CLASSES
            and type(label) in _CLASSES
            for score, one, label in zip(scores, said, labels or said, strict=True)
        ]
        scores, said, labels = (list(compress(column, kept)) for column in (scores, said, labels))
    known = {one: is_positive(one, positive) for one in {*said, *labels}}
    cells = [2 * int(score * _SCALE) + known[one] for score, one in zip(scores, said, strict=True)]
    return cells, [known[label] for label in labels]

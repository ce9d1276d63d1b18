"""What kind of model a stream is, decided from its first outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from driftbus.core.records import Json, Outcome
from driftbus.core.settings import Scalar, Task

# Contract: `auto` decides from the first 500 outcomes.
DECIDE_OUTCOMES = 500
# More distinct whole numbers than this among the labels are counts or amounts, not classes: the largest
# public classification sets with numeric classes in this field (covertype, digits) have 7 to 10.
MAX_NUMERIC_CLASSES = 20


class TaskDecision:
    """`task` is provisional until `decided`; before the first outcome it is classification.

    A label or prediction that is text or a truth value means classification at once, a number with a
    fraction regression; whole numbers are classes until there are more than 20 of them.
    """

    __slots__ = ("_seen", "_values", "decided", "task")

    def __init__(self, task: Task) -> None:
        self.decided = task != "auto"
        self.task: str = "classification" if task == "auto" else task
        self._seen = 0
        self._values: set[float] = set()

    def take(self, label: Json, prediction: Json, scored: bool) -> bool:
        """Look at one outcome; whether the task changed with it."""
        self._seen += 1
        before = self.task
        if scored:
            self.decided = True
        for value in (label, prediction):
            if type(value) is str or type(value) is bool:
                self.decided = True
            elif type(value) is float and not value.is_integer():
                self.task, self.decided = "regression", True
        if not self.decided and (type(label) is int or type(label) is float):
            self._values.add(label)
            if len(self._values) > MAX_NUMERIC_CLASSES:
                self.task, self.decided = "regression", True
        if self._seen >= DECIDE_OUTCOMES:
            self.decided = True
        if self.decided:
            self._values.clear()
        return self.task != before

    def would_change(self, outcomes: Iterable[Outcome]) -> bool:
        """Whether these outcomes, not taken yet, decide the task otherwise."""
        if self.decided:
            return False
        trial = TaskDecision("auto")
        trial.load(self.dump())
        for row in outcomes:
            if trial.decided:
                break
            if trial.take(row.label, row.prediction.prediction, row.prediction.score is not None):
                return True
        return False

    def dump(self) -> Any:
        return [self.task, self.decided, self._seen, sorted(self._values)]

    def load(self, state: Any) -> None:
        self.task, self.decided, self._seen, values = state
        self._values = set(values)


def positive_class(configured: Scalar | None, label: Json) -> Scalar | None:
    """The positive class beside this label: the configured one, else `1`, `true` or `"1"` where the label is
    that or its opposite. Told by the row alone, so that a block is no more than its rows."""
    if configured is not None:
        return configured
    if type(label) is str:
        return "1" if label in ("0", "1") else None
    return 1 if type(label) in (bool, int, float) and label in (0, 1) else None


def outcome_error(task: str, label: Json, prediction: Json) -> float | None:
    """0 or 1 of a classifier, |label − prediction| of a regressor; None where there is nothing to compare."""
    kinds = (type(label), type(prediction))
    if task == "none" or any(k in (list, dict, type(None)) for k in kinds):
        return None
    if task == "classification":
        return 0 if label == prediction else 1
    if str in kinds:
        return None
    error = abs(label - prediction)
    return error if error < float("inf") else None

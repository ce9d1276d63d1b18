"""Has the model that was deployed in answer to a request brought the error back?

Its own detectors cannot say: their reference is the level that it began with. So its mean error is held
against the two that the request was about. More than half of the rise left, surely: that is told, once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from driftbus.core.benefit import error_in, mean_of
from driftbus.core.history import Columns
from driftbus.core.records import Tried
from driftbus.core.requests import Question
from driftbus.core.windows import Production

# Rows, in multiples of min_rows, after which nothing is said any more: what has not shown itself by then lies
# near the middle.
PATIENCE = 4


def answered(question: Question, version: str | None, production: Production | None) -> Answered | None:
    """What is to be seen of a deployment; of the answer to a second request nothing more."""
    error = error_in(question.signals)
    if production is None or version is None or error is None or question.tried is not None:
        return None
    if not question.onset or error.before >= error.after:
        return None
    return Answered(question, version, error.before, error.after, production.outcomes.end_seq)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that a deployment has answered. `before`, `during`: the error's levels then; `since_seq`:
    where the outcomes of the new version begin."""

    question: Question
    model_version: str
    before: float
    during: float
    since_seq: int

    def judge(self, errors: Columns, min_rows: int) -> tuple[bool, Tried | None]:
        """Whether no more rows are needed, and what has not recovered. `errors`: of the new version, since
        `since_seq`, in bins."""
        rows = errors.n.tolist()
        if sum(rows) < min_rows:
            return False, None
        level = mean_of(rows, (errors.total / errors.n).tolist())
        if level is None:
            return False, None
        middle = (self.before + self.during) / 2.0
        if level.mean - level.half > middle:
            told = Tried(self.question.request_id, self.model_version, level.mean, self.before, self.during)
            return True, told
        return level.mean + level.half < middle or level.rows >= PATIENCE * min_rows, None

    def again(self, request_id: str, tried: Tried) -> Question:
        """The same question, now about the version that was tried."""
        return replace(
            self.question,
            request_id=request_id,
            reason="drift",
            model_version=self.model_version,
            note=None,
            tried=tried,
        )

    def dump(self) -> Any:
        return asdict(self)

    @classmethod
    def load(cls, state: Any) -> Answered:
        return cls(**{**state, "question": Question.load(state["question"])})

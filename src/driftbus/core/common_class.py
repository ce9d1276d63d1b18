"""Whether what a classifier says and what turns out true are of the same classes at all.

Where they never are (predictions `1`, labels `"1"`; class names against class numbers) every prediction
counts as an error, and no detector will ever see a change: a fault of labelling, and named as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from driftbus.core.records import Json

# The contract's number; a classifier that is never right in so many outcomes has no class in common.
WINDOW = 500


class CommonClass:
    """`observe` outcomes until a class was both said and true; that is usually the first right prediction."""

    __slots__ = ("_said", "_seen", "_true", "found")

    def __init__(self) -> None:
        self.found = False
        self._seen = 0
        # As keys, so that their order is that of the records; cleared with every window.
        self._said: dict[Json, None] = {}
        self._true: dict[Json, None] = {}

    def observe(self, errors: Sequence[float], labels: Sequence[Json], said: Sequence[Json]) -> list[int]:
        """Take a block of outcomes that can be compared; the rows at which another whole window has passed
        without a common class."""
        lacking: list[int] = []
        if self.found:
            return lacking
        start = 0
        while start < len(errors):
            stop = min(len(errors), start + WINDOW - self._seen)
            self._said.update(dict.fromkeys(said[start:stop]))
            self._true.update(dict.fromkeys(labels[start:stop]))
            self._seen += stop - start
            if 0 in errors[start:stop] or not self._said.keys().isdisjoint(self._true):
                self.found = True
                self._seen = 0
                self._said, self._true = {}, {}
                break
            if self._seen == WINDOW:
                lacking.append(stop - 1)
                self._seen = 0
                self._said, self._true = {}, {}
            start = stop
        return lacking

    def dump(self) -> Any:
        """The state as JSON-able values."""
        return [self.found, self._seen, list(self._said), list(self._true)]

    @classmethod
    def load(cls, state: Any) -> CommonClass:
        one = cls()
        one.found, one._seen, said, true = state
        one._said, one._true = dict.fromkeys(said), dict.fromkeys(true)
        return one
